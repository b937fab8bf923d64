//===- Prune.cpp - masks of weights to keep
//--------------------------------------------------------===//
//
// All masks are the same selection - remove the lowest of a set, lowest index first among equals -
// over the matrix, a row, or a group.
//
//===----------------------------------------------------------------------------------------===//
#include "llmc/Numerics/Prune.h"
#include "llmc/Numerics/Parallel.h"
#include <algorithm>
#include <cmath>
#include <numeric>

namespace llmc {

static Status verifyScores(Span<const float> scores, int64_t rows, int64_t cols) {
  if (scores.size() != static_cast<size_t>(rows * cols))
    return Failure{"expected " + std::to_string(rows) + "x" + std::to_string(cols) +
                   " scores, found " + std::to_string(scores.size())};
  for (size_t i = 0; i < scores.size(); ++i)
    if (std::isnan(scores[i]))
      return Failure{"score at row " + std::to_string(i / cols) + ", column " +
                     std::to_string(i % cols) + " is not a number"};
  return {};
}

static Status verifySparsity(double sparsity) {
  if (sparsity >= 0 && sparsity <= 1)
    return {};
  return Failure{"expected a sparsity from 0 to 1, found " + std::to_string(sparsity)};
}

/// floor(n * sparsity), forgiving the last bits of a fraction such as 0.29 * 100.
static int64_t removedCount(int64_t n, double sparsity) {
  double exact = static_cast<double>(n) * sparsity;
  return std::min(n, static_cast<int64_t>(std::floor(exact * (1 + 1e-15))));
}

/// Clears the mask of the `remove` lowest of `n` scores. `order` is scratch.
static void pruneLowest(const float *scores, int64_t n, int64_t remove, uint8_t *mask,
                        std::vector<int64_t> &order) {
  order.resize(n);
  std::iota(order.begin(), order.end(), int64_t(0));
  auto below = [&](int64_t a, int64_t b) {
    return scores[a] != scores[b] ? scores[a] < scores[b] : a < b;
  };
  if (remove > 0 && remove < n)
    std::nth_element(order.begin(), order.begin() + remove, order.end(), below);
  for (int64_t i = 0; i < remove; ++i)
    mask[order[i]] = 0;
}

std::vector<float> magnitudeScores(Span<const float> weight) {
  std::vector<float> scores(weight.size());
  for (size_t i = 0; i < scores.size(); ++i)
    scores[i] = std::fabs(weight[i]);
  return scores;
}

Result<std::vector<float>> wandaScores(Span<const float> weight, int64_t rows, int64_t cols,
                                       Span<const double> sumSquares) {
  if (weight.size() != static_cast<size_t>(rows * cols))
    return Failure{"expected " + std::to_string(rows) + "x" + std::to_string(cols) +
                   " weights, found " + std::to_string(weight.size())};
  if (sumSquares.size() != static_cast<size_t>(cols))
    return Failure{"expected statistics of " + std::to_string(cols) + " channels, found " +
                   std::to_string(sumSquares.size())};
  std::vector<float> scores(weight.size());
  for (int64_t j = 0; j < cols; ++j) {
    double norm = std::sqrt(sumSquares[j]);
    for (int64_t i = 0; i < rows; ++i)
      scores[i * cols + j] = static_cast<float>(std::fabs(weight[i * cols + j]) * norm);
  }
  return scores;
}

Result<std::vector<uint8_t>> unstructuredMask(Span<const float> scores, double sparsity) {
  auto n = static_cast<int64_t>(scores.size());
  return rowwiseMask(scores, 1, n, sparsity);
}

Result<std::vector<uint8_t>> rowwiseMask(Span<const float> scores, int64_t rows, int64_t cols,
                                         double sparsity, int threads) {
  if (Status ok = verifySparsity(sparsity); !ok)
    return ok.failure();
  if (Status ok = verifyScores(scores, rows, cols); !ok)
    return ok.failure();
  std::vector<uint8_t> mask(scores.size(), 1);
  int64_t remove = removedCount(cols, sparsity);
  parallelFor(rows, threads, [&](int64_t i) {
    std::vector<int64_t> order;
    pruneLowest(scores.data() + i * cols, cols, remove, mask.data() + i * cols, order);
  });
  return mask;
}

Result<std::vector<uint8_t>> nmMask(Span<const float> scores, int64_t rows, int64_t cols, int keep,
                                    int of, int threads) {
  if (keep <= 0 || keep > of)
    return Failure{"expected a pattern N:M with 0 < N <= M, found " + std::to_string(keep) + ":" +
                   std::to_string(of)};
  if (Status ok = verifyScores(scores, rows, cols); !ok)
    return ok.failure();
  std::vector<uint8_t> mask(scores.size(), 1);
  parallelFor(rows, threads, [&](int64_t i) {
    std::vector<int64_t> order;
    for (int64_t j = 0; j < cols; j += of) {
      int64_t n = std::min<int64_t>(of, cols - j), at = i * cols + j;
      pruneLowest(scores.data() + at, n, std::max<int64_t>(0, n - keep), mask.data() + at, order);
    }
  });
  return mask;
}

template <typename T>
static std::optional<NmViolation> findViolation(Span<const T> values, int64_t rows, int64_t cols,
                                                int keep, int of) {
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < cols; j += of) {
      int kept = 0;
      for (int64_t c = j; c < std::min<int64_t>(cols, j + of); ++c)
        kept += values[i * cols + c] != 0;
      if (kept > keep)
        return NmViolation{i, j, kept};
    }
  return std::nullopt;
}

std::optional<NmViolation> findNmViolation(Span<const uint8_t> mask, int64_t rows, int64_t cols,
                                           int keep, int of) {
  return findViolation(mask, rows, cols, keep, of);
}

std::optional<NmViolation> findNmViolation(Span<const float> weight, int64_t rows, int64_t cols,
                                           int keep, int of) {
  return findViolation(weight, rows, cols, keep, of);
}

void applyMask(Span<float> weight, Span<const uint8_t> mask) {
  for (size_t i = 0; i < weight.size(); ++i)
    if (!mask[i])
      weight[i] = 0.0f;
}

double maskSparsity(Span<const uint8_t> mask) {
  auto zeros = std::count(mask.begin(), mask.end(), uint8_t(0));
  return mask.empty() ? 0 : static_cast<double>(zeros) / static_cast<double>(mask.size());
}

} // namespace llmc
