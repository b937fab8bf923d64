//===- Quantize.cpp - integer quantization of a weight
//------------------------------------------===//
//
// Fits one grid per group and rounds to it. Everything is done per row, in float where the stored
// value is a float, so that any reader of the format computes the same values.
//
//===----------------------------------------------------------------------------------------===//
#include "llmc/Numerics/Quantize.h"
#include "llmc/Numerics/F16.h"
#include "llmc/Numerics/Parallel.h"
#include <algorithm>
#include <cfloat>
#include <cmath>
#include <limits>

namespace llmc {

static std::string place(int64_t index, int64_t cols) {
  return "row " + std::to_string(index / cols) + ", column " + std::to_string(index % cols);
}

Status IntFormat::verify() const {
  if (bits < 2 || bits > 8)
    return Failure{"expected 2 to 8 bits, found " + std::to_string(bits)};
  return verifyGroup(group);
}

Status verifyGroup(int64_t group) {
  if (group < 0)
    return Failure{"expected a group of 0 (the whole row) or more inputs, found " +
                   std::to_string(group)};
  return {};
}

Status verifyMask(Span<const uint8_t> keep, size_t entries) {
  if (keep.size() != entries)
    return Failure{"expected a mask of " + std::to_string(entries) + " entries, found " +
                   std::to_string(keep.size())};
  return {};
}

Status verifyFinite(Span<const float> weight, int64_t rows, int64_t cols) {
  if (weight.size() != static_cast<size_t>(rows * cols))
    return Failure{"expected " + std::to_string(rows) + "x" + std::to_string(cols) +
                   " weights, found " + std::to_string(weight.size())};
  for (size_t i = 0; i < weight.size(); ++i)
    if (!std::isfinite(weight[i]))
      return Failure{"weight at " + place(static_cast<int64_t>(i), cols) + " is not finite"};
  return {};
}

float storedScale(double scale, ScaleType type) {
  float least = type == ScaleType::F16 ? halfMin : FLT_MIN;
  float rounded = static_cast<float>(scale);
  if (type == ScaleType::F16)
    rounded = roundToHalf(rounded);
  return std::fabs(rounded) < least ? std::copysign(least, rounded) : rounded;
}

GroupGrid fitGroup(const float *weights, int64_t n, const IntFormat &format, float limit) {
  float lo = 0.0f, hi = 0.0f;
  bool highIsExtreme = false;
  for (int64_t i = 0; i < n; ++i) {
    float w = std::min(std::max(weights[i], -limit), limit);
    // Strict comparisons, so the first of equal magnitudes is the extreme one.
    if (w > hi) {
      hi = w;
      if (hi > -lo)
        highIsExtreme = true;
    } else if (w < lo) {
      lo = w;
      if (-lo > hi)
        highIsExtreme = false;
    }
  }
  GroupGrid grid;
  grid.zero = format.symmetric ? format.symmetricZero() : 0;
  if (lo == hi)
    return grid;
  if (format.symmetric) {
    double extreme = highIsExtreme ? hi : lo;
    grid.scale = storedScale(-extreme / format.symmetricZero(), format.scale);
    return grid;
  }
  double range = static_cast<double>(hi) - static_cast<double>(lo);
  grid.scale = storedScale(range / format.maxCode(), format.scale);
  float zero = std::nearbyint(-lo / grid.scale);
  grid.zero = static_cast<int>(std::min(std::max(zero, 0.0f), float(format.maxCode())));
  return grid;
}

int encodeValue(float weight, GroupGrid grid, int maxCode) {
  float code = std::nearbyint(weight / grid.scale) + static_cast<float>(grid.zero);
  return static_cast<int>(std::min(std::max(code, 0.0f), static_cast<float>(maxCode)));
}

Result<IntWeight> quantizeRtn(Span<const float> weight, int64_t rows, int64_t cols,
                              const IntFormat &format, const QuantizeOptions &options) {
  if (Status ok = format.verify(); !ok)
    return ok.failure();
  if (Status ok = verifyFinite(weight, rows, cols); !ok)
    return ok.failure();
  int64_t size = format.groupSize(cols), groups = format.groupCount(cols);
  if (Status ok = verifyMask(options.keep, weight.size()); !options.keep.empty() && !ok)
    return ok.failure();
  if (!options.limits.empty() && options.limits.size() != static_cast<size_t>(rows * groups))
    return Failure{"expected " + std::to_string(rows * groups) + " limits, one per group, found " +
                   std::to_string(options.limits.size())};

  IntWeight result;
  result.format = format;
  result.rows = rows;
  result.cols = cols;
  result.codes.resize(weight.size());
  result.scales.resize(rows * groups);
  if (!format.symmetric)
    result.zeros.resize(rows * groups);

  parallelFor(rows, options.threads, [&](int64_t row) {
    std::vector<float> values(size);
    for (int64_t g = 0; g < groups; ++g) {
      int64_t begin = g * size, n = std::min(size, cols - begin), first = row * cols + begin;
      float limit = options.limits.empty() ? std::numeric_limits<float>::infinity()
                                           : options.limits[row * groups + g];
      for (int64_t j = 0; j < n; ++j) {
        bool kept = options.keep.empty() || options.keep[first + j];
        values[j] = kept ? std::min(std::max(weight[first + j], -limit), limit) : 0.0f;
      }
      GroupGrid grid = fitGroup(values.data(), n, format, limit);
      result.scales[row * groups + g] = grid.scale;
      if (!format.symmetric)
        result.zeros[row * groups + g] = static_cast<uint8_t>(grid.zero);
      for (int64_t j = 0; j < n; ++j)
        result.codes[first + j] =
            static_cast<uint8_t>(encodeValue(values[j], grid, format.maxCode()));
    }
  });

  for (size_t i = 0; i < result.scales.size(); ++i)
    if (!std::isfinite(result.scales[i])) {
      int64_t row = static_cast<int64_t>(i) / groups, col = static_cast<int64_t>(i) % groups * size;
      return Failure{"the scale of the group at " + place(row * cols + col, cols) +
                     " is too large for f16; expected scale=f32"};
    }
  return result;
}

std::vector<float> dequantize(const IntWeight &weight, int threads) {
  std::vector<float> values(weight.codes.size());
  int64_t size = weight.format.groupSize(weight.cols), groups = weight.groups();
  parallelFor(weight.rows, threads, [&](int64_t row) {
    for (int64_t j = 0; j < weight.cols; ++j) {
      int64_t g = j / size, i = row * weight.cols + j;
      GroupGrid grid{weight.scales[row * groups + g], weight.zero(row, g)};
      values[i] = decodeValue(weight.codes[i], grid);
    }
  });
  return values;
}

Status pruneCodes(IntWeight &weight, Span<const uint8_t> keep) {
  if (Status ok = verifyMask(keep, weight.codes.size()); !ok)
    return ok;
  int64_t size = weight.format.groupSize(weight.cols);
  for (size_t i = 0; i < keep.size(); ++i)
    if (!keep[i]) {
      auto at = static_cast<int64_t>(i);
      weight.codes[i] =
          static_cast<uint8_t>(weight.zero(at / weight.cols, at % weight.cols / size));
    }
  return {};
}

} // namespace llmc
