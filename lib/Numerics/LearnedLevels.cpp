//===- LearnedLevels.cpp - 16 levels that fit the weights
//--------------------------------------===//
//
// In one dimension clusters are ranges of the sorted weights, so a step is 15 searches and as many
// differences of running sums.
//
//===----------------------------------------------------------------------------------------===//
#include "llmc/Numerics/LearnedLevels.h"
#include "llmc/Numerics/F16.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace llmc {

using Levels = std::array<float, kLearnedLevels>;

/// The code of the level behind the last midpoint that is less than the value; of equal levels the
/// first.
static size_t nearestOf(const Levels &levels, float value) {
  size_t code = 0;
  for (size_t i = 0; i + 1 < levels.size(); ++i)
    if (value > (levels[i] + levels[i + 1]) * 0.5f && levels[i + 1] > levels[code])
      code = i + 1;
  return code;
}

/// The levels of sorted weights.
static Levels fitLevels(const std::vector<float> &sorted) {
  Levels levels{};
  if (sorted.empty())
    return levels;
  std::vector<float> distinct;
  std::unique_copy(sorted.begin(), sorted.end(), std::back_inserter(distinct));
  if (distinct.size() <= levels.size()) {
    levels.fill(distinct.back());
    std::copy(distinct.begin(), distinct.end(), levels.begin());
    return levels;
  }
  size_t count = sorted.size();
  std::vector<double> sums(count + 1, 0.0);
  for (size_t i = 0; i < count; ++i)
    sums[i + 1] = sums[i] + static_cast<double>(sorted[i]);
  for (size_t i = 0; i < levels.size(); ++i)
    levels[i] = sorted[(2 * i + 1) * count / (2 * levels.size())];
  constexpr int kSteps = 100;
  std::array<size_t, kLearnedLevels + 1> ends{}, before{};
  for (int step = 0; step < kSteps; ++step) {
    for (size_t i = 0; i + 1 < levels.size(); ++i) {
      float middle = (levels[i] + levels[i + 1]) * 0.5f;
      ends[i + 1] = std::upper_bound(sorted.begin(), sorted.end(), middle) - sorted.begin();
    }
    ends.back() = count;
    if (ends == before)
      break;
    before = ends;
    for (size_t i = 0; i < levels.size(); ++i)
      if (ends[i + 1] > ends[i]) // A level without weights stays.
        levels[i] = static_cast<float>((sums[ends[i + 1]] - sums[ends[i]]) /
                                       static_cast<double>(ends[i + 1] - ends[i]));
  }
  return levels;
}

Result<LearnedWeight> learnLevels(Span<const float> weight, int64_t rows, int64_t cols,
                                  int64_t groupRows, ScaleType type, Span<const uint8_t> keep) {
  if (Status ok = verifyGroup(groupRows); !ok)
    return ok.failure();
  if (Status ok = verifyFinite(weight, rows, cols); !ok)
    return ok.failure();
  if (Status ok = verifyMask(keep, weight.size()); !keep.empty() && !ok)
    return ok.failure();
  LearnedWeight result;
  result.codes.resize(weight.size());
  int64_t step = groupSize(groupRows, rows);
  for (int64_t row = 0; row < rows; row += step) {
    int64_t first = row * cols, last = std::min(row + step, rows) * cols;
    std::vector<float> kept;
    for (int64_t i = first; i < last; ++i)
      if (keep.empty() || keep[i])
        kept.push_back(weight[i]);
    std::sort(kept.begin(), kept.end());
    Levels levels = fitLevels(kept);
    if (type == ScaleType::F16)
      for (float &level : levels)
        level = roundToHalf(level);
    if (!std::all_of(levels.begin(), levels.end(),
                     [](float level) { return std::isfinite(level); }))
      return Failure{"a level of the rows from " + std::to_string(row) +
                     " on is too large for f16; expected levels of f32"};
    result.levels.insert(result.levels.end(), levels.begin(), levels.end());
    for (int64_t i = first; i < last; ++i)
      if (keep.empty() || keep[i])
        result.codes[i] = static_cast<uint8_t>(nearestOf(levels, weight[i]));
  }
  return result;
}

} // namespace llmc
