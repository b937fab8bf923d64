//===- Prune.h - masks of weights to keep
//--------------------------------------------------------===//
//
// Magnitude pruning, Wanda (Sun et al., arXiv 2306.11695: |W| times the norm of its input) and N:M
// patterns. A mask is [N, K] bytes, 1: keep, 0: pruned. Of equal scores the lowest index is pruned
// first, as Wanda's stable sort does.
//
//===----------------------------------------------------------------------------------------===//
#ifndef LLMC_NUMERICS_PRUNE_H
#define LLMC_NUMERICS_PRUNE_H

#include "llmc/Numerics/Result.h"
#include "llmc/Numerics/Span.h"
#include <cstdint>
#include <optional>
#include <vector>

namespace llmc {

/// |w|, the score of magnitude pruning.
std::vector<float> magnitudeScores(Span<const float> weight);

/// |w_ij| * sqrt(sumSquares_j): Wanda's score, from ChannelStatistics::sumSquares or the Hessian's
/// diagonal (they are equal). The scale of sumSquares does not matter. Fails on a wrong size.
Result<std::vector<float>> wandaScores(Span<const float> weight, int64_t rows, int64_t cols,
                                       Span<const double> sumSquares);

/// Prunes exactly floor(size * sparsity) entries, the lowest of the whole matrix. Fails when
/// sparsity is outside 0..1 or a score is NaN.
Result<std::vector<uint8_t>> unstructuredMask(Span<const float> scores, double sparsity);

/// Prunes exactly floor(cols * sparsity) entries of every row. Fails as above.
Result<std::vector<uint8_t>> rowwiseMask(Span<const float> scores, int64_t rows, int64_t cols,
                                         double sparsity, int threads = 1);

/// Keeps the `keep` highest of each `of` consecutive entries of a row. When cols is no multiple of
/// `of` the last group is short and keeps min(keep, its length). Fails unless 0 < keep <= of.
Result<std::vector<uint8_t>> nmMask(Span<const float> scores, int64_t rows, int64_t cols, int keep,
                                    int of, int threads = 1);

/// Where a mask breaks N:M: the group that starts at `col` keeps `kept` entries.
struct NmViolation {
  int64_t row, col;
  int kept;
};
/// The first group, in row-major order, with more than `keep` entries that are not 0.
std::optional<NmViolation> findNmViolation(Span<const uint8_t> mask, int64_t rows, int64_t cols,
                                           int keep, int of);
/// The same for weights: an entry counts when it is not 0.
std::optional<NmViolation> findNmViolation(Span<const float> weight, int64_t rows, int64_t cols,
                                           int keep, int of);

/// Sets pruned weights to +0.
void applyMask(Span<float> weight, Span<const uint8_t> mask);

/// The fraction of zeros in a mask.
double maskSparsity(Span<const uint8_t> mask);

} // namespace llmc

#endif // LLMC_NUMERICS_PRUNE_H
