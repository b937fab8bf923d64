//===- TokenFile.h - sequences of ids from a .npy file ------------------------------------===//
//
// The format is that of numpy:
// https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html (versions 1 to 3). The
// file is untrusted: its header must agree with its size.
//
//===----------------------------------------------------------------------------------------===//
#ifndef LLMC_CALIBRATE_TOKENFILE_H
#define LLMC_CALIBRATE_TOKENFILE_H

#include "llmc/Numerics/Result.h"
#include "llvm/ADT/StringRef.h"

#include <cstdint>
#include <vector>

namespace llmc {

/// Ids, row-major.
struct TokenFile {
  int64_t rows = 0;
  int64_t length = 0; ///< ids per row
  bool flat = false;  ///< the array had one dimension: one stream, which the reader may cut
  std::vector<int64_t> ids;
};

/// Reads an array of int32 or int64, little-endian, of shape [n] or [rows, n]. Failures name the
/// file.
Result<TokenFile> readTokenFile(llvm::StringRef path);

} // namespace llmc

#endif // LLMC_CALIBRATE_TOKENFILE_H
