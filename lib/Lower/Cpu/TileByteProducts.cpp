//===- TileByteProducts.cpp - attention as products of bytes ------------------------------===//
//
// Queries become bytes once, weights once for each step of 64 keys; llmc.dot_i8 multiplies them
// with what the cache stores. Sums are integers: over the head for a score, over the step for a
// value. Weights take 7 bits, so that a pair of their products fits 16.
//
#include "TileAttention.h"

#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace llmc;

static VectorType bytesOf(LaneBuilder &l) {
  return VectorType::get({4 * l.lanes}, l.b.getI8Type());
}

static VectorType intsOf(LaneBuilder &l) { return VectorType::get({l.lanes}, l.b.getI32Type()); }

static Value splatConstant(ImplicitLocOpBuilder &b, VectorType type, int64_t value) {
  Attribute element = b.getIntegerAttr(type.getElementType(), value);
  return arith::ConstantOp::create(b, DenseElementsAttr::get(type, element));
}

Value AttentionEmitter::splatQuad(Value words, Value at) {
  return vector::BitCastOp::create(b, bytesOf(l), l.loadSplat(words, at));
}

/// Codes and scales of the queries of a tile, and what their sums of products start at: vpdpbusd
/// takes keys that are 128 more than they are.
void AttentionEmitter::quantizeQueries(const Tile &tile) {
  int64_t padded = AttentionScratch::paddedQuery(vectors, shape);
  VectorType ints = intsOf(l);
  for (auto [i, query] : llvm::enumerate(tile.query)) {
    Value slot = addIndex(b, tile.slot, i), to = mulIndex(b, slot, padded);
    auto [scale, inverse] = l.byteScale(q, query, shape.headSize);
    if (shape.softcap == 0.0)
      scale = arith::MulFOp::create(b, scale, floatConstant(b, powerFactor()));
    memref::StoreOp::create(b, scale, queryScales, ValueRange{slot});
    auto quantize = [&, inverse = inverse, query = query](Value column, int64_t count, Value sum) {
      Value codes = l.roundToBytes(l.load(q, addIndex(b, query, column), count), inverse);
      vector::StoreOp::create(b, codes, queryCodes, addIndex(b, to, column));
      return arith::AddIOp::create(b, sum, arith::ExtSIOp::create(b, ints, codes)).getResult();
    };
    int64_t whole = shape.headSize / l.lanes * l.lanes;
    Value sum = forLoop(b, indexConstant(b, 0), indexConstant(b, whole), l.lanes,
                        splatConstant(b, ints, 0), [&](Value column, ValueRange carried) {
                          return SmallVector<Value>{quantize(column, l.lanes, carried[0])};
                        })[0];
    if (whole < shape.headSize)
      sum = quantize(indexConstant(b, whole), shape.headSize - whole, sum);
    if (!biased())
      continue;
    Value all = vector::ReductionOp::create(b, vector::CombiningKind::ADD, sum);
    Value factor = arith::ConstantOp::create(b, b.getI32IntegerAttr(-128));
    memref::StoreOp::create(b, arith::MulIOp::create(b, all, factor), querySums, ValueRange{slot});
  }
}

/// As addProducts, of four elements; `word` is their place in the codes of the first query.
void AttentionEmitter::addByteProducts(const Tile &tile, Value at, Value distance, Value word,
                                       SmallVector<Value> &sums) {
  int64_t perBlock = kCacheBlock / l.lanes, padded = AttentionScratch::paddedQuery(vectors, shape);
  SmallVector<Value> codes;
  for (int64_t part = 0; part < tile.parts; ++part) {
    Value from = part < perBlock ? at : arith::AddIOp::create(b, at, distance).getResult();
    from = addIndex(b, from, part % perBlock * 4 * l.lanes);
    Value stored = vector::LoadOp::create(b, bytesOf(l), k, from);
    if (biased())
      stored = arith::XOrIOp::create(b, stored, splatConstant(b, bytesOf(l), -128));
    codes.push_back(stored);
  }
  for (size_t i = 0; i < tile.query.size(); ++i) {
    Value input = splatQuad(queryQuads, addIndex(b, word, i * (padded / 4)));
    for (int64_t part = 0; part < tile.parts; ++part) {
      Value &sum = sums[i * tile.parts + part];
      sum = DotI8Op::create(b, sum, codes[part], input, biased() ? 255 : 128,
                            /*signed_codes=*/!biased());
    }
  }
}

/// As cachedScores; queries' scales have powerFactor() in them where there is no soft cap.
SmallVector<Value> AttentionEmitter::byteScores(const Tile &tile, Value block, Value lastBlock) {
  SmallVector<Value> blocks = blocksOf(tile, block, lastBlock), starts;
  for (size_t i = 0; i < tile.query.size(); ++i)
    starts.append(tile.parts, biased() ? l.loadSplat(querySums, addIndex(b, tile.slot, i))
                                       : splatConstant(b, intsOf(l), 0));
  Value word = mulIndex(b, tile.slot, AttentionScratch::paddedQuery(vectors, shape) / 4);
  auto add = [&](Value at, Value distance, Value column, SmallVector<Value> &sums) {
    addByteProducts(tile, at, distance, column, sums);
  };
  SmallVector<Value> scores =
      sumHeads(tile, blocks, starts, word, 4 * kCacheBlock, cache.keySize() % 8 ? 1 : 2, add);
  for (size_t i = 0; i < scores.size(); ++i) {
    Value scale = l.loadSplat(queryScales, addIndex(b, tile.slot, i / tile.parts));
    Value product = arith::SIToFPOp::create(b, l.type(), scores[i]);
    scores[i] = arith::MulFOp::create(b, product, scale);
  }
  scaleScores(tile, blocks, scores);
  return scores;
}

/// Weights of a step, in the scratch, to codes; `largest` has their maximum in a lane.
void AttentionEmitter::quantizeWeights(const Step &step, Value slot, Value largest) {
  std::pair<Value, Value> scale = l.byteScale(l.foldMax(largest));
  memref::StoreOp::create(b, scale.first, weightScales, ValueRange{slot});
  Value row = mulIndex(b, slot, kStepKeys), keys = mulIndex(b, step.blocks, kCacheBlock);
  forLoop(b, indexConstant(b, 0), keys, kCacheBlock, [&](Value start) {
    for (int64_t place = 0; place < kCacheBlock; place += l.lanes) {
      Value at = addIndex(b, addIndex(b, row, start), place);
      Value codes = l.roundToBytes(l.load(probabilities, at, l.lanes), scale.second);
      vector::StoreOp::create(b, codes, weightCodes, at);
    }
  });
}

/// As accumulateFloats. The last columns of a head may read what lies behind its values, scales if
/// nothing else; keys of a block that no one wrote yet have weight 0.
void AttentionEmitter::accumulateBytes(const Tile &tile, const Step &step, Value column,
                                       int64_t width, bool isLast) {
  int64_t queries = tile.query.size();
  Value nextKeys = toNextKeys();
  SmallVector<Value> products(queries * width, splatConstant(b, intsOf(l), 0));
  auto perBlock = [&](Value j, ValueRange before) {
    SmallVector<Value> carried(before);
    Value block = addIndex(b, step.first, j), first = valueRows(tile, block).first;
    if (isLast)
      prefetchNextScales(tile, block);
    for (int64_t quad = 0; quad < kCacheBlock / 4; ++quad) {
      Value at =
          addIndex(b, addIndex(b, first, quad * 4 * shape.valueSize), mulIndex(b, column, 4));
      if (cache.keySize() == shape.valueSize)
        prefetchLines(b, k, arith::AddIOp::create(b, at, nextKeys), 4 * width * l.lanes);
      SmallVector<Value> row;
      for (int64_t part = 0; part < width; ++part)
        row.push_back(
            vector::LoadOp::create(b, bytesOf(l), v, addIndex(b, at, part * 4 * l.lanes)));
      Value place = addIndex(b, mulIndex(b, j, kCacheBlock / 4), quad);
      for (int64_t i = 0; i < queries; ++i) {
        Value weights = mulIndex(b, addIndex(b, tile.slot, i), kStepKeys / 4);
        weights = splatQuad(weightQuads, addIndex(b, weights, place));
        for (int64_t part = 0; part < width; ++part) {
          Value &sum = carried[i * width + part];
          sum = DotI8Op::create(b, sum, weights, row[part], /*bound=*/127, /*signed_codes=*/false);
        }
      }
    }
    return carried;
  };
  products = forLoop(b, indexConstant(b, 0), step.blocks, 1, products, perBlock);
  for (int64_t i = 0; i < queries; ++i) {
    Value slot = addIndex(b, tile.slot, i);
    Value correction = l.loadSplat(corrections, slot), scale = l.loadSplat(weightScales, slot);
    Value at = addIndex(b, mulIndex(b, slot, paddedValues()), column);
    for (int64_t part = 0; part < width; ++part) {
      Value place = addIndex(b, at, part * l.lanes);
      Value before = arith::MulFOp::create(b, l.load(sums, place, l.lanes), correction);
      Value product = arith::SIToFPOp::create(b, l.type(), products[i * width + part]);
      l.store(vector::FMAOp::create(b, product, scale, before), sums, place, l.lanes);
    }
  }
}
