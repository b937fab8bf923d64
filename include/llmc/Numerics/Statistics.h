//===- Statistics.h - what calibration keeps of a linear's input ------------------------------===//
//
// One record per linear input: moments per channel and, optionally, the Hessian of the layer's
// squared error. All methods read this one record: Wanda the square root of the Hessian's diagonal
// (arXiv 2306.11695), AWQ the mean magnitude (arXiv 2306.00978), SVD-LLM the whole (arXiv
// 2403.07378).
//
//===----------------------------------------------------------------------------------------===//
#ifndef LLMC_NUMERICS_STATISTICS_H
#define LLMC_NUMERICS_STATISTICS_H

#include "llmc/Numerics/Result.h"
#include "llmc/Numerics/Span.h"
#include <cstdint>
#include <vector>

namespace llmc {

/// Statistics of inputs x [count, K], in the units of x.
struct ChannelStatistics {
  int64_t count = 0;              ///< rows (tokens) seen
  std::vector<double> mean;       ///< [K] mean of x
  std::vector<double> meanAbs;    ///< [K] mean of |x|
  std::vector<double> maxAbs;     ///< [K] maximum of |x|
  std::vector<double> sumSquares; ///< [K] sum of x^2, not divided by count
  std::vector<float> hessian;     ///< [K, K] sum of x x^T, not divided by count; may be empty

  int64_t channels() const { return static_cast<int64_t>(mean.size()); }
  bool hasHessian() const { return !hessian.empty(); }

  /// Fails when the vectors' sizes disagree, count is negative, or a value is not finite.
  Status verify() const;

  /// The statistics of x * diag(factors): what a pass does that scales input channels.
  Status scaleChannels(Span<const float> factors);
  /// The same for one channel.
  Status scaleChannel(int64_t channel, double factor);
  /// The statistics of both sets of rows. Keeps a Hessian only when both have one.
  Status merge(const ChannelStatistics &other);
};

/// Sums rows of activations: moments in double precision, the Hessian in f32 over blocks of rows,
/// of which only one triangle is kept. Every sum runs over the rows in order, so how rows are cut
/// into calls and how many threads work changes no bit.
class StatisticsAccumulator {
public:
  StatisticsAccumulator(int64_t channels, bool withHessian);

  /// Adds rows x [rows, channels]. Fails, adding nothing, on a wrong size or a value that is not
  /// finite (names its row and channel).
  Status add(Span<const float> x, int64_t rows, int threads = 1);

  /// Rows added.
  int64_t count() const { return rowCount; }
  /// The statistics of all rows added; takes the Hessian out, so call it once.
  ChannelStatistics finish(int threads = 1) &&;

private:
  /// Adds the rows that wait to the triangle.
  void addBlock(int threads);

  int64_t channels;
  int64_t rowCount = 0;
  std::vector<double> sum, sumAbs, maxAbs, sumSquares;
  int64_t waiting = 0;         ///< rows in `panels`
  std::vector<float> panels;   ///< [panels, kRowBlock, kTileColumns], zeros behind the last channel
  std::vector<float> triangle; ///< see triangleSize
};

/// Entries of the upper triangle of a symmetric [K, K] matrix, row after row, each from its
/// diagonal.
inline int64_t triangleSize(int64_t channels) { return channels * (channels + 1) / 2; }

/// Bytes the accumulator of `channels` holds; what a memory limit is compared with.
int64_t statisticsBytes(int64_t channels, bool withHessian);

/// The square matrix of an upper triangle [triangleSize(channels)].
std::vector<float> squareOfTriangle(Span<const float> triangle, int64_t channels);

} // namespace llmc

#endif // LLMC_NUMERICS_STATISTICS_H
