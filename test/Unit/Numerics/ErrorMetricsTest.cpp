//===- ErrorMetricsTest.cpp - how far a compressed weight is from the original ------------===//
//
// The tiled quadratic form is the plain loop in double up to rounding, and the Hessian error is the
// layer's output error, which is what it stands for.
//
//===----------------------------------------------------------------------------------------===//
#include "llmc/Numerics/ErrorMetrics.h"
#include "SyntheticLayer.h"
#include <cmath>
#include <gtest/gtest.h>

using namespace llmc;

TEST(ErrorMetrics, QuadraticFormEqualsThePlainLoop) {
  Normal normal(40);
  for (int64_t n : {1, 3, 16, 17, 40, 600})
    for (int64_t rows : {1, 4, 6}) {
      const int64_t stride = n + 5;
      std::vector<float> m(n * stride), d(rows * n);
      std::vector<double> out(rows), expected(rows), scale(rows);
      for (int64_t i = 0; i < n; ++i)
        for (int64_t j = i; j < n; ++j)
          m[i * stride + j] = m[j * stride + i] = normal();
      for (float &x : d)
        x = normal();
      for (int64_t i = 0; i < rows; ++i)
        for (int64_t j = 0; j < n; ++j) {
          double sum = 0;
          for (int64_t k = 0; k < n; ++k)
            sum += double(d[i * n + k]) * m[k * stride + j];
          expected[i] += sum * d[i * n + j];
          for (int64_t k = 0; k < n; ++k)
            scale[i] += std::fabs(d[i * n + k] * m[k * stride + j] * d[i * n + j]);
        }
      quadraticForms(d, rows, n, m.data(), stride, out);
      // Up to 256 products are summed in f32.
      for (int64_t i = 0; i < rows; ++i)
        EXPECT_NEAR(out[i], expected[i], scale[i] * 0x1p-22) << rows << " rows of " << n;
    }
}

TEST(ErrorMetrics, HessianErrorIsTheOutputError) {
  const int64_t tokens = 60, rows = 70, cols = 20;
  std::vector<float> x = normalValues(tokens * cols, 41), w = normalValues(rows * cols, 42),
                     v = normalValues(rows * cols, 43);
  StatisticsAccumulator accumulator(cols, true);
  ASSERT_TRUE(accumulator.add(x, tokens));
  ChannelStatistics s = std::move(accumulator).finish();
  double expected = 0;
  for (int64_t t = 0; t < tokens; ++t)
    for (int64_t i = 0; i < rows; ++i) {
      double y = 0;
      for (int64_t j = 0; j < cols; ++j)
        y += (double(w[i * cols + j]) - v[i * cols + j]) * x[t * cols + j];
      expected += y * y;
    }
  double error = hessianError(w, v, rows, cols, s.hessian);
  EXPECT_NEAR(error, expected, 1e-6 * expected);
  EXPECT_EQ(hessianError(w, v, rows, cols, s.hessian, 4), error);

  std::vector<float> diagonal(cols * cols);
  for (int64_t j = 0; j < cols; ++j)
    diagonal[j * cols + j] = static_cast<float>(s.sumSquares[j]);
  double part = diagonalError(w, v, rows, cols, s.sumSquares);
  EXPECT_NEAR(part, hessianError(w, v, rows, cols, diagonal), 1e-6 * part);

  LayerError all = layerError(w, v, rows, cols, s.hessian);
  EXPECT_EQ(all.weighted, error);
  EXPECT_GT(all.relativeWeighted, 0);
  EXPECT_NEAR(10 * std::log10(1 / all.relative), signalToNoise(w, v), 1e-9);
  LayerError none = layerError(w, w, rows, cols, {});
  EXPECT_EQ(none.squared, 0);
  EXPECT_EQ(none.relative, 0);
  EXPECT_TRUE(std::isinf(signalToNoise(w, w)));
}

TEST(ErrorMetrics, BitsAddUp) {
  IntFormat format; // 4 bits, group 32, asymmetric, f16
  EXPECT_EQ(bitsPerWeight(intStorageBytes(64, 4096, format), 64, 4096), 4 + 16.0 / 32 + 4.0 / 32);
  format.symmetric = true;
  EXPECT_EQ(bitsPerWeight(intStorageBytes(64, 4096, format), 64, 4096), 4.5);
  format.group = 0;
  format.scale = ScaleType::F32;
  EXPECT_EQ(intStorageBytes(3, 5, format), 3 * (3 + 4));
  EXPECT_EQ(nmIndexBits(4), 2);
  EXPECT_EQ(nmIndexBits(8), 3);
  EXPECT_EQ(nmBitsPerWeight(2, 4, 16), 9);
  EXPECT_EQ(maskBitsPerWeight(0.5, 16), 9);
}
