//===- BitPack.cpp - codes of b bits as a dense stream
//-------------------------------------------===//
//
// A code of at most 8 bits touches at most two bytes, which is all the packing there is.
//
//===----------------------------------------------------------------------------------------===//
#include "llmc/Numerics/BitPack.h"

namespace llmc {

static Status verifyPacking(size_t given, int64_t rows, int64_t rowSize, int bits,
                            const char *what) {
  if (bits < 1 || bits > 8)
    return Failure{"expected 1 to 8 bits per code, found " + std::to_string(bits)};
  if (given != static_cast<size_t>(rows * rowSize))
    return Failure{std::string("expected ") + std::to_string(rows * rowSize) + " " + what +
                   " for " + std::to_string(rows) + " rows, found " + std::to_string(given)};
  return {};
}

Result<std::vector<uint8_t>> packBits(Span<const uint8_t> codes, int64_t rows, int64_t cols,
                                      int bits) {
  if (Status ok = verifyPacking(codes.size(), rows, cols, bits, "codes"); !ok)
    return ok.failure();
  int64_t rowBytes = packedRowBytes(cols, bits);
  std::vector<uint8_t> packed(rows * rowBytes);
  for (int64_t i = 0; i < rows; ++i) {
    const uint8_t *in = codes.data() + i * cols;
    uint8_t *out = packed.data() + i * rowBytes;
    for (int64_t j = 0; j < cols; ++j) {
      if (in[j] >> bits)
        return Failure{"code " + std::to_string(in[j]) + " at row " + std::to_string(i) +
                       ", column " + std::to_string(j) + " does not fit " + std::to_string(bits) +
                       " bits"};
      int64_t bit = j * bits;
      unsigned shifted = static_cast<unsigned>(in[j]) << (bit & 7);
      out[bit >> 3] |= static_cast<uint8_t>(shifted);
      if (shifted >> 8)
        out[(bit >> 3) + 1] |= static_cast<uint8_t>(shifted >> 8);
    }
  }
  return packed;
}

Result<std::vector<uint8_t>> unpackBits(Span<const uint8_t> packed, int64_t rows, int64_t cols,
                                        int bits) {
  int64_t rowBytes = packedRowBytes(cols, bits);
  if (Status ok = verifyPacking(packed.size(), rows, rowBytes, bits, "bytes"); !ok)
    return ok.failure();
  std::vector<uint8_t> codes(rows * cols);
  unsigned mask = (1u << bits) - 1;
  for (int64_t i = 0; i < rows; ++i) {
    const uint8_t *in = packed.data() + i * rowBytes;
    for (int64_t j = 0; j < cols; ++j) {
      int64_t bit = j * bits;
      unsigned word = in[bit >> 3];
      if ((bit & 7) + bits > 8)
        word |= static_cast<unsigned>(in[(bit >> 3) + 1]) << 8;
      codes[i * cols + j] = static_cast<uint8_t>((word >> (bit & 7)) & mask);
    }
  }
  return codes;
}

} // namespace llmc
