//===- TileAttention.h - the attention loop, in parts -------------------------------------===//
//
// Private to the room: what the loop over blocks of keys (TileAttention.cpp) and the scores of a
// block (TileScores.cpp) share.
//
#ifndef LLMC_LIB_LOWER_TILEATTENTION_H
#define LLMC_LIB_LOWER_TILEATTENTION_H

#include "llmc/Lower/AttentionKernels.h"
#include "llmc/Lower/LaneBuilder.h"

#include <algorithm>
#include <numeric>

namespace llmc {

/// Keys between two corrections of the running sums: four blocks, so that maxima across lanes and
/// corrections cost little beside the products.
constexpr int64_t kStepBlocks = 4, kStepKeys = kStepBlocks * kCacheBlock;

/// How many queries a tile holds: `full` ones, and where they do not cover the queries of a
/// key/value head, `rest`. The choice never depends on the number of threads.
struct TileSizes {
  int64_t full, rest;
  TileSizes(VectorShape vectors, int64_t group) {
    // Scores of a tile take half of the registers.
    int64_t parts = kCacheBlock / vectors.lanes;
    int64_t most = std::clamp<int64_t>(vectors.registers / 2 / parts, 1, 4);
    for (int64_t size : {4, 3})
      if (size <= most && group % size == 0) {
        full = rest = size;
        return;
      }
    full = most;
    rest = std::gcd(most, group);
  }
};

/// The queries of one tile.
struct Tile {
  Value batch, kvHead;
  SmallVector<Value> query, result, position; ///< first element in q and y; place in the sequence
};

/// Emits the attention loop; `scores` and values come from the cache or from rows.
class AttentionEmitter {
public:
  AttentionEmitter(ImplicitLocOpBuilder &b, KernelFrame &frame, const AttentionShape &shape,
                   VectorShape vectors, bool cached);
  void emit();

private:
  int64_t paddedValues() const { return (shape.valueSize + l.lanes - 1) / l.lanes * l.lanes; }
  void emitTiles(int64_t count, Value tiles, Value firstQuery);
  void emitTile(const Tile &tile);
  SmallVector<Value> cachedScores(const Tile &tile, Value block);
  SmallVector<Value> rowScores(const Tile &tile, Value start);
  /// `lanes` vectors to one: lane i holds the sum of vector i.
  Value sumEach(SmallVector<Value> vectors);
  SmallVector<Value> visibleLanes(const Tile &tile, Value start, int64_t part);
  SmallVector<Value> storeScores(const Tile &tile, Value firstBlock, Value blocks);
  SmallVector<Value> correct(ValueRange before, ArrayRef<Value> after);
  SmallVector<Value> exponentiate(const Tile &tile, Value firstBlock, Value blocks,
                                  ArrayRef<Value> peaks, ValueRange totals);
  void accumulate(const Tile &tile, Value block, Value end, ArrayRef<Value> corrections);
  void accumulatePart(const Tile &tile, ArrayRef<Value> corrections, Value column, int64_t vectors,
                      int64_t last, Value firstBlock, Value end);
  std::pair<Value, Value> valueRows(const Tile &tile, Value block);
  /// Bytes in front of this cache's part of a block.
  Value cacheBytes(Value block);
  /// The first `count` elements at an index of the cache, as f32 without their scale.
  Value loadCached(Value at, int64_t count);
  /// Scales of `lanes` positions of a block from `place` on, of keys or values.
  Value cacheScales(const Tile &tile, Value block, Value place, bool keys);

  ImplicitLocOpBuilder &b;
  KernelFrame &frame;
  const AttentionShape &shape;
  LaneBuilder l;
  VectorShape vectors;
  bool cached;
  int64_t group, parts;
  Value q, k, v, mask, y, probabilities, sums; ///< memory; the last two are scratch
  Value scales;                                ///< the cache as f32
  CacheLayout cache;
  Value length, total; ///< queries and keys of a sequence
};

} // namespace llmc

#endif // LLMC_LIB_LOWER_TILEATTENTION_H
