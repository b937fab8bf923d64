//===- CodeTableTest.cpp - the levels of NF4 and rounding to them -----------------------------===//
//
// The table against its published values, the published error on normal weights, and the rule at
// midpoints.
//
//===----------------------------------------------------------------------------------------===//
#include "llmc/Numerics/CodeTable.h"
#include "SyntheticLayer.h"
#include "llmc/Numerics/ErrorMetrics.h"
#include <cmath>
#include <gtest/gtest.h>

using namespace llmc;

TEST(CodeTable, LevelsOfNF4) {
  const std::array<float, 16> &levels = tableLevels(CodeTable::NF4);
  EXPECT_EQ(levels[0], -1.0f);
  EXPECT_EQ(levels[5], -0.18477343022823334f);
  EXPECT_EQ(levels[tableZeroCode(CodeTable::NF4)], 0.0f);
  EXPECT_EQ(levels[12], 0.44070982933044434f);
  EXPECT_EQ(levels[15], 1.0f);
  auto integers = integerLevels(CodeTable::NF4I8);
  ASSERT_TRUE(integers);
  for (size_t i = 0; i < 16; ++i) {
    EXPECT_EQ((*integers)[i], std::lround(127 * levels[i])) << i;
    EXPECT_EQ(tableLevels(CodeTable::NF4I8)[i], (*integers)[i] / 127.0f) << i;
    EXPECT_TRUE(i == 0 || levels[i] > levels[i - 1]) << i;
  }
  EXPECT_FALSE(integerLevels(CodeTable::NF4));
}

TEST(CodeTable, NamesComeBack) {
  for (CodeTable table : {CodeTable::NF4, CodeTable::NF4I8, CodeTable::BnbFP4})
    EXPECT_EQ(parseCodeTable(codeTableName(table)), table);
  EXPECT_EQ(codeTableNames(), "nf4, nf4_i8 or bnb_fp4");
  EXPECT_FALSE(parseCodeTable("fp4"));
  EXPECT_FALSE(parseCodeTable(""));
}

TEST(CodeTable, NearestLevelAndMidpoints) {
  for (CodeTable table : {CodeTable::NF4, CodeTable::NF4I8}) {
    const std::array<float, 16> &levels = tableLevels(table);
    for (int i = 0; i < 16; ++i)
      EXPECT_EQ(nearestLevel(levels[i], table), i);
    EXPECT_EQ(nearestLevel(2.0f, table), 15);
    EXPECT_EQ(nearestLevel(-2.0f, table), 0);
    for (int i = 0; i < 15; ++i) {
      float middle = (levels[i] + levels[i + 1]) * 0.5f;
      EXPECT_EQ(nearestLevel(middle, table), i) << "a midpoint goes to the lower level";
      EXPECT_EQ(nearestLevel(std::nextafter(middle, 2.0f), table), i + 1);
    }
  }
  EXPECT_EQ((tableLevels(CodeTable::NF4)[7] + tableLevels(CodeTable::NF4)[8]) * 0.5f,
            0.03979014977812767f);
}

TEST(CodeTable, SignalToNoiseOfNormalWeights) {
  std::vector<float> w = normalValues(1 << 20, 70);
  for (auto [table, scale] :
       {std::pair(CodeTable::NF4, ScaleType::F32), std::pair(CodeTable::NF4, ScaleType::F16),
        std::pair(CodeTable::NF4I8, ScaleType::F16)}) {
    auto q = quantizeTable(w, 1024, 1024, {table, 64, scale});
    ASSERT_TRUE(q);
    EXPECT_NEAR(signalToNoise(w, dequantize(*q)), 20.72, 0.05) << codeTableName(table);
  }
}

// Codes as its dQuantizeFP4 has them, except that a midpoint goes to the first code, and zeros of
// either sign to code 0.
TEST(CodeTable, FP4OfBitsandbytes) {
  const std::array<float, 16> &levels = tableLevels(CodeTable::BnbFP4);
  const float expected[] = {0.0f, 5.208333333e-03f, 0.66666667f, 1.0f, 0.33333333f,
                            0.5f, 0.16666667f,      0.25f};
  for (int i = 0; i < 8; ++i) {
    EXPECT_FLOAT_EQ(levels[i], expected[i]);
    EXPECT_EQ(levels[i + 8], -levels[i]);
    EXPECT_EQ(nearestLevel(levels[i], CodeTable::BnbFP4), i);
    EXPECT_EQ(nearestLevel(levels[i + 8], CodeTable::BnbFP4), i ? i + 8 : 0);
  }
  EXPECT_EQ(tableZeroCode(CodeTable::BnbFP4), 0);
  EXPECT_FALSE(integerLevels(CodeTable::BnbFP4));
  auto published = [](float x) {
    int sign = x < 0 ? 8 : 0;
    x = std::fabs(x);
    if (x > 0.29166667f)
      return sign + (x > 0.583333f ? (x > 0.8333333f ? 3 : 2) : x > 0.4166667f ? 5 : 4);
    if (x > 0.0859375f)
      return sign + (x > 0.20833333f ? 7 : 6);
    return x > 0.00260417f ? sign + 1 : 0;
  };
  for (float pivot :
       {0.29166667f, 0.583333f, 0.8333333f, 0.4166667f, 0.0859375f, 0.20833333f, 0.00260417f, 0.0f})
    for (float offset : {-1e-5f, 1e-5f, 0.01f, 0.05f})
      for (float sign : {1.0f, -1.0f}) {
        float value = sign * (pivot + offset);
        EXPECT_EQ(nearestLevel(value, CodeTable::BnbFP4), published(value)) << value;
      }
  std::vector<float> w = normalValues(1 << 20, 71);
  auto q = quantizeTable(w, 1024, 1024, {CodeTable::BnbFP4, 64, ScaleType::F32});
  ASSERT_TRUE(q);
  EXPECT_NEAR(signalToNoise(w, dequantize(*q)), 18.28, 0.05);
}

TEST(CodeTable, GroupsAndMasks) {
  std::vector<float> w = {4.0f, -1.0f, 0.5f, 0.25f, 0.0f, 0.0f, 3.0f, -3.0f, 8.0f, 2.0f};
  std::vector<uint8_t> keep = {0, 1, 1, 1, 1, 1, 1, 1, 0, 1};
  auto q = quantizeTable(w, 2, 5, {CodeTable::NF4, 2, ScaleType::F16}, keep);
  ASSERT_TRUE(q);
  // A pruned weight does not enter the scale; a group of zeros has scale 1; the last group is
  // short.
  EXPECT_EQ(q->scales, (std::vector<float>{1.0f, 0.5f, 1.0f, 3.0f, 3.0f, 2.0f}));
  EXPECT_EQ(q->codes, (std::vector<uint8_t>{7, 0, 15, 12, 7, 7, 15, 0, 7, 15}));
  auto row = quantizeTable(w, 2, 5, {CodeTable::NF4, 0, ScaleType::F32});
  ASSERT_TRUE(row);
  EXPECT_EQ(row->scales, (std::vector<float>{4.0f, 8.0f}));
}

TEST(CodeTable, EdgesAndErrors) {
  std::vector<float> tiny = {1e-30f, -1e-30f};
  auto least = quantizeTable(tiny, 1, 2, {});
  ASSERT_TRUE(least);
  EXPECT_EQ(least->scales[0], std::ldexp(1.0f, -24));
  EXPECT_EQ(least->codes, (std::vector<uint8_t>{7, 7}));
  EXPECT_FALSE(quantizeTable(tiny, 1, 3, {}));
  EXPECT_FALSE(quantizeTable(tiny, 1, 2, {}, std::vector<uint8_t>(3, 1)));
  EXPECT_EQ(quantizeTable(tiny, 1, 2, {CodeTable::NF4, -1, ScaleType::F16}).message(),
            "expected a group of 0 (the whole row) or more inputs, found -1");
  EXPECT_EQ(quantizeTable(std::vector<float>{0, 1, 2, 1e6f}, 2, 2, {}).message(),
            "the scale of the group at row 1, column 0 is too large for f16; expected scale=f32");
  EXPECT_EQ(quantizeTable(std::vector<float>{0, 1, NAN, 2}, 2, 2, {}).message(),
            "weight at row 1, column 0 is not finite");
}
