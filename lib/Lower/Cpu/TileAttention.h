//===- TileAttention.h - the attention loop, in parts -------------------------------------===//
//
// Private to the room: what the loop over blocks of keys (TileAttention.cpp), scores and values
// (TileScores.cpp, TileValues.cpp), and both as products of bytes (TileByteProducts.cpp) share.
//
#ifndef LLMC_LIB_LOWER_CPU_TILEATTENTION_H
#define LLMC_LIB_LOWER_CPU_TILEATTENTION_H

#include "llmc/Lower/Cpu/AttentionKernels.h"
#include "llmc/Lower/Cpu/LaneBuilder.h"

#include <algorithm>
#include <numeric>

namespace llmc {

/// Keys between two corrections of the running sums: four blocks, so that maxima across lanes and
/// corrections cost little beside the products.
constexpr int64_t kStepBlocks = 4, kStepKeys = kStepBlocks * kCacheBlock;

/// Tiles that take turns with the same keys. More would want more scratch than the first-level
/// cache has left beside the keys.
constexpr int64_t kBlockTiles = 4;

/// How many queries a tile holds: `full` ones, and where they do not cover the queries of a
/// key/value head, `rest` (0: they do).
struct TileSizes {
  int64_t full, rest;
  TileSizes(VectorShape vectors, int64_t group) {
    full = std::clamp<int64_t>(scoreVectors(vectors) * vectors.lanes / kCacheBlock, 1, 8);
    rest = group % full;
  }
  /// Scores of a tile take half of the registers.
  static int64_t scoreVectors(VectorShape vectors) { return vectors.registers / 2; }
  /// Vectors of keys that meet a tile of so many queries at once: one or two blocks of the cache.
  static int64_t vectorsOfKeys(VectorShape vectors, int64_t queries) {
    int64_t one = kCacheBlock / vectors.lanes;
    return one * std::clamp<int64_t>(scoreVectors(vectors) / (queries * one), 1, 2);
  }
};

/// Where the parts of the scratch memory begin, in floats, behind the probabilities.
struct AttentionScratch {
  int64_t sums, totals, peaks, corrections;
  int64_t queryScales, querySums, queryCodes, weightScales, weightCodes; ///< products of bytes
  int64_t end;
  AttentionScratch(VectorShape vectors, const AttentionShape &shape) {
    int64_t padded = (shape.valueSize + vectors.lanes - 1) / vectors.lanes * vectors.lanes;
    int64_t queries = kBlockTiles * TileSizes(vectors, shape.heads / shape.kvHeads).full;
    sums = queries * kStepKeys;
    totals = sums + queries * padded;
    peaks = totals + queries * vectors.lanes;
    corrections = peaks + queries;
    queryScales = corrections + queries;
    querySums = queryScales + queries;
    queryCodes = querySums + queries;
    weightScales = queryCodes + queries * paddedQuery(vectors, shape) / 4;
    weightCodes = weightScales + queries;
    end = shape.byteProducts ? weightCodes + queries * kStepKeys / 4 : queryScales;
  }
  /// Bytes of a query, whole vectors of floats.
  static int64_t paddedQuery(VectorShape vectors, const AttentionShape &shape) {
    return (shape.headSize + vectors.lanes - 1) / vectors.lanes * vectors.lanes;
  }
  int64_t bytes() const { return (end * sizeof(float) + 63) / 64 * 64; }
};

/// The queries of one tile.
struct Tile {
  Value batch, kvHead;
  Value slot;                                 ///< of its first query in the scratch
  int64_t parts = 1;                          ///< vectors of keys at once
  SmallVector<Value> query, result, position; ///< first element in q and y; place in the sequence
};

/// Emits the attention loop; `scores` and values come from the cache or from rows.
class AttentionEmitter {
public:
  AttentionEmitter(ImplicitLocOpBuilder &b, KernelFrame &frame, const AttentionShape &shape,
                   VectorShape vectors, bool cached);
  void emit();

private:
  /// Tiles [begin, end) of a key/value head of a sequence.
  struct TileBlock {
    Value batch, kvHead, begin, end;
  };
  struct KeyRange {
    Value firstBlock, lastBlock, end; ///< blocks [firstBlock, lastBlock), keys up to `end`
  };
  struct Step {
    KeyRange keys;       ///< of all steps
    Value first, blocks; ///< `blocks` blocks from `first` on
  };

  int64_t paddedValues() const { return (shape.valueSize + l.lanes - 1) / l.lanes * l.lanes; }
  Value positionOf(Value query);
  Value firstQuery(Value tile);
  void forTiles(const TileBlock &block, function_ref<void(const Tile &)> body);
  KeyRange keysOf(const TileBlock &block);
  void emitBlock(const TileBlock &block);
  void weigh(const Tile &tile, const Step &step);
  void finish(const Tile &tile);

  // Scores.
  void addProducts(const Tile &tile, Value at, Value distance, Value d, SmallVector<Value> &sums);
  /// The block and, for tiles of two, the one behind it, or itself where it is the last.
  SmallVector<Value> blocksOf(const Tile &tile, Value block, Value lastBlock);
  Value firstKey(const Tile &tile, Value block);
  void scaleScores(const Tile &tile, ArrayRef<Value> blocks, SmallVector<Value> &scores);
  void prefetchValues(Value at, Value distance, bool both, int64_t count);
  using ProductEmitter =
      function_ref<void(Value at, Value distance, Value column, SmallVector<Value> &sums)>;
  SmallVector<Value> sumHeads(const Tile &tile, ArrayRef<Value> blocks, SmallVector<Value> sums,
                              Value column, int64_t line, int64_t unroll, ProductEmitter add);
  SmallVector<Value> cachedScores(const Tile &tile, Value block, Value lastBlock);
  SmallVector<Value> rowScores(const Tile &tile, Value start);
  /// `lanes` vectors to one: lane i holds the sum of vector i.
  Value sumEach(SmallVector<Value> vectors);
  double powerFactor() const;
  SmallVector<Value> powers(SmallVector<Value> products);
  SmallVector<Value> hideKeys(const Tile &tile, Value start, SmallVector<Value> scores);
  SmallVector<Value> visibleLanes(const Tile &tile, Value start, int64_t part);
  SmallVector<Value> storeScores(const Tile &tile, const Step &step);
  Value probabilityAt(const Tile &tile, Value key, int64_t query);
  SmallVector<Value> correct(ArrayRef<Value> before, ArrayRef<Value> after);
  SmallVector<Value> exponentiate(const Tile &tile, const Step &step, ArrayRef<Value> peaks,
                                  ArrayRef<Value> lanes);

  // Values.
  void accumulate(const Tile &tile, const Step &step);
  void accumulateFloats(const Tile &tile, const Step &step, Value column, int64_t width,
                        bool isLast);
  Value toNextKeys();
  void prefetchNextScales(const Tile &tile, Value block);
  std::pair<Value, Value> valueRows(const Tile &tile, Value block);

  // Products of bytes.
  void quantizeQueries(const Tile &tile);
  /// Keys are unsigned bytes where they are multiplied.
  bool biased() const { return vectors.dot == DotKind::Vnni; }
  void addByteProducts(const Tile &tile, Value at, Value distance, Value word,
                       SmallVector<Value> &sums);
  SmallVector<Value> byteScores(const Tile &tile, Value block, Value lastBlock);
  void quantizeWeights(const Step &step, Value slot, Value largest);
  void accumulateBytes(const Tile &tile, const Step &step, Value column, int64_t width,
                       bool isLast);
  /// A word of scratch as four bytes, in every lane.
  Value splatQuad(Value words, Value at);

  // The cache.
  /// Bytes in front of this cache's part of a block.
  Value cacheBytes(Value block);
  /// The first `count` elements at an index of the cache, as f32 without their scale.
  Value loadCached(Value at, int64_t count);
  Value scalesOf(const Tile &tile, Value block, bool keys);
  /// Scales of `lanes` positions of a block from `place` on, of keys or values.
  Value cacheScales(const Tile &tile, Value block, Value place, bool keys);

  ImplicitLocOpBuilder &b;
  KernelFrame &frame;
  const AttentionShape &shape;
  LaneBuilder l;
  VectorShape vectors;
  bool cached;
  int64_t group;
  TileSizes sizes;
  Value q, k, v, mask, y;
  Value probabilities, sums, totals, peaks, corrections; ///< scratch, by slot of the query
  Value queryScales, querySums, queryCodes, weightScales, weightCodes; ///< codes as bytes
  Value queryQuads, weightQuads;                                       ///< and as words
  Value scales;                                                        ///< the cache as f32
  CacheLayout cache;
  Value length, total; ///< queries and keys of a sequence
  Value queries;       ///< of a key/value head and sequence
  Value fullTiles;     ///< how many tiles they fill
};

} // namespace llmc

#endif // LLMC_LIB_LOWER_CPU_TILEATTENTION_H
