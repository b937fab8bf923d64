//===- StoredProduct.h - products with a matrix where it lies ------------------------------===//
//
// Checking a model multiplies with each weight once or twice; widening or transposing a whole
// weight first would cost more than the product. Sums are f64, in an order that depends on neither
// the processor nor the number of threads.
//
//===----------------------------------------------------------------------------------------===//
#ifndef LLMC_NUMERICS_STOREDPRODUCT_H
#define LLMC_NUMERICS_STOREDPRODUCT_H

#include <cstdint>

namespace llmc {

/// A matrix of `outputs` x `inputs` elements, as [outputs, inputs] or, `across`, as [inputs,
/// outputs]. `data` needs no alignment.
struct StoredMatrix {
  enum class Format { F32, F16, BF16 };
  const void *data = nullptr;
  Format format = Format::F32;
  bool across = false;
  int64_t outputs = 0, inputs = 0;
};

/// out[r * outStride + n - begin] = sum over k of rows[r * inputs + k] * matrix(n, k), for r < m
/// and n in [begin, end). Uses `threads` threads where that pays.
void multiplyStored(const double *rows, int64_t m, const StoredMatrix &matrix, int64_t begin,
                    int64_t end, double *out, int64_t outStride, int threads);

/// The sum of a[i] * b[i], in f64.
double dotProduct(const float *a, const float *b, int64_t n);
double dotProduct(const double *a, const double *b, int64_t n);
/// sum[i] += factor * x[i].
void addScaled(double *sum, double factor, const float *x, int64_t n);
void addScaled(double *sum, double factor, const double *x, int64_t n);

} // namespace llmc

#endif // LLMC_NUMERICS_STOREDPRODUCT_H
