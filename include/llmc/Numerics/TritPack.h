//===- TritPack.h - ternary codes, five to a byte ---------------------------------------------===//
//
// The storage form of #llmc.ternary<base3>, 1.6 bits per weight; TQ1_0 of ggml has the same bytes.
// Codes c0 .. c4, each 0 to 2, are the digits of v = 81 c0 + 27 c1 + 9 c2 + 3 c3 + c4, and the byte
// is ceil(256 v / 243): v / 243 as a fixed-point fraction, rounded up. So digits come from the
// front without division: with t the byte, c0 = 3 t >> 8, and 3 t & 255 is the byte of c1 .. c4.
//
//===----------------------------------------------------------------------------------------===//
#ifndef LLMC_NUMERICS_TRITPACK_H
#define LLMC_NUMERICS_TRITPACK_H

#include "llmc/Numerics/Result.h"
#include "llmc/Numerics/Span.h"
#include <cstdint>
#include <vector>

namespace llmc {

/// Bytes of one row of `cols` codes.
inline int64_t packedTritBytes(int64_t cols) { return (cols + 4) / 5; }

/// The byte of five codes of 0 to 2.
inline uint8_t packTritByte(const uint8_t *codes) {
  int value = 0;
  for (int i = 0; i < 5; ++i)
    value = 3 * value + codes[i];
  return static_cast<uint8_t>((256 * value + 242) / 243);
}

/// Code `index` (0 to 4) of a byte.
inline uint8_t tritOfByte(uint8_t byte, int index) {
  for (int i = 0; i < index; ++i)
    byte = static_cast<uint8_t>(3 * byte);
  return static_cast<uint8_t>(3 * byte >> 8);
}

/// True of the 243 bytes that packTritByte makes.
inline bool isTritByte(uint8_t byte) {
  uint8_t codes[5];
  for (int i = 0; i < 5; ++i)
    codes[i] = tritOfByte(byte, i);
  return packTritByte(codes) == byte;
}

/// Packs codes [rows, cols], one per byte, to [rows, packedTritBytes]. Codes behind the last of a
/// row are 1. Fails when sizes disagree or a code is above 2 (names its row and column).
Result<std::vector<uint8_t>> packTrits(Span<const uint8_t> codes, int64_t rows, int64_t cols);

/// The inverse: [rows, packedTritBytes] to [rows, cols]. Fails when the size is wrong.
Result<std::vector<uint8_t>> unpackTrits(Span<const uint8_t> packed, int64_t rows, int64_t cols);

} // namespace llmc

#endif // LLMC_NUMERICS_TRITPACK_H
