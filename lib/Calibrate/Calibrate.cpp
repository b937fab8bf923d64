//===- Calibrate.cpp - run the model on tokens and keep statistics ------------------------===//
//
// All blocks one after another, each with the statistics of its own inputs only in memory.
//
#include "llmc/Calibrate/BlockCalibrator.h"
#include "llmc/Calibrate/Passes.h"
#include "llmc/IR/Layers.h"

#include "mlir/Pass/PassRegistry.h"

namespace llmc {
#define GEN_PASS_DEF_CALIBRATE
#include "llmc/Calibrate/Passes.h.inc"
} // namespace llmc

using namespace mlir;
using namespace llmc;

namespace {

struct Calibrate : public llmc::impl::CalibrateBase<Calibrate> {
  using CalibrateBase::CalibrateBase;
  Calibrate(std::shared_ptr<Executor> executor, CalibrateOptions options)
      : CalibrateBase(std::move(options)), executor(std::move(executor)) {}

  void runOnOperation() override {
    if (failed(run(getOperation())))
      signalPassFailure();
  }

private:
  LogicalResult run(ModuleOp module) {
    FlatLayers flat(module);
    auto calibrator = BlockCalibrator::create(
        module, executor, {getArgument().str(), tokens, hessian, maxMemory, threads, blocks});
    if (failed(calibrator))
      return failure();
    for (const ModelBlock &block : (*calibrator)->plan())
      if (failed((*calibrator)->collect(block)))
        return failure();
    return success();
  }

  std::shared_ptr<Executor> executor;
};

} // namespace

std::unique_ptr<Pass> llmc::createCalibrate(std::shared_ptr<Executor> executor,
                                            CalibrateOptions options) {
  return std::make_unique<Calibrate>(std::move(executor), std::move(options));
}

void llmc::registerCalibratePasses(std::shared_ptr<Executor> executor) {
  registerPass([executor = std::move(executor)] { return createCalibrate(executor); });
  registerPass([] { return createStripStatistics(); });
}
