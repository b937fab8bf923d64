//===- LowRank.h - a weight as the product of two
//------------------------------------------------===//
//
// W [N, K] ~ A [N, r] B [r, K] by truncated singular value decomposition, plain (least squared
// error) or whitened by the Hessian as in SVD-LLM (Wang et al., arXiv 2403.07378), which minimises
// the layer's output error tr(D H D^T).
//
//===----------------------------------------------------------------------------------------===//
#ifndef LLMC_NUMERICS_LOWRANK_H
#define LLMC_NUMERICS_LOWRANK_H

#include "llmc/Numerics/Result.h"
#include "llmc/Numerics/Span.h"
#include <cstdint>
#include <vector>

namespace llmc {

/// Rank that keeps the fraction `ratio` of the parameters: floor(ratio * n * k / (n + k)).
int64_t rankForRatio(int64_t rows, int64_t cols, double ratio);
/// Whether two factors of this rank hold fewer parameters than the weight.
inline bool rankSaves(int64_t rows, int64_t cols, int64_t rank) {
  return rank * (rows + cols) < rows * cols;
}

struct LowRankFactors {
  int64_t rank = 0;
  std::vector<float> a; ///< [N, r]; both factors carry the square root of the singular values
  std::vector<float> b; ///< [r, K]
  std::vector<double> singular; ///< all min(N, K) singular values, of W or of W chol(H)
  double error = 0;   ///< sum of the dropped singular values squared: the (weighted) squared error
  double energy = 0;  ///< sum of all of them
  double damping = 0; ///< what was added to the diagonal of H; 0 when it was positive definite
};

/// Plain decomposition. Columns of U have their largest component positive, so the factors are
/// unique. Fails on a rank outside 1..min(N, K), a wrong size, or a weight that is not finite.
Result<LowRankFactors> decomposeLowRank(Span<const float> weight, int64_t rows, int64_t cols,
                                        int64_t rank);

/// Decomposition of W S with H = S S^T (Cholesky), B = sqrt(Sigma) V^T S^-1. When H [K, K] is not
/// safely positive definite, 1e-8 of its mean diagonal is added, times 10 until it is; then `error`
/// is with respect to the damped H. Fails as above, and when H is zero or cannot be factored.
Result<LowRankFactors> decomposeLowRankWhitened(Span<const float> weight, int64_t rows,
                                                int64_t cols, Span<const float> hessian,
                                                int64_t rank);

/// A B as a matrix [rows, cols], summed in double.
std::vector<float> multiplyFactors(const LowRankFactors &factors, int64_t rows, int64_t cols,
                                   int threads = 1);

} // namespace llmc

#endif // LLMC_NUMERICS_LOWRANK_H
