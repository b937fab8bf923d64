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
    if (plan.offsetInputs)
      packOffsets(length);
    if (plan.chunk <= panel)
      packFactors(tile, start, length);
    if (plan.tileInputs) {
      padPanel(length);
      multiplyBlocks(start, length, rowCount);
    } else {
      multiplyPieces(start, length, rowCount);
    }
    if (plan.chunk > panel)
      flushAtChunkEnd(tile, start, add(start, length), rowCount);
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
    packUnit(add(data, times(before, dwords(layout.blockInputs))), index(0), length,
             zeroBytes(header));
    return;
  }
  int64_t units = length / layout.unit, rest = length % layout.unit;
  auto unit = [&](Value i, int64_t inputs) {
    Value from = times(i, layout.unitBytes() / 4);
    packUnit(add(data, from), times(i, layout.unit / plan.quadInputs), inputs,
             zeroBytes(add(header, from)));
  };
  forLoop(b, index(0), index(units), 1, [&](Value i) { unit(i, layout.unit); });
  if (rest)
    unit(index(units), rest);
}

// The zero point of each row in all four bytes, where the panel has codes without it.
Values LinearEmitter::zeroBytes(Value header) {
  Values result;
  if (plan.correction != LinearPlan::Correction::Picked)
    return result;
  for (int64_t v = 0; v < plan.vectors; ++v) {
    Value zero = arith::FPToSIOp::create(b, ints, zeroVector(header, 0, v));
    result.push_back(arith::MulIOp::create(b, zero, splatInt(0x01010101)));
  }
  return result;
}

// `inputs` inputs from the block at `data` on become quads `quad` ... of the panel.
void LinearEmitter::packUnit(Value data, Value quad, int64_t inputs, ArrayRef<Value> zeroBytes) {
  int64_t block = layout.blockInputs;
  auto packBlock = [&](Value from, Value to, int64_t length) {
    startBlock();
    for (int64_t q = 0; plan.quadInputs * q < length; ++q)
      for (int64_t v = 0; v < plan.vectors; ++v) {
        Value codes = quadCodes(from, length, q, v);
        if (!zeroBytes.empty()) {
          Value present = presentBytes(length, q, 0xff);
          Value zero = arith::AndIOp::create(b, zeroBytes[v], present);
          zero = vector::BitCastOp::create(b, quads, zero);
          codes = arith::SubIOp::create(b, codes, zero);
        }
        Value at =
            add(times(add(to, q), panelParts() * layout.tileRows), plan.panelStart + v * lanes);
        store(vector::BitCastOp::create(b, ints, codes), integers, at);
        if (plan.picks)
          store(vector::BitCastOp::create(b, ints, quadIndex(from, q, v)), integers,
                add(at, layout.tileRows));
      }
  };
  int64_t blocks = inputs / block;
  if (blocks)
    forLoop(b, index(0), index(blocks), 1, [&](Value i) {
      packBlock(add(data, times(i, dwords(block))), add(quad, times(i, block / plan.quadInputs)),
                block);
    });
  if (inputs % block)
    packBlock(add(data, blocks * dwords(block)), add(quad, blocks * block / plan.quadInputs),
              inputs % block);
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
      if (correctsPanels())
        store(zeroAt(tile, from, column), scratch, add(to, layout.tileRows));
    }
  });
}

// (x + 128) * w - 128 * w is x * w: where only the first factor may be unsigned, that is the input,
// and sums start at the second term.
void LinearEmitter::packOffsets(int64_t length) {
  int64_t piece = std::min(plan.chunk, length), whole = length / piece, rest = length % piece;
  Value offset = vector::BitCastOp::create(b, quads, splatInt(0x80808080));
  auto pack = [&](Value number, int64_t inputs) {
    Value firstQuad = times(number, piece / plan.quadInputs);
    Value last = index((inputs + plan.quadInputs - 1) / plan.quadInputs);
    for (int64_t v = 0; v < plan.vectors; ++v) {
      Values zero = {splatInt(0)};
      Value sum = forLoop(b, index(0), last, 1, zero, [&](Value quad, ValueRange carried) {
        Value at = times(add(firstQuad, quad), panelParts() * layout.tileRows);
        Value codes = load(ints, integers, add(at, plan.panelStart + v * lanes));
        codes = vector::BitCastOp::create(b, quads, codes);
        return Values{DotI8Op::create(b, carried[0], offset, codes, /*bound=*/128,
                                      /*signed_codes=*/false)};
      })[0];
      Value to = add(times(number, layout.tileRows), plan.offsetStart + v * lanes);
      store(arith::SubIOp::create(b, zero[0], sum), integers, to);
    }
  };
  forLoop(b, index(0), index(whole), 1, [&](Value number) { pack(number, piece); });
  if (rest)
    pack(index(whole), rest);
}

//===----------------------------------------------------------------------===//
// Multiplication
//===----------------------------------------------------------------------===//

void LinearEmitter::multiplyPieces(Value start, int64_t length, Value rowCount) {
  int64_t piece = std::min(plan.chunk, length), whole = length / piece, rest = length % piece;
  forLoop(b, index(0), rowCount, plan.rowBlock, [&](Value row) {
    forLoop(b, index(0), index(layout.tileRows), plan.vectorBlock * lanes, [&](Value column) {
      // With many registers the totals of a block go through memory once for all chunks of the
      // panel; with few they would be moved about for each.
      bool carries = shape.registers >= 32 && plan.chunk <= plan.panelInputs;
      Values totals, places;
      for (int64_t i = 0; carries && i < plan.rowBlock * plan.vectorBlock; ++i) {
        Value to = add(column, i % plan.vectorBlock * lanes);
        places.push_back(totalIndex(add(row, i / plan.vectorBlock), to));
        totals.push_back(load(floats, scratch, places.back()));
      }
      if (!carries)
        forLoop(b, index(0), index(whole * piece), piece,
                [&](Value inPanel) { multiplyPiece(start, inPanel, piece, row, column, {}); });
      else if (whole == 1)
        totals = multiplyPiece(start, index(0), piece, row, column, totals);
      else
        totals =
            forLoop(b, index(0), index(whole * piece), piece, totals,
                    [&](Value inPanel, ValueRange carried) {
                      return multiplyPiece(start, inPanel, piece, row, column, toValues(carried));
                    });
      if (rest)
        totals = multiplyPiece(start, index(whole * piece), rest, row, column, totals);
      for (auto [total, place] : llvm::zip(totals, places))
        store(total, scratch, place);
    });
  });
}

// Rows past the last are computed too, from whatever the scratch holds, and never used. `totals`
// come back with a whole chunk added; else the sums go to the integers in the scratch.
Values LinearEmitter::multiplyPiece(Value start, Value inPanel, int64_t inputs, Value row,
                                    Value column, Values totals) {
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
  if (plan.offsetInputs) {
    Value piece = arith::DivUIOp::create(b, inPanel, index(plan.chunk));
    Value first = add(add(times(piece, layout.tileRows), column), plan.offsetStart);
    for (int64_t i = 0; i < count; ++i)
      sums[i] = load(ints, integers, add(first, i % plan.vectorBlock * lanes));
  }
  Value firstQuad = arith::DivUIOp::create(b, inPanel, index(plan.quadInputs));
  Value inputBytes = add(times(rowStart, 4), from);
  auto addQuads = [&](Value quad, int64_t quads, Values sums) {
    int64_t quadDwords = panelParts() * layout.tileRows;
    Value weights = add(times(add(firstQuad, quad), quadDwords), column);
    Value inputs = add(inputBytes, times(quad, plan.quadInputs));
    auto bytesAt = [&](Value at) -> Value {
      return vector::BitCastOp::create(b, this->quads, load(ints, integers, at));
    };
    for (int64_t q = 0; q < quads; ++q) {
      Values codes, indices;
      for (int64_t v = 0; v < plan.vectorBlock; ++v) {
        Value at = add(weights, plan.panelStart + q * quadDwords + v * lanes);
        codes.push_back(bytesAt(at));
        if (plan.picks)
          indices.push_back(bytesAt(add(at, layout.tileRows)));
      }
      for (int64_t r = 0; r < plan.rowBlock; ++r) {
        Value at = add(inputs, 4 * r * plan.rowFloats + q * plan.quadInputs);
        Value input = plan.picks ? eightInputs(at) : quadInput(at);
        for (int64_t v = 0; v < plan.vectorBlock; ++v) {
          Value &sum = sums[r * plan.vectorBlock + v], own = input;
          if (plan.picks)
            own = PickI8Op::create(b, input, indices[v]);
          sum = plan.offsetInputs
                    ? DotI8Op::create(b, sum, own, codes[v], /*bound=*/255, /*signed_codes=*/false)
                          .getResult()
                    : dot(sum, codes[v], own, plan.signedCodes || plan.picks);
        }
      }
    }
    return sums;
  };
  int64_t unrolled = plan.stepQuads, quads = (inputs + plan.quadInputs - 1) / plan.quadInputs,
          steps = quads / unrolled;
  if (steps == 1)
    sums = addQuads(index(0), unrolled, sums);
  else if (steps > 1)
    sums = forLoop(b, index(0), index(steps * unrolled), unrolled, sums,
                   [&](Value quad, ValueRange carried) {
                     return addQuads(quad, unrolled, toValues(carried));
                   });
  if (quads % unrolled)
    sums = addQuads(index(steps * unrolled), quads % unrolled, sums);
  if (wholeChunk)
    return scalePiece(start, inPanel, row, column, sums, std::move(totals));
  for (int64_t r = 0; r < plan.rowBlock; ++r)
    for (int64_t v = 0; v < plan.vectorBlock; ++v) {
      Value at = totalIndex(add(row, r), add(column, v * lanes));
      at = add(at, plan.integerStart - plan.totalStart);
      Value sum = sums[r * plan.vectorBlock + v];
      store(arith::AddIOp::create(b, load(ints, integers, at), sum), integers, at);
    }
  return totals;
}

// Adds the scaled sums of a chunk to the totals, those in memory if there are no others.
Values LinearEmitter::scalePiece(Value start, Value inPanel, Value row, Value column, Values sums,
                                 Values totals) {
  bool hasZeros = correctsPanels();
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
      if (!totals.empty()) {
        Value &total = totals[r * plan.vectorBlock + v];
        total = fma(factor, sum, total);
        continue;
      }
      Value at = totalIndex(add(row, r), add(column, v * lanes));
      store(fma(factor, sum, load(floats, scratch, at)), scratch, at);
    }
  }
  return totals;
}
