//===- FloatZerosTest.cpp - integers whose zero points are floats -----------------------------===//
//
// What the grid is for: groups whose weights all lie on one side of 0; and its extremes.
//
//===----------------------------------------------------------------------------------------===//
#include "llmc/Numerics/FloatZeros.h"
#include "SyntheticLayer.h"
#include "llmc/Numerics/ErrorMetrics.h"
#include <cmath>
#include <gtest/gtest.h>

using namespace llmc;

static std::vector<float> decode(const FloatZeroWeight &q, int64_t cols, int64_t group) {
  std::vector<float> values;
  int64_t groups = groupCount(group, cols);
  for (size_t i = 0; i < q.codes.size(); ++i) {
    int64_t g = i / cols * groups + i % cols / groupSize(group, cols);
    values.push_back((static_cast<float>(q.codes[i]) - q.zeros[g]) * q.scales[g]);
  }
  return values;
}

TEST(FloatZeros, WeightsOnOneSideOfZeroHaveAllCodes) {
  std::vector<float> w = normalValues(4 * 64, 12);
  for (float &value : w)
    value = 3 + 0.25f * value;
  IntFormat format{4, 32, false, ScaleType::F32};
  auto q = quantizeFloatZeros(w, 4, 64, format, ScaleType::F32);
  auto grid = quantizeRtn(w, 4, 64, format);
  ASSERT_TRUE(q && grid);
  // The grid of Quantize.h reaches to 0, which costs most of its codes here.
  EXPECT_GT(signalToNoise(w, decode(*q, 64, 32)), signalToNoise(w, dequantize(*grid)) + 6);
  std::vector<float> values = decode(*q, 64, 32);
  for (size_t i = 0; i < w.size(); ++i)
    EXPECT_LE(std::fabs(values[i] - w[i]), q->scales[i / 32] * 0.5f * 1.0001f);
}

TEST(FloatZeros, GroupsOfOneValueAndGroupsFarFromZero) {
  IntFormat format{3, 2, false, ScaleType::F16};
  // One value of each sign, zeros, and a zero point beyond f16, which gives a grid that reaches 0.
  std::vector<float> w = {0.75f, 0.75f, -1.5f, -1.5f, 0, 0, 1000, 1000.001f};
  auto q = quantizeFloatZeros(w, 1, 8, format, ScaleType::F16);
  ASSERT_TRUE(q);
  std::vector<float> values = decode(*q, 8, 2);
  EXPECT_EQ(std::vector<float>(values.begin(), values.begin() + 6),
            std::vector<float>(w.begin(), w.begin() + 6));
  EXPECT_EQ(q->zeros[3], 0);
  EXPECT_NEAR(values[6], 1000, 0.5);
}

TEST(FloatZeros, PrunedWeightsHaveNoSayAndScalesMustFit) {
  std::vector<float> w = normalValues(64, 9);
  std::vector<uint8_t> keep(64, 1);
  IntFormat format{4, 0, false, ScaleType::F16};
  w[5] = w[4];
  auto before = quantizeFloatZeros(w, 1, 64, format, ScaleType::F16);
  w[5] = 1e30f;
  keep[5] = 0;
  auto q = quantizeFloatZeros(w, 1, 64, format, ScaleType::F16, keep);
  ASSERT_TRUE(before && q);
  EXPECT_EQ(q->scales, before->scales);
  EXPECT_EQ(q->codes[5], 0);
  auto wide = quantizeFloatZeros(w, 1, 64, format, ScaleType::F16);
  ASSERT_FALSE(wide);
  EXPECT_EQ(wide.message(),
            "the scale of the group at row 0, column 0 is too large for f16; expected scale=f32");
}
