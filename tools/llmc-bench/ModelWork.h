//===- ModelWork.h - what a compiled model must read and compute for a token ------------===//
//
// From the artifact's JSON and the header of its weights; the floor that a measurement is compared
// with.
//
#ifndef LLMC_TOOLS_BENCH_MODELWORK_H
#define LLMC_TOOLS_BENCH_MODELWORK_H

#include "MachineProbe.h"

namespace llmc::bench {

/// Multiply-adds of linears by arithmetic.
struct Products {
  double floats = 0; ///< float activations
  double wide = 0;   ///< 8-bit activations, codes of more than 4 bits
  double narrow = 0; ///< 8-bit activations, codes of at most 4 bits

  double operations() const { return 2 * (floats + wide + narrow); }
  /// Seconds at the machine's peaks; 0 when a peak that is needed is not known.
  double seconds(const Limits &limits) const;
  Products times(double factor) const;
  Products plus(const Products &other) const;
};

struct ModelWork {
  double weightBytes = 0; ///< read for each decoded token; 0: not known
  double cacheBytes = 0;  ///< of one position
  Products body;          ///< for each position
  Products logits;        ///< for each position whose logits are wanted

  /// Bytes of a decoded token behind `depth` positions.
  double bytesPerToken(double depth) const { return weightBytes + cacheBytes * depth; }
};

/// Throws Failure (BadInput) when the header of the weights cannot be read.
ModelWork readModelWork(const Artifact &artifact);

} // namespace llmc::bench

#endif // LLMC_TOOLS_BENCH_MODELWORK_H
