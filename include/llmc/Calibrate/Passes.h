//===- Passes.h - calibration -------------------------------------------------------------===//
//
// `--calibrate`: see docs/Reference/CompressPasses.md. Calibration runs compiled code but does not
// know who compiles: the tool hands in an Executor.
//
//===----------------------------------------------------------------------------------------===//
#ifndef LLMC_CALIBRATE_PASSES_H
#define LLMC_CALIBRATE_PASSES_H

#include "llmc/IR/Executor.h"
#include "mlir/Pass/Pass.h"

namespace llmc {

#define GEN_PASS_DECL
#include "llmc/Calibrate/Passes.h.inc"

/// The pass with what compiles for it. A null executor makes it fail with a message when it runs.
std::unique_ptr<Pass> createCalibrate(std::shared_ptr<Executor> executor,
                                      CalibrateOptions options = {});

/// Registers `--calibrate` and `--strip-statistics`.
void registerCalibratePasses(std::shared_ptr<Executor> executor);

} // namespace llmc

#endif // LLMC_CALIBRATE_PASSES_H
