//===- MachineLoops.h - the inner loops that show what a core can do --------------------===//
//
// One set per instruction set; which one is used is decided at run time from the processor's
// features, as an artifact does it.
//
#ifndef LLMC_TOOLS_BENCH_MACHINELOOPS_H
#define LLMC_TOOLS_BENCH_MACHINELOOPS_H

#include <cstddef>
#include <cstdint>

namespace llmc::bench {

/// A loop of independent operations in registers: returns how many operations (2 for each
/// multiply-add) it did.
using PeakLoop = double (*)(int64_t iterations);

/// What this machine is measured with. A loop that its instruction set lacks is null.
struct MachineLoops {
  const char *name; ///< Strategy, as llmc-compile --explain prints it.
  /// Reads all bytes, pieces of `streams` equal parts in turn; the result only keeps the loads
  /// alive. Parts are a multiple of 512 bytes, 64-byte aligned.
  uint64_t (*read)(const char *data, size_t bytes, int streams);
  PeakLoop fma; ///< f32 multiply-add.
  PeakLoop dot; ///< 8-bit by 8-bit products summed exactly in 32 bits.
  /// 4-bit by 8-bit, where small codes allow more than that (avx2: sums of 8 products in 16 bits);
  /// elsewhere the same loop as `dot`.
  PeakLoop narrowDot;
};

/// The loops of the best instruction set this machine has.
const MachineLoops &machineLoops();

/// A chain of `count` dependent additions, one clock each on every processor llmc knows.
uint64_t dependentAdditions(int64_t count);

} // namespace llmc::bench

#endif // LLMC_TOOLS_BENCH_MACHINELOOPS_H
