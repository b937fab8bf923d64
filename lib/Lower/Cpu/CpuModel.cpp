//===- CpuModel.cpp - what a processor can do, in numbers -------------------------------===//
//
// The table, and the choice of register blocks. Zen 3 was measured by llmc-bench machine; Zen 4 and
// Zen 5 by single instructions and loops (one 512-bit dot product a cycle, and two, with one and
// two loads); the others are from the vendors' optimisation guides and not measured. A product of
// tiles of AMX takes 16 cycles, one for each row of the first, says Intel's optimization reference
// manual: 16 x 16 x 64 products, 1024 a cycle. Decoding from several places in turn was measured on
// Zen 3, where one stream reads 18 GB/s and four read 22.
//
#include "llmc/Lower/Cpu/CpuModel.h"

#include "llmc/Lower/Cpu/KernelBuilder.h"

#include "llvm/ADT/StringSwitch.h"

#include <algorithm>

using namespace llmc;

//   name, lanes, vnni, GHz, fma, dot, narrowDot, loads, issue, latency, GB/s, prefetch, wide,
//   streams, ahead, tile
static constexpr CpuModel kModels[] = {
    {"znver3", 8, false, 3.2, 2, 0.97, 1.47, 2, 4, 4, 22, 2048, 1024, 4, 1024},
    {"znver4", 16, true, 3.7, 1, 1, 1, 1, 2, 4, 30, 4096, 4096, 4, 2048},
    {"znver5", 16, true, 4.0, 2, 2, 2, 2, 4, 4, 40, 8192, 8192, 4, 2048},
    {"haswell", 8, false, 3.0, 2, 0.6, 1, 2, 3, 5, 12, 2048, 1024, 4, 1024},
    {"sapphirerapids", 16, true, 2.6, 2, 2, 2, 2, 2, 4, 12, 4096, 4096, 4, 2048, 1024},
    {"emeraldrapids", 16, true, 2.6, 2, 2, 2, 2, 2, 4, 12, 4096, 4096, 4, 2048, 1024},
    {"graniterapids", 16, true, 2.6, 2, 2, 2, 2, 2, 4, 14, 4096, 4096, 4, 2048, 1024},
    {"cortex-a76", 4, false, 2.6, 2, 2, 2, 2, 2, 4, 10, 2048, 1024, 1, 1024},
};

static constexpr CpuModel kWide = {
    "generic 512-bit", 16, false, 2.6, 1, 0.5, 0.8, 1, 2, 4, 12, 4096, 4096, 4, 2048};
static constexpr CpuModel kWideDots = {
    "generic 512-bit with VNNI", 16, true, 2.6, 1, 1, 1, 1, 2, 4, 12, 4096, 4096, 4, 2048, 1024};
static constexpr CpuModel kMiddle = {
    "generic 256-bit", 8, false, 3.0, 2, 0.6, 1, 2, 3, 4, 12, 2048, 1024, 4, 1024};
static constexpr CpuModel kMiddleDots = {
    "generic 256-bit with VNNI", 8, true, 3.0, 2, 2, 2, 2, 3, 4, 12, 2048, 1024, 4, 1024};
static constexpr CpuModel kNarrow = {
    "generic 128-bit", 4, false, 2.5, 2, 1, 1, 2, 2, 4, 8, 4096, 4096, 1, 4096};

// Other names of the same cores.
static llvm::StringRef nameOfCore(llvm::StringRef cpu) {
  return llvm::StringSwitch<llvm::StringRef>(cpu)
      .Cases({"broadwell", "core-avx2", "core_4th_gen_avx", "core_5th_gen_avx"}, "haswell")
      .Cases({"graniterapids-d", "graniterapids_d"}, "graniterapids")
      .Default(cpu);
}

const CpuModel &llmc::getCpuModel(llvm::StringRef cpu, const VectorShape &shape) {
  // A model holds for the vectors of its own instruction set only: features can be turned off.
  bool dots = shape.dot == DotKind::Vnni;
  auto fits = [&](const CpuModel &model) {
    return shape.lanes == model.lanes && (dots || !model.vnni) && (!shape.tiles || model.tile > 0);
  };
  for (const CpuModel &model : kModels)
    if (model.name == nameOfCore(cpu) && fits(model))
      return model;
  if (shape.lanes >= 16)
    return dots ? kWideDots : kWide;
  if (shape.lanes == 8)
    return dots ? kMiddleDots : kMiddle;
  return kNarrow;
}

double llmc::blockCycles(const CpuModel &cpu, double rate, RegisterBlock block) {
  double products = static_cast<double>(block.rows * block.vectors);
  double loads = static_cast<double>(block.rows + block.vectors);
  double cycles = std::max({products / rate, loads / cpu.loads, (products + loads) / cpu.issue,
                            static_cast<double>(cpu.latency)});
  return cycles / products;
}

RegisterBlock llmc::chooseBlock(const CpuModel &cpu, double rate, int64_t registers,
                                int64_t vectors, bool pairs, int64_t parts) {
  constexpr int64_t kMostRows = 12;
  RegisterBlock best{1, 1};
  auto loads = [](RegisterBlock block) {
    return static_cast<double>(block.rows + block.vectors) /
           static_cast<double>(block.rows * block.vectors);
  };
  for (int64_t v = 1; v <= vectors; v *= 2) {
    if (vectors % v != 0)
      continue;
    for (int64_t rows = 1; rows <= kMostRows; ++rows) {
      // Sums of 32 bits rest while pairs are added: some may wait in memory.
      int64_t wanted = pairs ? 2 * rows * v : rows * v + parts * (v + 1);
      if (wanted > registers)
        continue;
      RegisterBlock block{rows, v};
      double cycles = blockCycles(cpu, rate, block), least = blockCycles(cpu, rate, best);
      constexpr double kSame = 1e-9;
      if (cycles < least - kSame || (cycles < least + kSame && loads(block) < loads(best)))
        best = block;
    }
  }
  return best;
}
