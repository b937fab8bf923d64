//===- Diagnostics.h - how the tools print what MLIR has to say -----------------------------===//
//
// "llmc-opt: error: model.layers.0.mlp.up_proj: ...": the tool, then what the location names. Where
// it is a file, "model.mlir:3:8: error: ...", and without a line "model.mlir: error: ...".
//
#ifndef LLMC_PIPELINE_DIAGNOSTICS_H
#define LLMC_PIPELINE_DIAGNOSTICS_H

#include "mlir/IR/Diagnostics.h"

namespace llmc {

/// Whether a location, or one inside it, is a line of a file.
bool hasFilePosition(mlir::Location loc);

/// Prints the diagnostics of `context` on standard error, one line each, as `tool`. Those with a
/// position in a file are left to the handler registered before, if `leaveFilePositions`.
void installDiagnostics(mlir::MLIRContext *context, llvm::StringRef tool, bool leaveFilePositions);

} // namespace llmc

#endif // LLMC_PIPELINE_DIAGNOSTICS_H
