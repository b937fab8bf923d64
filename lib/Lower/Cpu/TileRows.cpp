//===- TileRows.cpp - few rows, each with the sums it has alone -------------------------===//
//
// What shares the decode path among rows. A single row goes through several parts of its tiles in
// turn. Of more rows, blocks of four and of two share what is decoded: a tile comes from memory for
// the first block and is in the caches for the others.
//
#include "TileLinear.h"

using namespace mlir;
using namespace llmc;

using Values = LinearEmitter::Values;

// `count` rows of the scratch from `row` on, which are rows firstRow + row ... of x, or, past
// `last`, that one again.
DecodeBlock LinearEmitter::blockOf(Value tile, Value firstRow, Value row, int64_t count,
                                   Value last) {
  DecodeBlock block;
  block.tile = tile;
  block.vectors = plan.decodeVectors(count, shape);
  bool inScratch = plan.quantized || plan.placedInputs;
  block.inputs = inScratch ? scratch : input;
  for (int64_t r = 0; r < count; ++r) {
    Value own = add(row, r), place = times(own, plan.rowFloats);
    block.places.push_back(place);
    if (inScratch) {
      block.starts.push_back(place);
      continue;
    }
    Value present = r ? least(own, last) : own;
    block.starts.push_back(rowIndex(b, add(firstRow, present), x, index(0)));
  }
  return block;
}

// One row and all tiles of the block.
void LinearEmitter::emitRow(const DecodeBlock &block, Value firstRow, Finish finish) {
  Values sums = emitTiles(block);
  ArrayRef<Value> rest = sums;
  for (int64_t i = 0; i < block.tiles; ++i, rest = rest.drop_front(plan.vectors)) {
    Value tile = i ? add(block.tile, times(block.stride, i)) : block.tile;
    finish(firstRow, tile, block.places[0], Values(rest.take_front(plan.vectors)));
  }
}

// All rows of the block and one tile, as many of its vectors at a time as the block has. Rows
// behind the last of `count` are not given to `finish`, which may add to what it has written.
void LinearEmitter::emitRowBlock(DecodeBlock block, Value firstRow, Value row, Value count,
                                 Finish finish) {
  auto multiply = [&](Value column) {
    Values sums = emitTiles(block);
    for (auto [i, sum] : llvm::enumerate(sums)) {
      int64_t r = static_cast<int64_t>(i) / block.vectors,
              v = static_cast<int64_t>(i) % block.vectors;
      store(sum, scratch, totalIndex(index(r), add(column, v * lanes)));
    }
  };
  if (block.vectors == plan.vectors)
    multiply(index(0));
  else
    forLoop(b, index(0), index(layout.tileRows), block.vectors * lanes, [&](Value column) {
      block.column = column;
      multiply(column);
    });
  Value present = least(index(block.rows()), arith::SubIOp::create(b, count, row));
  forLoop(b, index(0), present, 1, [&](Value r) {
    Value own = add(row, r);
    finish(add(firstRow, own), block.tile, times(own, plan.rowFloats), totalsOf(r));
  });
}

// The first row alone, in all tiles of [begin, end).
void LinearEmitter::emitSingleRow(Value begin, Value end, Value firstRow, Finish finish) {
  Value zero = index(0), first = begin;
  if (int64_t streams = plan.streams; streams > 1) {
    Value part = arith::DivUIOp::create(b, arith::SubIOp::create(b, end, begin), index(streams));
    forLoop(b, begin, add(begin, part), 1, [&](Value tile) {
      DecodeBlock block = blockOf(tile, firstRow, zero, 1, zero);
      block.tiles = streams;
      block.stride = part;
      emitRow(block, firstRow, finish);
    });
    first = add(begin, times(part, streams));
  }
  forLoop(b, first, end, 1,
          [&](Value tile) { emitRow(blockOf(tile, firstRow, zero, 1, zero), firstRow, finish); });
}

void LinearEmitter::emitRows(Value begin, Value end, Value firstRow, Value count, Finish finish) {
  Value zero = index(0), one = index(1), last = arith::SubIOp::create(b, count, one);
  Value isOne = arith::CmpIOp::create(b, arith::CmpIPredicate::eq, count, one);
  // Blocks are of four rows, then of two: the last row of an odd number stands there twice.
  Value fours = arith::AndIOp::create(b, add(count, 1), index(-kRowBlock));
  Value even = arith::AndIOp::create(b, add(count, 1), index(-2));
  Value prepared = arith::SelectOp::create(b, isOne, one, even);
  forLoop(b, zero, prepared, 1, [&](Value row) {
    emitActivations(add(firstRow, least(row, last)), times(row, plan.rowFloats), /*sums=*/true);
  });
  auto branch = scf::IfOp::create(b, isOne, /*withElseRegion=*/true);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(branch.thenBlock());
  emitSingleRow(begin, end, firstRow, finish);
  b.setInsertionPointToStart(branch.elseBlock());
  forLoop(b, begin, end, 1, [&](Value tile) {
    auto multiply = [&](Value from, Value to, int64_t size) {
      forLoop(b, from, to, size, [&](Value row) {
        emitRowBlock(blockOf(tile, firstRow, row, size, last), firstRow, row, count, finish);
      });
    };
    multiply(zero, fours, kRowBlock);
    multiply(fours, even, 2);
  });
}
