//===- CompileConfig.h - what the lowering passes are told ------------------------------===//
//
// Lives on the module as `llmc.compile`, so that each pass can be run alone on text:
//
//   module attributes {llmc.compile = {prefix = "small", lanes = 8, registers = 16, dot =
//   "maddubs", cpu = "znver3", context = 512, chunk = 512}}
//
#ifndef LLMC_LOWER_COMPILECONFIG_H
#define LLMC_LOWER_COMPILECONFIG_H

#include "llmc/Exec/ExecDialect.h"
#include "llmc/Lower/Cpu/KernelBuilder.h"

namespace llmc {

struct CompileConfig {
  std::string prefix = "model"; ///< C identifier in front of every public symbol.
  VectorShape vectors;
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

/// The entry function of a module; emits an error unless there is exactly one function with a role
/// that can be compiled.
FailureOr<func::FuncOp> getEntry(ModuleOp module);

/// One array of the weight file: a weight in one form, or the table of a rotation.
struct PackedEntry {
  std::string name; ///< Weight name, with a suffix where one weight is stored in two forms.
  exec::Form form;
  int64_t offset = 0, bytes = 0;
  Operation *op = nullptr; ///< exec.weight or exec.rope_table.
};

/// All arrays that --pack-weights gave a place, in file order.
SmallVector<PackedEntry> getPackedEntries(exec::ProgramOp program);

/// Writes the bytes of one entry; `out` has the entry's size and is zero-filled.
LogicalResult writePackedEntry(const PackedEntry &entry, const CompileConfig &config,
                               MutableArrayRef<char> out);

} // namespace llmc

#endif // LLMC_LOWER_COMPILECONFIG_H
