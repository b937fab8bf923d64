//===- StripStatistics.cpp - drop the statistics of calibration ---------------------------===//
//
// The blobs go with the attributes: a writer takes those that something refers to.
//
#include "llmc/Calibrate/Passes.h"
#include "llmc/Calibrate/StatisticsAttr.h"

namespace llmc {
#define GEN_PASS_DEF_STRIPSTATISTICS
#include "llmc/Calibrate/Passes.h.inc"
} // namespace llmc

using namespace mlir;
using namespace llmc;

namespace {

struct StripStatistics : public llmc::impl::StripStatisticsBase<StripStatistics> {
  using StripStatisticsBase::StripStatisticsBase;

  void runOnOperation() override {
    getOperation().walk([](Operation *op) { op->removeDiscardableAttr(kStatisticsAttr); });
  }
};

} // namespace
