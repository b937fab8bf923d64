//===- StatisticsTest.cpp - what calibration keeps of a linear's input --------------------===//
//
// Sums against a plain loop bit for bit, however the rows are cut and the work is shared; Hessians
// against doubles.
//
//===----------------------------------------------------------------------------------------===//
#include "llmc/Numerics/Statistics.h"
#include "SyntheticLayer.h"
#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>

using namespace llmc;

namespace {

ChannelStatistics collect(const std::vector<float> &x, int64_t channels, int64_t chunk,
                          int threads) {
  auto rows = static_cast<int64_t>(x.size()) / channels;
  StatisticsAccumulator accumulator(channels, true);
  for (int64_t m = 0; m < rows; m += chunk) {
    int64_t n = std::min(chunk, rows - m);
    Status ok =
        accumulator.add(Span<const float>(x).subspan(m * channels, n * channels), n, threads);
    EXPECT_TRUE(ok);
  }
  return std::move(accumulator).finish();
}

TEST(Statistics, EqualsAPlainLoopForAnyChunkAndThreads) {
  const int64_t rows = 300;
  for (int64_t k : {1, 5, 16, 23, 64}) {
    std::vector<float> x = normalValues(rows * k, 10 + k);
    std::vector<double> sum(k), sumAbs(k), most(k), squares(k), hessian(k * k);
    for (int64_t m = 0; m < rows; ++m)
      for (int64_t i = 0; i < k; ++i) {
        double v = x[m * k + i];
        sum[i] += v;
        sumAbs[i] += std::fabs(v);
        most[i] = std::max(most[i], std::fabs(v));
        squares[i] += v * v;
        for (int64_t j = 0; j < k; ++j)
          hessian[i * k + j] += v * x[m * k + j];
      }
    ChannelStatistics one = collect(x, k, rows, 1);
    for (int64_t chunk : {1, 7, 256, 300})
      for (int threads : {1, 3}) {
        ChannelStatistics s = collect(x, k, chunk, threads);
        EXPECT_EQ(s.count, rows);
        for (int64_t i = 0; i < k; ++i) {
          ASSERT_EQ(s.mean[i], sum[i] / rows);
          ASSERT_EQ(s.meanAbs[i], sumAbs[i] / rows);
        }
        EXPECT_EQ(s.maxAbs, most);
        EXPECT_EQ(s.sumSquares, squares);
        // Sums of 128 products in f32, and of those.
        ASSERT_EQ(s.hessian.size(), hessian.size());
        for (int64_t i = 0; i < k * k; ++i) {
          double scale = std::sqrt(squares[i / k] * squares[i % k]);
          ASSERT_NEAR(s.hessian[i], hessian[i], 64 * std::ldexp(scale, -24)) << k << " channels";
        }
        EXPECT_EQ(s.hessian, one.hessian) << k << " channels, chunks of " << chunk;
        EXPECT_TRUE(s.verify());
      }
  }
}

void expectClose(const ChannelStatistics &a, const ChannelStatistics &b) {
  EXPECT_EQ(a.count, b.count);
  ASSERT_EQ(a.hessian.size(), b.hessian.size());
  for (size_t i = 0; i < a.mean.size(); ++i) {
    EXPECT_NEAR(a.mean[i], b.mean[i], 1e-12 * (1 + b.meanAbs[i]));
    EXPECT_NEAR(a.meanAbs[i], b.meanAbs[i], 1e-12 * b.meanAbs[i]);
    EXPECT_NEAR(a.maxAbs[i], b.maxAbs[i], 1e-12 * b.maxAbs[i]);
    EXPECT_NEAR(a.sumSquares[i], b.sumSquares[i], 1e-12 * b.sumSquares[i]);
  }
  for (size_t i = 0; i < a.hessian.size(); ++i)
    EXPECT_NEAR(a.hessian[i], b.hessian[i], 1e-5 * (1 + std::fabs(b.hessian[i])));
}

TEST(Statistics, ScalingChannelsEqualsScalingActivations) {
  const int64_t rows = 50, k = 9;
  std::vector<float> x = normalValues(rows * k, 30), factors(k), scaled = x;
  for (int64_t j = 0; j < k; ++j)
    factors[j] = std::ldexp(j % 2 ? -1.0f : 1.0f, static_cast<int>(j) - 4); // exact in float
  for (int64_t i = 0; i < rows * k; ++i)
    scaled[i] *= factors[i % k];
  ChannelStatistics expected = collect(scaled, k, rows, 1), s = collect(x, k, rows, 1);
  ChannelStatistics oneByOne = s;
  ASSERT_TRUE(s.scaleChannels(factors));
  expectClose(s, expected);
  for (int64_t j = 0; j < k; ++j)
    ASSERT_TRUE(oneByOne.scaleChannel(j, factors[j]));
  expectClose(oneByOne, expected);
  EXPECT_FALSE(s.scaleChannel(k, 2.0));
  EXPECT_FALSE(s.scaleChannels(Span<const float>(factors).subspan(0, 3)));
}

TEST(Statistics, MergeEqualsOneRun) {
  const int64_t rows = 40, k = 6;
  std::vector<float> x = normalValues(rows * k, 31);
  std::vector<float> head(x.begin(), x.begin() + 15 * k), tail(x.begin() + 15 * k, x.end());
  ChannelStatistics merged = collect(head, k, 15, 1);
  ASSERT_TRUE(merged.merge(collect(tail, k, 25, 1)));
  expectClose(merged, collect(x, k, rows, 1));

  ChannelStatistics bare = collect(tail, k, 25, 1);
  bare.hessian.clear();
  ASSERT_TRUE(merged.merge(bare));
  EXPECT_FALSE(merged.hasHessian());
  EXPECT_FALSE(merged.merge(collect(x, 3, 10, 1)));
}

TEST(Statistics, RefusesBadInputWithoutAddingIt) {
  StatisticsAccumulator accumulator(3, true);
  std::vector<float> x = {1, 2, 3, 4, NAN, 6};
  ASSERT_TRUE(accumulator.add(Span<const float>(x).subspan(0, 3), 1));
  EXPECT_EQ(accumulator.add(Span<const float>(x).subspan(3, 3), 1).message(),
            "activation at row 1, channel 1 is not finite");
  EXPECT_FALSE(accumulator.add(x, 1));
  ChannelStatistics s = std::move(accumulator).finish();
  EXPECT_EQ(s.count, 1);
  EXPECT_EQ(s.sumSquares, (std::vector<double>{1, 4, 9}));
  s.meanAbs.pop_back();
  EXPECT_EQ(s.verify().message(), "expected 3 mean magnitudes, found 2");
}

} // namespace
