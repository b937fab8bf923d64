//===- MathKernelsTest.cpp - error bounds of exp, tanh, erf, sigmoid --------------------===//
//
// Each function over a dense grid and at the ends of its range, against libm in double precision.
//
#include "KernelRunner.h"

#include "llmc/Lower/Cpu/LaneBuilder.h"
#include "llmc/Lower/Cpu/MathKernels.h"

#include "gtest/gtest.h"

#include <cmath>
#include <limits>

using namespace llmc;
using namespace llmc::test;

namespace {
using Emit = Value (*)(ImplicitLocOpBuilder &, Value);
constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<float> evaluate(Emit emit, const std::vector<float> &x) {
  KernelRunner runner(8);
  int64_t count = x.size();
  Kernel kernel = runner.builder().getOrCreate(
      "function", 1, 0, [&](ImplicitLocOpBuilder &b, KernelFrame &frame) {
        LaneBuilder l(b, 8);
        Value memory = viewRows(b, frame.arena, frame.offsets[0]);
        l.forColumns(count, [&](Value i, int64_t lanes) {
          l.store(emit(b, l.load(memory, i, lanes)), memory, i, lanes);
        });
      });
  Memory arena(count * sizeof(float)), weights(0);
  std::copy(x.begin(), x.end(), arena.at<float>(0));
  runner.run(kernel, arena, weights, {1, 1, 0, 1, {0}});
  return std::vector<float>(arena.at<float>(0), arena.at<float>(0) + count);
}

std::vector<float> grid(double low, double high) {
  std::vector<float> x(400003);
  for (size_t i = 0; i < x.size(); ++i)
    x[i] = low + (high - low) * i / (x.size() - 1);
  return x;
}

void expectRelative(Emit emit, double (*reference)(double), double low, double high, double bound) {
  std::vector<float> x = grid(low, high), y = evaluate(emit, x);
  double worst = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    double exact = reference(x[i]);
    if (exact == 0) {
      EXPECT_EQ(y[i], 0.0f) << x[i];
      continue;
    }
    ASSERT_FALSE(std::isnan(y[i])) << x[i];
    worst = std::max(worst, std::abs(y[i] / exact - 1));
  }
  EXPECT_LT(worst, bound);
}
} // namespace

TEST(MathKernels, Exp) {
  expectRelative(emitExp, [](double x) { return std::exp(x); }, -86.8, 88.7, 1.5e-7);
  std::vector<float> ends =
      evaluate(emitExp, {0.0f, -kInfinity, -1e30f, -100.0f, 88.8f, 1e30f, kInfinity, NAN});
  EXPECT_EQ(ends[0], 1.0f);
  for (int i : {1, 2, 3})
    EXPECT_EQ(ends[i], 0.0f) << i;
  for (int i : {4, 5, 6})
    EXPECT_EQ(ends[i], kInfinity) << i;
  EXPECT_TRUE(std::isnan(ends[7]));
}

TEST(MathKernels, Exp2NonPositive) {
  for (double low : {-126.0, -1.0, -1e-3})
    expectRelative(emitExp2NonPositive, [](double x) { return std::exp2(x); }, low, 0, 2e-7);
  std::vector<float> ends =
      evaluate(emitExp2NonPositive, {0.0f, -0.0f, -kInfinity, -1e30f, -126.6f, NAN});
  EXPECT_EQ(ends[0], 1.0f);
  EXPECT_EQ(ends[1], 1.0f);
  for (int i : {2, 3, 4})
    EXPECT_EQ(ends[i], 0.0f) << i;
  EXPECT_TRUE(std::isnan(ends[5]));
}

TEST(MathKernels, Tanh) {
  expectRelative(emitTanh, [](double x) { return std::tanh(x); }, -12, 12, 2.5e-7);
  expectRelative(emitTanh, [](double x) { return std::tanh(x); }, -1e-3, 1e-3, 2.5e-7);
  std::vector<float> ends = evaluate(emitTanh, {-kInfinity, -100.0f, 100.0f, kInfinity, NAN});
  EXPECT_EQ(ends[0], -1.0f);
  EXPECT_EQ(ends[1], -1.0f);
  EXPECT_EQ(ends[2], 1.0f);
  EXPECT_EQ(ends[3], 1.0f);
  EXPECT_TRUE(std::isnan(ends[4]));
}

TEST(MathKernels, Erf) {
  expectRelative(emitErf, [](double x) { return std::erf(x); }, -6, 6, 2e-7);
  std::vector<float> ends = evaluate(emitErf, {-kInfinity, -10.0f, 10.0f, kInfinity, NAN});
  EXPECT_EQ(ends[0], -1.0f);
  EXPECT_EQ(ends[1], -1.0f);
  EXPECT_EQ(ends[2], 1.0f);
  EXPECT_EQ(ends[3], 1.0f);
  EXPECT_TRUE(std::isnan(ends[4]));
}

TEST(MathKernels, Sigmoid) {
  expectRelative(emitSigmoid, [](double x) { return 1 / (1 + std::exp(-x)); }, -86, 100, 4e-7);
  std::vector<float> ends = evaluate(emitSigmoid, {-kInfinity, -1e30f, 1e30f, kInfinity, NAN});
  EXPECT_EQ(ends[0], 0.0f);
  EXPECT_EQ(ends[1], 0.0f);
  EXPECT_EQ(ends[2], 1.0f);
  EXPECT_EQ(ends[3], 1.0f);
  EXPECT_TRUE(std::isnan(ends[4]));
}
