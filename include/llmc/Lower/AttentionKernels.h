//===- AttentionKernels.h - attention with and without a cache --------------------------===//
//
// Softmax attention over blocks of 16 keys with a running maximum and sum (FlashAttention, arXiv
// 2205.14135): never more than a block of scores. Each result row of a head is computed by one
// thread in a fixed order of keys.
//
// The cache of a sequence is a list of blocks of 16 positions; a block holds the parts of all
// caches of the model, so what a call touches grows with the positions in use. The part of one
// cache, at kv + block * blockStride + cacheOffset, is
//
//   keys   f32 [kvHeads][headSize][16]     16 positions adjacent: a vector of scores needs no
//   values f32 [kvHeads][16][valueSize]    horizontal sum
//
#ifndef LLMC_LOWER_ATTENTIONKERNELS_H
#define LLMC_LOWER_ATTENTIONKERNELS_H

#include "llmc/Lower/KernelBuilder.h"

namespace llmc {

/// Positions in a block of the cache, and keys in a step of the attention loop.
constexpr int64_t kCacheBlock = 16;

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
  bool hasMask = false; ///< only getAttentionKernel
};

/// Bytes of one cache in one block: keys, then values, of the same head size. A multiple of 64.
int64_t cacheBlockBytes(int64_t kvHeads, int64_t headSize);

/// Write key or value rows to positions past .. past + rows - 1. Offsets {rows, cache offset in a
/// block (kv), block stride in bytes (kv)}. By columns, a head at a time.
Kernel getKeyStoreKernel(KernelBuilder &builder, int64_t kvHeads, int64_t headSize, RowBuffer k);
Kernel getValueStoreKernel(KernelBuilder &builder, int64_t kvHeads, int64_t headSize,
                           int64_t valueSize, RowBuffer v);

/// Attention of `rows` queries at positions past .. past + rows - 1 over the cache. Offsets {q, y,
/// cache offset in a block (kv), block stride in bytes (kv)}. Memory behind the last position may
/// hold anything, NaN included.
Kernel getCachedAttentionKernel(KernelBuilder &builder, const AttentionShape &shape);

/// Attention within each sequence of a call without cache. Offsets {q, k, v, [mask (arena, i32
/// [batch][sequence]; 0 hides a key)], y}. A row that sees no key is 0.
Kernel getAttentionKernel(KernelBuilder &builder, const AttentionShape &shape);

} // namespace llmc

#endif // LLMC_LOWER_ATTENTIONKERNELS_H
