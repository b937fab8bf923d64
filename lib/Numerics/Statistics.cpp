//===- Statistics.cpp - what calibration keeps of a linear's input ------------------------===//
//
// Plain sums per channel, and the Hessian by blocks of rows: these wait in panels of channels until
// there are enough, then each tile of the upper triangle gets their products.
//
//===----------------------------------------------------------------------------------------===//
#include "llmc/Numerics/Statistics.h"
#include "llmc/Numerics/Parallel.h"
#include "llmc/Numerics/TileProduct.h"
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
      {"sums of squares", &sumSquares}};
  auto verifyValues = [](const char *name, const auto &values) -> Status {
    for (size_t i = 0; i < values.size(); ++i)
      if (!std::isfinite(values[i]))
        return Failure{std::string(name) + ": value " + std::to_string(i) + " is not finite"};
    return {};
  };
  size_t k = mean.size();
  for (const auto &[name, values] : parts) {
    if (values->size() != k)
      return wrongSize(name, k, values->size());
    if (Status ok = verifyValues(name, *values); !ok)
      return ok;
  }
  constexpr const char *kEntries = "entries of the Hessian";
  if (hasHessian() && hessian.size() != k * k)
    return wrongSize(kEntries, k * k, hessian.size());
  return verifyValues(kEntries, hessian);
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
      hessian[channel * k + j] = static_cast<float>(hessian[channel * k + j] * factor);
      hessian[j * k + channel] = static_cast<float>(hessian[j * k + channel] * factor);
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
      // One product of factors keeps it symmetric.
      hessian[i * k + j] = static_cast<float>(hessian[i * k + j] * (f * factors[j]));
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

static constexpr int64_t kRowBlock = 128;

static int64_t panelCount(int64_t channels) { return (channels + kTileColumns - 1) / kTileColumns; }

/// Where row i of the triangle begins, less i: entry (i, j) is j further.
static int64_t triangleRow(int64_t i, int64_t channels) {
  return i * channels - i * (i - 1) / 2 - i;
}

static int64_t panelSize(int64_t channels) {
  return panelCount(channels) * kRowBlock * kTileColumns;
}

int64_t statisticsBytes(int64_t channels, bool withHessian) {
  return 8 * 4 * channels + (withHessian ? 4 * (triangleSize(channels) + panelSize(channels)) : 0);
}

std::vector<float> squareOfTriangle(Span<const float> triangle, int64_t channels) {
  std::vector<float> square(channels * channels);
  constexpr int64_t kBlock = 16; // Columns are written in short runs.
  for (int64_t first = 0; first < channels; first += kBlock)
    for (int64_t j = first; j < channels; ++j)
      for (int64_t i = first; i < std::min(first + kBlock, j + 1); ++i)
        square[i * channels + j] = square[j * channels + i] =
            triangle[triangleRow(i, channels) + j];
  return square;
}

StatisticsAccumulator::StatisticsAccumulator(int64_t channels, bool withHessian)
    : channels(channels), sum(channels), sumAbs(channels), maxAbs(channels), sumSquares(channels),
      panels(withHessian ? panelSize(channels) : 0),
      triangle(withHessian ? triangleSize(channels) : 0) {}

void StatisticsAccumulator::addBlock(int threads) {
  int64_t count = panelCount(channels);
  parallelFor(count, threads, [&](int64_t item) {
    // Long strips at the top of the triangle take turns with short ones, to balance threads.
    int64_t strip = item % 2 ? count - 1 - item / 2 : item / 2;
    const float *left = panels.data() + strip * kRowBlock * kTileColumns;
    for (int64_t other = strip; other < count; ++other) {
      const float *right = panels.data() + other * kRowBlock * kTileColumns;
      for (int64_t r0 = 0; r0 < kTileColumns; r0 += kTileRows) {
        float tile[kTileRows][kTileColumns];
        multiplyTile(left + r0, 1, kTileColumns, right, waiting, tile);
        for (int64_t r = 0; r < kTileRows; ++r) {
          int64_t i = strip * kTileColumns + r0 + r, first = std::max(i, other * kTileColumns);
          int64_t last = std::min((other + 1) * kTileColumns, channels);
          for (int64_t j = first; j < last; ++j)
            triangle[triangleRow(i, channels) + j] += tile[r][j - other * kTileColumns];
        }
      }
    }
  });
  waiting = 0;
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
  for (int64_t m = 0; m < rows && !triangle.empty(); ++m) {
    for (int64_t j = 0; j < k; j += kTileColumns)
      std::copy_n(x.data() + m * k + j, std::min(kTileColumns, k - j),
                  panels.data() + (j * kRowBlock + waiting * kTileColumns));
    if (++waiting == kRowBlock)
      addBlock(threads);
  }
  return {};
}

ChannelStatistics StatisticsAccumulator::finish(int threads) && {
  ChannelStatistics s;
  if (waiting)
    addBlock(threads);
  std::vector<float>().swap(panels);
  if (!triangle.empty())
    s.hessian = squareOfTriangle(triangle, channels);
  std::vector<float>().swap(triangle);
  s.count = rowCount;
  s.mean = std::move(sum);
  s.meanAbs = std::move(sumAbs);
  s.maxAbs = std::move(maxAbs);
  s.sumSquares = std::move(sumSquares);
  double n = rowCount == 0 ? 1.0 : static_cast<double>(rowCount);
  for (int64_t i = 0; i < channels; ++i) {
    s.mean[i] /= n;
    s.meanAbs[i] /= n;
  }
  return s;
}

} // namespace llmc
