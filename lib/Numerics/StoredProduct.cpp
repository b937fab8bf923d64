//===- StoredProduct.cpp - products with a matrix where it lies ----------------------------===//
//
// A product of two floats is exact in f64: fused and separate multiply-adds give the same bits.
//
//===----------------------------------------------------------------------------------------===//
#include "llmc/Numerics/StoredProduct.h"
#include "llmc/Numerics/F16.h"
#include "llmc/Numerics/Parallel.h"

#include <algorithm>
#include <cstring>
#include <vector>

#if defined(__x86_64__) && defined(__linux__) && !defined(__SANITIZE_ADDRESS__)
#define LLMC_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define LLMC_CLONES
#endif

#pragma clang fp contract(fast)

namespace {
constexpr int64_t kLanes = 8, kRows = 4, kDeep = 4, kColumns = 512;
using Floats = float __attribute__((ext_vector_type(kLanes)));
using Doubles = double __attribute__((ext_vector_type(kLanes)));
} // namespace

// By reference: clones for wider vectors cannot pass them by value to functions that are not.
static inline __attribute__((always_inline)) void load(const float *from, Doubles &to) {
  Floats values;
  std::memcpy(&values, from, sizeof(values));
  to = __builtin_convertvector(values, Doubles);
}

static inline __attribute__((always_inline)) void load(const double *from, Doubles &to) {
  std::memcpy(&to, from, sizeof(to));
}

static inline __attribute__((always_inline)) double sumOf(const Doubles &v) {
  return ((v[0] + v[1]) + (v[2] + v[3])) + ((v[4] + v[5]) + (v[6] + v[7]));
}

/// out[r] += the products of four rows (stride k) with one row of weights.
LLMC_CLONES static void dotRows(const double *rows, int64_t k, const float *weights, double *out) {
  Doubles sums[kRows] = {};
  int64_t i = 0;
  for (; i + kLanes <= k; i += kLanes) {
    Doubles w, row;
    load(weights + i, w);
#pragma clang loop unroll(full)
    for (int64_t r = 0; r < kRows; ++r) {
      load(rows + r * k + i, row);
      sums[r] += row * w;
    }
  }
  for (int64_t r = 0; r < kRows; ++r) {
    out[r] = sumOf(sums[r]);
    for (int64_t j = i; j < k; ++j)
      out[r] += rows[r * k + j] * static_cast<double>(weights[j]);
  }
}

/// sums[r][0..n) += four rows' elements [0, kDeep) times as many rows of weights.
LLMC_CLONES static void addRows(const double *rows, int64_t rowStride, const float *const *weights,
                                int64_t n, double *sums, int64_t sumStride) {
  double left[kRows][kDeep];
  for (int64_t r = 0; r < kRows; ++r)
    for (int64_t d = 0; d < kDeep; ++d)
      left[r][d] = rows[r * rowStride + d];
  int64_t j = 0;
  for (; j + kLanes <= n; j += kLanes) {
    Doubles sum[kRows];
#pragma clang loop unroll(full)
    for (int64_t r = 0; r < kRows; ++r)
      load(sums + r * sumStride + j, sum[r]);
#pragma clang loop unroll(full)
    for (int64_t d = 0; d < kDeep; ++d) {
      Doubles w;
      load(weights[d] + j, w);
#pragma clang loop unroll(full)
      for (int64_t r = 0; r < kRows; ++r)
        sum[r] += left[r][d] * w;
    }
#pragma clang loop unroll(full)
    for (int64_t r = 0; r < kRows; ++r)
      std::memcpy(sums + r * sumStride + j, &sum[r], sizeof(sum[r]));
  }
  for (; j < n; ++j)
    for (int64_t r = 0; r < kRows; ++r)
      for (int64_t d = 0; d < kDeep; ++d)
        sums[r * sumStride + j] += left[r][d] * static_cast<double>(weights[d][j]);
}

/// Inlined into each clone of its callers, for whose vectors it is compiled.
template <typename T>
static inline __attribute__((always_inline)) double dot(const T *a, const T *b, int64_t n) {
  Doubles sum = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    Doubles x, y;
    load(a + i, x);
    load(b + i, y);
    sum += x * y;
  }
  double total = sumOf(sum);
  for (; i < n; ++i)
    total += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return total;
}

LLMC_CLONES static double dotFloats(const float *a, const float *b, int64_t n) {
  return dot(a, b, n);
}

LLMC_CLONES static double dotDoubles(const double *a, const double *b, int64_t n) {
  return dot(a, b, n);
}

LLMC_CLONES static void addFloats(double *sum, double factor, const float *x, int64_t n) {
  for (int64_t i = 0; i < n; ++i)
    sum[i] += factor * static_cast<double>(x[i]);
}

LLMC_CLONES static void addDoubles(double *sum, double factor, const double *x, int64_t n) {
  for (int64_t i = 0; i < n; ++i)
    sum[i] += factor * x[i];
}

namespace llmc {

double dotProduct(const float *a, const float *b, int64_t n) { return dotFloats(a, b, n); }
double dotProduct(const double *a, const double *b, int64_t n) { return dotDoubles(a, b, n); }
void addScaled(double *sum, double factor, const float *x, int64_t n) {
  addFloats(sum, factor, x, n);
}
void addScaled(double *sum, double factor, const double *x, int64_t n) {
  addDoubles(sum, factor, x, n);
}

/// Elements [from, from + n) as floats: where they lie if that is possible, else in `buffer`.
static const float *widen(const StoredMatrix &matrix, int64_t from, int64_t n,
                          std::vector<float> &buffer) {
  if (matrix.format == StoredMatrix::Format::F32) {
    const char *data = static_cast<const char *>(matrix.data) + from * 4;
    if (reinterpret_cast<uintptr_t>(data) % alignof(float) == 0)
      return reinterpret_cast<const float *>(data);
    buffer.resize(n);
    std::memcpy(buffer.data(), data, n * 4);
    return buffer.data();
  }
  buffer.resize(n);
  const char *data = static_cast<const char *>(matrix.data) + from * 2;
  bool half = matrix.format == StoredMatrix::Format::F16;
  for (int64_t i = 0; i < n; ++i) {
    uint16_t bits;
    std::memcpy(&bits, data + 2 * i, 2);
    buffer[i] = half ? halfToFloat(bits) : bfloat16ToFloat(bits);
  }
  return buffer.data();
}

/// Columns [begin, end) of the result; `rows` has been padded to whole groups of kRows.
static void multiplyAlong(const double *rows, int64_t m, const StoredMatrix &matrix, int64_t begin,
                          int64_t end, double *out, int64_t outStride) {
  int64_t k = matrix.inputs;
  std::vector<float> buffer;
  for (int64_t n = begin; n < end; ++n) {
    const float *weights = widen(matrix, n * k, k, buffer);
    for (int64_t r = 0; r < m; r += kRows) {
      double sums[kRows];
      dotRows(rows + r * k, k, weights, sums);
      for (int64_t i = r; i < std::min(m, r + kRows); ++i)
        out[i * outStride + n - begin] = sums[i - r];
    }
  }
}

static void multiplyAcross(const double *rows, int64_t m, const StoredMatrix &matrix, int64_t begin,
                           int64_t end, double *out, int64_t outStride) {
  int64_t k = matrix.inputs, n = end - begin, padded = (m + kRows - 1) / kRows * kRows;
  std::vector<double> sums(padded * n, 0.0), lastRows;
  std::vector<float> buffers[kDeep], zeros(n, 0.0f);
  for (int64_t p = 0; p < k; p += kDeep) {
    const float *weights[kDeep];
    for (int64_t d = 0; d < kDeep; ++d)
      weights[d] =
          p + d < k ? widen(matrix, (p + d) * matrix.outputs + begin, n, buffers[d]) : zeros.data();
    const double *from = rows + p;
    int64_t stride = k;
    if (p + kDeep > k) { // The last few, with zeros behind them.
      lastRows.assign(padded * kDeep, 0.0);
      for (int64_t r = 0; r < padded; ++r)
        std::copy(rows + r * k + p, rows + r * k + k, lastRows.begin() + r * kDeep);
      from = lastRows.data();
      stride = kDeep;
    }
    for (int64_t r = 0; r < padded; r += kRows)
      addRows(from + r * stride, stride, weights, n, &sums[r * n], n);
  }
  for (int64_t r = 0; r < m; ++r)
    std::copy(&sums[r * n], &sums[r * n] + n, out + r * outStride);
}

void multiplyStored(const double *rows, int64_t m, const StoredMatrix &matrix, int64_t begin,
                    int64_t end, double *out, int64_t outStride, int threads) {
  int64_t k = matrix.inputs, n = end - begin, padded = (m + kRows - 1) / kRows * kRows;
  if (m <= 0 || n <= 0)
    return;
  std::vector<double> whole;
  if (padded != m) {
    whole.assign(padded * k, 0.0);
    std::copy(rows, rows + m * k, whole.begin());
    rows = whole.data();
  }
  constexpr int64_t kWorthThreads = 1 << 19;
  int64_t pieces = (n + kColumns - 1) / kColumns;
  if (m * n * k >= kWorthThreads)
    pieces = std::max<int64_t>(pieces, std::min<int64_t>(threads, n));
  else
    threads = 1;
  parallelFor(pieces, threads, [&](int64_t piece) {
    int64_t from = begin + n * piece / pieces, to = begin + n * (piece + 1) / pieces;
    auto multiply = matrix.across ? multiplyAcross : multiplyAlong;
    multiply(rows, m, matrix, from, to, out + from - begin, outStride);
  });
}

} // namespace llmc
