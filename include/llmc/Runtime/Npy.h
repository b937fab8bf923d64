// Reading and writing .npy files, versions 1 to 3:
// https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html Only what the C ABI knows:
// little-endian f32, i32, i64 in C order, at most 8 dimensions.
#ifndef LLMC_RUNTIME_NPY_H
#define LLMC_RUNTIME_NPY_H

#include "llmc/Runtime/AtomicFile.h"

#include <cstdint>
#include <string>
#include <vector>

namespace llmc {

/// A dense row-major array. `type` is LLMC_F32, LLMC_I32 or LLMC_I64; `data` holds count() elements
/// of it.
struct Array {
  int32_t type = 0;
  std::vector<int64_t> shape;
  std::vector<char> data;

  int64_t count() const;
};

/// Bytes of one element, and the name users see: "f32", "i32", "i64".
int64_t elementBytes(int32_t type);
const char *typeName(int32_t type);

/// "[2, 3]"
std::string shapeText(const std::vector<int64_t> &shape);

/// Reads a file whole. Throws Failure (BadInput) that names the file on anything unexpected: wrong
/// magic, header, type, order, a shape whose product overflows or differs from the size of the
/// file.
Array readNpy(const std::string &path);

/// The values of an array of i32 or i64. Throws Failure (BadInput), naming `what`, for another
/// type.
std::vector<int64_t> integers(const Array &array, const std::string &what);

/// Writes an array of known shape piece by piece, atomically. commit() checks that all of it has
/// come.
class NpyWriter {
public:
  NpyWriter(std::string path, int32_t type, const std::vector<int64_t> &shape);
  void append(const void *data, size_t bytes);
  void commit();
  /// The same with as many rows as were appended, which may be fewer than the shape said.
  void commit(int64_t rows);

private:
  AtomicFile file;
  int32_t type;
  std::vector<int64_t> shape;
  uint64_t missing;
};

} // namespace llmc

#endif // LLMC_RUNTIME_NPY_H
