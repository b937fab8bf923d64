//===- LinearCost.cpp - how long a linear should take -----------------------------------===//
//
// Instructions of the inner loops, counted as the emitters emit them, over the rates of the
// processor. test/Target/instruction-counts.json has what was really counted.
//
#include "LinearCost.h"

#include "llvm/Support/MathExtras.h"

#include <cmath>

using namespace llmc;

// Of ternary codes in bytes of five. A digit is two comparisons and what joins them; the byte
// behind it is two additions, which is all there is where digits stay in.
static double tritInstructions(bool asFloats, bool telescopes) {
  constexpr double kDigit = 4, kNext = 2, kOneOfFour = 2.5;
  double quad = kNext + (telescopes ? 0 : kDigit);
  return asFloats ? quad / 4 + kOneOfFour : quad;
}

// Of one vector of codes, or of quads of them: a mask and, for most, a shift for each plane.
static double unpackInstructions(const LinearLayout &layout, const LinearPlan &plan,
                                 bool telescopes, bool inPanel) {
  bool asFloats = !plan.dots;
  if (layout.trits)
    return tritInstructions(asFloats, telescopes);
  if (plan.placedInputs && !inPanel)
    return 2; // A mask or a shift, and made f32.
  // Four bytes of each level and what interleaves them, for a quad; or one permutation.
  constexpr double kLevelQuad = 13;
  bool isTable = layout.format.kind == CodeFormat::Kind::Table;
  if (isTable && asFloats)
    return plan.levelQuads ? (1.5 + kLevelQuad) / 4 : 2;
  double count = isTable ? 1 : 0;
  for (unsigned width : layout.codePlanes)
    count += width == 8 ? 0 : 2 - static_cast<double>(width) / 8;
  if (layout.codePlanes.size() > 1)
    count += static_cast<double>(layout.codePlanes.size() - 1);
  return count + (asFloats && layout.valueBytes != 4 ? 1 : 0); // Made f32.
}

// Instructions of one llmc.dot_i8.
static double dotInstructions(const LinearPlan &plan, const LinearLayout &layout, DotKind kind) {
  if (kind != DotKind::Maddubs)
    return 1;
  if (plan.signedCodes)
    return 5; // Signs, magnitudes, pairs, sums, total.
  return layout.format.bits <= 4 ? 2.25 : 4;
}

// Cycles of many rows by tile registers, but for unpacking: the matrix unit works beside the
// vectors that scale its sums, at best.
static double blockUnitCycles(const LinearLayout &layout, const LinearPlan &plan,
                              const CpuModel &cpu, double chunks, double rows) {
  constexpr double kDepth = 64, kScale = 5; // Load, convert, zero point, total in and out.
  double whole =
      std::ceil(rows / static_cast<double>(plan.rowBlock)) * static_cast<double>(plan.rowBlock);
  // Half a tile takes as long as a whole one.
  double inputs =
      std::ceil(static_cast<double>(layout.k) / static_cast<double>(plan.tileInputs)) * kDepth;
  double columns = static_cast<double>(layout.tiles * layout.tileRows);
  return std::max(whole * columns * inputs / cpu.tile, rows * chunks * kScale / cpu.issue);
}

static double arithmeticCycles(const LinearLayout &layout, const LinearPlan &plan,
                               VectorShape shape, int64_t rows, bool decodes) {
  const CpuModel &cpu = cpuModel(shape);
  double vectors = static_cast<double>(layout.tiles * plan.vectors);
  double inputs = static_cast<double>(layout.symbols(layout.k)), chunks = 0;
  if (!layout.valueBytes)
    chunks = vectors * static_cast<double>(llvm::divideCeilSigned(layout.k, plan.chunk));
  double steps = vectors * (plan.dots ? inputs / 4 : inputs); // A vector of codes or of quads.
  bool telescopes = plan.telescopes && decodes;
  double unpack = unpackInstructions(layout, plan, telescopes, !decodes);
  if (layout.sparse)
    unpack += plan.picks ? 2.75 : 2; // The index, and picking by it.
  double multiply = plan.dots ? dotInstructions(plan, layout, shape.dot) : 1;
  if (plan.correction == LinearPlan::Correction::Picked && decodes)
    multiply += shape.dot == DotKind::Maddubs ? 2.25 : 1;
  double rate = linearRate(layout.format, plan.dots, cpu);
  if (telescopes) { // A product with the byte, and one with what is behind its first digit.
    multiply *= 2;
    rate /= 2;
  }
  // Scale and zero point; convert, zero point, total: for each vector of a chunk.
  constexpr double kFactors = 2, kTotal = 4, kFlush = kFactors + kTotal;
  double cycles = 0;
  if (decodes) {
    int64_t left = rows == 1 ? 1 : (rows + 1) / 2 * 2;
    for (int64_t size = kRowBlock; size; left %= size, size /= 2) {
      // Weights, and the inputs of each row for a few vectors.
      double count = static_cast<double>(size);
      double inputs = count / static_cast<double>(plan.decodeVectors(size, shape));
      double issued = steps * (unpack + count * multiply + (1 + inputs) / 2) +
                      chunks * (kFactors + count * kTotal);
      int64_t blocks = left / size;
      cycles += static_cast<double>(blocks) * std::max(count * steps / rate, issued / cpu.issue);
    }
  } else {
    double passes = static_cast<double>(llvm::divideCeilSigned(rows, plan.panelRows));
    double whole = static_cast<double>(llvm::divideCeilSigned(rows, plan.rowBlock) * plan.rowBlock);
    // Panels hold pruned weights too, unless rows pick bytes.
    double perDot = plan.dots ? static_cast<double>(plan.quadInputs) : 1;
    double products = vectors * static_cast<double>(layout.k) / perDot;
    cycles = plan.tileInputs
                 ? blockUnitCycles(layout, plan, cpu, chunks, static_cast<double>(rows))
                 : whole * (products * blockCycles(cpu, rate, {plan.rowBlock, plan.vectorBlock}) +
                            chunks * kFlush / cpu.issue);
    cycles += passes * steps * (unpack + 2) / cpu.issue;
  }
  return cycles;
}

LinearCost llmc::estimateLinear(const LinearLayout &layout, const LinearPlan &plan,
                                VectorShape shape, int64_t rows) {
  const CpuModel &cpu = cpuModel(shape);
  double cycles = arithmeticCycles(layout, plan, shape, rows, rows <= plan.decodeRows);
  return {static_cast<double>(layout.totalBytes()) / (cpu.readGBs * 1e9),
          cycles / (cpu.gigahertz * 1e9)};
}

int64_t llmc::chooseDecodeRows(const LinearLayout &layout, const LinearPlan &plan,
                               VectorShape shape) {
  constexpr int64_t kMostRows = 16;
  int64_t most = 2;
  for (int64_t rows = most; rows <= kMostRows; rows += 2)
    if (arithmeticCycles(layout, plan, shape, rows, /*decodes=*/true) <=
        arithmeticCycles(layout, plan, shape, rows, /*decodes=*/false))
      most = rows;
  return most;
}
