//===- TileDotPanel.cpp - many rows times panels of bytes -------------------------------===//
//
// The prefill path of dots: codes of a panel are unpacked to bytes in the thread's scratch as
// [quad][row of the tile], scales and zero points to f32 beside them. A register block of rows of x
// by vectors of the tile sums a chunk, or the part of one that the panel holds.
//
#include "TileLinear.h"

using namespace mlir;
using namespace llmc;

using Values = LinearEmitter::Values;

// Totals of one tile for `rowCount` rows.
void LinearEmitter::multiplyTile(Value tile, Value rowCount) {
  int64_t panel = plan.panelInputs, whole = layout.k / panel, rest = layout.k % panel;
  auto multiply = [&](Value start, int64_t length) {
    packPanel(tile, start, length);
    if (plan.chunk <= panel)
      packFactors(tile, start, length);
    multiplyPieces(start, length, rowCount);
    if (plan.chunk <= panel)
      return;
    // The integers become floats where the chunk ends.
    Value stop = add(start, length), chunk = index(plan.chunk);
    Value inChunk = arith::RemUIOp::create(b, stop, chunk);
    Value atEnd = arith::CmpIOp::create(b, arith::CmpIPredicate::eq, inChunk, index(0));
    Value atLast = arith::CmpIOp::create(b, arith::CmpIPredicate::eq, stop, index(layout.k));
    auto ends = scf::IfOp::create(b, arith::OrIOp::create(b, atEnd, atLast));
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(ends.thenBlock());
    flushIntegers(tile, start, rowCount);
  };
  if (whole)
    forLoop(b, index(0), index(whole), 1, [&](Value i) { multiply(times(i, panel), panel); });
  if (rest)
    multiply(index(whole * panel), rest);
}

//===----------------------------------------------------------------------===//
// Unpacking
//===----------------------------------------------------------------------===//

void LinearEmitter::packPanel(Value tile, Value start, int64_t length) {
  Value header = unitHeader(tile, start), data = add(header, headerDwords());
  if (length <= layout.unit) {
    Value inUnit = arith::RemUIOp::create(b, start, index(layout.unit));
    Value before = arith::DivUIOp::create(b, inUnit, index(layout.blockInputs));
    packUnit(add(data, times(before, dwords(layout.blockInputs))), index(0), length);
    return;
  }
  int64_t units = length / layout.unit, rest = length % layout.unit;
  auto unit = [&](Value i, int64_t inputs) {
    packUnit(add(data, times(i, layout.unitBytes() / 4)), times(i, layout.unit / 4), inputs);
  };
  forLoop(b, index(0), index(units), 1, [&](Value i) { unit(i, layout.unit); });
  if (rest)
    unit(index(units), rest);
}

// `inputs` inputs from the block at `data` on become quads `quad` ... of the panel.
void LinearEmitter::packUnit(Value data, Value quad, int64_t inputs) {
  int64_t block = layout.blockInputs;
  auto packBlock = [&](Value from, Value to, int64_t length) {
    startBlock();
    for (int64_t q = 0; 4 * q < length; ++q)
      for (int64_t v = 0; v < plan.vectors; ++v) {
        Value codes = vector::BitCastOp::create(b, ints, quadCodes(from, length, q, v));
        Value at = times(add(to, q), layout.tileRows);
        store(codes, integers, add(at, plan.panelStart + v * lanes));
      }
  };
  int64_t blocks = inputs / block;
  if (blocks)
    forLoop(b, index(0), index(blocks), 1, [&](Value i) {
      packBlock(add(data, times(i, dwords(block))), add(quad, times(i, block / 4)), block);
    });
  if (inputs % block)
    packBlock(add(data, blocks * dwords(block)), add(quad, blocks * block / 4), inputs % block);
}

// Where the scales of the chunk at input `inPanel` of the panel are; its zero points follow.
Value LinearEmitter::factorRow(Value inPanel, Value column) {
  Value chunk = arith::DivUIOp::create(b, inPanel, index(plan.chunk));
  return add(add(times(chunk, 2 * layout.tileRows), column), plan.factorStart);
}

void LinearEmitter::packFactors(Value tile, Value start, int64_t length) {
  forLoop(b, index(0), index(length), plan.chunk, [&](Value inPanel) {
    Value from = add(start, inPanel);
    for (int64_t v = 0; v < plan.vectors; ++v) {
      Value column = index(v * lanes), to = factorRow(inPanel, column);
      store(scaleAt(tile, from, column), scratch, to);
      if (layout.format.storesZeros())
        store(zeroAt(tile, from, column), scratch, add(to, layout.tileRows));
    }
  });
}

//===----------------------------------------------------------------------===//
// Multiplication
//===----------------------------------------------------------------------===//

void LinearEmitter::multiplyPieces(Value start, int64_t length, Value rowCount) {
  int64_t piece = std::min(plan.chunk, length), whole = length / piece, rest = length % piece;
  forLoop(b, index(0), rowCount, plan.rowBlock, [&](Value row) {
    forLoop(b, index(0), index(layout.tileRows), plan.vectorBlock * lanes, [&](Value column) {
      forLoop(b, index(0), index(whole * piece), piece,
              [&](Value inPanel) { multiplyPiece(start, inPanel, piece, row, column); });
      if (rest)
        multiplyPiece(start, index(whole * piece), rest, row, column);
    });
  });
}

// Rows past the last are computed too, from whatever the scratch holds, and never used.
void LinearEmitter::multiplyPiece(Value start, Value inPanel, int64_t inputs, Value row,
                                  Value column) {
  bool wholeChunk = plan.chunk <= plan.panelInputs;
  int64_t count = plan.rowBlock * plan.vectorBlock;
  Value rowStart = times(row, plan.rowFloats), from = add(start, inPanel);
  Values sums = zeros(ints, count);
  if (wholeChunk && plan.correction == LinearPlan::Correction::Start) {
    Value chunk = arith::DivUIOp::create(b, from, index(plan.chunk));
    for (int64_t r = 0; r < plan.rowBlock; ++r) {
      Value sum = inputSum(add(rowStart, r * plan.rowFloats), chunk);
      Value first = vector::BroadcastOp::create(b, ints, sum);
      std::fill_n(sums.begin() + r * plan.vectorBlock, plan.vectorBlock, first);
    }
  }
  Value firstQuad = arith::DivUIOp::create(b, inPanel, index(4));
  Value inputBytes = add(times(rowStart, 4), from);
  auto addQuads = [&](Value quad, int64_t quads, Values sums) {
    Value weights = add(times(add(firstQuad, quad), layout.tileRows), column);
    Value inputs = add(inputBytes, times(quad, 4));
    for (int64_t q = 0; q < quads; ++q) {
      Values codes;
      for (int64_t v = 0; v < plan.vectorBlock; ++v) {
        Value at = add(weights, plan.panelStart + q * layout.tileRows + v * lanes);
        codes.push_back(vector::BitCastOp::create(b, this->quads, load(ints, integers, at)));
      }
      for (int64_t r = 0; r < plan.rowBlock; ++r) {
        Value input = quadInput(add(inputs, 4 * (r * plan.rowFloats + q)));
        for (int64_t v = 0; v < plan.vectorBlock; ++v) {
          Value &sum = sums[r * plan.vectorBlock + v];
          sum = dot(sum, codes[v], input);
        }
      }
    }
    return sums;
  };
  int64_t unrolled = plan.stepQuads, quads = (inputs + 3) / 4, steps = quads / unrolled;
  if (steps == 1)
    sums = addQuads(index(0), unrolled, sums);
  else if (steps > 1)
    sums = forLoop(b, index(0), index(steps * unrolled), unrolled, sums,
                   [&](Value quad, ValueRange carried) {
                     return addQuads(quad, unrolled, toValues(carried));
                   });
  if (quads % unrolled)
    sums = addQuads(index(steps * unrolled), quads % unrolled, sums);
  if (wholeChunk) {
    scalePiece(start, inPanel, row, column, sums);
    return;
  }
  for (int64_t r = 0; r < plan.rowBlock; ++r)
    for (int64_t v = 0; v < plan.vectorBlock; ++v) {
      Value at = totalIndex(add(row, r), add(column, v * lanes));
      at = add(at, plan.integerStart - plan.totalStart);
      Value sum = sums[r * plan.vectorBlock + v];
      store(arith::AddIOp::create(b, load(ints, integers, at), sum), integers, at);
    }
}

// Adds the scaled sums of a chunk to the totals.
void LinearEmitter::scalePiece(Value start, Value inPanel, Value row, Value column, Values sums) {
  bool hasZeros = layout.format.storesZeros();
  Value from = add(start, inPanel), factors = factorRow(inPanel, column);
  Value chunk = arith::DivUIOp::create(b, from, index(plan.chunk));
  Value block = arith::DivUIOp::create(b, from, index(plan.activationGroup));
  Values sumsOfRows;
  for (int64_t r = 0; r < plan.rowBlock; ++r)
    sumsOfRows.push_back(hasZeros ? inputSum(times(add(row, r), plan.rowFloats), chunk) : Value());
  // What is multiplied is loaded for one vector at a time: the stores before keep the rest in
  // memory until there are registers for it.
  for (int64_t v = 0; v < plan.vectorBlock; ++v) {
    Value scale = load(floats, scratch, add(factors, v * lanes)), zero;
    if (hasZeros)
      zero = load(floats, scratch, add(factors, layout.tileRows + v * lanes));
    for (int64_t r = 0; r < plan.rowBlock; ++r) {
      Value rowStart = times(add(row, r), plan.rowFloats), factor = scale;
      if (plan.perGroup) {
        Value ofRow = loadScalar(scratch, add(add(rowStart, plan.scaleStart), block));
        factor = arith::MulFOp::create(b, scale, broadcast(ofRow));
      }
      Value sum = correct(sums[r * plan.vectorBlock + v], zero, sumsOfRows[r]);
      Value at = totalIndex(add(row, r), add(column, v * lanes));
      store(fma(factor, sum, load(floats, scratch, at)), scratch, at);
    }
  }
}
