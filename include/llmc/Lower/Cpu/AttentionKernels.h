//===- AttentionKernels.h - attention with and without a cache --------------------------===//
//
// Softmax attention over steps of 64 keys with a running maximum and sum (FlashAttention, arXiv
// 2205.14135): never more than the scores of a step. Each result row of a head is computed by one
// thread in a fixed order of keys.
//
// The cache of a sequence is a list of blocks of 16 positions; a block holds the parts of all
// caches of the model, so what a call touches grows with the positions in use. The part of one
// cache, at kv + block * blockStride + cacheOffset, is
//
//   keys   [kvHeads][headSize][16]     16 positions adjacent: a vector of scores needs no
//   values [kvHeads][16][valueSize]    horizontal sum
//   scales f32 [kvHeads][16] of keys, then of values: only for i8
//
// Elements are f32, f16, bf16 or i8. An i8 vector (one head of one position) has the scale absmax /
// 127 and codes rounded half to even; scales multiply scores and probabilities, not elements.
//
// A cache of i8 may ask for products of bytes. A query is then stored as an i8 vector is, and the
// weights of 64 keys, probability times scale of the value, as codes of 0 to 127 of their largest;
// what a score or a value sums over is integers. Four bytes of what is summed over are adjacent:
//
//   keys   [kvHeads][headSize / 4][16][4]   four elements of a position; zeros behind the last
//   values [kvHeads][4][valueSize][4]       four positions of an element
//
#ifndef LLMC_LOWER_CPU_ATTENTIONKERNELS_H
#define LLMC_LOWER_CPU_ATTENTIONKERNELS_H

#include "llmc/Lower/Cpu/KernelBuilder.h"

namespace llmc {

/// Positions in a block of the cache.
constexpr int64_t kCacheBlock = 16;

/// Where everything lies in the part of one cache in a block.
struct CacheLayout {
  Type element; ///< f32, f16, bf16 or i8
  int64_t kvHeads = 1, headSize = 0, valueSize = 0;
  bool quads = false; ///< i8 only: for products of bytes

  bool scaled() const { return element.isInteger(8); }
  int64_t elementBytes() const { return element.getIntOrFloatBitWidth() / 8; }
  /// Elements of a position of one head, those that fill up a quad among them.
  int64_t keySize() const { return quads ? (headSize + 3) / 4 * 4 : headSize; }
  int64_t valuesAt() const { return kvHeads * keySize() * kCacheBlock; } ///< in elements
  int64_t scalesAt() const {                                             ///< in bytes
    return (valuesAt() + kvHeads * valueSize * kCacheBlock) * elementBytes();
  }
  int64_t valueScalesAt() const { return scalesAt() + kvHeads * kCacheBlock * 4; }
  /// Bytes of a block, a multiple of 64.
  int64_t blockBytes() const {
    int64_t bytes = scaled() ? valueScalesAt() + kvHeads * kCacheBlock * 4 : scalesAt();
    return (bytes + 63) / 64 * 64;
  }
};

/// An llmc.attention. `heads` is a multiple of `kvHeads`; a window > 0 needs `causal`.
struct AttentionShape {
  int64_t heads = 1, kvHeads = 1;
  int64_t headSize = 0;  ///< of queries and keys
  int64_t valueSize = 0; ///< of values and results
  double scale = 1.0;
  bool causal = false;
  int64_t window = 0;   ///< 0: none
  double softcap = 0.0; ///< 0: none
  RowBuffer q, k, v, y;
  bool hasMask = false;      ///< only getAttentionKernel
  Type cacheElement;         ///< only getCachedAttentionKernel
  bool byteProducts = false; ///< the same; needs i8

  CacheLayout cache() const { return {cacheElement, kvHeads, headSize, valueSize, byteProducts}; }
};

/// Write key or value rows to positions past .. past + rows - 1. Offsets {rows, cache offset in a
/// block (kv), block stride in bytes (kv)}. By columns, a head at a time.
Kernel getKeyStoreKernel(KernelBuilder &builder, const CacheLayout &cache, RowBuffer k);
Kernel getValueStoreKernel(KernelBuilder &builder, const CacheLayout &cache, RowBuffer v);

/// Attention of `rows` queries at positions past .. past + rows - 1 over the cache. Offsets {q, y,
/// cache offset in a block (kv), block stride in bytes (kv)}. Memory behind the last position may
/// hold anything, NaN included.
Kernel getCachedAttentionKernel(KernelBuilder &builder, const AttentionShape &shape);

/// Attention within each sequence of a call without cache. Offsets {q, k, v, [mask (arena, i32
/// [batch][sequence]; 0 hides a key)], y}. A row that sees no key is 0.
Kernel getAttentionKernel(KernelBuilder &builder, const AttentionShape &shape);

} // namespace llmc

#endif // LLMC_LOWER_CPU_ATTENTIONKERNELS_H
