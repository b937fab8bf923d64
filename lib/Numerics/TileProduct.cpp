//===- TileProduct.cpp - a small product of matrices, the same on every machine -------------===//
//
// Four rows of 16 sums are eight registers of AVX2: as many as two multiply-adds a cycle need, with
// four cycles until a sum is ready.
//
//===----------------------------------------------------------------------------------------===//
#include "llmc/Numerics/TileProduct.h"

#include <cstring>

namespace llmc {

// Compiled for wider x86 vectors too, chosen when it is first called. All clones fuse: processors
// without fused multiply-add call a function that rounds as they would.
#if defined(__x86_64__) && defined(__linux__) && !defined(__SANITIZE_ADDRESS__)
__attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#endif
void multiplyTile(const float *a, int64_t rowStride, int64_t depthStride, const float *b,
                  int64_t depth, float tile[kTileRows][kTileColumns]) {
  using Row = float __attribute__((ext_vector_type(kTileColumns)));
  static_assert(kTileRows == 4);
  Row sums[kTileRows] = {};
  for (int64_t k = 0; k < depth; ++k) {
    Row right;
    std::memcpy(&right, b + k * kTileColumns, sizeof(right));
#pragma clang loop unroll(full)
    for (int64_t r = 0; r < kTileRows; ++r) {
      Row left = a[r * rowStride + k * depthStride];
      sums[r] = __builtin_elementwise_fma(left, right, sums[r]);
    }
  }
  std::memcpy(tile, sums, sizeof(sums));
}

} // namespace llmc
