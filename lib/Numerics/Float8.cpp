//===- Float8.cpp - weights as floats of 8 bits ------------------------------------------===//
//
// Both formats from the width of their mantissa; a code without its sign counts the values of the
// format upward from 0.
//
//===----------------------------------------------------------------------------------------===//
#include "llmc/Numerics/Float8.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace llmc {

static int mantissaBits(Float8Type type) { return type == Float8Type::E4M3 ? 3 : 2; }
static int bias(Float8Type type) { return type == Float8Type::E4M3 ? 7 : 15; }
/// Code of the largest finite value.
static int largestCode(Float8Type type) { return type == Float8Type::E4M3 ? 0x7e : 0x7b; }

const char *float8Name(Float8Type type) { return type == Float8Type::E4M3 ? "e4m3" : "e5m2"; }

std::optional<Float8Type> parseFloat8(const std::string &name) {
  for (Float8Type type : {Float8Type::E4M3, Float8Type::E5M2})
    if (name == float8Name(type))
      return type;
  return std::nullopt;
}

const char *float8BlocksName(Float8Blocks blocks) {
  return blocks == Float8Blocks::Matrix ? "matrix" : blocks == Float8Blocks::Row ? "row" : "block";
}

std::optional<Float8Blocks> parseFloat8Blocks(const std::string &name) {
  for (Float8Blocks blocks : {Float8Blocks::Matrix, Float8Blocks::Row, Float8Blocks::Block})
    if (name == float8BlocksName(blocks))
      return blocks;
  return std::nullopt;
}

static float decodeFloat8(int code, Float8Type type) {
  int mantissa = mantissaBits(type), magnitude = code & 0x7f;
  float sign = code & 0x80 ? -1.0f : 1.0f;
  if (magnitude > largestCode(type)) {
    bool infinite = type == Float8Type::E5M2 && magnitude == largestCode(type) + 1;
    return sign * (infinite ? std::numeric_limits<float>::infinity()
                            : std::numeric_limits<float>::quiet_NaN());
  }
  int exponent = magnitude >> mantissa, digits = magnitude & ((1 << mantissa) - 1);
  if (exponent)
    digits += 1 << mantissa;
  return sign *
         std::ldexp(static_cast<float>(digits), std::max(exponent, 1) - bias(type) - mantissa);
}

const std::array<float, 256> &float8Levels(Float8Type type) {
  static const auto make = [](Float8Type type) {
    std::array<float, 256> levels{};
    for (int code = 0; code < 256; ++code)
      levels[code] = decodeFloat8(code, type);
    return levels;
  };
  static const std::array<float, 256> e4m3 = make(Float8Type::E4M3), e5m2 = make(Float8Type::E5M2);
  return type == Float8Type::E4M3 ? e4m3 : e5m2;
}

uint8_t encodeFloat8(float value, Float8Type type) {
  float magnitude = std::fabs(value);
  int sign = std::signbit(value) ? 0x80 : 0, code = largestCode(type);
  if (magnitude < float8Levels(type)[code]) {
    int mantissa = mantissaBits(type), least = 1 - bias(type);
    int exponent = magnitude == 0 ? least : std::max(least, std::ilogb(magnitude));
    // In units of the last digit; a carry out of the mantissa is the next exponent.
    float units = std::nearbyint(std::ldexp(magnitude, mantissa - exponent));
    code = ((exponent - least) << mantissa) + static_cast<int>(units);
  }
  return static_cast<uint8_t>(sign | code);
}

Result<Float8Weight> quantizeFloat8(Span<const float> weight, int64_t rows, int64_t cols,
                                    const Float8Format &format, Span<const uint8_t> keep) {
  if (Status ok = verifyFinite(weight, rows, cols); !ok)
    return ok.failure();
  if (Status ok = verifyMask(keep, weight.size()); !keep.empty() && !ok)
    return ok.failure();
  int64_t height = format.blockRows() ? format.blockRows() : rows;
  int64_t width = format.blockColumns() ? format.blockColumns() : cols;
  Float8Weight result;
  result.codes.resize(weight.size());
  float top = float8Levels(format.type)[largestCode(format.type)];
  for (int64_t row = 0; row < rows; row += height)
    for (int64_t column = 0; column < cols; column += width) {
      auto forBlock = [&](auto body) {
        for (int64_t r = row; r < std::min(row + height, rows); ++r)
          for (int64_t c = column; c < std::min(column + width, cols); ++c)
            if (int64_t i = r * cols + c; keep.empty() || keep[i])
              body(i);
      };
      float largest = 0;
      forBlock([&](int64_t i) { largest = std::max(largest, std::fabs(weight[i])); });
      float scale =
          largest == 0 ? 1.0f : storedScale(static_cast<double>(largest) / top, format.scale);
      if (!std::isfinite(scale))
        return Failure{"the scale of the block at row " + std::to_string(row) + ", column " +
                       std::to_string(column) + " is too large for f16; expected scale=f32"};
      result.scales.push_back(scale);
      forBlock([&](int64_t i) { result.codes[i] = encodeFloat8(weight[i] / scale, format.type); });
    }
  return result;
}

} // namespace llmc
