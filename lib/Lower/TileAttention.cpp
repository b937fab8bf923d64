//===- TileAttention.cpp - attention over blocks of keys --------------------------------===//
//
// One loop for both kernels: a tile of a few queries that share a key/value head runs over blocks
// of 16 keys with a running maximum and sum.
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
  int64_t bytes = TileSizes(vectors, group).full * kCacheBlock * sizeof(float);
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
  state = forLoop(b, firstBlock, lastBlock, 1, state, [&](Value block, ValueRange carried) {
    Value start = mulIndex(b, block, kCacheBlock);
    SmallVector<Value> scores = cached ? cachedScores(tile, block) : rowScores(tile, start);
    SmallVector<Value> peaks, totals, corrections;
    for (int64_t part = 0; part < parts; ++part)
      for (auto [i, visible] : llvm::enumerate(visibleLanes(tile, start, part))) {
        Value &score = scores[i * parts + part];
        score = arith::MulFOp::create(b, score, l.constant(shape.scale));
        if (shape.softcap != 0.0) {
          Value ratio = arith::DivFOp::create(b, score, l.constant(shape.softcap));
          score = arith::MulFOp::create(b, emitTanh(b, ratio), l.constant(shape.softcap));
        }
        Value hidden = l.constant(-std::numeric_limits<double>::infinity());
        score = arith::SelectOp::create(b, visible, score, hidden);
      }
    SmallVector<Value> valueScales;
    if (cached && cache.scaled())
      for (int64_t part = 0; part < parts; ++part)
        valueScales.push_back(cacheScales(tile, block, part, /*keys=*/false));
    for (int64_t i = 0; i < queries; ++i) {
      ArrayRef<Value> own = ArrayRef(scores).slice(i * parts, parts);
      Value highest = own[0];
      for (Value score : own.drop_front())
        highest = l.max(score, highest);
      Value peak = l.max(l.foldMax(highest), carried[i]);
      Value peakLanes = l.splat(peak);
      Value change = arith::SubFOp::create(b, l.splat(carried[i]), peakLanes);
      Value correction = emitExp(b, change);
      Value sum = arith::MulFOp::create(b, carried[queries + i], correction);
      for (auto [part, score] : llvm::enumerate(own)) {
        Value power = emitExp(b, arith::SubFOp::create(b, score, peakLanes));
        Value at = indexConstant(b, i * kCacheBlock + part * l.lanes);
        Value weight = power;
        if (cached && cache.scaled())
          weight = arith::MulFOp::create(b, power, valueScales[part]);
        l.store(weight, probabilities, at, l.lanes);
        sum = l.add(sum, power);
      }
      peaks.push_back(peak);
      totals.push_back(sum);
      corrections.push_back(correction);
    }
    Value left = arith::SubIOp::create(b, end, start);
    Value count = arith::MinUIOp::create(b, left, indexConstant(b, kCacheBlock));
    accumulate(tile, block, count, corrections);
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

/// Adds `count` values, weighted by the stored probabilities, to the sums.
void AttentionEmitter::accumulate(const Tile &tile, Value block, Value count,
                                  ArrayRef<Value> corrections) {
  int64_t queries = tile.query.size(), columns = paddedValues() / l.lanes;
  Value values, pitch;
  if (cached) {
    Value behind = mulIndex(b, tile.kvHead, shape.valueSize * kCacheBlock);
    values = divIndex(b, cacheBytes(block), cache.elementBytes());
    values = addIndex(b, addIndex(b, values, cache.valuesAt()), behind);
    pitch = indexConstant(b, shape.valueSize);
  } else {
    Value line =
        addIndex(b, arith::MulIOp::create(b, tile.batch, total), mulIndex(b, block, kCacheBlock));
    values = rowIndex(b, line, shape.v, mulIndex(b, tile.kvHead, shape.valueSize));
    pitch = indexConstant(b, shape.v.stride);
  }
  int64_t width = std::clamp<int64_t>(vectors.registers / 2 / queries, 1, columns);
  int64_t tail = shape.valueSize - (columns - 1) * l.lanes;
  // The last group of columns may be short, and its last vector too.
  int64_t groups = (columns - 1) / width;
  if (groups > 0)
    forLoop(b, indexConstant(b, 0), indexConstant(b, groups * width * l.lanes), width * l.lanes,
            [&](Value column) {
              accumulatePart(corrections, column, width, l.lanes, values, pitch, count);
            });
  accumulatePart(corrections, indexConstant(b, groups * width * l.lanes), columns - groups * width,
                 tail, values, pitch, count);
}

/// The same for `vectors` vectors from `column` on, the last of them `last` lanes wide.
void AttentionEmitter::accumulatePart(ArrayRef<Value> corrections, Value column, int64_t vectors,
                                      int64_t last, Value values, Value pitch, Value count) {
  int64_t queries = corrections.size();
  SmallVector<Value> places, carried;
  for (int64_t i = 0; i < queries; ++i)
    for (int64_t j = 0; j < vectors; ++j) {
      places.push_back(addIndex(b, column, i * paddedValues() + j * l.lanes));
      Value sum = l.load(sums, places.back(), l.lanes);
      carried.push_back(arith::MulFOp::create(b, sum, corrections[i]));
    }
  Value first = addIndex(b, values, column);
  carried = forLoop(b, indexConstant(b, 0), count, 1, carried, [&](Value key, ValueRange before) {
    Value at = addIndex(b, first, arith::MulIOp::create(b, key, pitch));
    SmallVector<Value> next, row;
    for (int64_t j = 0; j < vectors; ++j) {
      Value from = addIndex(b, at, j * l.lanes);
      int64_t columns = j + 1 < vectors ? l.lanes : last;
      row.push_back(cached ? loadCached(from, columns) : l.load(v, from, columns));
    }
    for (int64_t i = 0; i < queries; ++i) {
      Value weight = l.loadSplat(probabilities, addIndex(b, key, i * kCacheBlock));
      for (int64_t j = 0; j < vectors; ++j)
        next.push_back(vector::FMAOp::create(b, weight, row[j], before[i * vectors + j]));
    }
    return next;
  });
  for (auto [place, sum] : llvm::zip(places, carried))
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
  int64_t bytes = queries * (kCacheBlock + padded) * sizeof(float);
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
