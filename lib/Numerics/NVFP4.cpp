//===- NVFP4.cpp - floats of 4 bits under scales of 8 bits ----------------------------------===//
//
// The largest magnitude of the matrix, then group by group.
//
//===----------------------------------------------------------------------------------------===//
#include "llmc/Numerics/NVFP4.h"

#include <algorithm>
#include <cmath>

namespace llmc {

// The least value of e4m3, and 1.
static constexpr uint8_t kLeastScale = 0x01, kScaleOne = 0x38;

const std::array<float, 16> &float4Levels() {
  static constexpr std::array<float, 16> levels = {0.0f,  0.5f,  1.0f,  1.5f,  2.0f,  3.0f,
                                                   4.0f,  6.0f,  -0.0f, -0.5f, -1.0f, -1.5f,
                                                   -2.0f, -3.0f, -4.0f, -6.0f};
  return levels;
}

uint8_t encodeFloat4(float value) {
  const std::array<float, 16> &levels = float4Levels();
  float magnitude = std::fabs(value);
  int code = 0;
  // Levels lie half way between f32 numbers of few digits, so middles are exact.
  while (code < 7) {
    float middle = (levels[code] + levels[code + 1]) / 2;
    if (magnitude < middle || (magnitude == middle && code % 2 == 0))
      break;
    ++code;
  }
  return static_cast<uint8_t>(std::signbit(value) ? code | 8 : code);
}

Result<NVFP4Weight> quantizeNVFP4(Span<const float> weight, int64_t rows, int64_t cols,
                                  Span<const uint8_t> keep) {
  if (Status ok = verifyFinite(weight, rows, cols); !ok)
    return ok.failure();
  if (Status ok = verifyMask(keep, weight.size()); !keep.empty() && !ok)
    return ok.failure();
  auto kept = [&](int64_t i) { return keep.empty() || keep[i]; };
  auto largestOf = [&](int64_t begin, int64_t end) {
    float largest = 0;
    for (int64_t i = begin; i < end; ++i)
      if (kept(i))
        largest = std::max(largest, std::fabs(weight[i]));
    return largest;
  };
  NVFP4Weight result;
  result.codes.resize(weight.size());
  if (float largest = largestOf(0, rows * cols); largest > 0)
    result.super = storedScale(static_cast<double>(largest) / (448.0 * 6.0), ScaleType::F32);
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t column = 0; column < cols; column += kNVFP4Group) {
      int64_t begin = row * cols + column;
      int64_t end = begin + std::min(kNVFP4Group, cols - column);
      float largest = largestOf(begin, end);
      uint8_t scale =
          largest == 0
              ? kScaleOne
              : std::max(kLeastScale, encodeFloat8(largest / 6 / result.super, Float8Type::E4M3));
      result.scales.push_back(scale);
      float unit = float8Levels(Float8Type::E4M3)[scale] * result.super;
      for (int64_t i = begin; i < end; ++i)
        if (kept(i))
          result.codes[i] = encodeFloat4(weight[i] / unit);
    }
  return result;
}

} // namespace llmc
