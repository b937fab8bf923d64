//===- TileAttention.cpp - attention over blocks of keys --------------------------------===//
//
// One loop for both kernels: a tile of a few queries that share a key/value head runs over 64 keys
// at a time (four blocks) with a running maximum and sum.
//
#include "TileAttention.h"

#include "llmc/Lower/MathKernels.h"

#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

#include <limits>

using namespace mlir;
using namespace llmc;

/// Below every score, yet finite: a difference of two of them is 0, not NaN.
static constexpr double kLowest = -1.0e30;

AttentionEmitter::AttentionEmitter(ImplicitLocOpBuilder &b, KernelFrame &frame,
                                   const AttentionShape &shape, VectorShape vectors, bool cached)
    : b(b), frame(frame), shape(shape), l(b, vectors.lanes), vectors(vectors), cached(cached),
      group(shape.heads / shape.kvHeads), parts(kCacheBlock / vectors.lanes) {
  ArrayRef<Value> offsets = frame.offsets;
  q = viewRows(b, frame.arena, offsets[0]);
  if (cached) {
    y = viewRows(b, frame.arena, offsets[1]);
    cache = shape.cache();
    k = v = viewAs(b, frame.kv, indexConstant(b, 0), cache.element);
    scales = viewRows(b, frame.kv, indexConstant(b, 0));
    length = frame.rows;
    total = addIndex(b, frame.past, frame.rows);
  } else {
    k = viewRows(b, frame.arena, offsets[1]);
    v = viewRows(b, frame.arena, offsets[2]);
    if (shape.hasMask)
      mask = viewAs(b, frame.arena, offsets[3], b.getI32Type());
    y = viewRows(b, frame.arena, offsets.back());
    length = total = frame.sequence;
  }
  int64_t bytes = TileSizes(vectors, group).full * kStepKeys * sizeof(float);
  probabilities = viewRows(b, frame.arena, frame.scratch);
  sums = viewRows(b, frame.arena, addIndex(b, frame.scratch, bytes));
}

void AttentionEmitter::emit() {
  TileSizes sizes(vectors, group);
  Value queries = mulIndex(b, length, group), full = indexConstant(b, sizes.full);
  emitTiles(sizes.full, arith::DivUIOp::create(b, queries, full), indexConstant(b, 0));
  if (sizes.rest == sizes.full)
    return;
  Value rest = arith::RemUIOp::create(b, queries, full);
  Value first = arith::SubIOp::create(b, queries, rest);
  emitTiles(sizes.rest, divIndex(b, rest, sizes.rest), first);
}

/// `tiles` tiles of `count` queries from `firstQuery` on, of every key/value head and sequence.
void AttentionEmitter::emitTiles(int64_t count, Value tiles, Value firstQuery) {
  Value sequences = arith::DivUIOp::create(b, frame.rows, length);
  Value items = arith::MulIOp::create(b, mulIndex(b, sequences, shape.kvHeads), tiles);
  // Dealt out in turn: later rows of a causal chunk see more keys.
  auto loop = scf::ForOp::create(b, frame.thread, items, frame.threads);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(loop.getBody());
  Value item = loop.getInductionVar();
  Value owner = arith::DivUIOp::create(b, item, tiles);
  Value index = arith::RemUIOp::create(b, item, tiles);
  Tile tile;
  tile.batch = divIndex(b, owner, shape.kvHeads);
  tile.kvHead = remIndex(b, owner, shape.kvHeads);
  Value first = addIndex(b, firstQuery, mulIndex(b, index, count));
  Value start = arith::MulIOp::create(b, tile.batch, length);
  for (int64_t i = 0; i < count; ++i) {
    Value query = addIndex(b, first, i), row = divIndex(b, query, group);
    Value head = addIndex(b, mulIndex(b, tile.kvHead, group), remIndex(b, query, group));
    Value line = addIndex(b, start, row);
    tile.query.push_back(rowIndex(b, line, shape.q, mulIndex(b, head, shape.headSize)));
    tile.result.push_back(rowIndex(b, line, shape.y, mulIndex(b, head, shape.valueSize)));
    tile.position.push_back(cached ? addIndex(b, frame.past, row) : row);
  }
  emitTile(tile);
}

void AttentionEmitter::emitTile(const Tile &tile) {
  int64_t queries = tile.query.size(), padded = paddedValues();
  Value zero = indexConstant(b, 0), firstBlock = zero, end = total;
  if (shape.causal)
    end = addIndex(b, tile.position.back(), 1);
  if (shape.window > 0) {
    // The first key that the first query sees is its position - window + 1, or 0.
    Value behind = indexConstant(b, shape.window - 1);
    Value least = arith::MaxUIOp::create(b, tile.position.front(), behind);
    firstBlock = divIndex(b, arith::SubIOp::create(b, least, behind), kCacheBlock);
  }
  Value lastBlock = divIndex(b, addIndex(b, end, kCacheBlock - 1), kCacheBlock);
  forLoop(b, zero, indexConstant(b, queries * padded), l.lanes,
          [&](Value i) { l.store(l.constant(0.0), sums, i, l.lanes); });

  // Of each query the maximum (a scalar) and the sum of each lane.
  SmallVector<Value> state(queries, floatConstant(b, kLowest));
  state.append(queries, l.constant(0.0));
  state =
      forLoop(b, firstBlock, lastBlock, kStepBlocks, state, [&](Value block, ValueRange carried) {
        Value left = arith::SubIOp::create(b, lastBlock, block);
        Value blocks = arith::MinUIOp::create(b, left, indexConstant(b, kStepBlocks));
        SmallVector<Value> peaks = storeScores(tile, block, blocks);
        for (int64_t i = 0; i < queries; ++i)
          peaks[i] = l.max(l.foldMax(peaks[i]), carried[i]);
        SmallVector<Value> corrections = correct(carried.take_front(queries), peaks);
        SmallVector<Value> totals;
        for (int64_t i = 0; i < queries; ++i)
          totals.push_back(arith::MulFOp::create(b, carried[queries + i], corrections[i]));
        totals = exponentiate(tile, block, blocks, peaks, totals);
        accumulate(tile, block, end, corrections);
        peaks.append(totals);
        return peaks;
      });

  for (int64_t i = 0; i < queries; ++i) {
    Value sum = l.splat(l.foldSum(state[queries + i]));
    Value some = arith::CmpFOp::create(b, arith::CmpFPredicate::UNE, sum, l.constant(0.0));
    Value divisor = arith::SelectOp::create(b, some, sum, l.constant(1.0));
    l.forColumns(shape.valueSize, [&](Value column, int64_t count) {
      Value value = l.load(sums, addIndex(b, column, i * padded), l.lanes);
      l.store(arith::DivFOp::create(b, value, divisor), y, addIndex(b, tile.result[i], column),
              count);
    });
  }
}

/// Scores of `blocks` blocks of keys, scaled and masked, to the scratch; returns the maximum of
/// each query in every lane of its own.
SmallVector<Value> AttentionEmitter::storeScores(const Tile &tile, Value firstBlock, Value blocks) {
  int64_t queries = tile.query.size();
  SmallVector<Value> init(queries, l.constant(kLowest));
  return forLoop(b, indexConstant(b, 0), blocks, 1, init, [&](Value j, ValueRange carried) {
    Value block = addIndex(b, firstBlock, j), start = mulIndex(b, block, kCacheBlock);
    Value place = mulIndex(b, j, kCacheBlock);
    SmallVector<Value> scores = cached ? cachedScores(tile, block) : rowScores(tile, start);
    SmallVector<Value> peaks(carried.begin(), carried.end());
    for (int64_t part = 0; part < parts; ++part)
      for (auto [i, visible] : llvm::enumerate(visibleLanes(tile, start, part))) {
        Value score = arith::MulFOp::create(b, scores[i * parts + part], l.constant(shape.scale));
        if (shape.softcap != 0.0) {
          Value ratio = arith::DivFOp::create(b, score, l.constant(shape.softcap));
          score = arith::MulFOp::create(b, emitTanh(b, ratio), l.constant(shape.softcap));
        }
        Value hidden = l.constant(-std::numeric_limits<double>::infinity());
        score = arith::SelectOp::create(b, visible, score, hidden);
        l.store(score, probabilities, addIndex(b, place, i * kStepKeys + part * l.lanes), l.lanes);
        peaks[i] = l.max(score, peaks[i]);
      }
    return peaks;
  });
}

/// exp(before - after) of each query, in every lane: one exponential for up to `lanes` queries.
SmallVector<Value> AttentionEmitter::correct(ValueRange before, ArrayRef<Value> after) {
  SmallVector<Value> result;
  Value changes = l.constant(0.0);
  for (auto [i, pair] : llvm::enumerate(llvm::zip(before, after))) {
    auto [old, now] = pair;
    Value change = arith::SubFOp::create(b, old, now);
    changes = vector::InsertOp::create(b, change, changes, i);
  }
  Value powers = emitExp(b, changes);
  for (size_t i = 0; i < after.size(); ++i)
    result.push_back(l.splat(vector::ExtractOp::create(b, powers, i)));
  return result;
}

/// Scores in the scratch become probabilities, times the scale of their value where the cache has
/// scales; returns the sums of each lane added to `totals`.
SmallVector<Value> AttentionEmitter::exponentiate(const Tile &tile, Value firstBlock, Value blocks,
                                                  ArrayRef<Value> peaks, ValueRange totals) {
  Value zero = indexConstant(b, 0), keys = mulIndex(b, blocks, kCacheBlock);
  SmallVector<Value> result;
  // One vector at a time, so that the constants of the exponential stay in registers.
  for (auto [i, peak] : llvm::enumerate(peaks)) {
    Value peakLanes = l.splat(peak), row = indexConstant(b, i * kStepKeys);
    auto body = [&](Value key, ValueRange carried) -> SmallVector<Value> {
      Value at = addIndex(b, row, key);
      Value score = l.load(probabilities, at, l.lanes);
      Value power = emitExp(b, arith::SubFOp::create(b, score, peakLanes));
      Value sum = l.add(carried[0], power);
      if (cached && cache.scaled()) {
        Value block = addIndex(b, firstBlock, divIndex(b, key, kCacheBlock));
        Value scale = cacheScales(tile, block, remIndex(b, key, kCacheBlock), /*keys=*/false);
        power = arith::MulFOp::create(b, power, scale);
      }
      l.store(power, probabilities, at, l.lanes);
      return {sum};
    };
    result.push_back(forLoop(b, zero, keys, l.lanes, ValueRange(totals[i]), body)[0]);
  }
  return result;
}

/// Adds the values of the keys from a block on, up to `end`, weighted by the stored probabilities.
void AttentionEmitter::accumulate(const Tile &tile, Value block, Value end,
                                  ArrayRef<Value> corrections) {
  int64_t queries = tile.query.size(), columns = paddedValues() / l.lanes;
  int64_t width = std::clamp<int64_t>(vectors.registers / 2 / queries, 1, columns);
  int64_t tail = shape.valueSize - (columns - 1) * l.lanes;
  // The last group of columns may be short, and its last vector too.
  int64_t groups = (columns - 1) / width;
  if (groups > 0)
    forLoop(b, indexConstant(b, 0), indexConstant(b, groups * width * l.lanes), width * l.lanes,
            [&](Value column) {
              accumulatePart(tile, corrections, column, width, l.lanes, block, end);
            });
  accumulatePart(tile, corrections, indexConstant(b, groups * width * l.lanes),
                 columns - groups * width, tail, block, end);
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

/// The same for `vectors` vectors from `column` on, the last of them `last` lanes wide.
void AttentionEmitter::accumulatePart(const Tile &tile, ArrayRef<Value> corrections, Value column,
                                      int64_t vectors, int64_t last, Value firstBlock, Value end) {
  int64_t queries = corrections.size();
  SmallVector<Value> places, sumsSoFar;
  for (int64_t i = 0; i < queries; ++i)
    for (int64_t j = 0; j < vectors; ++j) {
      places.push_back(addIndex(b, column, i * paddedValues() + j * l.lanes));
      Value sum = l.load(sums, places.back(), l.lanes);
      sumsSoFar.push_back(arith::MulFOp::create(b, sum, corrections[i]));
    }
  Value firstKey = mulIndex(b, firstBlock, kCacheBlock);
  Value keys = arith::MinUIOp::create(b, arith::SubIOp::create(b, end, firstKey),
                                      indexConstant(b, kStepKeys));
  auto perBlock = [&](Value start, ValueRange before) {
    auto [values, pitch] =
        valueRows(tile, addIndex(b, firstBlock, divIndex(b, start, kCacheBlock)));
    Value count = arith::MinUIOp::create(b, arith::SubIOp::create(b, keys, start),
                                         indexConstant(b, kCacheBlock));
    Value first = addIndex(b, values, column), step = pitch;
    return forLoop(b, indexConstant(b, 0), count, 1, before, [&](Value key, ValueRange carried) {
      Value at = addIndex(b, first, arith::MulIOp::create(b, key, step));
      SmallVector<Value> next, row;
      for (int64_t j = 0; j < vectors; ++j) {
        Value from = addIndex(b, at, j * l.lanes);
        int64_t columns = j + 1 < vectors ? l.lanes : last;
        row.push_back(cached ? loadCached(from, columns) : l.load(v, from, columns));
      }
      Value place = addIndex(b, start, key);
      for (int64_t i = 0; i < queries; ++i) {
        Value weight = l.loadSplat(probabilities, addIndex(b, place, i * kStepKeys));
        for (int64_t j = 0; j < vectors; ++j)
          next.push_back(vector::FMAOp::create(b, weight, row[j], carried[i * vectors + j]));
      }
      return next;
    });
  };
  sumsSoFar = forLoop(b, indexConstant(b, 0), keys, kCacheBlock, sumsSoFar, perBlock);
  for (auto [place, sum] : llvm::zip(places, sumsSoFar))
    l.store(sum, sums, place, l.lanes);
}

static std::string attentionName(std::string operation, const AttentionShape &s) {
  if (s.cacheElement && !s.cacheElement.isF32())
    operation += s.cacheElement.isF16() ? "_f16" : s.cacheElement.isBF16() ? "_bf16" : "_i8";
  return kernelName(operation,
                    {s.heads, s.kvHeads, s.headSize, s.valueSize, s.causal, s.window, s.q.stride,
                     s.k.stride, s.v.stride, s.y.stride, s.hasMask},
                    {s.scale, s.softcap});
}

static int64_t scratchBytes(VectorShape vectors, const AttentionShape &shape) {
  int64_t padded = (shape.valueSize + vectors.lanes - 1) / vectors.lanes * vectors.lanes;
  int64_t queries = TileSizes(vectors, shape.heads / shape.kvHeads).full;
  int64_t bytes = queries * (kStepKeys + padded) * sizeof(float);
  return (bytes + 63) / 64 * 64;
}

static Kernel makeAttention(KernelBuilder &builder, const AttentionShape &shape, bool cached) {
  auto body = [&](ImplicitLocOpBuilder &b, KernelFrame &frame) {
    AttentionEmitter(b, frame, shape, builder.shape(), cached).emit();
  };
  return builder.getOrCreate(attentionName(cached ? "attention_cached" : "attention", shape),
                             cached || !shape.hasMask ? 4 : 5, scratchBytes(builder.shape(), shape),
                             body);
}

Kernel llmc::getCachedAttentionKernel(KernelBuilder &builder, const AttentionShape &shape) {
  return makeAttention(builder, shape, /*cached=*/true);
}

Kernel llmc::getAttentionKernel(KernelBuilder &builder, const AttentionShape &shape) {
  return makeAttention(builder, shape, /*cached=*/false);
}
