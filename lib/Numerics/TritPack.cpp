//===- TritPack.cpp - ternary codes, five to a byte -------------------------------------------===//
//
// Packing row by row.
//
//===----------------------------------------------------------------------------------------===//
#include "llmc/Numerics/TritPack.h"

#include <algorithm>

namespace llmc {

static Status verifySize(size_t given, int64_t rows, int64_t rowSize, const char *what) {
  if (given != static_cast<size_t>(rows * rowSize))
    return Failure{"expected " + std::to_string(rows * rowSize) + " " + what + " for " +
                   std::to_string(rows) + " rows, found " + std::to_string(given)};
  return {};
}

Result<std::vector<uint8_t>> packTrits(Span<const uint8_t> codes, int64_t rows, int64_t cols) {
  if (Status ok = verifySize(codes.size(), rows, cols, "codes"); !ok)
    return ok.failure();
  int64_t rowBytes = packedTritBytes(cols);
  std::vector<uint8_t> packed(rows * rowBytes);
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t byte = 0; byte < rowBytes; ++byte) {
      uint8_t five[5];
      for (int64_t digit = 0; digit < 5; ++digit) {
        int64_t column = 5 * byte + digit;
        five[digit] = column < cols ? codes[i * cols + column] : 1;
        if (five[digit] > 2)
          return Failure{"code " + std::to_string(five[digit]) + " at row " + std::to_string(i) +
                         ", column " + std::to_string(column) + " is not ternary (0 to 2)"};
      }
      packed[i * rowBytes + byte] = packTritByte(five);
    }
  return packed;
}

Result<std::vector<uint8_t>> unpackTrits(Span<const uint8_t> packed, int64_t rows, int64_t cols) {
  int64_t rowBytes = packedTritBytes(cols);
  if (Status ok = verifySize(packed.size(), rows, rowBytes, "bytes"); !ok)
    return ok.failure();
  std::vector<uint8_t> codes(rows * cols);
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t byte = 0; byte < rowBytes; ++byte) {
      uint8_t rest = packed[i * rowBytes + byte];
      for (int64_t column = 5 * byte; column < std::min(5 * byte + 5, cols); ++column) {
        codes[i * cols + column] = static_cast<uint8_t>(3 * rest >> 8);
        rest = static_cast<uint8_t>(3 * rest);
      }
    }
  return codes;
}

} // namespace llmc
