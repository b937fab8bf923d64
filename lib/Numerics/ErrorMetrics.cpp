//===- ErrorMetrics.cpp - how far a compressed weight is from the original --------------------===//
//
// The quadratic form is the one hot loop of every search, so it works on small tiles; each element
// is still summed in index order, which is what keeps results independent of tiles and vector
// widths.
//
//===----------------------------------------------------------------------------------------===//
#include "llmc/Numerics/ErrorMetrics.h"
#include "VectorClones.h"
#include "llmc/Numerics/BitPack.h"
#include "llmc/Numerics/Parallel.h"
#include <algorithm>
#include <cmath>
#include <limits>

namespace llmc {

static constexpr int tileRows = 4, tileCols = 16;

/// out[i] += sum_j (sum_k d_ik m_kj) d_ij for all of `count` rows of d and `width` columns of m
/// from `col`.
LLMC_VECTOR_CLONES
static void addPanel(const double *d, int64_t count, int64_t n, const double *m, int64_t stride,
                     int64_t col, int64_t width, double *out) {
  int64_t i = 0;
  if (width == tileCols)
    for (; i + tileRows <= count; i += tileRows) {
      double tile[tileRows][tileCols] = {};
      const double *rows = d + i * n;
      for (int64_t k = 0; k < n; ++k) {
        const double *mk = m + k * stride + col;
        for (int r = 0; r < tileRows; ++r) {
          double x = rows[r * n + k];
          for (int c = 0; c < tileCols; ++c)
            tile[r][c] += x * mk[c];
        }
      }
      for (int r = 0; r < tileRows; ++r)
        for (int c = 0; c < tileCols; ++c)
          out[i + r] += tile[r][c] * rows[r * n + col + c];
    }
  for (; i < count; ++i)
    for (int64_t c = 0; c < width; ++c) {
      double sum = 0;
      for (int64_t k = 0; k < n; ++k)
        sum += d[i * n + k] * m[k * stride + col + c];
      out[i] += sum * d[i * n + col + c];
    }
}

void quadraticForms(Span<const double> d, int64_t rows, int64_t n, const double *m, int64_t stride,
                    Span<double> out) {
  std::fill(out.begin(), out.begin() + rows, 0.0);
  for (int64_t col = 0; col < n; col += tileCols)
    addPanel(d.data(), rows, n, m, stride, col, std::min<int64_t>(tileCols, n - col), out.data());
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
                    Span<const double> hessian, int threads) {
  constexpr int64_t block = 32; // rows per work item; fixed, so sums do not depend on threads
  std::vector<double> errors(rows);
  parallelFor((rows + block - 1) / block, threads, [&](int64_t item) {
    int64_t first = item * block, count = std::min(block, rows - first);
    std::vector<double> d(count * cols);
    for (int64_t i = 0; i < count * cols; ++i)
      d[i] = static_cast<double>(w[first * cols + i]) - v[first * cols + i];
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
                      Span<const double> hessian, int threads) {
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
