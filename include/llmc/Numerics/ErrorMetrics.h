//===- ErrorMetrics.h - how far a compressed weight is from the original ------------------===//
//
// Layer errors for the provenance record and for searches, and the accounting of bits. With
// H = sum x x^T the weighted error tr(D H D^T), D = W - W', is the layer's squared output error
// summed over the calibration tokens.
//
//===----------------------------------------------------------------------------------------===//
#ifndef LLMC_NUMERICS_ERRORMETRICS_H
#define LLMC_NUMERICS_ERRORMETRICS_H

#include "llmc/Numerics/Quantize.h"
#include "llmc/Numerics/Span.h"
#include <cstdint>

namespace llmc {

/// out[i] = d_i M d_i^T for each row d_i of d [rows, n]. M is n x n, symmetric (what is below its
/// diagonal is not read), row-major with `stride` elements from row to row. Products are summed in
/// a fixed order, whatever the host's vector width: up to 256 in f32, those sums in double.
void quadraticForms(Span<const float> d, int64_t rows, int64_t n, const float *m, int64_t stride,
                    Span<double> out);

/// sum (w - v)^2.
double squaredError(Span<const float> w, Span<const float> v);

/// tr((W - V) H (W - V)^T) for W, V [rows, cols] and H [cols, cols].
double hessianError(Span<const float> w, Span<const float> v, int64_t rows, int64_t cols,
                    Span<const float> hessian, int threads = 1);

/// The same when only the diagonal of H (sumSquares) is known.
double diagonalError(Span<const float> w, Span<const float> v, int64_t rows, int64_t cols,
                     Span<const double> sumSquares);

/// 10 log10(sum w^2 / sum (w - v)^2) in dB; infinity when equal.
double signalToNoise(Span<const float> w, Span<const float> v);

/// The error of a layer, plain and relative to the weight's own energy; `weighted` and
/// `relativeWeighted` need a Hessian and are 0 without one.
struct LayerError {
  double squared = 0;          ///< sum (w - v)^2
  double relative = 0;         ///< squared / sum w^2
  double weighted = 0;         ///< tr(D H D^T)
  double relativeWeighted = 0; ///< weighted / tr(W H W^T)
};
LayerError layerError(Span<const float> w, Span<const float> v, int64_t rows, int64_t cols,
                      Span<const float> hessian, int threads = 1);

/// Bytes of an integer weight: packed codes, scales, and zero points packed at `bits` per group.
int64_t intStorageBytes(int64_t rows, int64_t cols, const IntFormat &format);
/// Bits per weight of `bytes` for rows * cols weights.
inline double bitsPerWeight(int64_t bytes, int64_t rows, int64_t cols) {
  return 8.0 * static_cast<double>(bytes) / (static_cast<double>(rows) * static_cast<double>(cols));
}
/// Bits of one position index in a group of `of`: ceil(log2(of)).
int nmIndexBits(int of);
/// Bits per weight of N:M storage: values of `valueBits` and an index for each kept one.
double nmBitsPerWeight(int keep, int of, double valueBits);
/// Bits per weight of unstructured storage: one mask bit each, values for the kept fraction.
inline double maskBitsPerWeight(double sparsity, double valueBits) {
  return (1.0 - sparsity) * valueBits + 1.0;
}

} // namespace llmc

#endif // LLMC_NUMERICS_ERRORMETRICS_H
