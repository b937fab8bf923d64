//===- F16Test.cpp
//----------------------------------------------------------------------------------===//
//
// All 65536 patterns of both types, against the definition of the formats rather than another
// converter.
//
//===----------------------------------------------------------------------------------------===//
#include "llmc/Numerics/F16.h"
#include <cmath>
#include <cstring>
#include <gtest/gtest.h>
#include <limits>

using namespace llmc;

namespace {

/// The value of a finite pattern with `mantissaBits` and the given exponent bias.
double valueOf(uint16_t bits, int mantissaBits, int bias) {
  int exponent = (bits & 0x7fff) >> mantissaBits, mantissa = bits & ((1 << mantissaBits) - 1);
  double magnitude =
      exponent == 0 ? std::ldexp(mantissa, 1 - bias - mantissaBits)
                    : std::ldexp((1 << mantissaBits) + mantissa, exponent - bias - mantissaBits);
  return bits & 0x8000 ? -magnitude : magnitude;
}

struct Format {
  int mantissaBits, bias;
  uint16_t infinity;
  uint16_t (*encode)(float);
  float (*decode)(uint16_t);
};
const Format formats[] = {{10, 15, 0x7c00, floatToHalf, halfToFloat},
                          {7, 127, 0x7f80, floatToBFloat16, bfloat16ToFloat}};

TEST(F16, EveryPatternDecodesToItsDefinitionAndBack) {
  for (const Format &f : formats)
    for (uint32_t i = 0; i < 65536; ++i) {
      auto bits = static_cast<uint16_t>(i);
      float value = f.decode(bits);
      uint16_t magnitude = bits & 0x7fff;
      if (magnitude > f.infinity) {
        ASSERT_TRUE(std::isnan(value)) << i;
        ASSERT_EQ(f.encode(value), bits | 1 << (f.mantissaBits - 1)) << i;
        continue;
      }
      if (magnitude == f.infinity)
        ASSERT_TRUE(std::isinf(value)) << i;
      else
        ASSERT_EQ(value, valueOf(bits, f.mantissaBits, f.bias)) << i;
      ASSERT_EQ(std::signbit(value), bits >> 15) << i;
      ASSERT_EQ(f.encode(value), bits) << i;
    }
}

TEST(F16, BetweenNeighboursRoundsToNearestAndTiesToEven) {
  for (const Format &f : formats)
    for (uint16_t bits = 0; bits < f.infinity - 1; ++bits) {
      double low = valueOf(bits, f.mantissaBits, f.bias);
      double high = valueOf(bits + 1, f.mantissaBits, f.bias);
      auto middle = static_cast<float>((low + high) / 2);
      ASSERT_EQ(middle, (low + high) / 2) << bits;
      for (uint16_t sign : {0, 0x8000}) {
        float s = sign ? -1.0f : 1.0f;
        ASSERT_EQ(f.encode(s * middle), sign | (bits + (bits & 1))) << bits;
        ASSERT_EQ(f.encode(s * std::nextafter(middle, 0.0f)), sign | bits) << bits;
        ASSERT_EQ(f.encode(s * std::nextafter(middle, INFINITY)), sign | (bits + 1)) << bits;
      }
    }
}

TEST(F16, OverflowStartsAtTheMidpointPastTheLargestValue) {
  EXPECT_EQ(floatToHalf(65504.0f), 0x7bff);
  EXPECT_EQ(floatToHalf(std::nextafter(65520.0f, 0.0f)), 0x7bff);
  EXPECT_EQ(floatToHalf(65520.0f), 0x7c00);
  EXPECT_EQ(floatToHalf(-std::numeric_limits<float>::max()), 0xfc00);
  EXPECT_EQ(floatToBFloat16(std::numeric_limits<float>::max()), 0x7f80);
  EXPECT_EQ(halfToFloat(0x7bff), halfMax);
  EXPECT_EQ(halfToFloat(1), halfMin);
}

TEST(F16, CastReportsWhatWasLost) {
  std::vector<float> in = {1.0f, 1e-9f, -70000.0f, 1e30f, INFINITY, 0.0f};
  std::vector<uint16_t> out(in.size());
  CastReport report = castToHalf(in, out);
  EXPECT_EQ(report.overflows, 2);
  EXPECT_EQ(report.firstOverflow, 2);
  EXPECT_EQ(report.underflows, 1);
  EXPECT_EQ(out, (std::vector<uint16_t>{0x3c00, 0, 0xfc00, 0x7c00, 0x7c00, 0}));
  report = castToBFloat16(in, out);
  EXPECT_EQ(report.overflows, 0);
  EXPECT_EQ(report.firstOverflow, -1);
  EXPECT_EQ(report.underflows, 0);
}

} // namespace
