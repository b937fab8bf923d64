//===- ErrorMetrics.cpp - how far a compressed weight is from the original --------------------===//
//
// The quadratic form is the one hot loop of every search. It reads half of its symmetric matrix, in
// panels that stay in the first cache for all rows of an item of work.
//
//===----------------------------------------------------------------------------------------===//
#include "llmc/Numerics/ErrorMetrics.h"
#include "llmc/Numerics/BitPack.h"
#include "llmc/Numerics/Parallel.h"
#include "llmc/Numerics/TileProduct.h"
#include <algorithm>
#include <cmath>
#include <limits>

namespace llmc {

/// out[i] += weight * sum_c (sum_k d_i,k0+k panel_kc) d_i,column+c for rows of d, n apart.
static void addPanel(const float *d, int64_t rows, int64_t n, const float *panel, int64_t k0,
                     int64_t depth, int64_t column, int64_t width, double weight, double *out) {
  std::vector<float> last;
  for (int64_t i = 0; i < rows; i += kTileRows) {
    const float *tileOf = d + i * n + k0;
    int64_t count = std::min(kTileRows, rows - i), stride = n;
    if (count < kTileRows) { // Rows of zeros behind the last.
      last.assign(kTileRows * depth, 0);
      for (int64_t r = 0; r < count; ++r)
        std::copy_n(tileOf + r * n, depth, last.begin() + r * depth);
      tileOf = last.data();
      stride = depth;
    }
    float tile[kTileRows][kTileColumns];
    multiplyTile(tileOf, stride, 1, panel, depth, tile);
    for (int64_t r = 0; r < count; ++r) {
      double sum = 0;
      for (int64_t c = 0; c < width; ++c)
        sum += static_cast<double>(tile[r][c]) * d[(i + r) * n + column + c];
      out[i + r] += weight * sum;
    }
  }
}

void quadraticForms(Span<const float> d, int64_t rows, int64_t n, const float *m, int64_t stride,
                    Span<double> out) {
  constexpr int64_t kDepth = 256;
  float panel[kDepth * kTileColumns];
  std::fill(out.begin(), out.begin() + rows, 0.0);
  for (int64_t column = 0; column < n; column += kTileColumns) {
    int64_t width = std::min(kTileColumns, n - column);
    auto add = [&](int64_t k0, int64_t depth, double weight) {
      for (int64_t k = 0; k < depth; ++k) {
        const float *row = m + (k0 + k) * stride + column;
        float *to = panel + k * kTileColumns;
        if (width == kTileColumns) { // Of a known size, so no call.
          std::copy_n(row, kTileColumns, to);
          continue;
        }
        std::copy_n(row, width, to);
        std::fill_n(to + width, kTileColumns - width, 0.0f);
      }
      addPanel(d.data(), rows, n, panel, k0, depth, column, width, weight, out.data());
    };
    // What is above the diagonal counts for what is below it too.
    for (int64_t k0 = 0; k0 < column; k0 += kDepth)
      add(k0, std::min(kDepth, column - k0), 2);
    add(column, width, 1);
  }
}

double squaredError(Span<const float> w, Span<const float> v) {
  double sum = 0;
  for (size_t i = 0; i < w.size(); ++i) {
    double d = static_cast<double>(w[i]) - v[i];
    sum += d * d;
  }
  return sum;
}

double hessianError(Span<const float> w, Span<const float> v, int64_t rows, int64_t cols,
                    Span<const float> hessian, int threads) {
  constexpr int64_t block = 256; // rows per work item; fixed, so sums do not depend on threads
  std::vector<double> errors(rows);
  parallelFor((rows + block - 1) / block, threads, [&](int64_t item) {
    int64_t first = item * block, count = std::min(block, rows - first);
    std::vector<float> d(count * cols);
    for (int64_t i = 0; i < count * cols; ++i)
      d[i] = w[first * cols + i] - v[first * cols + i];
    quadraticForms(d, count, cols, hessian.data(), cols,
                   Span<double>(errors).subspan(first, count));
  });
  double sum = 0;
  for (double e : errors)
    sum += e;
  return sum;
}

double diagonalError(Span<const float> w, Span<const float> v, int64_t rows, int64_t cols,
                     Span<const double> sumSquares) {
  double sum = 0;
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < cols; ++j) {
      double d = static_cast<double>(w[i * cols + j]) - v[i * cols + j];
      sum += d * d * sumSquares[j];
    }
  return sum;
}

static double energy(Span<const float> w) {
  double sum = 0;
  for (float x : w)
    sum += static_cast<double>(x) * x;
  return sum;
}

static double ratio(double part, double whole) { return part == 0 ? 0 : part / whole; }

double signalToNoise(Span<const float> w, Span<const float> v) {
  double noise = squaredError(w, v);
  return noise == 0 ? std::numeric_limits<double>::infinity() : 10 * std::log10(energy(w) / noise);
}

LayerError layerError(Span<const float> w, Span<const float> v, int64_t rows, int64_t cols,
                      Span<const float> hessian, int threads) {
  LayerError error;
  error.squared = squaredError(w, v);
  error.relative = ratio(error.squared, energy(w));
  if (!hessian.empty()) {
    std::vector<float> nothing(w.size());
    error.weighted = hessianError(w, v, rows, cols, hessian, threads);
    error.relativeWeighted =
        ratio(error.weighted, hessianError(w, nothing, rows, cols, hessian, threads));
  }
  return error;
}

int64_t intStorageBytes(int64_t rows, int64_t cols, const IntFormat &format) {
  int64_t groups = format.groupCount(cols);
  int64_t bytes = packedRowBytes(cols, format.bits);
  bytes += groups * (format.scale == ScaleType::F16 ? 2 : 4);
  if (!format.symmetric)
    bytes += packedRowBytes(groups, format.bits);
  return rows * bytes;
}

int nmIndexBits(int of) {
  int bits = 0;
  while ((1 << bits) < of)
    ++bits;
  return bits;
}

double nmBitsPerWeight(int keep, int of, double valueBits) {
  return keep * (valueBits + nmIndexBits(of)) / of;
}

} // namespace llmc
