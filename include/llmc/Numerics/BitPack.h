//===- BitPack.h - codes of b bits as a dense stream ------------------------------------------===//
//
// The storage form of integer codes in a compressed type: little-endian within a row, rows aligned
// to bytes, no other padding. Kernels repack from it.
//
//===----------------------------------------------------------------------------------------===//
#ifndef LLMC_NUMERICS_BITPACK_H
#define LLMC_NUMERICS_BITPACK_H

#include "llmc/Numerics/Result.h"
#include "llmc/Numerics/Span.h"
#include <cstdint>
#include <vector>

namespace llmc {

/// Bytes of one row of `cols` codes of `bits` bits.
inline int64_t packedRowBytes(int64_t cols, int bits) { return (cols * bits + 7) / 8; }

/// Packs codes [rows, cols], one per byte and each below 2^bits, to [rows, packedRowBytes].
/// Code j of a row occupies bits [j*bits, (j+1)*bits) of that row's stream, least significant bit
/// first, so int4 puts the even column in the low nibble. The unused bits of the last byte are 0.
/// Fails when bits is not in 1..8, sizes disagree, or a code needs more bits (names its row and
/// column).
Result<std::vector<uint8_t>> packBits(Span<const uint8_t> codes, int64_t rows, int64_t cols,
                                      int bits);

/// The inverse: [rows, packedRowBytes] to [rows, cols]. Fails when bits or the size is wrong.
Result<std::vector<uint8_t>> unpackBits(Span<const uint8_t> packed, int64_t rows, int64_t cols,
                                        int bits);

} // namespace llmc

#endif // LLMC_NUMERICS_BITPACK_H
