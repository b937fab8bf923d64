//===- Float8.h - weights as floats of 8 bits --------------------------------------------===//
//
// The two formats of the OCP 8-bit floating point specification (OFP8, revision 1.0):
//
//   e4m3   4 bits of exponent (bias 7), 3 of mantissa; 448 is the largest; no infinities, NaN is
//          S.1111.111
//   e5m2   5 bits of exponent (bias 15), 2 of mantissa; 57344 is the largest; infinities and NaNs
//          as in IEEE 754
//
// Weights are row-major [N, K]: N outputs, K inputs. A block of weights shares a scale:
//
//   scale = max |w| of the block / largest,  code = w / scale rounded half to even, value = code *
//   scale
//
// A quotient above the largest value, where the scale was rounded down, becomes that value. Scales
// are rounded to their stored type before codes are computed. A scale too small for its type
// becomes the type's least value; a block of zeros has scale 1.
//
//===----------------------------------------------------------------------------------------===//
#ifndef LLMC_NUMERICS_FLOAT8_H
#define LLMC_NUMERICS_FLOAT8_H

#include "llmc/Numerics/Quantize.h"

#include <array>
#include <optional>
#include <string>

namespace llmc {

enum class Float8Type { E4M3, E5M2 };
/// Which weights share a scale.
enum class Float8Blocks {
  Matrix, ///< all
  Row,    ///< those of an output
  Block,  ///< 128 outputs by 128 inputs
};
constexpr int64_t kFloat8Block = 128;

/// e4m3, e5m2.
const char *float8Name(Float8Type type);
std::optional<Float8Type> parseFloat8(const std::string &name);
/// matrix, row, block.
const char *float8BlocksName(Float8Blocks blocks);
std::optional<Float8Blocks> parseFloat8Blocks(const std::string &name);

/// What each of the 256 codes means; infinities and NaNs where it is none.
const std::array<float, 256> &float8Levels(Float8Type type);

/// The code of a finite value: rounded half to even, the largest of its sign where it is too large.
uint8_t encodeFloat8(float value, Float8Type type);

struct Float8Format {
  Float8Type type = Float8Type::E4M3;
  Float8Blocks blocks = Float8Blocks::Row;
  ScaleType scale = ScaleType::F32;

  /// Weights that share a scale, down and across; 0: all.
  int64_t blockRows() const {
    return blocks == Float8Blocks::Matrix ? 0 : blocks == Float8Blocks::Row ? 1 : kFloat8Block;
  }
  int64_t blockColumns() const { return blocks == Float8Blocks::Block ? kFloat8Block : 0; }
};

struct Float8Weight {
  std::vector<uint8_t> codes; ///< [N, K]
  std::vector<float> scales;  ///< of each block, row-major, exactly representable in format.scale
};

/// Quantizes a weight [rows, cols]. `keep` is empty or [N, K], 0: pruned; such a weight does not
/// enter the scale and has code 0. Fails on sizes that disagree, on the first weight that is not
/// finite and on the first scale that overflows f16 (both named by row and column).
Result<Float8Weight> quantizeFloat8(Span<const float> weight, int64_t rows, int64_t cols,
                                    const Float8Format &format, Span<const uint8_t> keep = {});

} // namespace llmc

#endif // LLMC_NUMERICS_FLOAT8_H
