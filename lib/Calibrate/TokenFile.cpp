//===- TokenFile.cpp - sequences of ids from a .npy file ----------------------------------===//
//
// Header, checks and conversion.
//
#include "llmc/Calibrate/TokenFile.h"

#include "llvm/ADT/SmallVector.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Regex.h"

using namespace llvm;
using namespace llmc;

/// What stands in the group of `pattern`, or an empty string.
static StringRef field(StringRef header, StringRef pattern) {
  SmallVector<StringRef> groups;
  return Regex(pattern).match(header, &groups) ? groups[1] : StringRef();
}

Result<TokenFile> llmc::readTokenFile(StringRef path) {
  auto fail = [&](const Twine &what) { return Failure{("'" + path + "': " + what).str()}; };
  auto buffer = MemoryBuffer::getFile(path, /*IsText=*/false, /*RequiresNullTerminator=*/false);
  if (!buffer)
    return fail(buffer.getError().message());
  StringRef data = (*buffer)->getBuffer();
  if (data.size() < 12 || !data.starts_with("\x93NUMPY"))
    return fail("is no .npy file");
  unsigned version = static_cast<uint8_t>(data[6]);
  if (version < 1 || version > 3)
    return fail("expected .npy version 1 to 3, found " + Twine(version));
  size_t start = version == 1 ? 10 : 12;
  size_t size = version == 1 ? support::endian::read16le(data.data() + 8)
                             : support::endian::read32le(data.data() + 8);
  if (size > data.size() - start)
    return fail("ends inside its header");
  StringRef header = data.substr(start, size), values = data.substr(start + size);

  StringRef type = field(header, "'descr': *'([^']*)'");
  if (type != "<i4" && type != "<i8")
    return fail("expected ids of int32 or int64 ('<i4', '<i8'), found '" +
                (type.empty() ? StringRef("another type") : type) + "'");
  StringRef order = field(header, "'fortran_order': *(True|False)");
  SmallVector<StringRef> dims;
  field(header, "'shape': *\\(([0-9, ]*)\\)").split(dims, ',', -1, /*KeepEmpty=*/false);
  TokenFile file;
  SmallVector<int64_t> shape;
  for (StringRef dim : dims) {
    int64_t value;
    if (dim.trim().empty())
      continue;
    if (dim.trim().getAsInteger(10, value))
      return fail("has a malformed shape");
    shape.push_back(value);
  }
  if (shape.empty() || shape.size() > 2)
    return fail("expected ids of shape [n] or [rows, n], found " + Twine(shape.size()) +
                " dimensions");
  if (order.empty() || (order == "True" && shape.size() > 1))
    return fail("expected an array in C order");
  file.flat = shape.size() == 1;
  file.rows = file.flat ? 1 : shape[0];
  file.length = shape.back();
  size_t width = type == "<i4" ? 4 : 8;
  int64_t count, bytes;
  if (MulOverflow(file.rows, file.length, count) ||
      MulOverflow(count, static_cast<int64_t>(width), bytes) ||
      static_cast<uint64_t>(bytes) != values.size())
    return fail("its shape and the " + Twine(values.size()) + " bytes of its data disagree");
  if (count == 0)
    return fail("holds no ids");
  file.ids.resize(count);
  for (int64_t i = 0; i < count; ++i) {
    const char *at = values.data() + i * width;
    file.ids[i] = width == 4 ? static_cast<int32_t>(support::endian::read32le(at))
                             : static_cast<int64_t>(support::endian::read64le(at));
  }
  return file;
}
