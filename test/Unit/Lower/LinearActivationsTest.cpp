//===- LinearActivationsTest.cpp - linear kernels with quantized activations ------------===//
#include "LinearTestSupport.h"
#include "TileEmulator.h"

#include "llmc/Runtime/llmcrt.h"

#include <cmath>
#include <cstring>
#include <gtest/gtest.h>

using namespace mlir;
using namespace llmc;
using namespace llmc::test;

namespace {

struct Quantized {
  std::vector<int64_t> codes;
  std::vector<float> scales; ///< one for each input.
};

Quantized quantize(ArrayRef<float> x, int64_t k, int64_t group) {
  Quantized result;
  for (size_t row = 0; row < x.size(); row += k)
    for (int64_t begin = 0; begin < k; begin += group) {
      int64_t end = std::min(begin + group, k);
      float largest = 0;
      for (int64_t i = begin; i < end; ++i)
        largest = std::max(largest, std::abs(x[row + i]));
      float scale = largest / 127;
      for (int64_t i = begin; i < end; ++i) {
        result.codes.push_back(scale > 0 ? std::nearbyint(x[row + i] / scale) : 0);
        result.scales.push_back(scale);
      }
    }
  return result;
}

// With weight scales of one, a per-token result is one rounded product of the scale and an integer:
// bits must match. Of a table the integers are 127 times the weights.
void checkExact(const std::string &scheme, int64_t n, int64_t k, float low,
                VectorShape shape = {8, 16}, const std::vector<int64_t> &rowCounts = {1, 7},
                bool tileCode = false) {
  std::string type =
      "!llmc.compressed<" + std::to_string(n) + "x" + std::to_string(k) + "xf32, " + scheme + ">";
  RandomWeight weight(type, 5, /*unitScales=*/true);
  LinearRunner runner({weight, 0, shape, false, false, tileCode});
  CodeFormat format = getCodeFormat(weight.op.getType());
  float unit = format.kind == CodeFormat::Kind::Table ? 127 : 1;
  std::vector<int64_t> counts = rowCounts; // Of panels, too.
  counts.push_back(kManyRows);
  for (int64_t rows : counts) {
    std::vector<float> x = randomFloats(rows * k, 3, low, 1);
    std::fill_n(x.begin() + (rows - 1) * k, rows > 1 ? k : 0, 0.0f); // A row of zeros.
    Quantized q = quantize(x, k, k);
    std::vector<float> got = runner.run(x, {}, {}, 1);
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t o = 0; o < n; ++o) {
        int64_t sum = 0;
        for (int64_t i = 0; i < k; ++i)
          sum += q.codes[r * k + i] * std::lround(unit * weight.dense[o * k + i]);
        float want = static_cast<float>(sum) * (q.scales[r * k] / unit);
        ASSERT_EQ(got[r * n + o], want)
            << type << ", " << rows << " rows, row " << r << ", output " << o;
      }
    std::vector<float> three = runner.run(x, {}, {}, 3);
    ASSERT_EQ(std::memcmp(got.data(), three.data(), got.size() * 4), 0) << type;
    runner.expectRowsOfOne(x, {}, {}, type);
  }
}

void checkClose(const std::string &scheme, int64_t n, int64_t k, int64_t group,
                VectorShape shape = {8, 16}) {
  std::string type =
      "!llmc.compressed<" + std::to_string(n) + "x" + std::to_string(k) + "xf32, " + scheme + ">";
  RandomWeight weight(type, 5);
  LinearRunner runner({weight, group, shape});
  for (int64_t rows : {int64_t(1), int64_t(7), kManyRows}) {
    std::vector<float> x = randomFloats(rows * k, 3);
    Quantized q = quantize(x, k, group ? group : k);
    std::vector<float> got = runner.run(x, {}, {}, 1);
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t o = 0; o < n; ++o) {
        double want = 0, magnitude = 0;
        for (int64_t i = 0; i < k; ++i) {
          double product = static_cast<double>(q.codes[r * k + i]) * q.scales[r * k + i] *
                           weight.dense[o * k + i];
          want += product;
          magnitude += std::abs(product);
        }
        ASSERT_NEAR(got[r * n + o], want, 2e-6 * (magnitude + 1e-3))
            << type << ", activation group " << group << ", " << rows << " rows, row " << r
            << ", output " << o;
      }
    runner.expectRowsOfOne(x, {}, {}, type);
  }
}

// Shapes of every instruction set; those this machine lacks are computed without it, with the same
// tiles.
constexpr VectorShape kPlain = {8, 16}, kMaddubs = {8, 16, true, DotKind::Maddubs},
                      kVnni = {8, 16, true, DotKind::Vnni},
                      kWideVnni = {16, 32, true, DotKind::Vnni},
                      kSdot = {4, 32, true, DotKind::Sdot},
                      kTiles = {16, 32, true, DotKind::Vnni, nullptr, /*tiles=*/true};

TEST(LinearActivations, PerTokenIsExact) {
  for (VectorShape shape : {kPlain, kMaddubs}) {
    checkExact("#llmc.int<4, group = 32, scale = f16>", 33, 300, -1, shape);
    checkExact("#llmc.int<4, group = 5, symmetric, scale = f16>", 33, 77, -1, shape);
    checkExact("#llmc.int<3, group = 64, scale = f16>", 40, 333, -1, shape);
    checkExact("#llmc.int<8, group = 128, symmetric, scale = f16>", 33, 260, -1, shape);
    checkExact("#llmc.ternary", 33, 700, -1, shape);
    checkExact("#llmc.mask<#llmc.int<4, group = 32, scale = f16>>", 33, 203, -1, shape);
    checkExact("#llmc.nm<2:4, #llmc.int<4, group = 32, scale = f16>>", 33, 142, -1, shape);
    checkExact("#llmc.nm<2:4, #llmc.int<8, group = 0, scale = f16>>", 33, 2100, 0, shape);
  }
}

TEST(LinearActivations, DotsOfEveryWidth) {
  // Inputs near the maximum: sums of 16 bits come close to their bound.
  for (int bits = 2; bits <= 8; ++bits)
    checkExact("#llmc.int<" + std::to_string(bits) + ", group = 32, scale = f16>", 40, 101, 0.9f,
               kMaddubs);
}

TEST(LinearActivations, DotsOfAnyShape) {
  for (int64_t k : {1, 2, 4, 5, 31, 36, 1029})
    checkExact("#llmc.int<4, group = 32, scale = f16>", k % 3 ? 33 : 1, k, -1, kMaddubs);
  for (int group : {0, 4, 8, 12, 16, 24, 48, 64, 100, 128, 516, 600, 1000})
    checkExact("#llmc.int<4, group = " + std::to_string(group) + ", scale = f16>", 33, 1300, -1,
               kMaddubs);
  checkExact("#llmc.int<3, group = 8, symmetric, scale = f32>", 17, 77, -1, kMaddubs);
  checkExact("#llmc.int<8, group = 516, scale = f16>", 33, 1100, -1, kMaddubs);
}

TEST(LinearActivations, DotsOfOtherInstructionSets) {
  for (VectorShape shape : {kVnni, kWideVnni, kSdot}) {
    checkExact("#llmc.int<4, group = 32, scale = f16>", 70, 300, -1, shape);
    checkExact("#llmc.int<8, group = 128, symmetric, scale = f16>", 33, 260, -1, shape);
    checkExact("#llmc.ternary", 70, 700, -1, shape);
  }
}

// As Linear.TilesSideBySide.
TEST(LinearActivations, TilesSideBySide) {
  for (VectorShape shape : {kPlain, kMaddubs, kVnni, kWideVnni}) {
    CpuModel eager = getCpuModel("", shape);
    eager.streamMatrix = 0;
    shape.cpu = &eager;
    const std::vector<int64_t> rows = {1, 2};
    for (int group : {0, 4, 8, 24, 32, 48, 128})
      checkExact("#llmc.int<4, group = " + std::to_string(group) + ", scale = f16>", 555, 173, -1,
                 shape, rows);
    checkExact("#llmc.int<4, group = 600, scale = f16>", 300, 1300, -1, shape, rows);
    checkExact("#llmc.int<8, group = 0, symmetric, scale = f32>", 1000, 101, -1, shape, rows);
    checkExact("#llmc.int<5, group = 32, scale = f16>", 256, 64, 0.9f, shape, rows);
    checkExact("#llmc.ternary", 555, 150, -1, shape, rows);
    checkExact("#llmc.ternary<base3>", 300, 70, -1, shape, rows);
    checkExact("#llmc.table<nf4_i8, group = 64, scale = f16>", 555, 130, -1, shape, rows);
    checkExact("#llmc.nm<2:4, #llmc.int<4, group = 32, scale = f16>>", 555, 142, -1, shape, rows);
    checkClose("#llmc.int<4, group = 32, scale = f16>", 555, 100, 32, shape);
  }
}

TEST(LinearActivations, BlocksOfTileRegisters) {
  // Less than a block of rows, one and a part of another, and more than share a panel.
  checkExact("#llmc.int<4, group = 128, scale = f16>", 70, 1300, -1, kTiles, {1, 5, 40, 100});
  // Half of a tile; scales of each group of inputs too.
  checkExact("#llmc.int<3, group = 32, scale = f16>", 33, 203, -1, kTiles, {33});
  checkExact("#llmc.int<8, group = 96, symmetric, scale = f16>", 33, 300, 0.9f, kTiles, {4});
  checkClose("#llmc.int<4, group = 32, scale = f16>", 33, 203, 64, kTiles);
  // Chunks longer than a panel; panels that end within a tile.
  checkExact("#llmc.int<8, group = 0, symmetric, scale = f32>", 33, 1029, 0, kTiles, {4, 34});
  checkExact("#llmc.int<8, group = 576, scale = f16>", 33, 1300, 0.9f, kTiles, {4});
  checkExact("#llmc.ternary<base3>", 70, 1100, -1, kTiles, {7});
  checkExact("#llmc.table<nf4_i8, group = 64, scale = f16>", 1, 333, -1, kTiles, {7});
  checkExact("#llmc.int<4, group = 0, scale = f16>", 65, 1, -1, kTiles, {7});
  // Not by blocks: groups that fill no half of a tile.
  checkExact("#llmc.int<4, group = 48, scale = f16>", 33, 203, -1, kTiles, {7});
}

// The same by the instructions themselves.
TEST(LinearActivations, TileInstructions) {
  if (!enableTiles())
    GTEST_SKIP() << "tile instructions are of x86-64";
  int64_t before = emulatedProducts();
  auto check = [&](const std::string &scheme, int64_t n, int64_t k, std::vector<int64_t> rows) {
    checkExact(scheme, n, k, -1, kTiles, rows, /*tileCode=*/true);
  };
  check("#llmc.int<4, group = 128, scale = f16>", 70, 300, {5, 40});
  check("#llmc.int<3, group = 32, scale = f16>", 33, 203, {7});
  check("#llmc.int<8, group = 0, symmetric, scale = f32>", 33, 1029, {34});
  check("#llmc.ternary<base3>", 33, 1100, {7});
  EXPECT_TRUE(llmcrt_cpu_has("amx-int8") == 1 || emulatedProducts() > before);
}

TEST(LinearActivations, BytesOfFiveTernaryCodes) {
  for (VectorShape shape : {kPlain, kMaddubs, kVnni, kWideVnni, kSdot})
    for (int64_t k : {1, 4, 6, 20, 39, 700}) {
      checkExact("#llmc.ternary<base3>", k % 3 ? 70 : 1, k, -1, shape);
      checkExact("#llmc.ternary<base3>", 33, k, 0.9f, shape);
    }
  for (VectorShape shape : {kPlain, kMaddubs, kVnni}) {
    checkExact("#llmc.mask<#llmc.ternary<base3>>", 33, 203, -1, shape);
    checkExact("#llmc.nm<2:4, #llmc.ternary<base3>>", 33, 203, -1, shape);
    for (int64_t group : {5, 20, 32, 40, 64, 600, 1020})
      checkClose("#llmc.ternary<base3>", 33, 2103, group, shape);
  }
}

TEST(LinearActivations, TablesOfIntegersAreExact) {
  for (VectorShape shape : {kPlain, kMaddubs, kVnni, kWideVnni, kSdot}) {
    checkExact("#llmc.table<nf4_i8, group = 64, scale = f16>", 70, 333, -1, shape);
    checkExact("#llmc.table<nf4_i8, group = 0, scale = f32>", 33, 1029, 0.9f, shape);
  }
  for (VectorShape shape : {kPlain, kMaddubs}) {
    for (int64_t k : {1, 2, 5, 36, 70})
      checkExact("#llmc.table<nf4_i8, group = 32, scale = f16>", k % 3 ? 33 : 1, k, -1, shape);
    checkExact("#llmc.table<nf4_i8, group = 5, scale = f16>", 33, 77, -1, shape);
    checkExact("#llmc.table<nf4_i8, group = 600, scale = f16>", 33, 1300, -1, shape);
    checkExact("#llmc.mask<#llmc.table<nf4_i8, group = 32, scale = f16>>", 33, 203, -1, shape);
    checkExact("#llmc.nm<2:4, #llmc.table<nf4_i8, group = 32, scale = f16>>", 33, 142, -1, shape);
    checkExact("#llmc.nm<2:4, #llmc.table<nf4_i8, group = 0, scale = f16>>", 33, 2100, 0, shape);
  }
}

TEST(LinearActivations, TablesOfFloats) {
  for (VectorShape shape : {kPlain, kMaddubs}) {
    for (int64_t group : {0, 5, 32, 64, 100}) {
      checkClose("#llmc.table<nf4, group = 64, scale = f16>", 33, 203, group, shape);
      checkClose("#llmc.table<nf4_i8, group = 64, scale = f16>", 33, 203, group, shape);
    }
    checkClose("#llmc.nm<2:4, #llmc.table<nf4, group = 32, scale = f16>>", 33, 203, 64, shape);
    checkClose("#llmc.nm<2:4, #llmc.table<nf4_i8, group = 32, scale = f16>>", 33, 203, 30, shape);
  }
}

TEST(LinearActivations, DotsOfPickedInputs) {
  auto pairs = [](const std::string &inner) { return "#llmc.nm<2:4, #llmc." + inner + ">"; };
  // Tails of patterns and quads: an input that is picked by a code that is not there counts
  // nothing.
  for (int64_t k : {1, 3, 4, 7, 9, 12, 142})
    checkExact(pairs("int<4, group = 0, scale = f16>"), k % 3 ? 33 : 1, k, 0.5f, kMaddubs);
  for (int group : {8, 24, 64, 600})
    checkExact(pairs("int<4, group = " + std::to_string(group) + ", scale = f16>"), 33, 1300, -1,
               kMaddubs);
  for (int bits : {2, 3, 5, 7, 8})
    checkExact(pairs("int<" + std::to_string(bits) + ", group = 32, symmetric, scale = f16>"), 40,
               203, 0.9f, kMaddubs);
  checkExact(pairs("int<7, group = 64, scale = f16>"), 40, 203, 0.9f, kMaddubs);
  checkExact(pairs("int<8, group = 0, symmetric, scale = f16>"), 33, 3001, 0, kMaddubs);
  checkExact(pairs("ternary"), 33, 700, -1, kMaddubs);
  for (int64_t group : {8, 48, 1000})
    checkClose(pairs("int<4, group = 32, scale = f16>"), 33, 203, group, kMaddubs);
  checkClose(pairs("int<8, group = 128, symmetric, scale = f16>"), 33, 700, 32, kMaddubs);
  checkExact(pairs("int<4, group = 32, scale = f16>"), 33, 75, 0.9f, kSdot);
  // Inputs as unsigned bytes, weights as signed ones; all inputs positive and all signs.
  for (VectorShape shape : {kVnni, kWideVnni}) {
    for (int64_t k : {1, 7, 12, 142, 3001})
      for (float low : {-1.0f, 0.0f})
        checkExact(pairs("int<8, group = 0, symmetric, scale = f16>"), k % 3 ? 65 : 1, k, low,
                   shape);
    for (int group : {8, 24, 64, 600})
      checkExact(pairs("int<4, group = " + std::to_string(group) + ", scale = f16>"), 33, 1300, -1,
                 shape);
    checkExact(pairs("ternary"), 33, 700, -1, shape);
    checkExact(pairs("table<nf4_i8, group = 64, scale = f16>"), 40, 203, -1, shape);
    checkClose(pairs("int<4, group = 32, scale = f16>"), 70, 203, 48, shape);
  }
}

TEST(LinearActivations, LongSumsStayExact) {
  // All inputs positive: sums of codes pass 2^24, where f32 would round.
  for (VectorShape shape : {kPlain, kMaddubs}) {
    checkExact("#llmc.int<8, group = 0, scale = f32>", 33, 2005, 0, shape);
    checkExact("#llmc.int<8, group = 0, symmetric, scale = f16>", 20, 3001, 0, shape);
  }
}

TEST(LinearActivations, PerGroupOfAnySize) {
  for (VectorShape shape : {kPlain, kMaddubs}) {
    for (int64_t group : {5, 8, 16, 20, 32, 48, 64, 100, 1000})
      checkClose("#llmc.int<4, group = 32, scale = f16>", 33, 203, group, shape);
    checkClose("#llmc.int<8, group = 0, scale = f16>", 33, 700, 32, shape);
    checkClose("#llmc.int<8, group = 512, scale = f16>", 33, 1600, 1024, shape);
    checkClose("#llmc.int<8, group = 300, scale = f16>", 33, 1000, 600, shape);
    checkClose("#llmc.int<8, group = 351, scale = f16>", 33, 1000, 702, shape);
    checkClose("#llmc.int<5, group = 20, scale = f16>", 33, 203, 40, shape);
    checkClose("#llmc.int<5, group = 80, scale = f16>", 33, 203, 40, shape);
    checkClose("#llmc.ternary", 33, 203, 32, shape);
  }
}

TEST(LinearActivations, OtherFormats) {
  checkClose("#llmc.dense<f32>", 33, 203, 0);
  checkClose("#llmc.dense<f32>", 33, 203, 32);
  checkClose("#llmc.dense<f16>", 33, 1203, 600);
  checkClose("#llmc.nm<2:4, #llmc.int<4, group = 32, scale = f16>>", 33, 203, 64);
  checkClose("#llmc.nm<2:4, #llmc.int<4, group = 32, scale = f16>>", 33, 203, 30);
  checkClose("#llmc.nm<3:8, #llmc.dense<f16>>", 33, 203, 16);
  checkClose("#llmc.mask<#llmc.int<4, group = 32, scale = f16>>", 33, 203, 0);
}

} // namespace
