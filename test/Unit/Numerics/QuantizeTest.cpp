//===- QuantizeTest.cpp
//-------------------------------------------------------------------------------===//
//
// The grid's properties for every width and kind, the published signal-to-noise figures on normal
// weights, and the cases at the edge: zeros, one sign, short groups, tiny, huge and non-finite
// weights.
//
//===----------------------------------------------------------------------------------------===//
#include "llmc/Numerics/Quantize.h"
#include "SyntheticLayer.h"
#include "llmc/Numerics/ErrorMetrics.h"
#include "llmc/Numerics/F16.h"
#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>

using namespace llmc;

namespace {

IntFormat format(int bits, int64_t group, bool symmetric, ScaleType scale = ScaleType::F16) {
  return IntFormat{bits, group, symmetric, scale};
}

// Rounding the scale to f16 moves the far end of the grid by up to maxCode * 2^-11 steps.
TEST(Quantize, ErrorIsAtMostHalfAStepInsideTheGrid) {
  const int64_t rows = 8, cols = 172;
  std::vector<float> w = normalValues(rows * cols, 3);
  for (int bits = 2; bits <= 8; ++bits)
    for (int64_t group : {0, 32, 128, 500})
      for (bool symmetric : {false, true})
        for (ScaleType scale : {ScaleType::F16, ScaleType::F32}) {
          IntFormat f = format(bits, group, symmetric, scale);
          auto q = quantizeRtn(w, rows, cols, f);
          ASSERT_TRUE(q) << q.message();
          ASSERT_EQ(q->scales.size(), size_t(rows * f.groupCount(cols)));
          ASSERT_EQ(q->zeros.size(), symmetric ? 0 : q->scales.size());
          std::vector<float> v = dequantize(*q);
          for (int64_t i = 0; i < rows * cols; ++i) {
            int64_t g = i % cols / f.groupSize(cols);
            float s = q->scales[i / cols * q->groups() + g];
            ASSERT_LE(q->codes[i], f.maxCode());
            // The symmetric grid has no code for the mirror image of its extreme weight.
            bool outside = symmetric && w[i] / s > f.maxCode() - f.symmetricZero();
            double steps = (outside ? 1.0 : 0.5) + 1e-4 +
                           (scale == ScaleType::F16 ? f.maxCode() * 0x1p-11 : 0);
            ASSERT_LE(std::fabs(w[i] - v[i]), std::fabs(s) * steps)
                << bits << " bits, group " << group << ", index " << i;
          }
        }
}

TEST(Quantize, CodesFollowFromTheStoredScale) {
  const int64_t rows = 4, cols = 100;
  std::vector<float> w = normalValues(rows * cols, 4);
  for (bool symmetric : {false, true}) {
    auto q = quantizeRtn(w, rows, cols, format(4, 32, symmetric));
    ASSERT_TRUE(q);
    for (float s : q->scales)
      ASSERT_EQ(s, roundToHalf(s));
    for (int64_t i = 0; i < rows * cols; ++i) {
      int64_t g = i % cols / 32;
      float s = q->scales[i / cols * 4 + g];
      float code = std::nearbyint(w[i] / s) + q->zero(i / cols, g);
      ASSERT_EQ(q->codes[i], std::min(std::max(code, 0.0f), 15.0f)) << i;
    }
  }
}

TEST(Quantize, AsymmetricCodesEqualTheReferenceRuleOnGroupsOfBothSigns) {
  const int64_t rows = 16, cols = 256;
  std::vector<float> w = normalValues(rows * cols, 5, 0.02);
  auto q = quantizeRtn(w, rows, cols, format(4, 64, false, ScaleType::F32));
  ASSERT_TRUE(q);
  for (int64_t g = 0; g < rows * cols / 64; ++g) {
    const float *group = w.data() + g * 64;
    float lo = *std::min_element(group, group + 64), hi = *std::max_element(group, group + 64);
    ASSERT_LT(lo, 0);
    ASSERT_GT(hi, 0);
    auto s = static_cast<float>((double(hi) - double(lo)) / 15);
    float z = std::min(std::max(-std::nearbyint(lo / s), 0.0f), 15.0f);
    EXPECT_EQ(q->scales[g], s);
    EXPECT_EQ(q->zeros[g], z);
    for (int j = 0; j < 64; ++j)
      ASSERT_EQ(q->codes[g * 64 + j],
                std::min(std::max(std::nearbyint(group[j] / s) + z, 0.0f), 15.0f));
  }
}

TEST(Quantize, SignalToNoiseOfNormalWeights) {
  const int64_t rows = 1024, cols = 1024;
  std::vector<float> w = normalValues(rows * cols, 6);
  struct Case {
    int bits;
    int64_t group;
    bool symmetric;
    double decibel, tolerance;
  };
  // Asymmetric: the figures of a float64 model of the same grid on 2^20 samples. Symmetric: at
  // least what scale = max|w| / (2^(b-1) - 1) reaches.
  for (const Case &c : {Case{4, 128, false, 19.96, 0.05}, Case{4, 32, false, 21.85, 0.05},
                        Case{3, 128, false, 13.34, 0.05}, Case{2, 128, false, 5.97, 0.05},
                        Case{2, 32, false, 7.82, 0.05}, Case{8, 128, true, 43.86, 0.05},
                        Case{4, 128, true, 19.72, 0.05}, Case{4, 32, true, 21.31, 0.05}}) {
    auto q = quantizeRtn(w, rows, cols, format(c.bits, c.group, c.symmetric), {{}, {}, 2});
    ASSERT_TRUE(q);
    EXPECT_NEAR(signalToNoise(w, dequantize(*q)), c.decibel, c.tolerance)
        << c.bits << " bits, group " << c.group << ", symmetric " << c.symmetric;
  }
}

TEST(Quantize, ZeroIsExactSoPrunedWeightsDecodeToZero) {
  const int64_t rows = 8, cols = 70;
  std::vector<float> w = normalValues(rows * cols, 7);
  for (float &x : w)
    x += 3; // mostly one sign, where a grid without 0 would be tempting
  std::vector<uint8_t> keep(w.size());
  for (size_t i = 0; i < keep.size(); ++i)
    keep[i] = i % 3 != 0;
  for (bool symmetric : {false, true}) {
    QuantizeOptions options;
    options.keep = keep;
    auto q = quantizeRtn(w, rows, cols, format(4, 32, symmetric), options);
    ASSERT_TRUE(q);
    std::vector<float> v = dequantize(*q);
    for (size_t i = 0; i < v.size(); ++i)
      ASSERT_TRUE(keep[i] ? std::fabs(v[i] - w[i]) < 0.5 : v[i] == 0) << i;

    auto dense = quantizeRtn(w, rows, cols, format(4, 32, symmetric));
    IntWeight pruned = *dense;
    ASSERT_TRUE(pruneCodes(pruned, keep));
    EXPECT_EQ(pruned.scales, dense->scales);
    std::vector<float> before = dequantize(*dense), after = dequantize(pruned);
    for (size_t i = 0; i < after.size(); ++i)
      ASSERT_EQ(after[i], keep[i] ? before[i] : 0.0f);
  }
  IntWeight any = *quantizeRtn(w, rows, cols, format(4, 32, false));
  EXPECT_FALSE(pruneCodes(any, Span<const uint8_t>(keep).subspan(0, 5)));
}

TEST(Quantize, PrunedWeightsDoNotWidenTheGrid) {
  std::vector<float> w = {0.5f, -0.25f, 100.0f, 0.125f};
  std::vector<uint8_t> keep = {1, 1, 0, 1};
  QuantizeOptions options;
  options.keep = keep;
  auto q = quantizeRtn(w, 1, 4, format(4, 0, false, ScaleType::F32), options);
  ASSERT_TRUE(q);
  EXPECT_EQ(q->scales[0], 0.05f);
}

TEST(Quantize, GroupsOfZerosAndOfOneSign) {
  std::vector<float> w = {0, 0, 0, 0, 1, 2, 3, 15, -1, -2, -3, -15};
  auto q = quantizeRtn(w, 1, 12, format(4, 4, false));
  ASSERT_TRUE(q);
  EXPECT_EQ(q->scales, (std::vector<float>{1, 1, 1}));
  EXPECT_EQ(q->zeros, (std::vector<uint8_t>{0, 0, 15}));
  EXPECT_EQ(dequantize(*q), w);
  q = quantizeRtn(w, 1, 12, format(5, 4, true));
  ASSERT_TRUE(q);
  EXPECT_EQ(q->scales, (std::vector<float>{1, -0.9375f, 0.9375f}));
  EXPECT_EQ(q->codes[0], 16);
  EXPECT_EQ(dequantize(*q)[7], 15);
  EXPECT_EQ(dequantize(*q)[11], -15);
}

TEST(Quantize, TheSymmetricExtremeIsExact) {
  std::vector<float> w = {0.75f, -1.0f, 1.0f, 0.25f, 2.0f, -1.0f, 0.5f, 0};
  auto q = quantizeRtn(w, 1, 8, format(4, 4, true));
  ASSERT_TRUE(q);
  EXPECT_EQ(q->scales, (std::vector<float>{0.125f, -0.25f})) << "the first of equal magnitudes";
  EXPECT_EQ(dequantize(*q)[1], -1.0f);
  EXPECT_EQ(dequantize(*q)[2], 0.875f);
  EXPECT_EQ(dequantize(*q)[4], 2.0f);
}

TEST(Quantize, LimitsClampBeforeTheFit) {
  std::vector<float> w = normalValues(64, 8), clamped = w;
  for (float &x : clamped)
    x = std::min(std::max(x, -0.5f), 0.5f);
  std::vector<float> limits = {0.5f, 0.5f};
  QuantizeOptions options;
  options.limits = limits;
  auto q = quantizeRtn(w, 1, 64, format(3, 32, false), options);
  auto expected = quantizeRtn(clamped, 1, 64, format(3, 32, false));
  ASSERT_TRUE(q);
  EXPECT_EQ(q->codes, expected->codes);
  EXPECT_EQ(q->scales, expected->scales);
  limits.pop_back();
  options.limits = limits;
  EXPECT_EQ(quantizeRtn(w, 1, 64, format(3, 32, false), options).message(),
            "expected 2 limits, one per group, found 1");
}

TEST(Quantize, TinyWeightsKeepAScaleThatCanBeStored) {
  std::vector<float> w = {1e-9f, -1e-9f, 2e-9f, 0};
  for (bool symmetric : {false, true}) {
    auto q = quantizeRtn(w, 1, 4, format(4, 0, symmetric));
    ASSERT_TRUE(q);
    EXPECT_EQ(std::fabs(q->scales[0]), halfMin);
    for (float v : dequantize(*q))
      EXPECT_EQ(v, 0.0f);
  }
}

TEST(Quantize, RefusesWhatItCannotStore) {
  std::vector<float> w(6, 1.0f);
  w[4] = INFINITY;
  EXPECT_EQ(quantizeRtn(w, 2, 3, format(4, 0, false)).message(),
            "weight at row 1, column 1 is not finite");
  w[4] = NAN;
  EXPECT_FALSE(quantizeRtn(w, 2, 3, format(4, 0, false)));
  w[4] = 1e30f;
  EXPECT_EQ(quantizeRtn(w, 2, 3, format(4, 0, false)).message(),
            "the scale of the group at row 1, column 0 is too large for f16; expected scale=f32");
  EXPECT_TRUE(quantizeRtn(w, 2, 3, format(4, 0, false, ScaleType::F32)));
  EXPECT_EQ(quantizeRtn(w, 2, 3, format(9, 0, false)).message(), "expected 2 to 8 bits, found 9");
  EXPECT_FALSE(quantizeRtn(w, 2, 3, format(1, 0, false)));
  EXPECT_FALSE(quantizeRtn(w, 2, 3, format(4, -1, false)));
  EXPECT_FALSE(quantizeRtn(w, 3, 3, format(4, 0, false)));
}

TEST(Quantize, ThreadsChangeNothing) {
  const int64_t rows = 37, cols = 90;
  std::vector<float> w = normalValues(rows * cols, 9);
  auto one = quantizeRtn(w, rows, cols, format(4, 32, false), {{}, {}, 1});
  for (int threads : {2, 5, 64}) {
    auto many = quantizeRtn(w, rows, cols, format(4, 32, false), {{}, {}, threads});
    EXPECT_EQ(many->codes, one->codes);
    EXPECT_EQ(many->scales, one->scales);
    EXPECT_EQ(many->zeros, one->zeros);
    EXPECT_EQ(dequantize(*many, threads), dequantize(*one));
  }
}

} // namespace
