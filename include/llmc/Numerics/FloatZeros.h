//===- FloatZeros.h - integers whose zero points are floats ---------------------------------===//
//
// The asymmetric grid of Quantize.h from the least to the largest weight of a group, whether 0 is
// between them or not, as HQQ has it:
//
//   scale = (max - min) / (2^b - 1),  zero = -min / scale,  code = w / scale + zero rounded
//   value = (code - zero) * scale
//
// Rounding is half to even; scales and zero points are rounded to their stored types before codes
// are computed. A group of one value has that value exactly where its type holds it; a group whose
// zero point is too large for its type has a grid that reaches to 0.
//
//===----------------------------------------------------------------------------------------===//
#ifndef LLMC_NUMERICS_FLOATZEROS_H
#define LLMC_NUMERICS_FLOATZEROS_H

#include "llmc/Numerics/Quantize.h"

namespace llmc {

struct FloatZeroWeight {
  std::vector<uint8_t> codes; ///< [N, K]
  std::vector<float> scales;  ///< [N, G], exactly representable in format.scale
  std::vector<float> zeros;   ///< [N, G], exactly representable in their type
};

/// Quantizes a weight [rows, cols] to bits, groups and scales of `format`. `keep` is empty or
/// [N, K], 0: pruned; such a weight does not enter the fit and has code 0. Fails as quantizeRtn.
Result<FloatZeroWeight> quantizeFloatZeros(Span<const float> weight, int64_t rows, int64_t cols,
                                           const IntFormat &format, ScaleType zeroType,
                                           Span<const uint8_t> keep = {});

} // namespace llmc

#endif // LLMC_NUMERICS_FLOATZEROS_H
