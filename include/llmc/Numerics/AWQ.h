//===- AWQ.h - activation-aware scale and clip search -------------------------------------===//
//
// Lin et al., "AWQ: Activation-aware Weight Quantization" (arXiv 2306.00978). Input channels are
// scaled by s before rounding and the producer is divided by s, which protects the channels with
// large activations. The search follows the authors' code (llm-awq: auto_scale.py, auto_clip.py),
// but measures every candidate with the Hessian H = sum x x^T instead of rerunning a block.
//
//===----------------------------------------------------------------------------------------===//
#ifndef LLMC_NUMERICS_AWQ_H
#define LLMC_NUMERICS_AWQ_H

#include "llmc/Numerics/Quantize.h"
#include "llmc/Numerics/Statistics.h"
#include <cstdint>
#include <vector>

namespace llmc {

/// A linear that reads the shared input: weight [rows, K].
struct LinearWeight {
  Span<const float> weight;
  int64_t rows = 0;
};

/// How the channels of an attention output depend on those of its value projection: query head h
/// reads key/value head h / repeat, so `repeat` consecutive heads of headDim channels share a
/// scale. The default (repeat 1) means no sharing.
struct HeadSharing {
  int64_t kvHeads = 0;
  int64_t repeat = 1;
  int64_t headDim = 0;
  int64_t expandedSize() const { return kvHeads * repeat * headDim; }
  int64_t reducedSize() const { return kvHeads * headDim; }
};

/// [kvHeads, repeat, headDim] -> [kvHeads, headDim], the mean over the repeats. Fails on a wrong
/// size.
Result<std::vector<double>> reduceHeads(Span<const double> expanded, const HeadSharing &heads);
/// [kvHeads, headDim] -> [kvHeads, repeat, headDim], consecutive copies. Fails on a wrong size.
Result<std::vector<float>> expandHeads(Span<const float> reduced, const HeadSharing &heads);
/// One value per shared channel, from an expanded vector whose copies are equal (the first copy).
Result<std::vector<float>> compactHeads(Span<const float> expanded, const HeadSharing &heads);

struct AwqOptions {
  IntFormat format;
  int ratios = 20;    ///< candidates: exponents i / ratios, i = 0 .. ratios - 1
  int64_t rows = 512; ///< most rows of a weight that rank the candidates
  HeadSharing heads;  ///< for a value -> output fold under grouped-query attention
  int threads = 1;
};

struct AwqScales {
  std::vector<float> scales;  ///< [K] multiply weight columns, divide the producer
  double ratio = 0;           ///< the exponent chosen; 0 means scales of 1
  double loss = 0;            ///< of the chosen ratio, on all rows
  double rtnLoss = 0;         ///< of ratio 0, plain rounding; loss <= rtnLoss always
  std::vector<double> losses; ///< one per candidate, on the rows that rank
};

/// Searches s = meanAbs^ratio, floored at 1e-4 and divided by sqrt(max s * min s), for the linears
/// that share one input with `statistics` (a Hessian is needed). The loss of a candidate is
/// sum over linears of tr((W - W') H (W - W')^T) with W' = Q(W diag(s)) diag(1/s); the first ratio
/// with the least loss wins. Of weights with more than `rows` rows as many, evenly spread, rank the
/// ratios; the winner must then be no worse than ratio 0 on all. With `heads`, meanAbs is first
/// reduced over the repeats.
/// Fails when sizes disagree, the Hessian is missing, or a weight cannot be quantized at ratio 0;
/// candidates that overflow a scale are skipped (loss infinity).
Result<AwqScales> searchAwqScales(Span<const LinearWeight> linears, int64_t cols,
                                  const ChannelStatistics &statistics, const AwqOptions &options);

/// A limit on magnitude for each group, for QuantizeOptions::limits.
struct AwqClip {
  std::vector<float> limits; ///< [N, G]; the group's largest magnitude where clipping does not help
  double loss = 0;           ///< sum of the chosen groups' errors
  double unclippedLoss = 0;  ///< the same without clipping; loss <= unclippedLoss
};

/// Tries the limits (1 - i/20) * max|w|, i = 0..9, for every group of every row and keeps the one
/// with the least d H_gg d^T, where d is the group's rounding error and H_gg the group's diagonal
/// block of the Hessian: exactly the sum over tokens of (x_g . d)^2. Call it with the weight and
/// the statistics after scaling (ChannelStatistics::scaleChannels with 1/s). Fails as above.
Result<AwqClip> searchClip(Span<const float> weight, int64_t rows, int64_t cols,
                           const ChannelStatistics &statistics, const IntFormat &format,
                           int threads = 1);

/// Multiplies column j of weight [rows, K] by factors[j], in place.
void scaleColumns(Span<float> weight, int64_t rows, Span<const float> factors);

} // namespace llmc

#endif // LLMC_NUMERICS_AWQ_H
