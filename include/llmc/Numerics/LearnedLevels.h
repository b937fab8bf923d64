//===- LearnedLevels.h - 16 levels that fit the weights
//----------------------------------------===//
//
// Each group of rows has 16 levels of its own, those of k-means (Lloyd's algorithm) on its weights:
// a level is the mean of the weights that are nearest to it. Weights are row-major [N, K]: N
// outputs, K inputs.
//
//   start    the weights at the middle of 16 parts of equal number; weights of 16 values or fewer
//            have those as levels
//   repeat   each weight to the nearest level (a midpoint to the lower), each level to the mean of
//            its weights, summed in f64 in rising order; until no weight moves, 100 times at most
//
// Levels rise with their code. They are rounded to their stored type before codes are computed.
//
//===----------------------------------------------------------------------------------------===//
#ifndef LLMC_NUMERICS_LEARNEDLEVELS_H
#define LLMC_NUMERICS_LEARNEDLEVELS_H

#include "llmc/Numerics/Quantize.h"

namespace llmc {

constexpr int64_t kLearnedLevels = 16;

struct LearnedWeight {
  std::vector<uint8_t> codes; ///< [N, K], 0 to 15
  std::vector<float> levels;  ///< [groups of rows, 16], exactly representable in their type
};

/// Quantizes a weight [rows, cols] with levels for each `groupRows` rows (0: all); the last group
/// may be short. `keep` is empty or [N, K], 0: pruned; such a weight does not enter the levels and
/// has code 0. Fails on a negative group, on sizes that disagree, on the first weight that is not
/// finite and on the first group with a level too large for f16 (named by its first row).
Result<LearnedWeight> learnLevels(Span<const float> weight, int64_t rows, int64_t cols,
                                  int64_t groupRows, ScaleType type, Span<const uint8_t> keep = {});

} // namespace llmc

#endif // LLMC_NUMERICS_LEARNEDLEVELS_H
