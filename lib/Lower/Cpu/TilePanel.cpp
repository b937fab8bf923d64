//===- TilePanel.cpp - many rows times decompressed panels ------------------------------===//
//
// The prefill path: a panel of some inputs by one tile is decompressed to f32 in the thread's
// scratch (about the size of L1) and multiplied with up to 96 rows of the input by a
// register-blocked loop. Totals stay in scratch until the tile is done.
//
#include "TileLinear.h"

using namespace mlir;
using namespace llmc;

using Values = LinearEmitter::Values;

void LinearEmitter::emitPanels(Value begin, Value end, Value rows, Finish finish) {
  Value zero = index(0), k = index(layout.k);
  forLoop(b, zero, rows, plan.panelRows, [&](Value firstRow) {
    Value rowCount = least(index(plan.panelRows), arith::SubIOp::create(b, rows, firstRow));
    if (plan.quantized)
      forLoop(b, zero, rowCount, 1, [&](Value row) {
        emitActivations(add(firstRow, row), times(row, plan.rowFloats), /*sums=*/plan.dots);
        if (!plan.offsetInputs)
          return;
        forLoop(b, zero, index(plan.scaleStart), lanes, [&](Value i) {
          Value at = add(times(row, plan.rowFloats), i);
          Value flipped = arith::XOrIOp::create(b, load(ints, integers, at), splatInt(0x80808080));
          store(flipped, integers, at);
        });
      });
    forLoop(b, begin, end, 1, [&](Value tile) {
      clearTotals(rowCount);
      if (plan.dots)
        multiplyTile(tile, rowCount);
      else
        forLoop(b, zero, k, plan.panelInputs, [&](Value start) {
          Value length = least(index(plan.panelInputs), arith::SubIOp::create(b, k, start));
          decompressPanel(tile, start, length);
          multiplyPanel(tile, start, length, firstRow, rowCount);
        });
      forLoop(b, zero, rowCount, 1, [&](Value row) {
        finish(add(firstRow, row), tile, times(row, plan.rowFloats), totalsOf(row));
      });
    });
  });
}

// The totals of a row of the scratch, of all of its tile.
Values LinearEmitter::totalsOf(Value row) {
  Values sums;
  for (int64_t v = 0; v < plan.vectors; ++v)
    sums.push_back(load(floats, scratch, totalIndex(row, index(v * lanes))));
  return sums;
}

void LinearEmitter::clearTotals(Value rowCount) {
  Value floatZero = splatFloat(0), intZero = splatInt(0);
  // Whole register blocks: rows past the last are computed too, though never used.
  Value blocks = arith::CeilDivUIOp::create(b, rowCount, index(plan.rowBlock));
  forLoop(b, index(0), times(blocks, plan.rowBlock * layout.tileRows), lanes, [&](Value i) {
    store(floatZero, scratch, add(i, plan.totalStart));
    if (plan.integerTotals)
      store(intZero, integers, add(i, plan.integerStart));
  });
}

//===----------------------------------------------------------------------===//
// Decompression
//===----------------------------------------------------------------------===//

Value LinearEmitter::unitHeader(Value tile, Value start) {
  Value unit = arith::DivUIOp::create(b, start, index(layout.unit));
  return add(tileBase(tile), times(unit, layout.unitBytes() / 4));
}

void LinearEmitter::decompressPanel(Value tile, Value start, Value length) {
  Value steps = arith::DivUIOp::create(b, length, index(plan.panelStep));
  forLoop(b, index(0), steps, 1, [&](Value i) {
    Value row = times(i, plan.panelStep);
    decompressStep(tile, add(start, row), row, plan.panelStep);
  });
  int64_t rest = layout.k % plan.panelStep;
  if (!rest)
    return;
  Value whole = times(steps, plan.panelStep);
  Value isShort = arith::CmpIOp::create(b, arith::CmpIPredicate::ult, whole, length);
  auto tail = scf::IfOp::create(b, isShort);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(tail.thenBlock());
  decompressStep(tile, add(start, whole), whole, rest);
}

void LinearEmitter::decompressStep(Value tile, Value start, Value panelRow, int64_t length) {
  int64_t block = layout.blockInputs;
  Value header = unitHeader(tile, start), data = add(header, headerDwords());
  if (plan.regular) {
    Value inUnit = arith::RemUIOp::create(b, start, index(layout.unit));
    Value blocks = arith::DivUIOp::create(b, inUnit, index(block));
    decompressBlock(header, add(data, times(blocks, dwords(block))), panelRow, length);
    return;
  }
  int64_t blocks = length / block;
  forLoop(b, index(0), index(blocks), 1, [&](Value i) {
    decompressBlock(header, add(data, times(i, dwords(block))), add(panelRow, times(i, block)),
                    block);
  });
  if (length % block)
    decompressBlock(header, add(data, blocks * dwords(block)), add(panelRow, blocks * block),
                    length % block);
}

void LinearEmitter::decompressBlock(Value header, Value block, Value panelRow, int64_t inputs) {
  startBlock();
  auto put = [&](Value weight, int64_t input, int64_t v) {
    Value row = times(add(panelRow, input), layout.tileRows);
    store(weight, scratch, add(row, plan.panelStart + v * lanes));
  };
  for (int64_t v = 0; v < plan.vectors; ++v) {
    int64_t loaded = -1;
    Value zero, scale;
    auto weight = [&](int64_t symbol, int64_t input) -> Value {
      int64_t group = layout.groupsPerUnit > 1 ? input / layout.group : 0;
      if (group != loaded) {
        zero = zeroVector(header, group, v);
        scale = scalesPieces() ? Value() : scaleVector(header, group, v);
        loaded = group;
      }
      Value value = symbolValue(block, inputs, symbol, v, zero);
      return scale ? arith::MulFOp::create(b, value, scale).getResult() : value;
    };
    if (!layout.sparse) {
      for (int64_t i = 0; i < inputs; ++i)
        put(weight(i, i), i, v);
      continue;
    }
    for (int64_t pattern = 0; pattern < inputs; pattern += layout.keepM) {
      int64_t length = std::min(layout.keepM, inputs - pattern);
      int64_t symbol = layout.symbols(pattern);
      Values dense = zeros(floats, length);
      for (int64_t i = 0; i < std::min(layout.keepN, length); ++i) {
        Value kept = weight(symbol + i, pattern);
        Value position = symbolIndex(block, inputs, symbol + i, v);
        for (int64_t input = 0; input < length; ++input) {
          Value here =
              arith::CmpIOp::create(b, arith::CmpIPredicate::eq, position, splatInt(input));
          dense[input] = arith::SelectOp::create(b, here, kept, dense[input]);
        }
      }
      for (int64_t input = 0; input < length; ++input)
        put(dense[input], pattern + input, v);
    }
  }
}

//===----------------------------------------------------------------------===//
// Multiplication
//===----------------------------------------------------------------------===//

void LinearEmitter::multiplyPanel(Value tile, Value start, Value length, Value firstRow,
                                  Value rowCount) {
  // A piece lies under one weight scale and one activation scale, if those are applied here.
  int64_t piece = scalesPieces() ? std::min(plan.chunk, plan.panelInputs) : plan.panelInputs;
  int64_t part = plan.wideChunks ? std::min(piece, plan.exactInputs) : piece;
  forLoop(b, index(0), length, piece, [&](Value begin) {
    Value end = least(add(begin, piece), length);
    forLoop(b, begin, end, part, [&](Value from) {
      Value to = least(add(from, part), end);
      forLoop(b, index(0), rowCount, plan.rowBlock, [&](Value row) {
        forLoop(b, index(0), index(layout.tileRows), plan.vectorBlock * lanes, [&](Value column) {
          multiplyRows(tile, start, from, to, firstRow, row, rowCount, column);
        });
      });
    });
    if (plan.wideChunks)
      flushAtChunkEnd(tile, add(start, begin), add(start, end), rowCount);
  });
}

// Row `column` of the group at input `start`, counted over all groups of its unit.
Value LinearEmitter::groupRow(Value start, Value column) {
  if (layout.groupsPerUnit == 1)
    return column;
  Value inUnit = arith::RemUIOp::create(b, start, index(layout.unit));
  Value group = arith::DivUIOp::create(b, inUnit, index(layout.group));
  return add(times(group, layout.tileRows), column);
}

Value LinearEmitter::scaleAt(Value tile, Value start, Value column) {
  return scaleVector(unitHeader(tile, start), groupRow(start, column));
}

Value LinearEmitter::zeroAt(Value tile, Value start, Value column) {
  return zeroVector(unitHeader(tile, start), groupRow(start, column));
}

void LinearEmitter::multiplyRows(Value tile, Value start, Value begin, Value end, Value firstRow,
                                 Value row, Value rowCount, Value column) {
  Value last = arith::SubIOp::create(b, rowCount, index(1));
  Value memory = plan.quantized ? scratch : input;
  Values rowOf, starts, sums;
  for (int64_t r = 0; r < plan.rowBlock; ++r) {
    rowOf.push_back(least(add(row, r), last));
    Value at = plan.quantized ? times(rowOf[r], plan.rowFloats)
                              : rowIndex(b, add(firstRow, rowOf[r]), x, index(0));
    starts.push_back(add(at, start));
  }
  auto totalAt = [&](int64_t r, int64_t v) {
    return totalIndex(add(row, r), add(column, v * lanes));
  };
  auto forEach = [&](function_ref<void(int64_t, int64_t, int64_t)> body) {
    for (int64_t r = 0; r < plan.rowBlock; ++r)
      for (int64_t v = 0; v < plan.vectorBlock; ++v)
        body(r, v, r * plan.vectorBlock + v);
  };
  Value zero = splatFloat(0);
  forEach([&](int64_t r, int64_t v, int64_t) {
    sums.push_back(scalesPieces() ? zero : load(floats, scratch, totalAt(r, v)));
  });
  sums = forLoop(b, begin, end, 1, sums, [&](Value i, ValueRange carried) {
    Values next = toValues(carried), weights, values;
    Value panel = add(times(i, layout.tileRows), column);
    for (int64_t v = 0; v < plan.vectorBlock; ++v)
      weights.push_back(load(floats, scratch, add(panel, plan.panelStart + v * lanes)));
    for (int64_t r = 0; r < plan.rowBlock; ++r)
      values.push_back(broadcast(loadScalar(memory, add(starts[r], i))));
    forEach(
        [&](int64_t r, int64_t v, int64_t n) { next[n] = fma(values[r], weights[v], next[n]); });
    return next;
  });
  if (plan.wideChunks) {
    int64_t distance = plan.integerStart - plan.totalStart;
    forEach([&](int64_t r, int64_t v, int64_t n) {
      Value at = add(totalAt(r, v), distance);
      Value part = arith::FPToSIOp::create(b, ints, sums[n]);
      store(arith::AddIOp::create(b, load(ints, integers, at), part), integers, at);
    });
    return;
  }
  if (!scalesPieces()) {
    forEach([&](int64_t r, int64_t v, int64_t n) { store(sums[n], scratch, totalAt(r, v)); });
    return;
  }
  Value pieceStart = add(start, begin);
  Values scales, rowScales;
  for (int64_t v = 0; v < plan.vectorBlock; ++v)
    scales.push_back(scaleAt(tile, pieceStart, add(column, v * lanes)));
  if (plan.perGroup) {
    Value block = arith::DivUIOp::create(b, pieceStart, index(plan.activationGroup));
    for (int64_t r = 0; r < plan.rowBlock; ++r) {
      Value at = add(times(rowOf[r], plan.rowFloats), plan.scaleStart);
      rowScales.push_back(broadcast(loadScalar(scratch, add(at, block))));
    }
  }
  forEach([&](int64_t r, int64_t v, int64_t n) {
    Value scale = scales[v];
    if (scale && plan.perGroup)
      scale = arith::MulFOp::create(b, scale, rowScales[r]);
    else if (!scale)
      scale = rowScales[r];
    store(fma(scale, sums[n], load(floats, scratch, totalAt(r, v))), scratch, totalAt(r, v));
  });
}

/// Behind columns `start` to `stop`: the integers become floats where the chunk, or the row, ends.
void LinearEmitter::flushAtChunkEnd(Value tile, Value start, Value stop, Value rowCount) {
  Value inChunk = arith::RemUIOp::create(b, stop, index(plan.chunk));
  Value atEnd = arith::CmpIOp::create(b, arith::CmpIPredicate::eq, inChunk, index(0));
  Value atLast = arith::CmpIOp::create(b, arith::CmpIPredicate::eq, stop, index(layout.k));
  auto ends = scf::IfOp::create(b, arith::OrIOp::create(b, atEnd, atLast));
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(ends.thenBlock());
  flushIntegers(tile, start, rowCount);
}

// Sums that a panel was too short for, or f32 too narrow: the totals get them scaled.
void LinearEmitter::flushIntegers(Value tile, Value chunkStart, Value rowCount) {
  int64_t distance = plan.integerStart - plan.totalStart;
  bool byZero = plan.dots && correctsPanels();
  Values scales, zeroPoints;
  for (int64_t v = 0; v < plan.vectors; ++v) {
    scales.push_back(scaleAt(tile, chunkStart, index(v * lanes)));
    zeroPoints.push_back(byZero ? zeroAt(tile, chunkStart, index(v * lanes)) : Value());
  }
  Value none = splatInt(0), chunk = arith::DivUIOp::create(b, chunkStart, index(plan.chunk));
  forLoop(b, index(0), rowCount, 1, [&](Value row) {
    Value rowStart = times(row, plan.rowFloats), rowScale, sumOfInputs;
    if (plan.perGroup) {
      Value block = arith::DivUIOp::create(b, chunkStart, index(plan.activationGroup));
      Value at = add(add(rowStart, plan.scaleStart), block);
      rowScale = broadcast(loadScalar(scratch, at));
    }
    if (plan.dots && plan.correction != LinearPlan::Correction::None && !plan.picks)
      sumOfInputs = inputSum(rowStart, chunk);
    for (int64_t v = 0; v < plan.vectors; ++v) {
      Value at = totalIndex(row, index(v * lanes)), integerAt = add(at, distance);
      Value value = load(ints, integers, integerAt);
      if (!plan.dots) {
        value = arith::SIToFPOp::create(b, floats, value); // Of codes minus zero point.
      } else {
        if (plan.correction == LinearPlan::Correction::Start)
          value =
              arith::AddIOp::create(b, value, vector::BroadcastOp::create(b, ints, sumOfInputs));
        value = correct(value, zeroPoints[v], sumOfInputs);
      }
      Value scale =
          rowScale ? arith::MulFOp::create(b, scales[v], rowScale).getResult() : scales[v];
      store(fma(scale, value, load(floats, scratch, at)), scratch, at);
      store(none, integers, integerAt);
    }
  });
}
