//===- TernaryTest.cpp
//--------------------------------------------------------------------------------===//
//
// The absmean rule, its published error on normal weights, and that a ternary weight is left alone.
//
//===----------------------------------------------------------------------------------------===//
#include "llmc/Numerics/Ternary.h"
#include "SyntheticLayer.h"
#include "llmc/Numerics/ErrorMetrics.h"
#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>

using namespace llmc;

TEST(Ternary, FollowsTheAbsmeanRule) {
  std::vector<float> w = {1.0f, -1.0f, 0.25f, -0.25f, 2.0f, 0.0f, 0.5f, 3.0f};
  auto q = quantizeTernary(w, 2, 4);
  ASSERT_TRUE(q);
  EXPECT_EQ(q->scale, 1.0f);
  EXPECT_FALSE(q->alreadyTernary);
  EXPECT_EQ(q->codes, (std::vector<int8_t>{1, -1, 0, 0, 1, 0, 0, 1})) << "0.5 rounds to even";
}

TEST(Ternary, SignalToNoiseOfNormalWeights) {
  std::vector<float> w = normalValues(1 << 18, 60);
  auto q = quantizeTernary(w, 512, 512);
  ASSERT_TRUE(q);
  EXPECT_NEAR(signalToNoise(w, dequantize(*q)), 5.80, 0.05);
}

TEST(Ternary, IsIdempotent) {
  std::vector<float> w = normalValues(400, 61, 0.02);
  auto once = quantizeTernary(w, 20, 20);
  ASSERT_TRUE(once);
  std::vector<float> values = dequantize(*once);
  auto twice = quantizeTernary(values, 20, 20);
  ASSERT_TRUE(twice);
  EXPECT_TRUE(twice->alreadyTernary);
  EXPECT_EQ(twice->scale, once->scale);
  EXPECT_EQ(twice->codes, once->codes);
}

TEST(Ternary, EdgesAndErrors) {
  auto zeros = quantizeTernary(std::vector<float>(6, 0.0f), 2, 3);
  ASSERT_TRUE(zeros);
  EXPECT_EQ(zeros->scale, 1e-5f);
  EXPECT_FALSE(zeros->alreadyTernary);
  EXPECT_EQ(zeros->codes, std::vector<int8_t>(6, 0));
  EXPECT_FALSE(quantizeTernary(std::vector<float>(6, 0.0f), 2, 4));
  EXPECT_EQ(quantizeTernary(std::vector<float>{0, 1, NAN, 2}, 2, 2).message(),
            "weight at row 1, column 0 is not finite");
}
