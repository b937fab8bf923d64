//===- FloatZeros.cpp - integers whose zero points are floats -------------------------------===//
//
// Group by group.
//
//===----------------------------------------------------------------------------------------===//
#include "llmc/Numerics/FloatZeros.h"

#include "llmc/Numerics/F16.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace llmc {

namespace {

struct FloatGrid {
  float scale = 1, zero = 0;
};

} // namespace

static FloatGrid fitGrid(float lo, float hi, const IntFormat &format, ScaleType zeroType) {
  FloatGrid grid;
  if (lo == hi) { // Code 0, and the zero point one step to its side.
    if (lo != 0) {
      grid.scale = storedScale(std::fabs(lo), format.scale);
      grid.zero = lo > 0 ? -1.0f : 1.0f;
    }
    return grid;
  }
  double range = static_cast<double>(hi) - static_cast<double>(lo);
  grid.scale = storedScale(range / format.maxCode(), format.scale);
  grid.zero = -lo / grid.scale;
  if (zeroType == ScaleType::F16)
    grid.zero = roundToHalf(grid.zero);
  if (std::isfinite(grid.zero))
    return grid;
  return fitGrid(std::min(lo, 0.0f), std::max(hi, 0.0f), format, zeroType);
}

Result<FloatZeroWeight> quantizeFloatZeros(Span<const float> weight, int64_t rows, int64_t cols,
                                           const IntFormat &format, ScaleType zeroType,
                                           Span<const uint8_t> keep) {
  if (Status ok = format.verify(); !ok)
    return ok.failure();
  if (Status ok = verifyFinite(weight, rows, cols); !ok)
    return ok.failure();
  if (Status ok = verifyMask(keep, weight.size()); !keep.empty() && !ok)
    return ok.failure();
  FloatZeroWeight result;
  result.codes.resize(weight.size());
  int64_t size = format.groupSize(cols);
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t column = 0; column < cols; column += size) {
      int64_t begin = row * cols + column, end = begin + std::min(size, cols - column);
      float lo = std::numeric_limits<float>::infinity(), hi = -lo;
      for (int64_t i = begin; i < end; ++i)
        if (keep.empty() || keep[i]) {
          lo = std::min(lo, weight[i]);
          hi = std::max(hi, weight[i]);
        }
      FloatGrid grid = lo > hi ? FloatGrid() : fitGrid(lo, hi, format, zeroType);
      if (!std::isfinite(grid.scale))
        return Failure{"the scale of the group at row " + std::to_string(row) + ", column " +
                       std::to_string(column) + " is too large for f16; expected scale=f32"};
      result.scales.push_back(grid.scale);
      result.zeros.push_back(grid.zero);
      for (int64_t i = begin; i < end; ++i)
        if (keep.empty() || keep[i]) {
          float code = std::nearbyint(weight[i] / grid.scale + grid.zero);
          code = std::min(std::max(code, 0.0f), static_cast<float>(format.maxCode()));
          result.codes[i] = static_cast<uint8_t>(code);
        }
    }
  return result;
}

} // namespace llmc
