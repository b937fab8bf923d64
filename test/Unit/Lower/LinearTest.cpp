//===- LinearTest.cpp - linear and embedding kernels with float activations -------------===//
#include "LinearTestSupport.h"

#include <cmath>
#include <cstring>
#include <gtest/gtest.h>

using namespace mlir;
using namespace llmc;
using namespace llmc::test;

namespace {

// |got - want| <= bound * sum of |products|, with a bound for k f32 additions; zero points make
// partial sums larger.
void expectProduct(const RandomWeight &weight, ArrayRef<float> x, ArrayRef<float> bias,
                   ArrayRef<float> residual, ArrayRef<float> got, double magnify,
                   const std::string &what) {
  int64_t n = weight.rows(), k = weight.columns(), rows = x.size() / k;
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t o = 0; o < n; ++o) {
      double want = 0, magnitude = 0;
      for (int64_t i = 0; i < k; ++i) {
        double product = static_cast<double>(x[r * k + i]) * weight.dense[o * k + i];
        want += product;
        magnitude += std::abs(product) + std::abs(x[r * k + i]) * magnify;
      }
      if (!bias.empty())
        want += bias[o];
      if (!residual.empty())
        want += residual[r * n + o];
      double bound = 6e-8 * (8 + k) * (magnitude + std::abs(want) + 1e-3);
      ASSERT_NEAR(got[r * n + o], want, bound) << what << ", row " << r << ", output " << o;
    }
}

void checkFormat(const std::string &scheme, int64_t n, int64_t k, ArrayRef<int64_t> rowCounts,
                 VectorShape shape = {8, 16}, bool extras = false) {
  std::string type = scheme.empty() ? "tensor<" : "!llmc.compressed<";
  type += std::to_string(n) + "x" + std::to_string(k);
  type += scheme.empty() ? "xf32>" : "xf32, " + scheme + ">";
  RandomWeight weight(type, 1 + n * 31 + k);
  LinearRunner runner({weight, std::nullopt, shape, extras, extras});
  CodeFormat format = getCodeFormat(weight.op.getType());
  double magnify = format.kind == CodeFormat::Kind::Int ? 0.04 * (1 << format.bits) : 0;
  // Panels, too.
  SmallVector<int64_t> counts(rowCounts);
  counts.push_back(kManyRows);
  for (int64_t rows : counts) {
    std::string what = type + " with " + std::to_string(rows) + " rows";
    std::vector<float> x = randomFloats(rows * k, 7), bias, residual;
    if (extras) {
      bias = randomFloats(n, 8);
      residual = randomFloats(rows * n, 9);
    }
    std::vector<float> one = runner.run(x, bias, residual, 1);
    expectProduct(weight, x, bias, residual, one, magnify, what);
    std::vector<float> three = runner.run(x, bias, residual, 3);
    ASSERT_EQ(std::memcmp(one.data(), three.data(), one.size() * 4), 0)
        << what << ": 1 and 3 threads differ";
    runner.expectRowsOfOne(x, bias, residual, what);
  }
}

TEST(Linear, DenseOfAnyShape) {
  checkFormat("", 1, 1, {1, 2, 3});
  checkFormat("", 70, 129, {1, 2, 7, 100}, {8, 16}, true);
  checkFormat("#llmc.dense<f16>", 32, 64, {1, 12}, {8, 16}, true);
  checkFormat("#llmc.dense<bf16>", 45, 37, {1, 6});
}

TEST(Linear, IntegersOfEveryWidth) {
  for (int bits = 2; bits <= 8; ++bits)
    checkFormat("#llmc.int<" + std::to_string(bits) + ", group = 32, scale = f16>", 40, 101,
                {1, 5});
}

TEST(Linear, GroupsOfAnySize) {
  for (int group : {0, 5, 8, 16, 20, 24, 48, 64, 100, 128, 1000})
    checkFormat("#llmc.int<4, group = " + std::to_string(group) + ", scale = f16>", 33, 300,
                {1, 4});
  checkFormat("#llmc.int<3, group = 8, symmetric, scale = f32>", 17, 77, {2, 9});
  checkFormat("#llmc.int<8, group = 200, symmetric, scale = f32>", 17, 477, {2, 9});
  checkFormat("#llmc.int<4, group = 32, symmetric, scale = f16>", 96, 256, {1, 200}, {8, 16}, true);
}

TEST(Linear, Ternary) {
  checkFormat("#llmc.ternary", 50, 203, {1, 8});
  checkFormat("#llmc.ternary", 3, 5, {1, 3});
}

TEST(Linear, TernaryInBytesOfFive) {
  for (int64_t k : {1, 5, 19, 20, 21, 203})
    checkFormat("#llmc.ternary<base3>", k % 3 ? 50 : 3, k, {1, 2, 8});
  checkFormat("#llmc.ternary<base3>", 70, 129, {1, 100}, {8, 16}, true);
  checkFormat("#llmc.mask<#llmc.ternary<base3>>", 33, 37, {1, 4});
  checkFormat("#llmc.nm<2:4, #llmc.ternary<base3>>", 33, 142, {1, 6});
  checkFormat("#llmc.nm<2:3, #llmc.ternary<base3>>", 33, 100, {2, 3});
  for (VectorShape shape : {VectorShape{4, 32}, VectorShape{4, 16}, VectorShape{16, 32}})
    checkFormat("#llmc.ternary<base3>", 70, 101, {1, 7}, shape, true);
}

TEST(Linear, Tables) {
  for (int group : {0, 5, 8, 20, 32, 64, 100, 1000})
    checkFormat("#llmc.table<nf4, group = " + std::to_string(group) + ", scale = f16>", 33, 300,
                {1, 4});
  checkFormat("#llmc.table<nf4, group = 64, scale = f32>", 70, 129, {1, 2, 7, 100}, {8, 16}, true);
  checkFormat("#llmc.table<nf4_i8, group = 64, scale = f16>", 1, 101, {1, 5});
  checkFormat("#llmc.table<nf4, group = 64, scale = f16>", 5, 1, {1, 3});
  checkFormat("#llmc.nm<2:4, #llmc.table<nf4, group = 32, scale = f16>>", 40, 142, {1, 6});
  checkFormat("#llmc.table<bnb_fp4, group = 64, scale = f16>", 33, 101, {1, 5});
  checkFormat("#llmc.nm<3:8, #llmc.table<nf4_i8, group = 64, scale = f16>>", 33, 135, {1, 3});
  checkFormat("#llmc.nm<2:3, #llmc.table<nf4, group = 32, scale = f16>>", 33, 100, {1, 3});
  checkFormat("#llmc.mask<#llmc.table<nf4, group = 32, scale = f16>>", 40, 101, {1, 4});
  for (VectorShape shape : {VectorShape{4, 32}, VectorShape{4, 16}, VectorShape{16, 32}})
    checkFormat("#llmc.table<nf4, group = 64, scale = f16>", 70, 101, {1, 7}, shape, true);
}

TEST(Linear, KeptOfEachGroup) {
  checkFormat("#llmc.nm<2:4, #llmc.int<4, group = 32, scale = f16>>", 40, 142, {1, 6});
  checkFormat("#llmc.nm<2:4, #llmc.dense<f32>>", 33, 75, {1, 3});
  checkFormat("#llmc.nm<1:4, #llmc.int<8, group = 0, symmetric, scale = f32>>", 33, 77, {1, 3});
  checkFormat("#llmc.nm<3:8, #llmc.int<3, group = 64, scale = f16>>", 33, 135, {1, 3});
  checkFormat("#llmc.nm<5:7, #llmc.ternary>", 33, 135, {2, 3});
  checkFormat("#llmc.nm<2:3, #llmc.int<4, group = 32, scale = f16>>", 33, 100, {1, 3});
  checkFormat("#llmc.nm<1:32, #llmc.dense<f16>>", 33, 100, {1, 3});
  checkFormat("#llmc.nm<2:4, #llmc.int<4, group = 4, scale = f16>>", 33, 50, {1, 3});
}

TEST(Linear, Masked) {
  checkFormat("#llmc.mask<#llmc.int<4, group = 32, scale = f16>>", 40, 101, {1, 4});
  checkFormat("#llmc.mask<#llmc.dense<f16>>", 33, 37, {1, 4});
  checkFormat("#llmc.mask<#llmc.ternary>", 33, 37, {1, 4});
}

// Parts of the tiles decoded in turn, whatever the size of the matrix; one thread has parts of
// other lengths than each of three, and tiles that are left over.
TEST(Linear, TilesSideBySide) {
  for (VectorShape shape : {VectorShape{8, 16}, VectorShape{16, 32}, VectorShape{8, 32}}) {
    CpuModel eager = getCpuModel("", shape);
    eager.streamMatrix = 0;
    shape.cpu = &eager;
    checkFormat("", 500, 37, {1, 2}, shape, true);
    checkFormat("#llmc.dense<f16>", 1000, 21, {1}, shape);
    checkFormat("#llmc.dense<bf16>", 128, 1, {1}, shape);
    for (int group : {0, 5, 16, 20, 32, 100})
      checkFormat("#llmc.int<4, group = " + std::to_string(group) + ", scale = f16>", 555, 101,
                  {1, 3}, shape, true);
    checkFormat("#llmc.int<3, group = 8, symmetric, scale = f32>", 300, 77, {1}, shape);
    checkFormat("#llmc.int<8, group = 0, symmetric, scale = f32>", 640, 130, {1}, shape);
    checkFormat("#llmc.ternary", 555, 50, {1}, shape);
    checkFormat("#llmc.table<nf4, group = 20, scale = f16>", 555, 50, {1}, shape);
    checkFormat("#llmc.nm<2:4, #llmc.int<4, group = 32, scale = f16>>", 555, 70, {1}, shape);
  }
}

TEST(Linear, OtherVectorShapes) {
  for (VectorShape shape : {VectorShape{4, 32}, VectorShape{4, 16}, VectorShape{16, 32}}) {
    checkFormat("#llmc.int<4, group = 32, scale = f16>", 70, 101, {1, 7}, shape, true);
    checkFormat("", 70, 37, {1, 13}, shape);
  }
}

TEST(Linear, HalvesWithoutInstructions) {
  checkFormat("#llmc.int<4, group = 32, scale = f16>", 33, 70, {1, 3}, {8, 16, false});
  checkFormat("#llmc.dense<f16>", 33, 70, {1, 3}, {8, 16, false});
}

TEST(Linear, SparseIsSmallerThanDense) {
  RandomWeight dense("!llmc.compressed<32x256xf32, #llmc.int<4, group = 32, scale = f16>>", 1);
  RandomWeight sparse(
      "!llmc.compressed<32x256xf32, #llmc.nm<2:4, #llmc.int<4, group = 32, scale = f16>>>", 1);
  auto bytes = [](const RandomWeight &weight) {
    Type type = weight.op.getType();
    return packedLinearBytes(type, getCodeFormat(type), {8, 16});
  };
  // 4 + 24/32 and 3 + 24/32 bits for each weight.
  EXPECT_EQ(bytes(dense), 32 * 256 * 152 / 32 / 8);
  EXPECT_EQ(bytes(sparse), 32 * 256 * 120 / 32 / 8);
}

TEST(Embedding, RowsOfBothLayouts) {
  for (const char *scheme :
       {"#llmc.dense<f32>", "#llmc.dense<f16>", "#llmc.int<4, group = 32, scale = f16>",
        "#llmc.int<7, group = 8, scale = f16>", "#llmc.int<3, group = 20, symmetric, scale = f32>",
        "#llmc.int<8, group = 0, scale = f32>", "#llmc.ternary", "#llmc.ternary<base3>",
        "#llmc.nm<2:4, #llmc.ternary<base3>>", "#llmc.table<nf4, group = 64, scale = f16>",
        "#llmc.table<nf4_i8, group = 20, scale = f32>",
        "#llmc.table<bnb_fp4, group = 20, scale = f32>",
        "#llmc.nm<2:4, #llmc.table<nf4, group = 16, scale = f16>>",
        "#llmc.mask<#llmc.table<nf4, group = 16, scale = f16>>",
        "#llmc.nm<2:4, #llmc.int<4, group = 32, scale = f16>>", "#llmc.nm<3:8, #llmc.dense<f16>>",
        "#llmc.mask<#llmc.int<5, group = 32, scale = f16>>"}) {
    constexpr int64_t rows = 37, columns = 93;
    RandomWeight weight("!llmc.compressed<37x93xf32, " + std::string(scheme) + ">", 3);
    Type type = weight.op.getType();
    CodeFormat format = getCodeFormat(type);
    VectorShape shape;
    RowBuffer y{columns, paddedStride(columns)};
    std::vector<char> own(packedEmbeddingBytes(type, format));
    std::vector<char> tied(packedLinearBytes(type, format, shape));
    ASSERT_TRUE(succeeded(packEmbedding(weight.op, format, own)));
    ASSERT_TRUE(succeeded(packLinear(weight.op, format, shape, tied)));
    for (bool packed : {false, true}) {
      CompiledKernel kernel(shape, [&](KernelBuilder &builder) {
        return packed ? getPackedEmbeddingKernel(builder, format, rows, columns, y)
                      : getEmbeddingKernel(builder, format, rows, columns, y);
      });
      std::vector<int32_t> ids = {0, 36, 17, 31, 32};
      std::vector<float> arena(16 + ids.size() * y.stride, NAN);
      std::memcpy(arena.data(), ids.data(), ids.size() * 4);
      std::vector<char> &table = packed ? tied : own;
      kernel.run(reinterpret_cast<char *>(arena.data()), table.data(), ids.size(), 2, 0,
                 {0, 0, 64});
      for (size_t r = 0; r < ids.size(); ++r)
        for (int64_t i = 0; i < columns; ++i)
          ASSERT_EQ(arena[16 + r * y.stride + i], weight.dense[ids[r] * columns + i])
              << scheme << ", packed " << packed << ", row " << r << ", column " << i;
    }
  }
}

} // namespace
