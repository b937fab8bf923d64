//===- Float8Test.cpp - floats of 8 bits and rounding to them ---------------------------------===//
//
// The formats against the figures of their specification, rounding against a search of all codes,
// and the published error on normal weights.
//
//===----------------------------------------------------------------------------------------===//
#include "llmc/Numerics/Float8.h"
#include "SyntheticLayer.h"
#include "llmc/Numerics/ErrorMetrics.h"
#include <cmath>
#include <gtest/gtest.h>
#include <random>

using namespace llmc;

static constexpr Float8Type kTypes[] = {Float8Type::E4M3, Float8Type::E5M2};

TEST(Float8, FiguresOfTheSpecification) {
  const std::array<float, 256> &e4m3 = float8Levels(Float8Type::E4M3);
  EXPECT_EQ(e4m3[0x7e], 448.0f);
  EXPECT_EQ(e4m3[0x08], std::ldexp(1.0f, -6)); // the least normal
  EXPECT_EQ(e4m3[0x07], 0.875f * std::ldexp(1.0f, -6));
  EXPECT_EQ(e4m3[0x01], std::ldexp(1.0f, -9));
  EXPECT_EQ(e4m3[0x38], 1.0f);
  EXPECT_EQ(e4m3[0xb9], -1.125f);
  EXPECT_TRUE(std::isnan(e4m3[0x7f]) && std::isnan(e4m3[0xff]));
  const std::array<float, 256> &e5m2 = float8Levels(Float8Type::E5M2);
  EXPECT_EQ(e5m2[0x7b], 57344.0f);
  EXPECT_EQ(e5m2[0x04], std::ldexp(1.0f, -14));
  EXPECT_EQ(e5m2[0x03], 0.75f * std::ldexp(1.0f, -14));
  EXPECT_EQ(e5m2[0x01], std::ldexp(1.0f, -16));
  EXPECT_EQ(e5m2[0x3c], 1.0f);
  EXPECT_EQ(e5m2[0xfc], -INFINITY);
  EXPECT_TRUE(std::isnan(e5m2[0x7d]) && std::isnan(e5m2[0xff]));
}

TEST(Float8, NamesComeBack) {
  for (Float8Type type : kTypes)
    EXPECT_EQ(parseFloat8(float8Name(type)), type);
  for (Float8Blocks blocks : {Float8Blocks::Matrix, Float8Blocks::Row, Float8Blocks::Block})
    EXPECT_EQ(parseFloat8Blocks(float8BlocksName(blocks)), blocks);
  EXPECT_FALSE(parseFloat8("e3m4"));
  EXPECT_FALSE(parseFloat8Blocks("column"));
}

TEST(Float8, EveryCodeComesBack) {
  for (Float8Type type : kTypes)
    for (int code = 0; code < 256; ++code)
      if (std::isfinite(float8Levels(type)[code])) {
        EXPECT_EQ(encodeFloat8(float8Levels(type)[code], type), code) << float8Name(type);
      }
}

/// The code of least distance, the even one of two, among those of the sign of `value`.
static int searchCode(double value, Float8Type type) {
  int sign = std::signbit(value) ? 0x80 : 0, best = sign;
  for (int code = sign; code < sign + 0x80; ++code) {
    double level = float8Levels(type)[code], least = float8Levels(type)[best];
    if (!std::isfinite(level))
      continue;
    double distance = std::fabs(level - value), before = std::fabs(least - value);
    if (distance < before || (distance == before && code % 2 == 0))
      best = code;
  }
  return best;
}

TEST(Float8, RoundsHalfToEvenAndSaturates) {
  std::mt19937 random(80);
  for (Float8Type type : kTypes) {
    const std::array<float, 256> &levels = float8Levels(type);
    for (int code = 0; code < 0x7b; ++code) {
      float middle = (levels[code] + levels[code + 1]) / 2;
      for (float value : {middle, std::nextafter(middle, 0.0f), std::nextafter(middle, 1e6f)})
        for (float sign : {1.0f, -1.0f})
          EXPECT_EQ(encodeFloat8(sign * value, type), searchCode(sign * value, type)) << value;
    }
    for (int i = 0; i < 20000; ++i) {
      float value = std::ldexp(static_cast<float>(random()) / 2147483648.0f - 1.0f,
                               static_cast<int>(random() % 40) - 22);
      EXPECT_EQ(encodeFloat8(value, type), searchCode(value, type)) << value;
    }
    EXPECT_EQ(levels[encodeFloat8(1e30f, type)], type == Float8Type::E4M3 ? 448.0f : 57344.0f);
    EXPECT_EQ(levels[encodeFloat8(-1e30f, type)], type == Float8Type::E4M3 ? -448.0f : -57344.0f);
  }
}

TEST(Float8, SignalToNoiseOfNormalWeights) {
  std::vector<float> w = normalValues(1 << 20, 81);
  auto q = quantizeFloat8(w, 1024, 1024, {Float8Type::E4M3, Float8Blocks::Matrix, ScaleType::F32});
  ASSERT_TRUE(q);
  ASSERT_EQ(q->scales.size(), 1u);
  std::vector<float> values;
  for (uint8_t code : q->codes)
    values.push_back(float8Levels(Float8Type::E4M3)[code] * q->scales[0]);
  EXPECT_NEAR(signalToNoise(w, values), 31.54, 0.1);
}

TEST(Float8, BlocksAndMasks) {
  // Blocks of 128 x 128 of a 130 x 129 matrix, each with its own largest weight.
  int64_t rows = 130, cols = 129;
  std::vector<float> w(rows * cols, 1.0f);
  w[0] = 448;                    // first block
  w[128] = -44.8f;               // of one column
  w[128 * cols + 5] = 4.48f;     // of two rows
  w[129 * cols + 128] = 0.0448f; // of two weights
  w[128 * cols + 128] = 0;
  Float8Format format{Float8Type::E4M3, Float8Blocks::Block, ScaleType::F32};
  auto q = quantizeFloat8(w, rows, cols, format);
  ASSERT_TRUE(q);
  ASSERT_EQ(q->scales.size(), 4u);
  for (int i = 0; i < 4; ++i)
    EXPECT_NEAR(q->scales[i], std::pow(10.0f, static_cast<float>(-i - (i == 3))), 1e-6f) << i;
  EXPECT_EQ(q->codes[0], 0x7e);
  EXPECT_EQ(q->codes[1], 0x38);
  EXPECT_EQ(q->codes[128], 0xfe);

  std::vector<float> small = {448, 1, 0, 0};
  std::vector<uint8_t> keep = {0, 1, 1, 1};
  auto row =
      quantizeFloat8(small, 2, 2, {Float8Type::E4M3, Float8Blocks::Row, ScaleType::F16}, keep);
  ASSERT_TRUE(row);
  // A pruned weight does not enter the scale; a block of zeros has scale 1.
  EXPECT_EQ(row->scales[0], storedScale(1 / 448.0, ScaleType::F16));
  EXPECT_EQ(row->scales[1], 1.0f);
  EXPECT_EQ(row->codes, (std::vector<uint8_t>{0, 0x7e, 0, 0}));
}

TEST(Float8, Errors) {
  std::vector<float> w = {0, 1, 2, 3e7f};
  EXPECT_EQ(
      quantizeFloat8(w, 2, 2, {Float8Type::E4M3, Float8Blocks::Row, ScaleType::F16}).message(),
      "the scale of the block at row 1, column 0 is too large for f16; expected scale=f32");
  w[2] = NAN;
  EXPECT_EQ(quantizeFloat8(w, 2, 2, {}).message(), "weight at row 1, column 0 is not finite");
  EXPECT_FALSE(quantizeFloat8(w, 1, 3, {}));
  EXPECT_FALSE(quantizeFloat8(std::vector<float>{1, 2}, 1, 2, {}, std::vector<uint8_t>(3, 1)));
}
