//===- LearnedLevelsTest.cpp - levels that fit the weights ------------------------------------===//
//
// The published error of 16 optimal levels on normal weights, the two conditions that optimal
// levels meet, and weights that have few values.
//
//===----------------------------------------------------------------------------------------===//
#include "llmc/Numerics/LearnedLevels.h"
#include "SyntheticLayer.h"
#include "llmc/Numerics/ErrorMetrics.h"
#include "llmc/Numerics/F16.h"
#include <cmath>
#include <gtest/gtest.h>

using namespace llmc;

static std::vector<float> decode(const LearnedWeight &q, int64_t rows, int64_t cols,
                                 int64_t group) {
  std::vector<float> values;
  for (int64_t i = 0; i < rows * cols; ++i)
    values.push_back(q.levels[i / cols / group * 16 + q.codes[i]]);
  return values;
}

// Max, Quantizing for minimum distortion (1960), table I: 0.009497 of the variance.
TEST(LearnedLevels, SignalToNoiseOfNormalWeights) {
  std::vector<float> w = normalValues(1 << 18, 90);
  auto q = learnLevels(w, 512, 512, 512, ScaleType::F32);
  ASSERT_TRUE(q);
  EXPECT_NEAR(signalToNoise(w, decode(*q, 512, 512, 512)), -10 * std::log10(0.009497), 0.05);
}

TEST(LearnedLevels, LevelsAreMeansOfTheWeightsNearestToThem) {
  std::vector<float> w = normalValues(4 * 100, 91);
  auto q = learnLevels(w, 4, 100, 2, ScaleType::F32);
  ASSERT_TRUE(q);
  ASSERT_EQ(q->levels.size(), 32u);
  for (int64_t table = 0; table < 2; ++table) {
    double sum[16] = {}, count[16] = {};
    const float *levels = q->levels.data() + 16 * table;
    for (int64_t i = 200 * table; i < 200 * (table + 1); ++i) {
      sum[q->codes[i]] += static_cast<double>(w[i]);
      ++count[q->codes[i]];
      for (int code = 0; code < 16; ++code)
        EXPECT_LE(std::fabs(levels[q->codes[i]] - w[i]), std::fabs(levels[code] - w[i]) + 1e-7f);
    }
    for (int code = 0; code < 16; ++code) {
      EXPECT_TRUE(code == 0 || levels[code] > levels[code - 1]);
      EXPECT_NEAR(levels[code], sum[code] / count[code], 1e-6) << table << " " << code;
    }
  }
}

TEST(LearnedLevels, FewValuesAreKept) {
  std::vector<float> w;
  for (int i = 0; i < 64; ++i)
    w.push_back(0.25f * static_cast<float>(i * 7 % 16) - 1.5f);
  auto q = learnLevels(w, 2, 32, 0, ScaleType::F16);
  ASSERT_TRUE(q);
  EXPECT_EQ(decode(*q, 2, 32, 2), w);
  auto zeros = learnLevels(std::vector<float>(6, 0.0f), 2, 3, 1, ScaleType::F16);
  ASSERT_TRUE(zeros);
  EXPECT_EQ(zeros->codes, std::vector<uint8_t>(6, 0));
  EXPECT_EQ(zeros->levels, std::vector<float>(32, 0.0f));
}

TEST(LearnedLevels, GroupsMasksAndTypes) {
  // Rows 0 and 1, then 2 alone. Row 2 keeps one weight.
  std::vector<float> w = {1, 2, 3, 4, 9.001f, 8};
  std::vector<uint8_t> keep = {1, 1, 1, 0, 1, 0};
  auto q = learnLevels(w, 3, 2, 2, ScaleType::F16, keep);
  ASSERT_TRUE(q);
  ASSERT_EQ(q->levels.size(), 32u);
  EXPECT_EQ((std::vector<float>(q->levels.begin(), q->levels.begin() + 4)),
            (std::vector<float>{1, 2, 3, 3}));
  EXPECT_EQ(q->levels[16], roundToHalf(9.001f));
  EXPECT_EQ(q->codes, (std::vector<uint8_t>{0, 1, 2, 0, 0, 0}));
  auto none = learnLevels(w, 3, 2, 2, ScaleType::F16, std::vector<uint8_t>(6, 0));
  ASSERT_TRUE(none);
  EXPECT_EQ(none->levels, std::vector<float>(32, 0.0f));
}

TEST(LearnedLevels, Errors) {
  std::vector<float> w = {0, 1, 2, 1e6f};
  EXPECT_EQ(learnLevels(w, 2, 2, 1, ScaleType::F16).message(),
            "a level of the rows from 1 on is too large for f16; expected levels of f32");
  EXPECT_TRUE(learnLevels(w, 2, 2, 1, ScaleType::F32));
  EXPECT_EQ(learnLevels(w, 2, 2, -1, ScaleType::F32).message(),
            "expected a group of 0 (the whole row) or more inputs, found -1");
  EXPECT_FALSE(learnLevels(w, 1, 3, 1, ScaleType::F32));
  EXPECT_FALSE(learnLevels(w, 2, 2, 1, ScaleType::F32, std::vector<uint8_t>(3, 1)));
  w[2] = NAN;
  EXPECT_EQ(learnLevels(w, 2, 2, 1, ScaleType::F32).message(),
            "weight at row 1, column 0 is not finite");
}
