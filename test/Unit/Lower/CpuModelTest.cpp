// Register blocks that were found by measuring come out of the model, and it knows its limits.
#include "llmc/Lower/Cpu/CpuModel.h"

#include "llmc/Lower/Cpu/KernelBuilder.h"

#include <gtest/gtest.h>

using namespace llmc;

namespace {

constexpr VectorShape kAvx2 = {8, 16, true, DotKind::Maddubs};
constexpr VectorShape kAvx512 = {16, 32, true, DotKind::Vnni};
constexpr VectorShape kTiles = {16, 32, true, DotKind::Vnni, nullptr, /*tiles=*/true};
constexpr VectorShape kNeon = {4, 32, true, DotKind::Sdot};

TEST(CpuModel, FindsAProcessorByNameAndShape) {
  EXPECT_EQ(getCpuModel("znver3", kAvx2).name, "znver3");
  EXPECT_EQ(getCpuModel("znver5", kAvx512).name, "znver5");
  // With AVX-512 turned off, or unknown.
  EXPECT_EQ(getCpuModel("znver5", kAvx2).name, "generic 256-bit");
  EXPECT_EQ(getCpuModel("x86-64-v9", kAvx512).name, "generic 512-bit with VNNI");
  EXPECT_EQ(getCpuModel("", kNeon).name, "generic 128-bit");
  EXPECT_EQ(getCpuModel("broadwell", kAvx2).name, "haswell");
  EXPECT_EQ(getCpuModel("graniterapids-d", kAvx512).name, "graniterapids");
}

TEST(CpuModel, KnowsMatrixUnits) {
  EXPECT_EQ(getCpuModel("sapphirerapids", kTiles).name, "sapphirerapids");
  EXPECT_EQ(getCpuModel("sapphirerapids", kAvx512).name, "sapphirerapids");
  // A unit that a processor is not known to have gets the rate of those that are.
  EXPECT_EQ(getCpuModel("znver5", kTiles).name, "generic 512-bit with VNNI");
  EXPECT_EQ(getCpuModel("", kTiles).tile, 16 * 16 * 64 / 16);
  EXPECT_EQ(getCpuModel("znver5", kAvx512).tile, 0);
}

TEST(CpuModel, BlocksAreThoseThatMeasuredBest) {
  const CpuModel &zen3 = getCpuModel("znver3", kAvx2);
  RegisterBlock floats = chooseBlock(zen3, zen3.fma, 16, 4, false);
  EXPECT_EQ(floats.rows, 6);
  EXPECT_EQ(floats.vectors, 2);
  RegisterBlock bytes = chooseBlock(zen3, zen3.narrowDot, 16, 4, true);
  EXPECT_EQ(bytes.rows, 4);
  EXPECT_EQ(bytes.vectors, 2);
  const CpuModel &zen5 = getCpuModel("znver5", kAvx512);
  RegisterBlock dots = chooseBlock(zen5, zen5.dot, 32, 4, false);
  EXPECT_EQ(dots.rows, 6);
  EXPECT_EQ(dots.vectors, 4);
}

// 12 rows by one vector of weights keep Zen 4 busy and starve Zen 5, which has twice the dot
// products and the same loads for each.
TEST(CpuModel, LoadPortsBoundTallBlocks) {
  const CpuModel &zen4 = getCpuModel("znver4", kAvx512), &zen5 = getCpuModel("znver5", kAvx512);
  EXPECT_GT(blockCycles(zen5, zen5.dot, {12, 1}), 1.05 / zen5.dot);
  EXPECT_DOUBLE_EQ(blockCycles(zen5, zen5.dot, {6, 4}), 1 / zen5.dot);
  EXPECT_DOUBLE_EQ(blockCycles(zen4, zen4.dot, {6, 4}), 1 / zen4.dot);
}

TEST(CpuModel, FewChainsWaitForTheirSums) {
  const CpuModel &zen5 = getCpuModel("znver5", kAvx512);
  EXPECT_DOUBLE_EQ(blockCycles(zen5, zen5.dot, {2, 2}), zen5.latency / 4.0);
}

TEST(CpuModel, BlocksFitTheRegisters) {
  for (int64_t registers : {8, 16, 32})
    for (int64_t vectors : {1, 2, 4, 8})
      for (bool pairs : {false, true}) {
        const CpuModel &cpu = getCpuModel("", kAvx2);
        RegisterBlock block = chooseBlock(cpu, cpu.dot, registers, vectors, pairs);
        EXPECT_LE((pairs ? 2 : 1) * block.rows * block.vectors, registers);
        EXPECT_EQ(vectors % block.vectors, 0);
      }
}

} // namespace
