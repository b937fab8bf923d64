//===- TileScores.cpp - scores of a block of keys -----------------------------------------===//
//
// From the cache, lanes are positions: each element of a query times a vector of keys. From rows of
// the arena, lanes are elements of the head, and 16 sums over lanes are taken at once.
//
#include "TileAttention.h"

#include "llmc/Lower/Cpu/MathKernels.h"

#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "llvm/Support/MathExtras.h"

#include <limits>
#include <numeric>

using namespace mlir;
using namespace llmc;

/// Elements of a head between two looks at the end of the loop.
static constexpr int64_t kUnroll = 4;

/// Of each query, which lanes of a vector of keys it sees.
SmallVector<Value> AttentionEmitter::visibleLanes(const Tile &tile, Value start, int64_t part) {
  auto narrow = [&](Value index) {
    return l.splat(arith::IndexCastOp::create(b, b.getI32Type(), index));
  };
  auto compare = [&](arith::CmpIPredicate predicate, Value x, Value y) -> Value {
    return arith::CmpIOp::create(b, predicate, x, y);
  };
  SmallVector<int32_t> order(l.lanes);
  std::iota(order.begin(), order.end(), 0);
  auto type = VectorType::get({l.lanes}, b.getI32Type());
  Value lanes = arith::ConstantOp::create(b, DenseElementsAttr::get(type, ArrayRef(order)));
  Value first = addIndex(b, start, part * l.lanes);
  Value keys = arith::AddIOp::create(b, narrow(first), lanes);
  Value common;
  if (!shape.causal || mask)
    common = compare(arith::CmpIPredicate::slt, keys, narrow(total));
  if (mask) {
    Value at = addIndex(b, arith::MulIOp::create(b, tile.batch, total), first);
    Value none = arith::ConstantOp::create(b, DenseElementsAttr::get(type, int32_t(0)));
    Value word = vector::MaskedLoadOp::create(b, type, mask, at, common, none);
    common = compare(arith::CmpIPredicate::ne, word, none);
  }
  SmallVector<Value> visible(tile.query.size(), common);
  if (!shape.causal)
    return visible;
  for (auto [lane, position] : llvm::zip(visible, tile.position)) {
    Value here = narrow(position);
    Value seen = compare(arith::CmpIPredicate::sle, keys, here);
    if (shape.window > 0) {
      Value distance = arith::SubIOp::create(b, here, keys);
      Value width = l.splat(arith::ConstantOp::create(b, b.getI32IntegerAttr(shape.window)));
      seen = arith::AndIOp::create(b, seen, compare(arith::CmpIPredicate::slt, distance, width));
    }
    lane = lane ? arith::AndIOp::create(b, lane, seen).getResult() : seen;
  }
  return visible;
}

/// What a product of query and key is multiplied with where nothing else is done to it.
double AttentionEmitter::powerFactor() const { return shape.scale * llvm::numbers::log2e; }

/// Products of queries and keys as scores, those as powers of two.
SmallVector<Value> AttentionEmitter::powers(SmallVector<Value> products) {
  for (Value &score : products)
    if (shape.softcap != 0.0) {
      score = arith::MulFOp::create(b, score, l.constant(shape.scale / shape.softcap));
      score = arith::MulFOp::create(b, emitTanh(b, score),
                                    l.constant(shape.softcap * llvm::numbers::log2e));
    } else if (!cache.quads) { // Scales of the queries have the factor.
      score = arith::MulFOp::create(b, score, l.constant(powerFactor()));
    }
  return products;
}

/// Scores of the keys from `start` on, minus infinity where a query does not see its key.
SmallVector<Value> AttentionEmitter::hideKeys(const Tile &tile, Value start,
                                              SmallVector<Value> scores) {
  auto hide = [&] {
    SmallVector<Value> result = scores;
    Value hidden = l.constant(-std::numeric_limits<double>::infinity());
    for (int64_t part = 0; part < tile.parts; ++part)
      for (auto [i, visible] : llvm::enumerate(visibleLanes(tile, start, part))) {
        Value &score = result[i * tile.parts + part];
        score = arith::SelectOp::create(b, visible, score, hidden);
      }
    return result;
  };
  if (!shape.causal || mask || shape.window > 0)
    return hide();
  // Most keys are seen by all queries of a tile; the first stands furthest back.
  Value last = addIndex(b, start, tile.parts * l.lanes - 1);
  Value some = arith::CmpIOp::create(b, arith::CmpIPredicate::ugt, last, tile.position.front());
  auto branch = scf::IfOp::create(b, TypeRange(ValueRange(scores)), some, /*withElseRegion=*/true);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(branch.thenBlock());
  scf::YieldOp::create(b, hide());
  b.setInsertionPointToStart(branch.elseBlock());
  scf::YieldOp::create(b, scores);
  return branch.getResults();
}

Value AttentionEmitter::cacheBytes(Value block) {
  return addIndex(b, arith::MulIOp::create(b, block, frame.offsets[3]), frame.offsets[2]);
}

Value AttentionEmitter::loadCached(Value at, int64_t count) {
  if (cache.element.isF32())
    return l.load(k, at, count);
  auto type = VectorType::get({l.lanes}, cache.element);
  Value elements;
  if (count == l.lanes) {
    elements = vector::LoadOp::create(b, type, k, at);
  } else {
    // A short last vector of a head: element by element, as narrow masked loads are no instruction.
    elements = arith::ConstantOp::create(b, type, b.getZeroAttr(type));
    for (int64_t i = 0; i < count; ++i)
      elements = vector::InsertOp::create(
          b, memref::LoadOp::create(b, k, ValueRange{addIndex(b, at, i)}).getResult(), elements, i);
  }
  if (!cache.scaled())
    return widenFloat(b, elements, vectors);
  Value wide = arith::ExtSIOp::create(b, VectorType::get({l.lanes}, b.getI32Type()), elements);
  return arith::SIToFPOp::create(b, l.type(), wide);
}

/// Where the scales of a block begin, of keys or values.
Value AttentionEmitter::scalesOf(const Tile &tile, Value block, bool keys) {
  Value at = addIndex(b, cacheBytes(block), keys ? cache.scalesAt() : cache.valueScalesAt());
  return addIndex(b, divIndex(b, at, 4), mulIndex(b, tile.kvHead, kCacheBlock));
}

Value AttentionEmitter::cacheScales(const Tile &tile, Value block, Value place, bool keys) {
  return l.load(scales, addIndex(b, scalesOf(tile, block, keys), place), l.lanes);
}

/// Adds the products of element `d` of each query with that of the keys at `at` and, for a second
/// block, `distance` behind it.
void AttentionEmitter::addProducts(const Tile &tile, Value at, Value distance, Value d,
                                   SmallVector<Value> &sums) {
  int64_t perBlock = kCacheBlock / l.lanes;
  SmallVector<Value> columns;
  for (int64_t part = 0; part < tile.parts; ++part) {
    Value from = part < perBlock ? at : arith::AddIOp::create(b, at, distance).getResult();
    columns.push_back(loadCached(addIndex(b, from, part % perBlock * l.lanes), l.lanes));
  }
  for (auto [i, query] : llvm::enumerate(tile.query)) {
    Value element = l.loadSplat(q, addIndex(b, query, d));
    for (int64_t part = 0; part < tile.parts; ++part) {
      Value &sum = sums[i * tile.parts + part];
      sum = vector::FMAOp::create(b, element, columns[part], sum);
    }
  }
}

SmallVector<Value> AttentionEmitter::blocksOf(const Tile &tile, Value block, Value lastBlock) {
  // A second block behind the last one repeats that; its scores are hidden.
  SmallVector<Value> blocks = {block};
  if (tile.parts > kCacheBlock / l.lanes) {
    Value last = arith::SubIOp::create(b, lastBlock, indexConstant(b, 1));
    blocks.push_back(arith::MinUIOp::create(b, addIndex(b, block, 1), last));
  }
  return blocks;
}

/// The first key of the tile's head in a block.
Value AttentionEmitter::firstKey(const Tile &tile, Value block) {
  return addIndex(b, divIndex(b, cacheBytes(block), cache.elementBytes()),
                  mulIndex(b, tile.kvHead, cache.keySize() * kCacheBlock));
}

/// Asks for the values of the keys from `at` on, `count` elements, and where there are two blocks
/// for those `distance` behind.
void AttentionEmitter::prefetchValues(Value at, Value distance, bool both, int64_t count) {
  if (cache.keySize() != shape.valueSize)
    return;
  Value values = addIndex(b, at, cache.valuesAt());
  prefetchLines(b, v, values, count);
  if (both)
    prefetchLines(b, v, arith::AddIOp::create(b, values, distance), count);
}

/// Sums of products of whole heads of the keys of `blocks`, from `sums` on. `add` adds the products
/// at a place in the keys, which has `line` elements, and a column of the queries, `unroll` at a
/// time.
SmallVector<Value> AttentionEmitter::sumHeads(const Tile &tile, ArrayRef<Value> blocks,
                                              SmallVector<Value> sums, Value column, int64_t line,
                                              int64_t unroll, ProductEmitter add) {
  Value keys = firstKey(tile, blocks.front());
  Value distance = arith::SubIOp::create(b, firstKey(tile, blocks.back()), keys);
  // The loop counts by the place in the keys and carries the column of the queries, so that both
  // address memory as they are.
  sums.push_back(column);
  Value last = addIndex(b, keys, cache.keySize() * kCacheBlock);
  sums = forLoop(b, keys, last, unroll * line, sums, [&](Value at, ValueRange carried) {
    SmallVector<Value> next(carried.drop_back());
    prefetchValues(at, distance, blocks.size() > 1, unroll * line);
    for (int64_t i = 0; i < unroll; ++i)
      add(addIndex(b, at, i * line), distance, addIndex(b, carried.back(), i), next);
    next.push_back(addIndex(b, carried.back(), unroll));
    return next;
  });
  sums.pop_back();
  return sums;
}

SmallVector<Value> AttentionEmitter::cachedScores(const Tile &tile, Value block, Value lastBlock) {
  SmallVector<Value> blocks = blocksOf(tile, block, lastBlock);
  SmallVector<Value> zeros(tile.query.size() * tile.parts, l.constant(0.0));
  auto add = [&](Value at, Value distance, Value d, SmallVector<Value> &sums) {
    addProducts(tile, at, distance, d, sums);
  };
  SmallVector<Value> scores = sumHeads(tile, blocks, zeros, indexConstant(b, 0), kCacheBlock,
                                       shape.headSize % kUnroll ? 1 : kUnroll, add);
  if (cache.scaled())
    scaleScores(tile, blocks, scores);
  return scores;
}

/// Times the scale of each key.
void AttentionEmitter::scaleScores(const Tile &tile, ArrayRef<Value> blocks,
                                   SmallVector<Value> &scores) {
  int64_t perBlock = kCacheBlock / l.lanes;
  for (int64_t part = 0; part < tile.parts; ++part) {
    Value place = indexConstant(b, part % perBlock * l.lanes);
    Value scale = cacheScales(tile, blocks[part / perBlock], place, /*keys=*/true);
    for (size_t i = 0; i < tile.query.size(); ++i) {
      Value &score = scores[i * tile.parts + part];
      score = arith::MulFOp::create(b, score, scale);
    }
  }
}

SmallVector<Value> AttentionEmitter::rowScores(const Tile &tile, Value start) {
  int64_t whole = shape.headSize / l.lanes * l.lanes;
  Value last = arith::SubIOp::create(b, total, indexConstant(b, 1));
  Value column = mulIndex(b, tile.kvHead, shape.headSize);
  Value line = arith::MulIOp::create(b, tile.batch, total);
  SmallVector<Value> keys, scores;
  // Keys behind the last one repeat it; their scores are hidden.
  for (int64_t i = 0; i < tile.parts * l.lanes; ++i) {
    Value key = arith::MinUIOp::create(b, addIndex(b, start, i), last);
    keys.push_back(rowIndex(b, addIndex(b, line, key), shape.k, column));
  }
  for (Value query : tile.query)
    for (int64_t part = 0; part < tile.parts; ++part) {
      ArrayRef<Value> own = ArrayRef(keys).slice(part * l.lanes, l.lanes);
      auto step = [&](Value d, int64_t count, ValueRange carried) {
        SmallVector<Value> next;
        Value element = l.load(q, addIndex(b, query, d), count);
        for (auto [key, sum] : llvm::zip(own, carried))
          next.push_back(
              vector::FMAOp::create(b, element, l.load(k, addIndex(b, key, d), count), sum));
        return next;
      };
      SmallVector<Value> products(l.lanes, l.constant(0.0));
      if (whole > 0)
        products = forLoop(b, indexConstant(b, 0), indexConstant(b, whole), l.lanes, products,
                           [&](Value d, ValueRange carried) { return step(d, l.lanes, carried); });
      if (whole < shape.headSize)
        products = step(indexConstant(b, whole), shape.headSize - whole, products);
      scores.push_back(sumEach(products));
    }
  return scores;
}

Value AttentionEmitter::sumEach(SmallVector<Value> vectors) {
  // Each step halves the number of vectors and the lanes a sum is spread over.
  for (int64_t span = l.lanes; span > 1; span /= 2) {
    int64_t half = span / 2, pairs = vectors.size() / 2;
    SmallVector<int64_t> low, high;
    for (int64_t lane = 0; lane < l.lanes; ++lane) {
      int64_t source = lane / span * span + lane % half + (lane % span < half ? 0 : l.lanes);
      low.push_back(source);
      high.push_back(source + half);
    }
    SmallVector<Value> next;
    for (int64_t i = 0; i < pairs; ++i) {
      Value x = vectors[i], z = vectors[i + pairs];
      next.push_back(
          l.add(vector::ShuffleOp::create(b, x, z, low), vector::ShuffleOp::create(b, x, z, high)));
    }
    vectors = next;
  }
  return vectors[0];
}
