//===- AWQTest.cpp
//------------------------------------------------------------------------------------===//
//
// Never worse than rounding, much better with outlier channels, the reported loss is the real one,
// and folds keep the float function, also under grouped-query attention.
//
//===----------------------------------------------------------------------------------------===//
#include "llmc/Numerics/AWQ.h"
#include "SyntheticLayer.h"
#include "llmc/Numerics/ErrorMetrics.h"
#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>

using namespace llmc;

namespace {

IntFormat format(int bits, int64_t group, bool symmetric = false) {
  return IntFormat{bits, group, symmetric, ScaleType::F16};
}

AwqOptions optionsFor(const IntFormat &f, int threads = 1) {
  AwqOptions options;
  options.format = f;
  options.threads = threads;
  return options;
}

/// Q(W diag(s)) diag(1/s), quantized with optional limits.
std::vector<float> apply(const SyntheticLayer &layer, const std::vector<float> &scales,
                         const IntFormat &f, Span<const float> limits = {}) {
  std::vector<float> w = layer.weight;
  scaleColumns(w, layer.rows, scales);
  QuantizeOptions options;
  options.limits = limits;
  std::vector<float> v = dequantize(*quantizeRtn(w, layer.rows, layer.cols, f, options));
  for (size_t i = 0; i < v.size(); ++i)
    v[i] /= scales[i % scales.size()];
  return v;
}

TEST(AWQ, LowersTheErrorOfLayersWithOutlierChannels) {
  for (int bits : {2, 3, 4}) {
    double sum = 0;
    for (uint64_t seed = 1; seed <= 4; ++seed) {
      SyntheticLayer layer(seed, 0.0, 32);
      LinearWeight linear{layer.weight, layer.rows};
      auto found = searchAwqScales({&linear, 1}, layer.cols, layer.statistics,
                                   optionsFor(format(bits, 128)));
      ASSERT_TRUE(found) << found.message();
      ASSERT_EQ(found->losses.size(), 20u);
      EXPECT_EQ(found->losses[0], found->rtnLoss);
      EXPECT_EQ(found->loss, *std::min_element(found->losses.begin(), found->losses.end()));
      EXPECT_EQ(found->loss, found->losses[std::lround(found->ratio * 20)]);
      sum += found->loss / found->rtnLoss;

      std::vector<float> v = apply(layer, found->scales, format(bits, 128));
      double error =
          hessianError(layer.weight, v, layer.rows, layer.cols, layer.statistics.hessian);
      EXPECT_NEAR(error, found->loss, 1e-9 * error);
      double rtn = hessianError(layer.weight,
                                apply(layer, std::vector<float>(layer.cols, 1), format(bits, 128)),
                                layer.rows, layer.cols, layer.statistics.hessian);
      EXPECT_EQ(rtn, found->rtnLoss);
    }
    // .56 to .58 over ten seeds of a float64 model of this layer.
    EXPECT_LT(sum / 4, 0.65) << bits;
  }
}

TEST(AWQ, RanksOnSomeRowsButJudgesOnAll) {
  SyntheticLayer layer(6, 0.0, 96);
  LinearWeight linear{layer.weight, layer.rows};
  AwqOptions options = optionsFor(format(3, 128));
  auto whole = searchAwqScales({&linear, 1}, layer.cols, layer.statistics, options);
  options.rows = 16;
  auto sampled = searchAwqScales({&linear, 1}, layer.cols, layer.statistics, options);
  ASSERT_TRUE(whole && sampled);
  EXPECT_LT(sampled->losses[0], whole->losses[0] / 4);
  EXPECT_EQ(sampled->rtnLoss, whole->rtnLoss);
  EXPECT_EQ(sampled->loss, whole->losses[std::lround(sampled->ratio * 20)]);
  // A sixth of the rows finds a strength nearly as good.
  EXPECT_LT(sampled->loss, 1.02 * whole->loss);
}

TEST(AWQ, ScalesFollowThePowerRule) {
  SyntheticLayer layer(5, 0.0, 16, 64, 200);
  LinearWeight linear{layer.weight, layer.rows};
  auto found = searchAwqScales({&linear, 1}, 64, layer.statistics, optionsFor(format(3, 32)));
  ASSERT_TRUE(found);
  ASSERT_GT(found->ratio, 0);
  auto [lo, hi] = std::minmax_element(found->scales.begin(), found->scales.end());
  EXPECT_NEAR(*lo * *hi, 1, 1e-5);
  for (int64_t j = 1; j < 64; ++j)
    EXPECT_NEAR(found->scales[j] / found->scales[0],
                std::pow(layer.statistics.meanAbs[j] / layer.statistics.meanAbs[0], found->ratio),
                1e-4 * found->scales[j] / found->scales[0]);
}

TEST(AWQ, SharedInputSumsTheLossesOfItsLinears) {
  SyntheticLayer layer(6, 0.5, 24, 64, 300);
  Span<const float> w(layer.weight);
  LinearWeight parts[] = {{w.subspan(0, 16 * 64), 16}, {w.subspan(16 * 64, 8 * 64), 8}};
  LinearWeight whole{w, 24};
  AwqOptions options = optionsFor(format(4, 32));
  auto split = searchAwqScales({parts, 2}, 64, layer.statistics, options);
  auto joint = searchAwqScales({&whole, 1}, 64, layer.statistics, options);
  ASSERT_TRUE(split);
  ASSERT_TRUE(joint);
  EXPECT_EQ(split->scales, joint->scales);
  EXPECT_NEAR(split->loss, joint->loss, 1e-9 * joint->loss);
  options.threads = 4;
  EXPECT_EQ(searchAwqScales({parts, 2}, 64, layer.statistics, options)->losses, split->losses);
}

TEST(AWQ, ADeadChannelDoesNotBlowUp) {
  SyntheticLayer layer(7, 0.0, 8, 32, 100);
  ASSERT_TRUE(layer.statistics.scaleChannel(3, 0.0));
  LinearWeight linear{layer.weight, layer.rows};
  auto found = searchAwqScales({&linear, 1}, 32, layer.statistics, optionsFor(format(4, 0)));
  ASSERT_TRUE(found);
  EXPECT_LE(found->loss, found->rtnLoss);
  for (float s : found->scales)
    EXPECT_TRUE(std::isfinite(s) && s > 0);
}

TEST(AWQ, HeadsShareScalesUnderGroupedQueries) {
  const HeadSharing heads{2, 3, 4};
  std::vector<double> x(24);
  for (size_t i = 0; i < x.size(); ++i)
    x[i] = static_cast<double>(i);
  std::vector<double> reduced = *reduceHeads(x, heads);
  ASSERT_EQ(reduced.size(), 8u);
  EXPECT_EQ(reduced[1], (1 + 5 + 9) / 3.0);
  EXPECT_EQ(reduced[4], (12 + 16 + 20) / 3.0);
  std::vector<float> small = {1, 2, 3, 4, 5, 6, 7, 8};
  std::vector<float> expanded = *expandHeads(small, heads);
  EXPECT_EQ(expanded, (std::vector<float>{1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4,
                                          5, 6, 7, 8, 5, 6, 7, 8, 5, 6, 7, 8}));
  EXPECT_EQ(*compactHeads(expanded, heads), small);
  EXPECT_FALSE(expandHeads(expanded, heads));
  EXPECT_FALSE(reduceHeads(Span<const double>(x).subspan(0, 8), heads));
  EXPECT_FALSE(compactHeads(small, heads));

  SyntheticLayer layer(8, 0.3, 16, 24, 300);
  AwqOptions options = optionsFor(format(3, 8));
  options.heads = heads;
  LinearWeight linear{layer.weight, layer.rows};
  auto found = searchAwqScales({&linear, 1}, 24, layer.statistics, options);
  ASSERT_TRUE(found);
  EXPECT_LE(found->loss, found->rtnLoss);
  EXPECT_EQ(*expandHeads(*compactHeads(found->scales, heads), heads), found->scales);
  options.heads.kvHeads = 3;
  EXPECT_FALSE(searchAwqScales({&linear, 1}, 24, layer.statistics, options));
}

TEST(AWQ, ClippingNeverRaisesTheErrorItMinimises) {
  for (bool symmetric : {false, true})
    for (int64_t group : {0, 32, 48}) {
      SyntheticLayer layer(9, 0.5, 40, 100, 300);
      IntFormat f = format(3, group, symmetric);
      auto clip = searchClip(layer.weight, layer.rows, layer.cols, layer.statistics, f);
      ASSERT_TRUE(clip) << clip.message();
      EXPECT_LT(clip->loss, clip->unclippedLoss);
      int64_t size = f.groupSize(layer.cols), groups = f.groupCount(layer.cols);
      ASSERT_EQ(clip->limits.size(), size_t(layer.rows * groups));

      // The block diagonal of H is what the search sees: check its sums with whole matrices.
      std::vector<float> blocks = layer.statistics.hessian;
      for (int64_t i = 0; i < layer.cols; ++i)
        for (int64_t j = 0; j < layer.cols; ++j)
          if (i / size != j / size)
            blocks[i * layer.cols + j] = 0;
      std::vector<float> ones(layer.cols, 1.0f);
      auto error = [&](Span<const float> limits) {
        return hessianError(layer.weight, apply(layer, ones, f, limits), layer.rows, layer.cols,
                            blocks);
      };
      EXPECT_NEAR(error(clip->limits), clip->loss, 1e-6 * clip->loss);
      EXPECT_NEAR(error({}), clip->unclippedLoss, 1e-6 * clip->unclippedLoss);
      for (int64_t i = 0; i < layer.rows * groups; ++i) {
        const float *w = layer.weight.data() + i / groups * layer.cols + i % groups * size;
        float largest = 0;
        for (int64_t j = 0; j < std::min(size, layer.cols - i % groups * size); ++j)
          largest = std::max(largest, std::fabs(w[j]));
        ASSERT_GE(clip->limits[i], 0.549f * largest);
        ASSERT_LE(clip->limits[i], largest);
      }
      EXPECT_EQ(searchClip(layer.weight, layer.rows, layer.cols, layer.statistics, f, 3)->limits,
                clip->limits);
    }
}

TEST(AWQ, RefusesStatisticsThatDoNotFit) {
  SyntheticLayer layer(10, 0.0, 8, 32, 50);
  LinearWeight linear{layer.weight, layer.rows};
  ChannelStatistics bare = layer.statistics;
  bare.hessian.clear();
  EXPECT_EQ(searchAwqScales({&linear, 1}, 32, bare, optionsFor(format(4, 32))).message(),
            "expected statistics with a Hessian, found none");
  EXPECT_FALSE(searchClip(layer.weight, 8, 32, bare, format(4, 32)));
  EXPECT_EQ(
      searchAwqScales({&linear, 1}, 16, layer.statistics, optionsFor(format(4, 32))).message(),
      "expected statistics of 16 channels, found 32");
  layer.weight[40] = NAN;
  EXPECT_EQ(
      searchAwqScales({&linear, 1}, 32, layer.statistics, optionsFor(format(4, 32))).message(),
      "weight at row 1, column 8 is not finite");
}

} // namespace
