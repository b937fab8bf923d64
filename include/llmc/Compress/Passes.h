//===- Passes.h - the compression passes --------------------------------------------------===//
//
// See docs/Reference/CompressPasses.md for what each does and docs/Rationale/Compression.md for
// why. Every pass runs on the module, over all its entry points; changes only how weights are
// stored and what their linears say; and records what it did in `llmc.provenance`.
//
//===----------------------------------------------------------------------------------------===//
#ifndef LLMC_COMPRESS_PASSES_H
#define LLMC_COMPRESS_PASSES_H

#include "llmc/IR/Executor.h"
#include "mlir/Pass/Pass.h"

namespace llmc {

#define GEN_PASS_DECL
#include "llmc/Compress/Passes.h.inc"

#define GEN_PASS_REGISTRATION
#include "llmc/Compress/Passes.h.inc"

/// Whether the pass of this flag reads the statistics of calibration, to decide or to measure:
/// those that compress weights.
bool readsStatistics(llvm::StringRef flag);

/// Registers all of them by flag. `executor` compiles blocks for --compress-blocks.
void registerCompressPasses(std::shared_ptr<Executor> executor);

} // namespace llmc

#endif // LLMC_COMPRESS_PASSES_H
