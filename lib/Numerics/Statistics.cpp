//===- Statistics.cpp - what calibration keeps of a linear's input
//------------------------------===//
//
// Plain sums per channel, and the Hessian by tiles of its upper triangle: each tile is loaded, gets
// the rows' products added in row order, and is stored back.
//
//===----------------------------------------------------------------------------------------===//
#include "llmc/Numerics/Statistics.h"
#include "VectorClones.h"
#include "llmc/Numerics/Parallel.h"
#include <algorithm>
#include <cmath>

namespace llmc {

static Failure wrongSize(const char *what, size_t expected, size_t found) {
  return Failure{std::string("expected ") + std::to_string(expected) + " " + what + ", found " +
                 std::to_string(found)};
}

Status ChannelStatistics::verify() const {
  if (count < 0)
    return Failure{"expected a count of rows, found " + std::to_string(count)};
  const std::pair<const char *, const std::vector<double> *> parts[] = {
      {"means", &mean},
      {"mean magnitudes", &meanAbs},
      {"maximum magnitudes", &maxAbs},
      {"sums of squares", &sumSquares},
      {"entries of the Hessian", &hessian}};
  size_t k = mean.size();
  for (const auto &[name, values] : parts) {
    bool whole = values == &hessian;
    size_t expected = whole ? k * k : k;
    if (values->size() != expected && !(whole && values->empty()))
      return wrongSize(name, expected, values->size());
    for (size_t i = 0; i < values->size(); ++i)
      if (!std::isfinite((*values)[i]))
        return Failure{std::string(name) + ": value " + std::to_string(i) + " is not finite"};
  }
  return {};
}

Status ChannelStatistics::scaleChannel(int64_t channel, double factor) {
  int64_t k = channels();
  if (channel < 0 || channel >= k)
    return Failure{"expected a channel below " + std::to_string(k) + ", found " +
                   std::to_string(channel)};
  mean[channel] *= factor;
  meanAbs[channel] *= std::fabs(factor);
  maxAbs[channel] *= std::fabs(factor);
  sumSquares[channel] *= factor * factor;
  if (hasHessian())
    for (int64_t j = 0; j < k; ++j) { // the diagonal is in both the row and the column
      hessian[channel * k + j] *= factor;
      hessian[j * k + channel] *= factor;
    }
  return {};
}

Status ChannelStatistics::scaleChannels(Span<const float> factors) {
  if (factors.size() != mean.size())
    return wrongSize("factors", mean.size(), factors.size());
  size_t k = mean.size();
  for (size_t i = 0; i < k; ++i) {
    double f = factors[i];
    mean[i] *= f;
    meanAbs[i] *= std::fabs(f);
    maxAbs[i] *= std::fabs(f);
    sumSquares[i] *= f * f;
    for (size_t j = 0; hasHessian() && j < k; ++j)
      hessian[i * k + j] *= f * factors[j]; // one product of factors keeps it symmetric
  }
  return {};
}

Status ChannelStatistics::merge(const ChannelStatistics &other) {
  if (other.mean.size() != mean.size())
    return wrongSize("channels", mean.size(), other.mean.size());
  int64_t total = count + other.count;
  double share = total == 0 ? 0 : static_cast<double>(other.count) / static_cast<double>(total);
  for (size_t i = 0; i < mean.size(); ++i) {
    mean[i] += (other.mean[i] - mean[i]) * share;
    meanAbs[i] += (other.meanAbs[i] - meanAbs[i]) * share;
    maxAbs[i] = std::max(maxAbs[i], other.maxAbs[i]);
    sumSquares[i] += other.sumSquares[i];
  }
  if (hasHessian() && other.hasHessian())
    for (size_t i = 0; i < hessian.size(); ++i)
      hessian[i] += other.hessian[i];
  else
    hessian.clear();
  count = total;
  return {};
}

StatisticsAccumulator::StatisticsAccumulator(int64_t channels, bool withHessian)
    : channels(channels), sum(channels), sumAbs(channels), maxAbs(channels), sumSquares(channels),
      hessian(withHessian ? channels * channels : 0) {}

static constexpr int64_t tileRows = 4, tileCols = 16, rowBlock = 256;

/// Adds the products of `count` rows of x [count, k] to rows [i, i + height) of the upper triangle.
LLMC_VECTOR_CLONES
static void addProducts(const double *x, int64_t count, int64_t k, int64_t i, int64_t height,
                        double *h) {
  for (int64_t j = i; j < k; j += tileCols) {
    int64_t width = std::min(tileCols, k - j);
    if (height == tileRows && width == tileCols) {
      double tile[tileRows][tileCols];
      for (int r = 0; r < tileRows; ++r)
        std::copy_n(h + (i + r) * k + j, tileCols, tile[r]);
      for (int64_t m = 0; m < count; ++m) {
        const double *row = x + m * k;
        for (int r = 0; r < tileRows; ++r)
          for (int c = 0; c < tileCols; ++c)
            tile[r][c] += row[i + r] * row[j + c];
      }
      for (int r = 0; r < tileRows; ++r)
        std::copy_n(tile[r], tileCols, h + (i + r) * k + j);
      continue;
    }
    for (int64_t m = 0; m < count; ++m) {
      const double *row = x + m * k;
      for (int64_t r = 0; r < height; ++r)
        for (int64_t c = 0; c < width; ++c)
          h[(i + r) * k + j + c] += row[i + r] * row[j + c];
    }
  }
}

Status StatisticsAccumulator::add(Span<const float> x, int64_t rows, int threads) {
  int64_t k = channels;
  if (x.size() != static_cast<size_t>(rows * k))
    return wrongSize("activations", rows * k, x.size());
  for (int64_t i = 0; i < rows * k; ++i)
    if (!std::isfinite(x[i]))
      return Failure{"activation at row " + std::to_string(rowCount + i / k) + ", channel " +
                     std::to_string(i % k) + " is not finite"};
  for (int64_t m = 0; m < rows; ++m)
    for (int64_t j = 0; j < k; ++j) {
      double v = x[m * k + j];
      sum[j] += v;
      sumAbs[j] += std::fabs(v);
      maxAbs[j] = std::max(maxAbs[j], std::fabs(v));
      sumSquares[j] += v * v;
    }
  rowCount += rows;
  if (hessian.empty())
    return {};
  std::vector<double> block;
  int64_t strips = (k + tileRows - 1) / tileRows;
  for (int64_t first = 0; first < rows; first += rowBlock) {
    int64_t count = std::min(rowBlock, rows - first);
    block.assign(x.data() + first * k, x.data() + (first + count) * k);
    parallelFor(strips, threads, [&](int64_t item) {
      // Long strips at the top of the triangle take turns with short ones, to balance threads.
      int64_t i = (item % 2 ? strips - 1 - item / 2 : item / 2) * tileRows;
      addProducts(block.data(), count, k, i, std::min(tileRows, k - i), hessian.data());
    });
  }
  return {};
}

ChannelStatistics StatisticsAccumulator::finish() && {
  ChannelStatistics s;
  s.count = rowCount;
  s.mean = std::move(sum);
  s.meanAbs = std::move(sumAbs);
  s.maxAbs = std::move(maxAbs);
  s.sumSquares = std::move(sumSquares);
  s.hessian = std::move(hessian);
  double n = rowCount == 0 ? 1.0 : static_cast<double>(rowCount);
  for (int64_t i = 0; i < channels; ++i) {
    s.mean[i] /= n;
    s.meanAbs[i] /= n;
    for (int64_t j = 0; s.hasHessian() && j < i; ++j)
      s.hessian[i * channels + j] = s.hessian[j * channels + i];
  }
  return s;
}

} // namespace llmc
