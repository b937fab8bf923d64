//===- RowKernelsTest.cpp - row kernels against double precision ------------------------===//
//
// Every kernel over widths around the number of lanes, from views and in place; one thread and
// three must give the same bits.
//
#include "KernelRunner.h"

#include "llmc/Lower/Cpu/RowKernels.h"

#include "gtest/gtest.h"

#include <cmath>

using namespace llmc;
using namespace llmc::test;

namespace {
class RowKernels : public ::testing::TestWithParam<int64_t> {
protected:
  /// A view of `width` columns inside a wider buffer, filled with numbers.
  Rows input(int64_t rows, int64_t width, double low = -3, double high = 3) {
    Rows parent = Rows::make(arena, rows, width + 9);
    Rows view = parent.view(5, width);
    view.fill(arena, random, low, high);
    return view;
  }

  /// Runs with one thread and with three, and checks that the rest of the result's memory is left.
  void check(const Kernel &kernel, Call call, const Rows &y, const std::vector<double> &expected,
             double bound, const char *what) {
    runner.run(kernel, arena, weights, call);
    std::vector<float> one = y.values(arena);
    expectClose(one, expected, bound, what);
    for (int64_t r = 0; r < y.rows; ++r)
      std::memset(y.row(arena, r), 0xff, y.buffer.width * sizeof(float));
    call.threads = 3;
    runner.run(kernel, arena, weights, call);
    std::vector<float> three = y.values(arena);
    EXPECT_EQ(std::memcmp(one.data(), three.data(), one.size() * sizeof(float)), 0) << what;
    for (int64_t r = 0; r < y.rows; ++r)
      for (int64_t c = y.buffer.width; c < y.buffer.stride; ++c)
        EXPECT_TRUE(std::isnan(y.row(arena, r)[c])) << what << " writes behind the row";
  }

  /// f32 numbers in the weights; the offset.
  int64_t weight(const std::vector<float> &values) {
    int64_t offset = weights.allocate(values.size() * sizeof(float));
    std::copy(values.begin(), values.end(), weights.at<float>(offset));
    return offset;
  }

  std::vector<float> numbers(int64_t count) {
    std::uniform_real_distribution<float> value(-2, 2);
    std::vector<float> result(count);
    for (float &element : result)
      element = value(random);
    return result;
  }

  std::mt19937 random{7};
  KernelRunner runner{GetParam()};
  Memory arena{1 << 20}, weights{1 << 18};
};
INSTANTIATE_TEST_SUITE_P(Lanes, RowKernels, ::testing::Values(4, 8, 16));

double gelu(double x) { return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0))); }
double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
double activation(ActivationKind kind, double x) {
  switch (kind) {
  case ActivationKind::Relu:
    return std::max(x, 0.0);
  case ActivationKind::Gelu:
    return gelu(x);
  case ActivationKind::GeluTanh:
    return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
  case ActivationKind::Silu:
    return x * sigmoid(x);
  case ActivationKind::QuickGelu:
    return x * sigmoid(1.702 * x);
  case ActivationKind::Sigmoid:
    return sigmoid(x);
  case ActivationKind::Tanh:
    return std::tanh(x);
  case ActivationKind::Relu2:
    return std::max(x, 0.0) * std::max(x, 0.0);
  }
  return NAN;
}
} // namespace

TEST_P(RowKernels, RMSNorm) {
  for (auto [rows, size, groups] :
       {std::tuple(1, 64, 1), {5, 7, 1}, {3, 172, 1}, {4, 10, 6}, {1, 32, 4}}) {
    Rows x = input(rows, size * groups), y = Rows::make(arena, rows, size * groups);
    std::vector<float> scale = numbers(size);
    std::vector<double> expected;
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t g = 0; g < groups; ++g) {
        const float *slice = x.row(arena, r) + g * size;
        double squares = 0;
        for (int64_t c = 0; c < size; ++c)
          squares += double(slice[c]) * slice[c];
        for (int64_t c = 0; c < size; ++c)
          expected.push_back(slice[c] / std::sqrt(squares / size + 1e-5) * scale[c]);
      }
    Kernel kernel = getRMSNormKernel(runner.builder(), x.buffer, y.buffer, groups, 1e-5);
    check(kernel, {rows, rows, 0, 1, {x.offset, weight(scale), y.offset}}, y, expected, 4e-6,
          "rms_norm");
  }
}

TEST_P(RowKernels, LayerNorm) {
  for (auto [rows, width, hasBias] :
       {std::tuple(1, 64, true), {5, 7, true}, {3, 172, false}, {2, 33, true}}) {
    // Far from zero: the variance must not come from a difference of large sums.
    Rows x = input(rows, width, 97, 103), y = Rows::make(arena, rows, width);
    std::vector<float> scale = numbers(width), bias = numbers(width);
    std::vector<double> expected;
    for (int64_t r = 0; r < rows; ++r) {
      const float *row = x.row(arena, r);
      double mean = 0, variance = 0;
      for (int64_t c = 0; c < width; ++c)
        mean += row[c] / double(width);
      for (int64_t c = 0; c < width; ++c)
        variance += (row[c] - mean) * (row[c] - mean) / width;
      for (int64_t c = 0; c < width; ++c)
        expected.push_back((row[c] - mean) / std::sqrt(variance + 1e-5) * scale[c] +
                           (hasBias ? bias[c] : 0));
    }
    Kernel kernel = getLayerNormKernel(runner.builder(), x.buffer, y.buffer, 1e-5, hasBias);
    Call call{rows, rows, 0, 1, {x.offset, weight(scale)}};
    if (hasBias)
      call.offsets.push_back(weight(bias));
    call.offsets.push_back(y.offset);
    check(kernel, call, y, expected, 5e-5, "layer_norm");
  }
}

TEST_P(RowKernels, Softmax) {
  for (auto [rows, width] : {std::pair(1, 64), {5, 7}, {3, 100}, {2, 1}}) {
    Rows x = input(rows, width, -20, 20), y = Rows::make(arena, rows, width);
    std::vector<double> expected;
    for (int64_t r = 0; r < rows; ++r) {
      const float *row = x.row(arena, r);
      double sum = 0;
      for (int64_t c = 0; c < width; ++c)
        sum += std::exp(double(row[c]));
      for (int64_t c = 0; c < width; ++c)
        expected.push_back(std::exp(double(row[c])) / sum);
    }
    Kernel kernel = getSoftmaxKernel(runner.builder(), x.buffer, y.buffer);
    check(kernel, {rows, rows, 0, 1, {x.offset, y.offset}}, y, expected, 1e-6, "softmax");
  }
}

TEST_P(RowKernels, Rope) {
  const int64_t rows = 6, sequence = 3, past = 11, context = 20;
  for (RopeLayout layout : {RopeLayout::Half, RopeLayout::Interleaved})
    for (auto [heads, size, pairs] : {std::tuple(2, 8, 4), {3, 10, 4}, {2, 64, 32}, {1, 44, 19}}) {
      Rows x = input(rows, heads * size), y = Rows::make(arena, rows, heads * size);
      SmallVector<double> frequencies;
      for (int64_t i = 0; i < pairs; ++i)
        frequencies.push_back(std::pow(1e4, -double(i) / pairs));
      std::vector<float> table = makeRopeTable(frequencies, 1.25, context);
      ASSERT_EQ(table.size(), size_t(context * 2 * pairs));
      std::vector<double> expected;
      for (int64_t r = 0; r < rows; ++r)
        for (int64_t h = 0; h < heads; ++h) {
          const float *head = x.row(arena, r) + h * size;
          std::vector<double> turned(head, head + size);
          for (int64_t i = 0; i < pairs; ++i) {
            bool half = layout == RopeLayout::Half;
            int64_t p = half ? i : 2 * i, q = half ? i + pairs : 2 * i + 1;
            double angle = (past + r % sequence) * frequencies[i];
            turned[p] = 1.25 * (head[p] * std::cos(angle) - head[q] * std::sin(angle));
            turned[q] = 1.25 * (head[q] * std::cos(angle) + head[p] * std::sin(angle));
          }
          expected.insert(expected.end(), turned.begin(), turned.end());
        }
      Kernel kernel = getRopeKernel(runner.builder(), x.buffer, y.buffer, heads, pairs, layout);
      int64_t place = weight(table);
      check(kernel, {rows, sequence, past, 1, {x.offset, place, y.offset}}, y, expected, 1e-5,
            "rope");
      // In place.
      for (int64_t r = 0; r < rows; ++r)
        std::copy_n(x.row(arena, r), heads * size, y.row(arena, r));
      Kernel inPlace = getRopeKernel(runner.builder(), y.buffer, y.buffer, heads, pairs, layout);
      runner.run(inPlace, arena, weights, {rows, sequence, past, 3, {y.offset, place, y.offset}});
      expectClose(y.values(arena), expected, 1e-5, "rope in place");
    }
}

TEST_P(RowKernels, Positions) {
  Kernel kernel = getPositionsKernel(runner.builder(), 2);
  int64_t place = arena.allocate(64);
  runner.run(kernel, arena, weights, {6, 3, 40, 3, {place}});
  for (int32_t i = 0; i < 6; ++i)
    EXPECT_EQ(arena.at<int32_t>(place)[i], 42 + i % 3);
}

TEST_P(RowKernels, Activation) {
  for (int kind = 0; kind <= int(getMaxEnumValForActivationKind()); ++kind)
    for (auto [rows, width] : {std::pair(1, 300), {3, 13}}) {
      auto activate = static_cast<ActivationKind>(kind);
      Rows x = input(rows, width, -6, 6), up = input(rows, width);
      Rows y = Rows::make(arena, rows, width);
      std::vector<float> in = x.values(arena), factors = up.values(arena);
      std::vector<double> expected, gated;
      for (size_t i = 0; i < in.size(); ++i) {
        expected.push_back(activation(activate, in[i]));
        gated.push_back(expected.back() * factors[i]);
      }
      std::string name = stringifyActivationKind(activate).str();
      check(getActivationKernel(runner.builder(), activate, x.buffer, y.buffer),
            {rows, rows, 0, 1, {x.offset, y.offset}}, y, expected, 5e-6, name.c_str());
      check(getGatedActivationKernel(runner.builder(), activate, x.buffer, up.buffer, y.buffer),
            {rows, rows, 0, 1, {x.offset, up.offset, y.offset}}, y, gated, 1e-5, name.c_str());
    }
}

TEST_P(RowKernels, ActivationsFarOut) {
  Rows x = Rows::make(arena, 1, 4), y = Rows::make(arena, 1, 4);
  const float ends[] = {-1e30f, -200.0f, 200.0f, NAN};
  for (ActivationKind kind : {ActivationKind::Gelu, ActivationKind::GeluTanh, ActivationKind::Silu,
                              ActivationKind::QuickGelu, ActivationKind::Relu}) {
    std::copy_n(ends, 4, x.row(arena, 0));
    runner.run(getActivationKernel(runner.builder(), kind, x.buffer, y.buffer), arena, weights,
               {1, 1, 0, 1, {x.offset, y.offset}});
    const float *result = y.row(arena, 0);
    std::string name = stringifyActivationKind(kind).str();
    EXPECT_EQ(result[0], 0.0f) << name;
    EXPECT_EQ(result[1], 0.0f) << name;
    EXPECT_EQ(result[2], 200.0f) << name;
    EXPECT_TRUE(std::isnan(result[3])) << name;
  }
}

TEST_P(RowKernels, Binary) {
  double (*const operations[])(double,
                               double) = {[](double a, double b) { return a + b; },
                                          [](double a, double b) { return a - b; },
                                          [](double a, double b) { return a * b; },
                                          [](double a, double b) { return a / b; },
                                          [](double a, double b) { return std::max(a, b); },
                                          [](double a, double b) { return std::min(a, b); }};
  const char *const names[] = {"add", "sub", "mul", "div", "max", "min"};
  for (auto [name, operation] : llvm::zip(names, operations))
    for (auto [rows, width] : {std::pair(1, 300), {3, 13}}) {
      Rows a = input(rows, width), b = input(rows, width, 1, 3), y = Rows::make(arena, rows, width);
      std::vector<float> left = a.values(arena), right = b.values(arena);
      std::vector<double> expected;
      for (size_t i = 0; i < left.size(); ++i)
        expected.push_back(operation(left[i], right[i]));
      check(getBinaryKernel(runner.builder(), name, a.buffer, b.buffer, y.buffer),
            {rows, rows, 0, 1, {a.offset, b.offset, y.offset}}, y, expected, 1e-6, name);
    }
}

TEST_P(RowKernels, BinaryRepeatsARowOfStrideZero) {
  Rows a = input(3, 20), b = input(1, 20), y = Rows::make(arena, 3, 20);
  b.buffer.stride = 0;
  std::vector<double> expected;
  for (int64_t r = 0; r < 3; ++r)
    for (int64_t c = 0; c < 20; ++c)
      expected.push_back(double(a.row(arena, r)[c]) + b.row(arena, 0)[c]);
  check(getBinaryKernel(runner.builder(), "add", a.buffer, b.buffer, y.buffer),
        {3, 3, 0, 1, {a.offset, b.offset, y.offset}}, y, expected, 1e-6, "add");
}

TEST_P(RowKernels, ScaleAndCopy) {
  Rows x = input(3, 45), y = Rows::make(arena, 3, 45);
  std::vector<float> in = x.values(arena);
  std::vector<double> scaled, copied(in.begin(), in.end());
  for (float element : in)
    scaled.push_back(element * 2.5);
  Call call{3, 3, 0, 1, {x.offset, y.offset}};
  check(getScaleKernel(runner.builder(), 2.5, x.buffer, y.buffer), call, y, scaled, 1e-6, "scale");
  check(getCopyRowsKernel(runner.builder(), x.buffer, y.buffer), call, y, copied, 0, "copy");
}

TEST_P(RowKernels, Expect) {
  Rows x = input(3, 13);
  std::vector<float> in = x.values(arena);
  int64_t expected = weight(in), flag = arena.allocate(64);
  RowBuffer dense{13, 13};
  auto found = [&](const Kernel &kernel) {
    runner.run(kernel, arena, weights, {3, 3, 0, 3, {x.offset, expected, flag}});
    return *arena.at<int32_t>(flag);
  };
  Kernel equal = getExpectKernel(runner.builder(), x.buffer, dense, 0, 0, true, true);
  Kernel close = getExpectKernel(runner.builder(), x.buffer, dense, 1e-3, 1e-3, false, true);
  EXPECT_EQ(found(equal), 0);
  EXPECT_EQ(found(close), 0);
  weights.at<float>(expected)[20] = 0;
  weights.at<float>(expected)[30] = NAN;
  x.row(arena, 1)[7] = 5e-4f; // element 20
  EXPECT_EQ(found(equal), 21);
  EXPECT_EQ(found(close), 31);
  weights.at<float>(expected)[5] = x.row(arena, 0)[5] + 0.1f;
  EXPECT_EQ(found(equal), 6);
  EXPECT_EQ(found(close), 6);
  // Against rows of the arena.
  Kernel rows = getExpectKernel(runner.builder(), x.buffer, x.buffer, 0, 0, true, false);
  runner.run(rows, arena, weights, {3, 3, 0, 1, {x.offset, x.offset, flag}});
  EXPECT_EQ(*arena.at<int32_t>(flag), 0);
}
