//===- DotsTest.cpp - integer dot products on this machine ------------------------------===//
#include "LinearTestSupport.h"

#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

#include <cstring>
#include <gtest/gtest.h>

using namespace mlir;
using namespace llmc;
using namespace llmc::test;

namespace {

constexpr int64_t kDots = 40;

// One accumulator through a chain of dots: start in the arena, then inputs; codes are the weights.
CompiledKernel makeChain(int64_t lanes, int64_t bound, bool isSigned) {
  return CompiledKernel({lanes, 16}, [&](KernelBuilder &builder) {
    return builder.getOrCreate("chain", 0, 0, [&](ImplicitLocOpBuilder &b, KernelFrame &frame) {
      auto sums = VectorType::get({lanes}, b.getI32Type());
      auto bytes = VectorType::get({4 * lanes}, b.getI8Type());
      Value zero = indexConstant(b, 0);
      Value words = viewAs(b, frame.arena, zero, b.getI32Type());
      Value sum = vector::LoadOp::create(b, sums, words, ValueRange{zero});
      for (int64_t i = 0; i < kDots; ++i) {
        Value at = indexConstant(b, 4 * lanes * i), after = indexConstant(b, 4 * lanes * (i + 1));
        Value codes = vector::LoadOp::create(b, bytes, frame.weights, ValueRange{at});
        Value inputs = vector::LoadOp::create(b, bytes, frame.arena, ValueRange{after});
        sum = DotI8Op::create(b, sum, codes, inputs, bound, isSigned);
      }
      vector::StoreOp::create(b, sum, words, ValueRange{zero});
    });
  });
}

void checkDots(ArrayRef<int64_t> bounds, bool isSigned) {
  std::mt19937 random(1);
  for (int64_t lanes : {4, 8, 16})
    for (int64_t bound : bounds) {
      CompiledKernel chain = makeChain(lanes, bound, isSigned);
      // Extremes of either sign, then random values.
      for (int trial = 0; trial < 4; ++trial) {
        std::vector<int8_t> arena(4 * lanes * (kDots + 1));
        std::vector<uint8_t> codes(4 * lanes * kDots); // Or int8_t.
        std::vector<int32_t> want(lanes), got(lanes);
        for (int64_t lane = 0; lane < lanes; ++lane)
          want[lane] = static_cast<int32_t>(random() % 1000) - 500;
        std::memcpy(arena.data(), want.data(), 4 * lanes);
        for (size_t i = 0; i < codes.size(); ++i) {
          bool extreme = trial < 2;
          int input = extreme ? (trial ? -127 : 127) : static_cast<int>(random() % 255) - 127;
          int64_t code = extreme ? bound : random() % (bound + 1);
          if (isSigned && (extreme || random() % 2))
            code = -code;
          if (isSigned && code > 127)
            code = 127;
          codes[i] = static_cast<uint8_t>(code);
          arena[4 * lanes + i] = static_cast<int8_t>(input);
          want[i / 4 % lanes] += code * input;
        }
        chain.run(reinterpret_cast<char *>(arena.data()),
                  reinterpret_cast<const char *>(codes.data()), 1, 1, 0, {});
        std::memcpy(got.data(), arena.data(), 4 * lanes);
        EXPECT_EQ(got, want) << lanes << " lanes, bound " << bound << ", trial " << trial;
      }
    }
}

TEST(Dots, ExactUpToTheirBound) {
  checkDots({1, 2, 3, 7, 15, 31, 63, 127, 128, 129, 255}, /*isSigned=*/false);
}

TEST(Dots, SignedCodes) { checkDots({1, 64, 127, 128}, /*isSigned=*/true); }

} // namespace
