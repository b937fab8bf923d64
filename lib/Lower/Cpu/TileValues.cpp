//===- TileValues.cpp - values weighted by probabilities ----------------------------------===//
//
// A tile's sums take half of the registers: some columns of all its queries at a time, over all
// keys of a step.
//
#include "TileAttention.h"

#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace llmc;

/// Adds the values of the keys of a step, weighted by the stored probabilities.
void AttentionEmitter::accumulate(const Tile &tile, const Step &step) {
  int64_t queries = tile.query.size(), columns = paddedValues() / l.lanes;
  int64_t width = std::clamp<int64_t>(vectors.registers / 2 / queries, 1, columns);
  auto emitPart = [&](Value column, int64_t count, bool isLast) {
    if (cache.quads)
      accumulateBytes(tile, step, column, count, isLast);
    else
      accumulateFloats(tile, step, column, count, isLast);
  };
  // The last group of columns may be short, and its last vector too.
  int64_t groups = (columns - 1) / width;
  Value last = indexConstant(b, groups * width * l.lanes);
  if (groups > 0)
    forLoop(b, indexConstant(b, 0), last, width * l.lanes,
            [&](Value column) { emitPart(column, width, /*isLast=*/false); });
  emitPart(last, columns - groups * width, /*isLast=*/true);
}

/// The first value of a block, and the distance to that of the next key.
std::pair<Value, Value> AttentionEmitter::valueRows(const Tile &tile, Value block) {
  if (cached) {
    Value values = divIndex(b, cacheBytes(block), cache.elementBytes());
    values = addIndex(b, addIndex(b, values, cache.valuesAt()),
                      mulIndex(b, tile.kvHead, shape.valueSize * kCacheBlock));
    return {values, indexConstant(b, shape.valueSize)};
  }
  Value line =
      addIndex(b, arith::MulIOp::create(b, tile.batch, total), mulIndex(b, block, kCacheBlock));
  return {rowIndex(b, line, shape.v, mulIndex(b, tile.kvHead, shape.valueSize)),
          indexConstant(b, shape.v.stride)};
}

/// From a value to the key of the next step at the same place, in elements of the cache.
Value AttentionEmitter::toNextKeys() {
  Value step = mulIndex(b, frame.offsets[3], kStepBlocks);
  return addIndex(b, divIndex(b, step, cache.elementBytes()), -cache.valuesAt());
}

/// Asks for the scales of a block of the next step.
void AttentionEmitter::prefetchNextScales(const Tile &tile, Value block) {
  if (!cache.scaled())
    return;
  Value next = addIndex(b, block, kStepBlocks);
  for (bool keys : {true, false})
    prefetchLines(b, scales, scalesOf(tile, next, keys), kCacheBlock);
}

/// The same for `width` vectors from `column` on.
void AttentionEmitter::accumulateFloats(const Tile &tile, const Step &step, Value column,
                                        int64_t width, bool isLast) {
  int64_t queries = tile.query.size(), tail = shape.valueSize - paddedValues() + l.lanes;
  SmallVector<Value> places, sumsSoFar;
  for (int64_t i = 0; i < queries; ++i) {
    Value slot = addIndex(b, tile.slot, i), correction = l.loadSplat(corrections, slot);
    Value first = addIndex(b, mulIndex(b, slot, paddedValues()), column);
    for (int64_t j = 0; j < width; ++j) {
      places.push_back(addIndex(b, first, j * l.lanes));
      Value sum = l.load(sums, places.back(), l.lanes);
      sumsSoFar.push_back(arith::MulFOp::create(b, sum, correction));
    }
  }
  Value begin = mulIndex(b, step.first, kCacheBlock);
  Value keys = arith::MinUIOp::create(b, arith::SubIOp::create(b, step.keys.end, begin),
                                      indexConstant(b, kStepKeys));
  Value nextKeys = cached ? toNextKeys() : Value();
  auto perBlock = [&](Value start, ValueRange before) {
    Value block = addIndex(b, step.first, divIndex(b, start, kCacheBlock));
    auto [values, pitch] = valueRows(tile, block);
    if (cached && isLast)
      prefetchNextScales(tile, block);
    Value count = arith::MinUIOp::create(b, arith::SubIOp::create(b, keys, start),
                                         indexConstant(b, kCacheBlock));
    Value first = addIndex(b, values, column), distance = pitch;
    return forLoop(b, indexConstant(b, 0), count, 1, before, [&](Value key, ValueRange carried) {
      Value at = addIndex(b, first, arith::MulIOp::create(b, key, distance));
      SmallVector<Value> next, row;
      for (int64_t j = 0; j < width; ++j) {
        Value from = addIndex(b, at, j * l.lanes);
        int64_t columns = isLast && j + 1 == width ? tail : l.lanes;
        row.push_back(cached ? loadCached(from, columns) : l.load(v, from, columns));
      }
      // With its last columns a tile asks for as much of the next step's keys.
      if (cached && shape.headSize == shape.valueSize && isLast)
        prefetchLines(b, k,
                      arith::AddIOp::create(b, arith::SubIOp::create(b, at, column), nextKeys),
                      shape.valueSize);
      Value place = addIndex(b, start, key);
      for (int64_t i = 0; i < queries; ++i) {
        Value weight = l.loadSplat(probabilities, probabilityAt(tile, place, i));
        for (int64_t j = 0; j < width; ++j)
          next.push_back(vector::FMAOp::create(b, weight, row[j], carried[i * width + j]));
      }
      return next;
    });
  };
  sumsSoFar = forLoop(b, indexConstant(b, 0), keys, kCacheBlock, sumsSoFar, perBlock);
  for (auto [place, sum] : llvm::zip(places, sumsSoFar))
    l.store(sum, sums, place, l.lanes);
}
