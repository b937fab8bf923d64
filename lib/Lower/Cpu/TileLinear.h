//===- TileLinear.h - inside of the linear kernels --------------------------------------===//
//
// What the decode path, the panel path and the activation prologue of a linear kernel share.
// Private to Lower.
//
#ifndef LLMC_LIB_LOWER_CPU_TILELINEAR_H
#define LLMC_LIB_LOWER_CPU_TILELINEAR_H

#include "llmc/Lower/Cpu/LinearKernels.h"

#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

namespace llmc {

/// Vectors of products of weights of `format` that the processor does in a cycle.
double linearRate(const CodeFormat &format, bool dots, const CpuModel &cpu);

/// So many rows, or half as many, are multiplied with weights that the decode path decodes once.
constexpr int64_t kRowBlock = 4;

/// How a kernel computes with a layout. Lengths are in inputs (columns of the weight) unless said
/// otherwise.
struct LinearPlan {
  LinearPlan(const LinearLayout &layout, VectorShape shape);

  int64_t vectors; ///< vectors of a tile.
  bool quantized;  ///< activations are codes in scratch.
  bool perGroup;   ///< with a scale for each `activationGroup` inputs, else one for each row.
  bool folded;     ///< those scales are multiplied into the codes: blocks straddle N:M groups.
  bool exact;      ///< products are integers.
  int64_t activationGroup; ///< at most k.
  int64_t chunk;           ///< under one weight scale and one activation scale.
  int64_t exactInputs;     ///< products of so many inputs may be summed in f32 without rounding.
  bool dots;               ///< products by llmc.dot_i8; activations are bytes in scratch.
  bool picks;              ///< of dots: each row picks its inputs, two of four.
  bool offsetInputs;  ///< of picks: panels multiply inputs + 128, unsigned, with signed weights.
  int64_t quadInputs; ///< of dots: inputs that four stored codes stand for.
  bool signedCodes;   ///< of dots: 128 is taken from codes and zero points, not levels.
  bool telescopes;    ///< of dots: base-3 codes are multiplied as bytes, see multiplyTrits.
  bool levelQuads;    ///< levels of a table are looked up four codes at once.
  bool placedInputs;  ///< f32, decode: inputs in scratch are divided by 2^(bit of their code), so
                      ///< that codes are masked where they lie and never shifted.
  int64_t tileInputs = 0;   ///< of dots: panels by llmc.block_i8, so many inputs at a time; 0: not.
  bool wideChunks;          ///< f32 and longer than exactInputs: partial sums go to i32.
  int64_t stepInputs;       ///< unrolled on the decode path, whole blocks.
  int64_t prefetchDistance; ///< bytes, on the decode path.
  int64_t streams;          ///< tiles that a single row decodes side by side.
  int64_t streamPrefetch;   ///< prefetchDistance in each of them.
  int64_t sumSets = 1;      ///< sums of one tile that take turns on the decode path of dots.
  int64_t decodeRows;       ///< up to so many rows, an even number, go by the decode path.
  bool scaledPanels; ///< panels scale weights, or parts of a chunk, so their sums are rounded in
                     ///< other places than on the decode path.

  /// How sums of codes become sums of codes minus zero point. The scratch has, for each chunk:
  enum class Correction {
    None,    ///< nothing: the format has no zero point, or it is subtracted from each code.
    Start,   ///< i32, -zero * sum of inputs: sums start there.
    Float,   ///< f32, -sum: the zero point times it is added to the sum as f32.
    Integer, ///< i32, -sum: the same before the sum becomes f32.
    Picked,  ///< nothing: rows pick other inputs, so each sums its own beside the products. Panels
             ///< hold codes minus zero point.
  };
  Correction correction = Correction::None;

  // The panel path.
  bool regular;        ///< every block of a unit is whole but for the last one of the row.
  int64_t panelStep;   ///< decompressed at once.
  int64_t panelInputs; ///< a multiple of panelStep; a divisor or a multiple of chunk.
  int64_t panelRows;   ///< rows of x under one panel, a multiple of rowBlock.
  int64_t rowBlock;    ///< rows of the register block.
  int64_t vectorBlock; ///< vectors of the register block.
  int64_t stepQuads;   ///< of dots, unrolled.

  /// Vectors of a tile that `rows` rows take at a time on the decode path, all of them or a part.
  int64_t decodeVectors(int64_t rows, VectorShape shape) const;

  // The thread's scratch, in floats.
  int64_t rowFloats;  ///< codes (bytes with dots), scales and sums of one row of x.
  int64_t scaleStart; ///< inside a row.
  int64_t sumStart;   ///< inside a row.
  int64_t panelStart;
  int64_t factorStart; ///< dots: scales, then zero points, of each chunk of a panel as f32.
  int64_t offsetStart; ///< with offsetInputs: for each piece of a panel, -128 * sum of its weights.
  int64_t totalStart, integerStart, scratchFloats;
  bool integerTotals; ///< chunks end behind a panel, so each total has an integer beside it.

  /// Where llmc.block_i8 keeps the sums of a block: beside its totals, or by itself.
  int64_t blockStride(const LinearLayout &layout, VectorShape shape) const {
    return integerTotals ? layout.tileRows : vectorBlock * shape.lanes;
  }

private:
  void planFloats(const LinearLayout &layout, VectorShape shape);
  void planDots(const LinearLayout &layout, VectorShape shape);
};

/// What the decode path computes at a time: one row with some tiles side by side, or several rows
/// with some vectors of one tile.
struct DecodeBlock {
  Value tile;
  int64_t tiles = 1;
  Value stride; ///< from one tile to the next; of several.
  int64_t vectors = 0;
  Value column;              ///< of the first vector in the tile; null: the tile's first.
  Value inputs;              ///< holds the rows or their codes,
  SmallVector<Value> starts; ///< from here on.
  SmallVector<Value> places; ///< of the rows in the scratch.
  int64_t rows() const { return static_cast<int64_t>(places.size()); }
};

/// Emits the pieces of a linear kernel. A `base`, `unit`, `header` or `block` is an index in dwords
/// into the weight.
class LinearEmitter {
public:
  using Values = SmallVector<Value>;
  using Finish = function_ref<void(Value row, Value tile, Value scratchRow, Values sums)>;

  LinearEmitter(ImplicitLocOpBuilder &b, const LinearLayout &layout, const LinearPlan &plan,
                VectorShape shape, const KernelFrame &frame, RowBuffer x, RowBuffer scales);

  // Small pieces.
  Value index(int64_t value) { return indexConstant(b, value); }
  Value add(Value a, Value c) { return arith::AddIOp::create(b, a, c); }
  Value add(Value a, int64_t offset) { return offset ? add(a, index(offset)) : a; }
  Value times(Value a, int64_t factor) {
    return factor == 1 ? a : arith::MulIOp::create(b, a, index(factor)).getResult();
  }
  Value least(Value a, Value c) { return arith::MinUIOp::create(b, a, c); }
  Value splatInt(int64_t value);
  Value splatFloat(double value);
  Value broadcast(Value scalar) { return vector::BroadcastOp::create(b, floats, scalar); }
  Value fma(Value a, Value c, Value sum) { return vector::FMAOp::create(b, a, c, sum); }
  Value load(VectorType type, Value memory, Value at) {
    return vector::LoadOp::create(b, type, memory, ValueRange{at});
  }
  Value loadScalar(Value memory, Value at) {
    return memref::LoadOp::create(b, memory, ValueRange{at});
  }
  void store(Value value, Value memory, Value at) {
    vector::StoreOp::create(b, value, memory, ValueRange{at});
  }
  Values zeros(VectorType type, int64_t count);
  static Values toValues(ValueRange range) { return Values(range.begin(), range.end()); }

  // Weights (TileDecoder.cpp).
  Value tileBase(Value tile);
  int64_t headerDwords() const { return layout.headerBytes() / 4; }
  int64_t dwords(int64_t inputs) const { return layout.spanBytes(inputs) / 4; }
  /// Forgets the words already loaded; to be called at the start of each block.
  void startBlock() {
    words.clear();
    tritBytes.clear();
    levels.clear();
  }
  /// The stored weight without its scale as f32; codes as they are, or minus `zero` (f32) if it is
  /// given.
  Value symbolValue(Value block, int64_t inputs, int64_t symbol, int64_t v, Value zero);
  /// Position of a kept weight among its M inputs: bit `bit` of it as i1, or the whole of it as
  /// i32.
  Value symbolIndexBit(Value block, int64_t inputs, int64_t symbol, int64_t v, int64_t bit);
  Value symbolIndex(Value block, int64_t inputs, int64_t symbol, int64_t v);
  /// The same as a word whose lowest bits are the position, where one plane holds it.
  Value symbolIndexWord(Value block, int64_t symbol, int64_t v);
  /// Scales of the rows from `row` on, which counts rows of all groups of the unit; f32, null if
  /// the format has none.
  Value scaleVector(Value header, Value row);
  Value scaleVector(Value header, int64_t group, int64_t v) {
    return scaleVector(header, inTile(index(group * layout.tileRows), v));
  }
  /// The same of zero points.
  Value zeroVector(Value header, Value row);
  Value zeroVector(Value header, int64_t group, int64_t v) {
    return zeroVector(header, inTile(index(group * layout.tileRows), v));
  }
  Values zeroVectors(Value header, int64_t group);

  /// Brings row `source` of x into the scratch row `row` as products want it, and sums chunks
  /// (TileActivations.cpp).
  void emitActivations(Value source, Value row, bool sums);

  /// The sums of `count` rows from `firstRow` on, at most plan.decodeRows, and all tiles in [begin,
  /// end), each given to `finish` once; scales per token are left to it (TileRows.cpp).
  void emitRows(Value begin, Value end, Value firstRow, Value count, Finish finish);

  /// The same of all rows (TilePanel.cpp).
  void emitPanels(Value begin, Value end, Value rows, Finish finish);

  ImplicitLocOpBuilder &b;
  const LinearLayout &layout;
  const LinearPlan &plan;
  VectorShape shape;
  int64_t lanes;
  RowBuffer x, scales;
  VectorType floats, ints;
  VectorType quads; ///< as many bytes as `ints`.
  Value scratch;    ///< memref<?xf32> of this thread.
  Value integers;   ///< the same memory as i32.
  Value quadBytes;  ///< and as i8.
  Value input;      ///< memref<?xf32>: x; of codes null, and these are there instead:
  Value inputBytes, inputWords, inputScales; ///< x as i8 and as i32, and its scales.

private:
  /// Where vector `v` of those at hand starts, `start` being the place of the tile's first row.
  Value inTile(Value start, int64_t v) {
    return add(at.column ? add(start, at.column) : start, v * lanes);
  }
  Value loadWord(Value base, int64_t dword, int64_t v);
  Value code(Value block, int64_t start, ArrayRef<unsigned> planes, int64_t count, int64_t symbol,
             int64_t v);
  Value placedCode(Value block, int64_t symbol, int64_t v);
  Value level(Value block, int64_t start, int64_t symbol, int64_t v);
  Values lookUpQuad(Value codes, ArrayRef<float> table);
  int64_t indexBytes(int64_t symbols) const;

  // Dots (TileDots.cpp).
  Value quadCodes(Value block, int64_t inputs, int64_t quad, int64_t v);
  Value quadLevels(Value codes, int64_t present);
  Value tritByte(Value block, int64_t quad, int64_t v);
  Value quadTrits(Value block, int64_t quad, int64_t v);
  void multiplyTrits(Value block, ArrayRef<Value> firsts, int64_t quad, Values &partial);
  Value joinSums(ArrayRef<Value> partial, int64_t v, Value start);
  Value quadInput(Value at);
  Values byteStarts(Value start);
  Value dot(Value sum, Value codes, Value inputs, bool isSigned);
  Values multiplyQuads(Value block, Value start, int64_t inputs, int64_t from, int64_t to,
                       Values partial);
  /// Of picks: the eight inputs from byte `at` on, which four codes and their zero bits are
  /// multiplied with, which of them, and a vector with `value` in each byte of the codes that the
  /// block has.
  Value eightInputs(Value at);
  Value quadIndex(Value block, int64_t quad, int64_t v);
  Value presentBytes(int64_t inputs, int64_t quad, int64_t value);
  Values multiplyPicks(Value block, Value start, int64_t inputs, int64_t from, int64_t to,
                       Values partial);
  Value correctPicked(Value sum, Value zero, Value picked);
  Value inputSum(Value row, Value chunk);
  Value correct(Value sum, Value zero, Value inputSum);

  // Several rows.
  DecodeBlock blockOf(Value tile, Value firstRow, Value row, int64_t count, Value last);
  void emitRow(const DecodeBlock &block, Value firstRow, Finish finish);
  void emitRowBlock(DecodeBlock block, Value firstRow, Value row, Value count, Finish finish);
  void emitSingleRow(Value begin, Value end, Value firstRow, Finish finish);

  // Decode.
  /// Sums of each row of the block, of each tile or each vector.
  Values emitTiles(DecodeBlock block);
  Values emitUnit(Value unit, Value start, int64_t length, Values sums);
  Values eachTile(ValueRange carried, function_ref<Values(Value distance, Values part)> emit);
  Values startSums(Value chunkStart);
  Values emitChunk(Value header, Value data, Value start, int64_t length, Values sums);
  void prefetch(Value at, int64_t count);
  Values emitBlocks(Value data, Value start, int64_t length, Values partial);
  Values emitFlushingBlock(Value header, Value block, Value start, int64_t inputs, Values sums);
  void multiplyPattern(Value block, ArrayRef<Value> firsts, int64_t inputs, int64_t pattern,
                       int64_t begin, int64_t end, Values &partial);
  void multiplyDense(Value block, ArrayRef<Value> firsts, int64_t inputs, int64_t from, int64_t to,
                     Values &partial);
  void multiplyKept(Value block, ArrayRef<Value> firsts, int64_t inputs, int64_t pattern,
                    int64_t length, Values &partial);
  Values multiplySymbols(Value block, Value start, int64_t inputs, int64_t from, int64_t to,
                         Values partial);
  Values flush(Value header, int64_t group, Value chunkStart, Values sums, Values partial);

  // Activations.
  Value sumRange(Value begin, Value end, Value memory, Value at);
  void forRanges(int64_t size, function_ref<void(Value i, Value begin, Value end)> body);
  void loadScales(Value source, Value row);
  void loadCodes(Value source, Value row);
  void placeInputs(Value rowStart, Value row);
  Value negativeSum(Value begin, Value end, Value row);
  Value sumOfCodes(Value begin, Value end, Value row);

  // Panels.
  Values totalsOf(Value row);
  void clearTotals(Value rowCount);
  void decompressPanel(Value tile, Value start, Value length);
  void decompressStep(Value tile, Value start, Value panelRow, int64_t length);
  void decompressBlock(Value header, Value block, Value panelRow, int64_t inputs);
  void multiplyPanel(Value tile, Value start, Value length, Value firstRow, Value rowCount);
  void multiplyRows(Value tile, Value start, Value begin, Value end, Value firstRow, Value row,
                    Value rowCount, Value column);
  void flushIntegers(Value tile, Value chunkStart, Value rowCount);
  void flushAtChunkEnd(Value tile, Value start, Value stop, Value rowCount);
  Value unitHeader(Value tile, Value start);
  Value factorRow(Value start, Value column);
  Value groupRow(Value start, Value column);
  Value scaleAt(Value tile, Value start, Value column);
  Value zeroAt(Value tile, Value start, Value column);

  // Panels of bytes (TileDotPanel.cpp).
  void multiplyTile(Value tile, Value rowCount);
  void packPanel(Value tile, Value start, int64_t length);
  void packUnit(Value data, Value quad, int64_t inputs, ArrayRef<Value> zeroBytes);
  Values zeroBytes(Value header);
  /// Vectors of the panel for one quad and one vector of rows: codes, and indices where rows pick.
  int64_t panelParts() const { return plan.picks ? 2 : 1; }
  void packFactors(Value tile, Value start, int64_t length);
  void packOffsets(int64_t length);
  void multiplyPieces(Value start, int64_t length, Value rowCount);
  Values multiplyPiece(Value start, Value inPanel, int64_t inputs, Value row, Value column,
                       Values totals);
  /// The same for all rows of a block at once, by llmc.block_i8 (TileBlock.cpp).
  void multiplyBlocks(Value start, int64_t length, Value rowCount);
  void multiplyBlock(Value start, Value inPanel, int64_t inputs, Value row, Value column,
                     Value rowCount);
  void scaleBlock(Value start, Value inPanel, Value row, Value column, Value rowCount);
  void padPanel(int64_t length);
  int64_t codeBound() const;
  Values scalePiece(Value start, Value inPanel, Value row, Value column, Values sums,
                    Values totals);
  /// Whether zero points are subtracted from the sums of panels.
  bool correctsPanels() const { return layout.format.storesZeros() && !plan.picks; }
  bool scalesPieces() const { return plan.exact || (plan.perGroup && !plan.folded); }
  Value totalIndex(Value row, Value column) {
    return add(add(times(row, layout.tileRows), column), plan.totalStart);
  }

  Value wordView;    ///< memref<?xi32> over the weight.
  Value elementView; ///< values or scales.
  Value byteView;    ///< memref<?xi8>.
  VectorType elements, bytes;
  DenseMap<std::pair<int64_t, int64_t>, Value> words; ///< (dword, vector) of the block at hand.

  DenseMap<std::pair<int64_t, int64_t>, Value> tritBytes; ///< (quad, vector) of the block at hand.

  DenseMap<std::pair<int64_t, int64_t>, Value> levels; ///< (symbol, vector) of the same.

  DecodeBlock at;      ///< what is at hand on the decode path,
  Values rowZeros;     ///< and for sparse formats its zero points.
  Values distances;    ///< of the tiles at hand on the decode path, in dwords from the first.
  int64_t ahead = 0;   ///< dwords that weights are asked for ahead.
  int64_t sumSets = 1; ///< plan.sumSets, or one where tiles take turns within a chunk.
};

} // namespace llmc

#endif // LLMC_LIB_LOWER_CPU_TILELINEAR_H
