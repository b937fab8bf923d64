//===- PruneLayer.h - what the pruning passes share ---------------------------------------===//
//
// Patterns, scores and masks over weights that may be quantized or pruned already.
//
//===----------------------------------------------------------------------------------------===//
#ifndef LLMC_COMPRESS_PRUNELAYER_H
#define LLMC_COMPRESS_PRUNELAYER_H

#include "llmc/Compress/CompressLayers.h"

namespace llmc {

/// What is pruned: N:M when m is not 0, otherwise a share of each matrix.
struct PrunePattern {
  int64_t n = 0, m = 0;
  double sparsity = 0;
};

/// Reads "N:M". Fails unless 1 <= N < M <= 32.
Result<PrunePattern> parsePattern(StringRef text);

/// Prunes a layer by `scores` and reports what the user should know; weights pruned before stay
/// pruned. No weight in the result when it has the pattern already. The baseline is magnitude with
/// the same pattern. Fails where an N:M mask would be given up.
Result<LayerResult> pruneLayer(Layer &layer, const PrunePattern &pattern,
                               std::vector<float> scores);

} // namespace llmc

#endif // LLMC_COMPRESS_PRUNELAYER_H
