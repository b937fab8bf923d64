//===- Diagnostics.h - how the tools print what MLIR has to say -----------------------------===//
//
// "llmc-opt: error: model.layers.0.mlp.up_proj: ...": the tool, then what the location names. Where
// it is a file, "model.mlir:3:8: error: ...", and without a line "model.mlir: error: ...".
//
#ifndef LLMC_PIPELINE_DIAGNOSTICS_H
#define LLMC_PIPELINE_DIAGNOSTICS_H

#include "llmc/Pipeline/CommandLine.h"

#include "mlir/IR/Diagnostics.h"

namespace llmc {

/// Whether a location, or one inside it, is a line of a file.
bool hasFilePosition(mlir::Location loc);

/// Prints the diagnostics of `context` on standard error, one line each, as `tool`. Those with a
/// position in a file are left to the handler registered before, if `leaveFilePositions`.
void installDiagnostics(mlir::MLIRContext *context, llvm::StringRef tool, bool leaveFilePositions);

/// An error for want of memory or disk: whoever carries the failure up, the tool ends with code 3.
mlir::InFlightDiagnostic emitLimit(mlir::Location loc);

/// The exit code of a run that failed: 3 once there was an emitLimit, else 2.
ExitCode exitCodeOfFailure();

/// Flushes standard output; says as `tool` when not all of it could be written.
ExitCode flushStandardOutput(llvm::StringRef tool);

/// Called first thing in main: where LLVM would abort, the tool says why and ends with code 3 (out
/// of memory) or 4 (any other reason).
void handleFatalErrors(const char *tool);

} // namespace llmc

#endif // LLMC_PIPELINE_DIAGNOSTICS_H
