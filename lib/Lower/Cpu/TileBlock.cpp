//===- TileBlock.cpp - many rows times panels of bytes, by a matrix unit ----------------===//
//
// The prefill path of dots where the target has llmc.block_i8: the panel is that of
// TileDotPanel.cpp, padded with zeros to whole tiles. A block of rows by outputs sums a chunk, or
// the part of one that the panel holds, and leaves integers in memory; vectors scale them onto the
// totals.
//
#include "TileLinear.h"

#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace llmc;

using Values = LinearEmitter::Values;

static int64_t padTo(int64_t count, int64_t multiple) {
  return static_cast<int64_t>(llvm::alignTo(count, multiple));
}

// Whatever the rows of x hold behind their end is multiplied with these.
void LinearEmitter::padPanel(int64_t length) {
  int64_t first = padTo(length, 4) / 4, last = padTo(length, plan.tileInputs) / 4;
  Value zero = splatInt(0);
  for (int64_t i = first * layout.tileRows; i < last * layout.tileRows; i += lanes)
    store(zero, integers, index(plan.panelStart + i));
}

void LinearEmitter::multiplyBlocks(Value start, int64_t length, Value rowCount) {
  int64_t piece = std::min(plan.chunk, length), whole = length / piece, rest = length % piece;
  int64_t columns = plan.vectorBlock * lanes;
  forLoop(b, index(0), rowCount, plan.rowBlock, [&](Value row) {
    forLoop(b, index(0), index(layout.tileRows), columns, [&](Value column) {
      forLoop(b, index(0), index(whole * piece), piece,
              [&](Value inPanel) { multiplyBlock(start, inPanel, piece, row, column, rowCount); });
      if (rest)
        multiplyBlock(start, index(whole * piece), rest, row, column, rowCount);
    });
  });
}

// Rows past the last are computed too, from whatever the scratch holds, and never used.
void LinearEmitter::multiplyBlock(Value start, Value inPanel, int64_t inputs, Value row,
                                  Value column, Value rowCount) {
  Value sums = index(plan.integerStart);
  if (plan.integerTotals)
    sums = add(totalIndex(row, column), plan.integerStart - plan.totalStart);
  Value quad = arith::DivUIOp::create(b, inPanel, index(4));
  Value codes = times(add(add(times(quad, layout.tileRows), column), plan.panelStart), 4);
  Value rows = add(times(row, 4 * plan.rowFloats), add(start, inPanel));
  BlockI8Op::create(b, integers, sums, quadBytes, rows, quadBytes, codes, plan.rowBlock,
                    plan.vectorBlock * lanes, padTo(inputs, plan.tileInputs), plan.tileInputs,
                    plan.blockStride(layout, shape), 4 * plan.rowFloats, 4 * layout.tileRows,
                    codeBound(), plan.integerTotals);
  if (!plan.integerTotals)
    scaleBlock(start, inPanel, row, column, rowCount);
}

// Adds the sums of a whole chunk, scaled, to the totals of the rows that there are.
void LinearEmitter::scaleBlock(Value start, Value inPanel, Value row, Value column,
                               Value rowCount) {
  bool isStart = plan.correction == LinearPlan::Correction::Start;
  Value from = add(start, inPanel), factors = factorRow(inPanel, column);
  Value chunk = arith::DivUIOp::create(b, from, index(plan.chunk));
  Value group = arith::DivUIOp::create(b, from, index(plan.activationGroup));
  Values scales, zeroPoints;
  for (int64_t v = 0; v < plan.vectorBlock; ++v) {
    Value at = add(factors, v * lanes);
    scales.push_back(load(floats, scratch, at));
    zeroPoints.push_back(correctsPanels() ? load(floats, scratch, add(at, layout.tileRows))
                                          : Value());
  }
  Value count = least(index(plan.rowBlock), arith::SubIOp::create(b, rowCount, row));
  forLoop(b, index(0), count, 1, [&](Value r) {
    Value ofBlock = add(row, r), rowStart = times(ofBlock, plan.rowFloats), sumOfInputs, ofRow;
    if (isStart || correctsPanels())
      sumOfInputs = inputSum(rowStart, chunk);
    if (plan.perGroup)
      ofRow = broadcast(loadScalar(scratch, add(add(rowStart, plan.scaleStart), group)));
    Value sums = add(times(r, plan.blockStride(layout, shape)), plan.integerStart);
    for (int64_t v = 0; v < plan.vectorBlock; ++v) {
      Value sum = load(ints, integers, add(sums, v * lanes)), factor = scales[v];
      if (isStart)
        sum = arith::AddIOp::create(b, sum, vector::BroadcastOp::create(b, ints, sumOfInputs));
      if (ofRow)
        factor = arith::MulFOp::create(b, factor, ofRow);
      Value at = totalIndex(ofBlock, add(column, v * lanes));
      Value scaled = correct(sum, zeroPoints[v], sumOfInputs);
      store(fma(factor, scaled, load(floats, scratch, at)), scratch, at);
    }
  });
}
