//===- PruneLayer.cpp - what the pruning passes share -------------------------------------===//
//
// A mask from scores, and the weight behind it.
//
#include "llmc/Compress/PruneLayer.h"

#include "llmc/Numerics/Prune.h"

using namespace mlir;
using namespace llmc;

Result<PrunePattern> llmc::parsePattern(StringRef text) {
  PrunePattern pattern;
  auto [n, m] = text.split(':');
  if (n.getAsInteger(10, pattern.n) || m.getAsInteger(10, pattern.m) || pattern.n < 1 ||
      pattern.m <= pattern.n || pattern.m > 32)
    return Failure{"expected a pattern N:M with 1 <= N < M <= 32, found '" + text.str() + "'"};
  return pattern;
}

/// The mask of `scores`. Weights pruned before score lowest; unstructured masks also keep to it,
/// while N:M stores exactly N and may keep a weight that is 0.
static Result<std::vector<uint8_t>>
makeMask(const StoredWeight &weight, const PrunePattern &pattern, std::vector<float> scores) {
  if (weight.isSparse())
    for (size_t i = 0; i < scores.size(); ++i)
      if (!weight.keep[i])
        scores[i] = -1;
  if (pattern.m)
    return nmMask(scores, weight.rows, weight.columns, pattern.n, pattern.m);
  Result<std::vector<uint8_t>> mask = unstructuredMask(scores, pattern.sparsity);
  if (mask && weight.isSparse())
    for (size_t i = 0; i < scores.size(); ++i)
      (*mask)[i] &= weight.keep[i];
  return mask;
}

static std::string patternText(int64_t n, int64_t m) {
  return std::to_string(n) + ":" + std::to_string(m);
}

Result<LayerResult> llmc::pruneLayer(Layer &layer, const PrunePattern &pattern,
                                     std::vector<float> scores) {
  StoredWeight &weight = layer.weight;
  LayerResult result;
  if (weight.sparsity == StoredWeight::Sparsity::NM) {
    std::string has = patternText(weight.n, weight.m);
    if (!pattern.m)
      return Failure{"has a " + has + " mask, which pruning without a pattern would give up"};
    if (!findNmViolation(weight.keep, weight.rows, weight.columns, pattern.n, pattern.m)) {
      result.notes.push_back("has a " + has + " mask already, so it stays as it is");
      return result;
    }
  }
  Result<std::vector<uint8_t>> mask = makeMask(weight, pattern, std::move(scores));
  if (!mask)
    return mask.failure();
  Result<std::vector<uint8_t>> baseline = makeMask(weight, pattern, magnitudeScores(weight.values));
  if (!baseline)
    return baseline.failure();
  result.baseline = "magnitude";
  result.baselineValues = weight.values;
  applyMask(result.baselineValues, *baseline);
  std::optional<DecodePlan> plan = weight.isQuantized() ? weight.scheme.decodePlan() : std::nullopt;
  if (weight.isQuantized() && !(plan && plan->isPerWeight()))
    result.notes.push_back("its codes stand for several weights, so it is stored as floats again");
  else if (weight.isQuantized())
    result.notes.push_back(
        "quantized before it is pruned: surviving codes and scales stay; pruning "
        "first would fit the scales to the weights that stay");

  weight.prune(std::move(*mask),
               pattern.m ? StoredWeight::Sparsity::NM : StoredWeight::Sparsity::Mask);
  weight.n = pattern.n;
  weight.m = pattern.m;
  result.weight = std::move(weight);
  return result;
}
