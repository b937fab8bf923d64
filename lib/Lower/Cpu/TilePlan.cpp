//===- TilePlan.cpp - how a linear kernel computes with a layout ------------------------===//
//
// Where sums end, what a panel holds, the shape of the register block and the thread's scratch.
//
#include "LinearCost.h"

#include "llvm/Support/FormatVariadic.h"

#include <numeric>

using namespace mlir;
using namespace llmc;

static constexpr int64_t kPanelRows = 96, kRowsBytes = int64_t(1) << 21;
// Two by two tiles of sums, with two of either operand, fill the eight registers of AMX.
static constexpr int64_t kBlockRows = 32, kBlockColumns = 32;

double llmc::linearRate(const CodeFormat &format, bool dots, const CpuModel &cpu) {
  return !dots ? cpu.fma : format.bits <= 4 ? cpu.narrowDot : cpu.dot;
}

// Measured on Zen 3, from memory: int4 loses 6 % at half and at twice this distance, int8 at twice,
// f32 does not care; Zen 4 and 5 want a page or more.
static int64_t prefetchBytes(const CodeFormat &format, VectorShape shape) {
  bool isWide = format.kind == CodeFormat::Kind::Int && format.bits == 8;
  return isWide ? cpuModel(shape).prefetchWide : cpuModel(shape).prefetch;
}

static int64_t padTo16(int64_t count) { return (count + 15) / 16 * 16; }
static int64_t ceilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Whether rows of N:M weights pick bytes of the input before dot products: one permutation finds
// the inputs of two patterns of four. Codes minus zero point must fit signed bytes; vpmaddubsw
// takes the sign of one register to the other in 256 bits only.
static bool picksBytes(const LinearLayout &layout, VectorShape shape) {
  const CodeFormat &format = layout.format;
  bool isSigned = shape.dot != DotKind::Maddubs || shape.lanes == 8;
  return layout.sparse && layout.keepN == 2 && layout.keepM == 4 && isSigned &&
         layout.groupsPerUnit == 1 && (format.bits < 8 || format.symmetric);
}

// Inputs that a matrix unit takes at a time: as many as a tile register holds, or half of it where
// scales change more often. 0: it is not for this weight. A panel is padded with zeros, so only
// chunks that end inside of one must be whole.
static int64_t blockDepth(const LinearPlan &plan, const LinearLayout &layout, VectorShape shape) {
  if (!shape.tiles || shape.dot != DotKind::Vnni || plan.picks ||
      layout.tileRows % kBlockColumns != 0)
    return 0;
  for (int64_t depth : {64, 32})
    if (plan.chunk >= layout.k || plan.chunk % depth == 0)
      return depth;
  return 0;
}

// Tiles that a single row decodes side by side, where that pays: their sums do not stay in 16
// registers. Measured on Zen 3 from memory, beside one tile: f32 1.4x with four, int8 1.3x,
// int4 1.2x; NF4 1.2x and 2:4 1.1x with two, no more with four; float inputs times codes, which
// wait for arithmetic there, 0.8x. Small matrices are those of models that stay in the cache:
// there, 0.9x.
static int64_t chooseStreams(const LinearPlan &plan, const LinearLayout &layout,
                             VectorShape shape) {
  const CpuModel &cpu = cpuModel(shape);
  constexpr int64_t kTiles = 32; // Shorter tiles are those of small models, too.
  if (layout.totalBytes() < cpu.streamMatrix ||
      kTiles * layout.totalBytes() < cpu.streamMatrix * layout.tiles)
    return 1;
  // Zero points of rows that blend their inputs, and sums in two types, are those of one tile.
  if ((layout.sparse && !plan.picks) || plan.wideChunks || layout.trits)
    return 1;
  int64_t most = cpu.streams;
  if (!plan.dots && !layout.valueBytes && 2 * most * plan.vectors > shape.registers)
    return 1;
  bool isTable = layout.format.kind == CodeFormat::Kind::Table;
  return plan.picks || isTable ? std::min<int64_t>(most, 2) : most;
}

LinearPlan::LinearPlan(const LinearLayout &layout, VectorShape shape) {
  const CodeFormat &format = layout.format;
  int64_t k = layout.k, block = layout.blockInputs;
  vectors = layout.tileRows / shape.lanes;
  prefetchDistance = prefetchBytes(format, shape);
  quantized = format.quantizedActivations();
  perGroup = format.activations == CodeFormat::Activations::PerGroup && format.activationGroup < k;
  activationGroup = perGroup ? format.activationGroup : k;
  folded = perGroup && layout.sparse && activationGroup % layout.keepM != 0;
  exact = quantized && !folded && format.isInteger();
  chunk = layout.group;
  if (quantized && !folded && activationGroup < k)
    chunk = chunk == k ? activationGroup : std::gcd(chunk, activationGroup);
  if (chunk != layout.unit && chunk % block != 0 && block % chunk != 0)
    chunk = std::gcd(chunk, block);
  // |code * activation| < 2^15, so 256 products stay below 2^23 and differences of two sums below
  // 2^24.
  exactInputs = std::max<int64_t>(1, 256 / layout.blockSymbols) * block;
  picks = picksBytes(layout, shape);
  quadInputs = picks ? 8 : 4;
  // Quads start at chunks, so chunks must hold whole ones.
  dots = exact && (!layout.sparse || picks) && shape.dot != DotKind::None &&
         (chunk >= k || chunk % quadInputs == 0);
  picks = picks && dots;
  offsetInputs = picks && shape.dot == DotKind::Vnni;
  // Where bytes are multiplied as signed, or pairs of them must fit 16 bits.
  bool isTable = format.kind == CodeFormat::Kind::Table;
  signedCodes = dots && (format.bits == 8 || isTable) && shape.dot != DotKind::Vnni;
  // 256 times a sum of products must fit 32 bits.
  constexpr int64_t kLongestTelescope = 32768;
  telescopes = dots && layout.trits && shape.dot == DotKind::Vnni && chunk <= kLongestTelescope;
  // So few bytes keep the dot products busy for long: memory must be asked earlier.
  if (telescopes)
    prefetchDistance = 16384;
  // A vector of 16 lanes holds a whole table of floats.
  levelQuads = isTable && shape.lanes < 16;
  wideChunks = exact && !dots && chunk > exactInputs;
  regular = layout.unit % block == 0 || layout.unit == k;
  // A power of two changes no digit of a product. Blocks must start where the pattern of bits does.
  placedInputs = !quantized && !layout.sparse && regular && layout.codePlanes.size() == 1 &&
                 !layout.trits && !isTable;

  bool hasZero = format.kind != CodeFormat::Kind::Dense && !(isTable && !dots) &&
                 !(signedCodes && !format.storesZeros());
  // Sums of codes and their products with zero points are exact in f32 while below 2^24.
  constexpr int64_t kLargestProduct = 255 * 127;
  bool needsSums = hasZero && !layout.sparse;
  if (hasZero && picks)
    correction = Correction::Picked;
  else if (needsSums && dots)
    correction = !format.storesZeros()                          ? Correction::Start
                 : kLargestProduct * chunk < (int64_t(1) << 24) ? Correction::Float
                                                                : Correction::Integer;
  else if (needsSums)
    correction = wideChunks ? Correction::Integer : Correction::Float;

  streams = chooseStreams(*this, layout, shape);
  streamPrefetch = cpuModel(shape).streamPrefetch;
  if (dots)
    planDots(layout, shape);
  else
    planFloats(layout, shape);
  bool scalesChunks = perGroup && !folded;
  scaledPanels =
      !exact && (scalesChunks ? chunk > panelInputs : format.kind != CodeFormat::Kind::Dense);
  int64_t codes = placedInputs ? k : !quantized ? 0 : dots ? ceilDiv(k, 4) : k;
  scaleStart = padTo16(codes);
  sumStart = scaleStart + (quantized ? padTo16(ceilDiv(k, activationGroup)) : 0);
  rowFloats = sumStart + (needsSums ? padTo16(ceilDiv(k, chunk)) : 0);
  panelRows = kPanelRows / rowBlock * rowBlock;
  if (quantized)
    panelRows = std::max(rowBlock,
                         std::min(kPanelRows, kRowsBytes / (4 * rowFloats)) / rowBlock * rowBlock);
  decodeRows = chooseDecodeRows(layout, *this, shape);
  int64_t scratchRows = std::max(quantized ? panelRows : 1, decodeRows);
  panelStart = padTo16(scratchRows * rowFloats);
  int64_t panelVectors = dots ? ceilDiv(panelInputs, quadInputs) * (picks ? 2 : 1) : panelInputs;
  if (tileInputs)
    panelVectors = ceilDiv(panelInputs, tileInputs) * tileInputs / quadInputs;
  factorStart = panelStart + panelVectors * layout.tileRows;
  bool factors = dots && chunk <= panelInputs;
  int64_t pieces = dots ? ceilDiv(panelInputs, chunk) : 0;
  offsetStart = factorStart + (factors ? pieces * 2 * layout.tileRows : 0);
  totalStart = offsetStart + (offsetInputs ? pieces * layout.tileRows : 0);
  integerStart = totalStart + std::max(panelRows, kRowBlock) * layout.tileRows;
  integerTotals = wideChunks || (dots && chunk > panelInputs);
  int64_t integerRows = integerTotals ? panelRows : tileInputs ? rowBlock : 0;
  scratchFloats = integerStart + integerRows * (integerRows ? blockStride(layout, shape) : 0);
}

int64_t LinearPlan::decodeVectors(int64_t rows, VectorShape shape) const {
  if (rows == 1)
    return vectors;
  // Sums of 16 bits wait beside those of 32, or two are kept of each; otherwise vectors of weights,
  // of what they pick, and an input want registers, too.
  bool pairs = dots && shape.dot == DotKind::Maddubs;
  int64_t sums = telescopes || correction == Correction::Picked ? 2 * rows : rows;
  for (int64_t count = vectors;; count /= 2) {
    int64_t wanted = pairs ? 2 * sums * count : sums * count + (picks ? 2 : 1) * (count + 1);
    if (wanted <= shape.registers || count % 2 != 0)
      return count;
  }
}

void LinearPlan::planFloats(const LinearLayout &layout, VectorShape shape) {
  constexpr int64_t kPanelInputs = 128;
  int64_t block = layout.blockInputs;
  panelStep = regular ? block : layout.unit;
  auto repeat = [&](int64_t step) { return step * std::max<int64_t>(1, kPanelInputs / step); };
  if (!quantized || folded || chunk >= layout.k) {
    panelInputs = repeat(panelStep);
  } else if (chunk <= exactInputs) {
    panelInputs = repeat(std::max(panelStep, chunk));
  } else if (!regular) {
    panelInputs = layout.unit;
  } else {
    panelInputs = exactInputs / block * block;
    while (chunk % panelInputs != 0)
      panelInputs -= block;
  }
  stepInputs = ceilDiv(8, block) * block;
  const CpuModel &cpu = cpuModel(shape);
  RegisterBlock best = chooseBlock(cpu, cpu.fma, shape.registers, vectors, /*pairs=*/false, 1);
  rowBlock = best.rows;
  vectorBlock = best.vectors;
}

void LinearPlan::planDots(const LinearLayout &layout, VectorShape shape) {
  // A panel fills half of a small L1. It holds whole units or is a part of one, and holds whole
  // chunks or is a part of one. A matrix unit has a larger cache beside it; half of a panel is in
  // use at a time, and sums go through memory once for each panel.
  tileInputs = blockDepth(*this, layout, shape);
  int64_t limit = (tileInputs ? 32768 : 16384) / layout.tileRows;
  int64_t k = layout.k, block = layout.blockInputs;
  if (k <= limit) {
    panelInputs = k;
  } else if (!regular || layout.unit <= limit) {
    panelInputs = layout.unit * std::max<int64_t>(1, limit / layout.unit);
  } else {
    int64_t step = chunk <= limit ? std::max(chunk, block) : block;
    panelInputs = limit / step * step;
    auto fits = [&](int64_t whole) { return whole == k || whole % panelInputs == 0; };
    while (!fits(layout.unit) || (chunk > limit && !fits(chunk)))
      panelInputs -= step;
  }
  panelStep = panelInputs;
  stepInputs = (telescopes ? 1 : ceilDiv(32, block)) * block;
  // Sums of 16 bits leave few registers for operands. Sums of 32 bits in a large register file hide
  // the latency of the dot product: 24 of them, or two for each vector of a row.
  bool large = shape.registers >= 32, pairs = shape.dot == DotKind::Maddubs;
  const CpuModel &cpu = cpuModel(shape);
  double rate = linearRate(layout.format, /*dots=*/true, cpu);
  RegisterBlock best = chooseBlock(cpu, rate, shape.registers, vectors, pairs, picks ? 2 : 1);
  rowBlock = best.rows;
  vectorBlock = best.vectors;
  if (tileInputs) {
    rowBlock = kBlockRows;
    vectorBlock = kBlockColumns / shape.lanes;
  }
  stepQuads = pairs ? 8 : large ? 2 : 4;
  sumSets = telescopes || (large && !pairs && !picks && vectors < 8) ? 2 : 1;
}

//===----------------------------------------------------------------------===//
// Reports
//===----------------------------------------------------------------------===//

static std::string explainWeights(const LinearLayout &layout) {
  const CodeFormat &format = layout.format;
  if (format.kind == CodeFormat::Kind::Dense && !layout.sparse)
    return format.masked ? "dense values with zeros: a mask cannot be skipped in vectors"
                         : "dense values";
  std::string codes = format.kind == CodeFormat::Kind::Table ? "codes looked up in registers"
                      : layout.trits ? "codes from registers, five to a byte"
                                     : "codes from registers";
  if (format.masked)
    return codes + ", pruned ones stored as the zero point: a mask cannot be skipped in vectors";
  if (format.keepM && !layout.sparse)
    return codes + ", pruned ones stored as the zero point: groups of M straddle scale groups";
  return layout.sparse ? "kept " + codes + ", inputs selected by index" : codes;
}

// Why quantized activations do not meet an instruction for them.
static std::string whyNoDots(const LinearLayout &layout, const LinearPlan &plan,
                             VectorShape shape) {
  if (layout.format.kind == CodeFormat::Kind::Dense)
    return "the weight is no integer";
  if (!layout.format.isInteger())
    return "the levels of the table are no integers";
  if (layout.sparse && !plan.picks)
    return "each row selects other inputs";
  if (shape.dot == DotKind::None)
    return "the target has no dot product of bytes";
  return llvm::formatv("scales of {0} inputs, not a multiple of {1}", plan.chunk, plan.quadInputs);
}

// Why bytes do not go, or not by whole tiles, through the matrix unit that the target has.
static std::string whyNoTiles(const LinearPlan &plan) {
  if (plan.picks)
    return "not in tile registers, as each row selects other inputs";
  if (plan.tileInputs)
    return llvm::formatv("half of each, as scales change every {0} inputs", plan.chunk);
  return llvm::formatv("not in tile registers, as scales change every {0} inputs", plan.chunk);
}

std::string llmc::explainLinear(const CodeFormat &format, VectorShape shape, int64_t n, int64_t k) {
  LinearLayout layout(format, n, k, shape);
  LinearPlan plan(layout, shape);
  std::string few = explainWeights(layout), many = "decompressed to f32 panels";
  if (plan.dots) {
    few += llvm::formatv(", dot products of bytes ({0}), {1} inputs at a time",
                         dotKindName(shape.dot), plan.stepInputs);
    many = llvm::formatv("panels of {0} inputs as bytes, dot products of {1} rows by {2} outputs",
                         plan.panelInputs, plan.rowBlock, plan.vectorBlock * shape.lanes);
    if (plan.tileInputs)
      many += llvm::formatv(" in tile registers, {0} inputs at a time", plan.tileInputs);
    if (shape.tiles && plan.tileInputs < 64)
      many += ": " + whyNoTiles(plan);
  } else if (plan.quantized) {
    few += ", products in f32: " + whyNoDots(layout, plan, shape);
  }
  if (plan.streams > 1)
    few += llvm::formatv(", one row {0} tiles side by side", plan.streams);
  std::string text;
  if (format.decodedFrom)
    llvm::raw_string_ostream(text)
        << "no kernel for " << format.decodedFrom << ": decoded to f32 when packed; ";
  text +=
      llvm::formatv("{0}: {1}x{2}, tile {3} rows x {4} inputs, {5} bytes per token ({6:F2} bits "
                    "per weight); 1-{7} rows: {8}; more: {9}; expected of one thread ({10}):",
                    formatName(format), n, k, layout.tileRows, layout.blockInputs,
                    layout.totalBytes(), 8.0 * layout.totalBytes() / (static_cast<double>(n) * k),
                    plan.decodeRows, few, many, cpuModel(shape).name);
  for (int64_t rows : {1, 512}) {
    LinearCost cost = estimateLinear(layout, plan, shape, rows);
    text += llvm::formatv("{0} {1} {2} in {3:F1} us, bound by {4}", rows == 1 ? "" : ",", rows,
                          rows == 1 ? "row" : "rows", 1e6 * cost.seconds(),
                          cost.memory > cost.arithmetic ? "memory" : "arithmetic");
  }
  return text;
}
