//===- StripStatistics.cpp - drop the statistics of calibration ---------------------------===//
//
// The blobs go with the attributes: a writer takes those that something refers to.
//
#include "llmc/Calibrate/Passes.h"
#include "llmc/Calibrate/StatisticsAttr.h"
#include "llmc/IR/Layers.h"

#include "llvm/ADT/Statistic.h"

#define DEBUG_TYPE "strip-statistics"

namespace llmc {
#define GEN_PASS_DEF_STRIPSTATISTICS
#include "llmc/Calibrate/Passes.h.inc"
} // namespace llmc

using namespace mlir;
using namespace llmc;

ALWAYS_ENABLED_STATISTIC(operationsStripped, "Operations whose statistics were dropped");

namespace {

struct StripStatistics : public llmc::impl::StripStatisticsBase<StripStatistics> {
  using StripStatisticsBase::StripStatisticsBase;

  void runOnOperation() override {
    FlatLayers flat(getOperation());
    getOperation().walk([](Operation *op) {
      if (op->removeDiscardableAttr(kStatisticsAttr))
        ++operationsStripped;
    });
  }
};

} // namespace
