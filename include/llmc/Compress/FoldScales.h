//===- FoldScales.h - scale channels at a site --------------------------------------------===//
//
// The serial part of folding: norms, biases, statistics, and weights that the pass does not
// compress itself.
//
//===----------------------------------------------------------------------------------------===//
#ifndef LLMC_COMPRESS_FOLDSCALES_H
#define LLMC_COMPRESS_FOLDSCALES_H

#include "llmc/Compress/FoldSites.h"
#include "llmc/Compress/StoredWeight.h"

namespace llmc {

/// What happens to one weight matrix at the sites it belongs to.
struct WeightScaling {
  std::vector<float> columns;  ///< factors, empty: none
  std::vector<float> divisors; ///< of the rows from firstRow on, empty: none
  int64_t firstRow = 0;

  bool empty() const { return columns.empty() && divisors.empty(); }
  uint64_t hash(uint64_t seed) const;
  void apply(std::vector<float> &values, int64_t rows, int64_t cols) const;
};

/// One divisor for each row of the producer: scales without the repeats of grouped heads. Fails on
/// a wrong size.
Result<std::vector<float>> producerDivisors(const FoldSite &site, Span<const float> scales);

/// Divides norms and biases, and rescales the statistics of the site's linears. `suffix` names new
/// blobs. A vector that others read too is copied first. Fails when statistics cannot be read.
LogicalResult foldScales(ModuleOp module, FoldSite &site, Span<const float> scales,
                         StringRef suffix);

/// Scales a float weight the pass does not compress.
LogicalResult scaleFloatWeight(WeightUse &use, const WeightScaling &scaling, StringRef suffix);

} // namespace llmc

#endif // LLMC_COMPRESS_FOLDSCALES_H
