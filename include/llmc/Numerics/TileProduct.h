//===- TileProduct.h - a small product of matrices, the same on every machine ---------------===//
//
// The hot loop of calibration and of searches: Hessians and quadratic forms are made of it.
//
//===----------------------------------------------------------------------------------------===//
#ifndef LLMC_NUMERICS_TILEPRODUCT_H
#define LLMC_NUMERICS_TILEPRODUCT_H

#include <cstdint>

namespace llmc {

constexpr int64_t kTileRows = 4, kTileColumns = 16;

/// tile[r][c] = sum over k < depth of a[r * rowStride + k * depthStride] * b[k * kTileColumns + c].
/// Sums are in f32, fused, in order of k: the same bits with vectors of any width.
void multiplyTile(const float *a, int64_t rowStride, int64_t depthStride, const float *b,
                  int64_t depth, float tile[kTileRows][kTileColumns]);

} // namespace llmc

#endif // LLMC_NUMERICS_TILEPRODUCT_H
