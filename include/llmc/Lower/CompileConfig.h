//===- CompileConfig.h - what all lowering passes are told ------------------------------===//
//
// Lives on the module as `llmc.compile`, so that each pass can be run alone on text:
//
//   module attributes {llmc.compile = {prefix = "small", unit = 32, context = 512, chunk = 512}}
//
// What only the emitters for one kind of machine want to know is a dictionary of its own, beside
// this one (Cpu/CpuConfig.h).
//
#ifndef LLMC_LOWER_COMPILECONFIG_H
#define LLMC_LOWER_COMPILECONFIG_H

#include "llmc/Exec/ExecDialect.h"

namespace llmc {

struct CompileConfig {
  std::string prefix = "model"; ///< C identifier in front of every public symbol.
  int64_t unit = 32;      ///< Columns of a linear that are computed together, by the same worker.
  int64_t context = 2048; ///< Positions of a sequence (role step) or rows of the position tables.
  int64_t chunk = 512;    ///< Rows of one pass of prefill.
  bool embedWeights = false; ///< Weights are in the object, as @<prefix>_weights_data.
  int64_t maxTokens = 2048;  ///< Rows of one call of role run: batch x length.

  /// What the module says, and defaults for the rest; an error names a key or a value that is none.
  static FailureOr<CompileConfig> get(ModuleOp module);
  void set(ModuleOp module) const;
};

/// Rows that are computed at a time behind the last attention.
constexpr int64_t kTailRows = 64;

/// Elements between rows of a buffer that owns its memory: whole lines and whole tiles of any
/// machine, so that a tile may store its padding.
inline int64_t paddedStride(int64_t width) { return (width + 63) / 64 * 64; }

/// The entry function of a module; emits an error unless there is exactly one function with a role
/// that can be compiled.
FailureOr<func::FuncOp> getEntry(ModuleOp module);

/// That weights and buffers of a program have places, and that none lie upon each other.
LogicalResult verifyPlanned(exec::ProgramOp program);

} // namespace llmc

#endif // LLMC_LOWER_COMPILECONFIG_H
