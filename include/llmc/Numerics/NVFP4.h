//===- NVFP4.h - floats of 4 bits under scales of 8 bits ------------------------------------===//
//
// Weights are row-major [N, K]: N outputs, K inputs; groups of 16 run along K and never cross a
// row. Values are of the format e2m1, scales of groups of e4m3, and one f32 scales all scales:
//
//   super = max |w| of the matrix / (448 * 6)
//   scale = max |w| of the group / 6 / super, as e4m3;  code = w / (scale * super), as e2m1
//   value = code * (scale * super)
//
// All roundings are half to even, and a quotient above 6 becomes 6: the arithmetic of Nvidia's
// TensorRT Model Optimizer. A scale too small for e4m3 becomes its least value; a group of zeros
// has scale 1, a matrix of zeros has super 1.
//
//===----------------------------------------------------------------------------------------===//
#ifndef LLMC_NUMERICS_NVFP4_H
#define LLMC_NUMERICS_NVFP4_H

#include "llmc/Numerics/Float8.h"

namespace llmc {

/// Inputs that share a scale.
constexpr int64_t kNVFP4Group = 16;

/// What each code of e2m1 means: 0, 0.5, 1, 1.5, 2, 3, 4, 6, and their negatives.
const std::array<float, 16> &float4Levels();
/// The code of a finite value: the nearest, of two the even one, 6 of its sign where it is larger.
uint8_t encodeFloat4(float value);

struct NVFP4Weight {
  std::vector<uint8_t> codes;  ///< [N, K]
  std::vector<uint8_t> scales; ///< [N, G], of e4m3
  float super = 1;
};

/// Quantizes a weight [rows, cols]. `keep` is empty or [N, K], 0: pruned; such a weight does not
/// enter the scales and has code 0. Fails on sizes that disagree and on the first weight that is
/// not finite.
Result<NVFP4Weight> quantizeNVFP4(Span<const float> weight, int64_t rows, int64_t cols,
                                  Span<const uint8_t> keep = {});

} // namespace llmc

#endif // LLMC_NUMERICS_NVFP4_H
