//===- CpuConfig.h - what the emitters for processors are told --------------------------===//
//
// Lives on the module as `llmc.cpu`, beside `llmc.compile`:
//
//   module attributes {llmc.compile = {prefix = "small", unit = 32},
//                      llmc.cpu = {lanes = 8, registers = 16, dot = "maddubs", model = "znver3"}}
//
#ifndef LLMC_LOWER_CPU_CPUCONFIG_H
#define LLMC_LOWER_CPU_CPUCONFIG_H

#include "llmc/Lower/CompileConfig.h"
#include "llmc/Lower/Cpu/KernelBuilder.h"

namespace llmc {

struct CpuConfig : CompileConfig {
  VectorShape vectors;

  /// What the module says, and defaults for the rest; an error names a key or a value that is none.
  static FailureOr<CpuConfig> get(ModuleOp module);
  /// Writes both dictionaries.
  void setAll(ModuleOp module) const;
};

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
LogicalResult writePackedEntry(const PackedEntry &entry, const CpuConfig &config,
                               MutableArrayRef<char> out);

} // namespace llmc

#endif // LLMC_LOWER_CPU_CPUCONFIG_H
