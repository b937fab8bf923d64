//===- NVFP4Test.cpp - floats of 4 bits under scales of 8 bits --------------------------------===//
//
// The sixteen levels and what is rounded to them, and the extremes of scales.
//
//===----------------------------------------------------------------------------------------===//
#include "llmc/Numerics/NVFP4.h"
#include "SyntheticLayer.h"
#include "llmc/Numerics/ErrorMetrics.h"
#include <cmath>
#include <gtest/gtest.h>

using namespace llmc;

TEST(NVFP4, EachLevelIsItsOwnCodeAndMiddlesGoToEvenCodes) {
  const std::array<float, 16> &levels = float4Levels();
  for (int code = 0; code < 16; ++code)
    EXPECT_EQ(encodeFloat4(levels[code]), code);
  for (int code = 0; code < 7; ++code) {
    float middle = (levels[code] + levels[code + 1]) / 2;
    int even = code % 2 ? code + 1 : code;
    EXPECT_EQ(encodeFloat4(middle), even);
    EXPECT_EQ(encodeFloat4(-middle), even | 8);
    EXPECT_EQ(encodeFloat4(std::nextafter(middle, 0.0f)), code);
    EXPECT_EQ(encodeFloat4(std::nextafter(middle, 9.0f)), code + 1);
  }
  EXPECT_EQ(encodeFloat4(100), 7);
  EXPECT_EQ(encodeFloat4(-100), 15);
}

static std::vector<float> decode(const NVFP4Weight &q, int64_t rows, int64_t cols) {
  std::vector<float> values;
  int64_t groups = groupCount(kNVFP4Group, cols);
  for (int64_t i = 0; i < rows * cols; ++i) {
    uint8_t scale = q.scales[i / cols * groups + i % cols / kNVFP4Group];
    values.push_back(float4Levels()[q.codes[i]] *
                     (float8Levels(Float8Type::E4M3)[scale] * q.super));
  }
  return values;
}

TEST(NVFP4, NoWeightIsFartherFromItsValueThanHalfAStepOfItsGroup) {
  std::vector<float> w = normalValues(8 * 40, 17);
  for (int64_t i = 0; i < 40; ++i)
    w[i] *= 1e-3f;
  auto q = quantizeNVFP4(w, 8, 40);
  ASSERT_TRUE(q);
  ASSERT_EQ(q->scales.size(), 24u);
  EXPECT_EQ(*std::max_element(q->scales.begin(), q->scales.end()), 0x7e); // 448
  std::vector<float> values = decode(*q, 8, 40);
  for (int64_t row = 0; row < 8; ++row)
    for (int64_t begin = 0; begin < 40; begin += 16) {
      float largest = 0;
      for (int64_t c = begin; c < std::min<int64_t>(begin + 16, 40); ++c)
        largest = std::max(largest, std::fabs(w[row * 40 + c]));
      // The widest step, from 4 to 6 of 6, and what rounding of a scale to 4 digits takes away.
      for (int64_t c = begin; c < std::min<int64_t>(begin + 16, 40); ++c)
        EXPECT_LE(std::fabs(values[row * 40 + c] - w[row * 40 + c]),
                  largest * (1 / 6.0f + 1 / 16.0f));
    }
  EXPECT_GT(signalToNoise(w, values), 19.0);
}

TEST(NVFP4, ZerosAndGroupsFarBelowTheLargest) {
  std::vector<float> w(48, 0.0f);
  auto zeros = quantizeNVFP4(w, 1, 48);
  ASSERT_TRUE(zeros);
  EXPECT_EQ(zeros->super, 1.0f);
  EXPECT_EQ(zeros->scales, (std::vector<uint8_t>{0x38, 0x38, 0x38}));
  w[0] = 2688; // super is 1
  w[16] = 1e-4f;
  auto q = quantizeNVFP4(w, 1, 48);
  ASSERT_TRUE(q);
  EXPECT_EQ(q->super, 1.0f);
  EXPECT_EQ(q->scales, (std::vector<uint8_t>{0x7e, 0x01, 0x38}));
  EXPECT_EQ(q->codes[0], 7);
  EXPECT_EQ(q->codes[16], 0);
}

TEST(NVFP4, PrunedWeightsHaveNoSay) {
  std::vector<float> w = normalValues(2 * 32, 5);
  std::vector<uint8_t> keep(64, 1);
  w[3] = 1000;
  keep[3] = 0;
  auto q = quantizeNVFP4(w, 2, 32, keep);
  w[3] = 0;
  auto without = quantizeNVFP4(w, 2, 32);
  ASSERT_TRUE(q && without);
  EXPECT_EQ(q->codes, without->codes);
  EXPECT_EQ(q->scales, without->scales);
  EXPECT_EQ(q->super, without->super);
  w[7] = std::nanf("");
  EXPECT_FALSE(quantizeNVFP4(w, 2, 32));
  EXPECT_FALSE(quantizeNVFP4(w, 2, 33));
}
