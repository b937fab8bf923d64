//===- CpuModel.h - what a processor can do, in numbers ---------------------------------===//
//
// A small table of processors, from which the lowering chooses register blocks and prefetch
// distances, and --explain says how long a linear should take. Wrong numbers make slower code and
// wrong expectations, never other results.
//
#ifndef LLMC_LOWER_CPU_CPUMODEL_H
#define LLMC_LOWER_CPU_CPUMODEL_H

#include "llvm/ADT/StringRef.h"

#include <cstdint>

namespace llmc {

struct VectorShape;

/// One core. Rates are full-width vector instructions for each cycle.
struct CpuModel {
  llvm::StringRef name; ///< LLVM's name of the CPU, or "generic" and the instruction set.
  int64_t lanes;        ///< floats in a vector,
  bool vnni;            ///< and whether it has dot products of AVX-512 VNNI or AVX-VNNI.
  double gigahertz;     ///< with all cores at vector work.
  double fma;           ///< multiply-adds of f32.
  double dot;       ///< products of quads of bytes (llmc.dot_i8), all instructions of one counted.
  double narrowDot; ///< the same for codes of up to 4 bits.
  double loads;     ///< loads, broadcasts among them.
  double issue;     ///< vector instructions of any kind.
  int64_t latency;  ///< cycles until the next multiply-add or dot product on the same sum.
  double readGBs;   ///< GB/s read from memory.
  int64_t prefetch; ///< bytes that decoding asks for weights ahead; codes of 8 bits
  int64_t prefetchWide;   ///< have their own.
  int64_t streams;        ///< places in memory that decoding reads in turn,
  int64_t streamPrefetch; ///< and how far ahead, in bytes, it asks for weights in each of them.
  double tile = 0;        ///< products of bytes by the matrix unit in a cycle; 0: there is none.
  /// Matrices of fewer bytes are read as one stream, as models of such stay in the cache.
  int64_t streamMatrix = 256 * 1024;
};

/// The model of `cpu`, or of a generic processor with vectors of this shape.
const CpuModel &getCpuModel(llvm::StringRef cpu, const VectorShape &shape);

/// The register block of a product of many rows.
struct RegisterBlock {
  int64_t rows, vectors;
};

/// Cycles for each multiply-add or dot product in the inner loop of `block`: the slowest of
/// arithmetic, loads, issue, and the chains of its sums. `rate` is CpuModel::fma, dot or narrowDot.
double blockCycles(const CpuModel &cpu, double rate, RegisterBlock block);

/// The block with the fewest cycles, then the fewest loads; its sums, one row of vectors of weights
/// and an input fit `registers`. `pairs`: sums of 16 bits are kept beside those of 32. `parts`:
/// registers that a vector of weights takes (codes, indices). `vectors` is what a tile has; the
/// block's divide it.
RegisterBlock chooseBlock(const CpuModel &cpu, double rate, int64_t registers, int64_t vectors,
                          bool pairs, int64_t parts = 1);

} // namespace llmc

#endif // LLMC_LOWER_CPU_CPUMODEL_H
