//===- TileAttention.cpp - attention over blocks of keys --------------------------------===//
//
// One loop for both kernels: up to four tiles of a few queries that share a key/value head run over
// 64 keys at a time (four blocks) with a running maximum and sum; tiles take turns with the keys,
// then with the values.
//
#include "TileAttention.h"

#include "llmc/Lower/Cpu/MathKernels.h"

#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace llmc;

/// Below every score, yet finite: a difference of two of them is 0, not NaN.
static constexpr double kLowest = -1.0e30;

AttentionEmitter::AttentionEmitter(ImplicitLocOpBuilder &b, KernelFrame &frame,
                                   const AttentionShape &shape, VectorShape vectors, bool cached)
    : b(b), frame(frame), shape(shape), l(b, vectors.lanes), vectors(vectors), cached(cached),
      group(shape.heads / shape.kvHeads), sizes(vectors, group) {
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
  AttentionScratch scratch(vectors, shape);
  Type f32 = b.getF32Type(), i32 = b.getI32Type(), i8 = b.getI8Type();
  auto view = [&](int64_t floats, Type type) {
    return viewAs(b, frame.arena, addIndex(b, frame.scratch, floats * sizeof(float)), type);
  };
  probabilities = view(0, f32);
  sums = view(scratch.sums, f32);
  totals = view(scratch.totals, f32);
  peaks = view(scratch.peaks, f32);
  corrections = view(scratch.corrections, f32);
  if (!cache.quads)
    return;
  queryScales = view(scratch.queryScales, f32);
  querySums = view(scratch.querySums, i32);
  queryCodes = view(scratch.queryCodes, i8);
  queryQuads = view(scratch.queryCodes, i32);
  weightScales = view(scratch.weightScales, f32);
  weightCodes = view(scratch.weightCodes, i8);
  weightQuads = view(scratch.weightCodes, i32);
}

void AttentionEmitter::emit() {
  Value one = indexConstant(b, 1);
  queries = mulIndex(b, length, group);
  fullTiles = divIndex(b, queries, sizes.full);
  Value tiles = fullTiles;
  if (sizes.rest) {
    Value left = remIndex(b, queries, sizes.full);
    tiles =
        arith::AddIOp::create(b, tiles, divIndex(b, addIndex(b, left, sizes.rest - 1), sizes.rest));
  }
  Value sequences = arith::DivUIOp::create(b, frame.rows, length);
  Value heads = mulIndex(b, sequences, shape.kvHeads);
  // As many tiles to a block as leave each thread a block.
  Value each = arith::DivUIOp::create(b, arith::MulIOp::create(b, heads, tiles), frame.threads);
  each = arith::MinUIOp::create(b, arith::MaxUIOp::create(b, each, one),
                                indexConstant(b, kBlockTiles));
  Value blocks = arith::SubIOp::create(b, arith::AddIOp::create(b, tiles, each), one);
  blocks = arith::DivUIOp::create(b, blocks, each);
  Value items = arith::MulIOp::create(b, heads, blocks);
  // Dealt out in turn: later rows of a causal chunk see more keys.
  auto loop = scf::ForOp::create(b, frame.thread, items, frame.threads);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(loop.getBody());
  Value item = loop.getInductionVar();
  Value owner = arith::DivUIOp::create(b, item, blocks);
  TileBlock block;
  block.batch = divIndex(b, owner, shape.kvHeads);
  block.kvHead = remIndex(b, owner, shape.kvHeads);
  block.begin = arith::MulIOp::create(b, arith::RemUIOp::create(b, item, blocks), each);
  block.end = arith::MinUIOp::create(b, arith::AddIOp::create(b, block.begin, each), tiles);
  emitBlock(block);
}

Value AttentionEmitter::positionOf(Value query) {
  Value row = divIndex(b, query, group);
  return cached ? addIndex(b, frame.past, row) : row;
}

/// The first query of a tile; of the tile behind the last one, `queries` or more.
Value AttentionEmitter::firstQuery(Value tile) {
  if (!sizes.rest)
    return mulIndex(b, tile, sizes.full);
  Value full = arith::MinUIOp::create(b, tile, fullTiles);
  Value behind = arith::SubIOp::create(b, tile, full);
  return addIndex(b, mulIndex(b, full, sizes.full), mulIndex(b, behind, sizes.rest));
}

/// body(tile) for the full tiles of a block and those of the rest.
void AttentionEmitter::forTiles(const TileBlock &block, function_ref<void(const Tile &)> body) {
  Value start = arith::MulIOp::create(b, block.batch, length);
  Value last = arith::SubIOp::create(b, queries, indexConstant(b, 1));
  auto emitTiles = [&](Value begin, Value end, int64_t count) {
    forLoop(b, begin, end, 1, [&](Value index) {
      Tile tile;
      tile.batch = block.batch;
      tile.kvHead = block.kvHead;
      tile.slot = mulIndex(b, arith::SubIOp::create(b, index, block.begin), sizes.full);
      tile.parts = sizes.vectorsOfKeys(vectors, count);
      Value first = firstQuery(index);
      for (int64_t i = 0; i < count; ++i) {
        // A tile of the rest may repeat the last query.
        Value query = addIndex(b, first, i);
        if (count != sizes.full)
          query = arith::MinUIOp::create(b, query, last);
        Value line = addIndex(b, start, divIndex(b, query, group));
        Value head = addIndex(b, mulIndex(b, block.kvHead, group), remIndex(b, query, group));
        tile.query.push_back(rowIndex(b, line, shape.q, mulIndex(b, head, shape.headSize)));
        tile.result.push_back(rowIndex(b, line, shape.y, mulIndex(b, head, shape.valueSize)));
        tile.position.push_back(positionOf(query));
      }
      body(tile);
    });
  };
  if (!sizes.rest)
    return emitTiles(block.begin, block.end, sizes.full);
  Value middle = arith::MinUIOp::create(b, block.end, fullTiles);
  emitTiles(block.begin, middle, sizes.full);
  emitTiles(arith::MaxUIOp::create(b, block.begin, fullTiles), block.end, sizes.rest);
}

/// The keys that the queries of a block may see: blocks of the cache and, exactly, the last key.
AttentionEmitter::KeyRange AttentionEmitter::keysOf(const TileBlock &block) {
  KeyRange keys = {indexConstant(b, 0), Value(), total};
  if (shape.causal) {
    Value behind = arith::MinUIOp::create(b, firstQuery(block.end), queries);
    Value last = arith::SubIOp::create(b, behind, indexConstant(b, 1));
    keys.end = addIndex(b, positionOf(last), 1);
  }
  if (shape.window > 0) {
    // The first key that the first query sees is its position - window + 1, or 0. Steps begin at
    // multiples of their size, so that rounding does not depend on which queries share a block.
    Value behind = indexConstant(b, shape.window - 1);
    Value least = arith::MaxUIOp::create(b, positionOf(firstQuery(block.begin)), behind);
    Value step = divIndex(b, arith::SubIOp::create(b, least, behind), kStepKeys);
    keys.firstBlock = mulIndex(b, step, kStepBlocks);
  }
  keys.lastBlock = divIndex(b, addIndex(b, keys.end, kCacheBlock - 1), kCacheBlock);
  return keys;
}

void AttentionEmitter::emitBlock(const TileBlock &block) {
  int64_t padded = paddedValues();
  KeyRange keys = keysOf(block);
  forTiles(block, [&](const Tile &tile) {
    forLoop(b, mulIndex(b, tile.slot, padded),
            mulIndex(b, addIndex(b, tile.slot, tile.query.size()), padded), l.lanes,
            [&](Value i) { l.store(l.constant(0.0), sums, i, l.lanes); });
    for (size_t i = 0; i < tile.query.size(); ++i) {
      Value slot = addIndex(b, tile.slot, i);
      l.store(l.constant(0.0), totals, mulIndex(b, slot, l.lanes), l.lanes);
      memref::StoreOp::create(b, floatConstant(b, kLowest), peaks, ValueRange{slot});
    }
    if (cache.quads)
      quantizeQueries(tile);
  });
  // Keys of a step, then its values, stay in the first-level cache while all tiles meet them.
  forLoop(b, keys.firstBlock, keys.lastBlock, kStepBlocks, [&](Value first) {
    Value left = arith::SubIOp::create(b, keys.lastBlock, first);
    Step step = {keys, first, arith::MinUIOp::create(b, left, indexConstant(b, kStepBlocks))};
    forTiles(block, [&](const Tile &tile) { weigh(tile, step); });
    forTiles(block, [&](const Tile &tile) { accumulate(tile, step); });
  });
  forTiles(block, [&](const Tile &tile) { finish(tile); });
}

/// Probabilities of the keys of a step, and what it takes to bring the sums up to date.
void AttentionEmitter::weigh(const Tile &tile, const Step &step) {
  SmallVector<Value> found = storeScores(tile, step), before;
  for (auto [i, peak] : llvm::enumerate(found)) {
    before.push_back(memref::LoadOp::create(b, peaks, ValueRange{addIndex(b, tile.slot, i)}));
    peak = l.max(l.foldMax(peak), before.back());
    memref::StoreOp::create(b, peak, peaks, ValueRange{addIndex(b, tile.slot, i)});
  }
  SmallVector<Value> factors = correct(before, found), lanes;
  for (auto [i, factor] : llvm::enumerate(factors)) {
    memref::StoreOp::create(b, factor, corrections, ValueRange{addIndex(b, tile.slot, i)});
    Value sum = l.load(totals, mulIndex(b, addIndex(b, tile.slot, i), l.lanes), l.lanes);
    lanes.push_back(arith::MulFOp::create(b, sum, l.splat(factor)));
  }
  lanes = exponentiate(tile, step, found, lanes);
  for (auto [i, sum] : llvm::enumerate(lanes))
    l.store(sum, totals, mulIndex(b, addIndex(b, tile.slot, i), l.lanes), l.lanes);
}

void AttentionEmitter::finish(const Tile &tile) {
  for (size_t i = 0; i < tile.result.size(); ++i) {
    Value slot = addIndex(b, tile.slot, i), first = mulIndex(b, slot, paddedValues());
    Value lanes = l.load(totals, mulIndex(b, slot, l.lanes), l.lanes);
    Value sum = l.splat(l.foldSum(lanes));
    Value some = arith::CmpFOp::create(b, arith::CmpFPredicate::UNE, sum, l.constant(0.0));
    Value divisor = arith::SelectOp::create(b, some, sum, l.constant(1.0));
    l.forColumns(shape.valueSize, [&](Value column, int64_t count) {
      Value value = l.load(sums, addIndex(b, first, column), l.lanes);
      l.store(arith::DivFOp::create(b, value, divisor), y, addIndex(b, tile.result[i], column),
              count);
    });
  }
}

/// Scores of the keys of a step, scaled and masked, to the scratch, as powers of two; returns the
/// maximum of each query in every lane of its own.
SmallVector<Value> AttentionEmitter::storeScores(const Tile &tile, const Step &step) {
  SmallVector<Value> init(tile.query.size(), l.constant(kLowest));
  int64_t together = tile.parts * l.lanes / kCacheBlock;
  return forLoop(
      b, indexConstant(b, 0), step.blocks, together, init, [&](Value j, ValueRange carried) {
        Value block = addIndex(b, step.first, j), start = mulIndex(b, block, kCacheBlock);
        Value place = mulIndex(b, j, kCacheBlock);
        SmallVector<Value> scores = cache.quads ? byteScores(tile, block, step.keys.lastBlock)
                                    : cached    ? cachedScores(tile, block, step.keys.lastBlock)
                                                : rowScores(tile, start);
        scores = hideKeys(tile, start, powers(scores));
        SmallVector<Value> most(carried.begin(), carried.end());
        for (int64_t part = 0; part < tile.parts; ++part)
          for (size_t i = 0; i < tile.query.size(); ++i) {
            Value score = scores[i * tile.parts + part];
            l.store(score, probabilities,
                    addIndex(b, probabilityAt(tile, place, i), part * l.lanes), l.lanes);
            most[i] = l.max(score, most[i]);
          }
        return most;
      });
}

/// Where the probability of a key of the step and a query of the tile lies.
Value AttentionEmitter::probabilityAt(const Tile &tile, Value key, int64_t query) {
  return addIndex(b, mulIndex(b, addIndex(b, tile.slot, query), kStepKeys), key);
}

/// 2^(before - after) of each query: one exponential for up to `lanes` queries.
SmallVector<Value> AttentionEmitter::correct(ArrayRef<Value> before, ArrayRef<Value> after) {
  SmallVector<Value> result;
  Value changes = l.constant(0.0);
  for (auto [i, pair] : llvm::enumerate(llvm::zip(before, after))) {
    Value change = arith::SubFOp::create(b, std::get<0>(pair), std::get<1>(pair));
    changes = vector::InsertOp::create(b, change, changes, i);
  }
  Value powers = emitExp2NonPositive(b, changes);
  for (size_t i = 0; i < after.size(); ++i)
    result.push_back(vector::ExtractOp::create(b, powers, i));
  return result;
}

/// Scores in the scratch become probabilities, times the scale of their value where the cache has
/// scales; returns the sums of each lane added to `lanes`.
SmallVector<Value> AttentionEmitter::exponentiate(const Tile &tile, const Step &step,
                                                  ArrayRef<Value> peaks, ArrayRef<Value> lanes) {
  Value zero = indexConstant(b, 0);
  SmallVector<Value> result;
  // A query at a time, so that the constants of the exponential stay in registers.
  for (auto [i, peak] : llvm::enumerate(peaks)) {
    Value peakLanes = l.splat(peak), row = probabilityAt(tile, zero, i);
    auto perBlock = [&](Value j, ValueRange carried) -> SmallVector<Value> {
      Value at = addIndex(b, row, mulIndex(b, j, kCacheBlock)), sum = carried[0];
      Value largest = carried[1];
      for (int64_t place = 0; place < kCacheBlock; place += l.lanes) {
        Value here = addIndex(b, at, place);
        Value score = l.load(probabilities, here, l.lanes);
        Value weight = emitExp2NonPositive(b, arith::SubFOp::create(b, score, peakLanes));
        sum = l.add(sum, weight);
        if (cached && cache.scaled())
          weight = arith::MulFOp::create(b, weight,
                                         cacheScales(tile, addIndex(b, step.first, j),
                                                     indexConstant(b, place), /*keys=*/false));
        if (cache.quads) {
          // The scale of a hidden value may be NaN; a maximum with it is 0.
          weight = l.max(weight, l.constant(0.0));
          largest = l.max(weight, largest);
        }
        l.store(weight, probabilities, here, l.lanes);
      }
      return {sum, largest};
    };
    SmallVector<Value> found =
        forLoop(b, zero, step.blocks, 1, {lanes[i], l.constant(0.0)}, perBlock);
    result.push_back(found[0]);
    if (cache.quads)
      quantizeWeights(step, addIndex(b, tile.slot, i), found[1]);
  }
  return result;
}

static std::string attentionName(std::string operation, const AttentionShape &s) {
  if (s.cacheElement && !s.cacheElement.isF32())
    operation += s.cacheElement.isF16()    ? "_f16"
                 : s.cacheElement.isBF16() ? "_bf16"
                 : s.byteProducts          ? "_i8_quads"
                                           : "_i8";
  return kernelName(operation,
                    {s.heads, s.kvHeads, s.headSize, s.valueSize, s.causal, s.window, s.q.stride,
                     s.k.stride, s.v.stride, s.y.stride, s.hasMask},
                    {s.scale, s.softcap});
}

static Kernel makeAttention(KernelBuilder &builder, const AttentionShape &shape, bool cached) {
  auto body = [&](ImplicitLocOpBuilder &b, KernelFrame &frame) {
    AttentionEmitter(b, frame, shape, builder.shape(), cached).emit();
  };
  return builder.getOrCreate(attentionName(cached ? "attention_cached" : "attention", shape),
                             cached || !shape.hasMask ? 4 : 5,
                             AttentionScratch(builder.shape(), shape).bytes(), body);
}

Kernel llmc::getCachedAttentionKernel(KernelBuilder &builder, const AttentionShape &shape) {
  return makeAttention(builder, shape, /*cached=*/true);
}

Kernel llmc::getAttentionKernel(KernelBuilder &builder, const AttentionShape &shape) {
  return makeAttention(builder, shape, /*cached=*/false);
}
