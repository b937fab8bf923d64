// The .npy format. The header is a Python dictionary; only the three keys and the spelling that the
// format defines are accepted, and the size of the file must be what the header says.
#include "llmc/Runtime/Npy.h"

#include "llmc/Runtime/Failure.h"
#include "llmc/Runtime/llmc.h"

#include <cstring>
#include <fstream>
#include <sys/stat.h>

using namespace llmc;

namespace {

constexpr char magic[] = "\x93NUMPY";
constexpr size_t magicBytes = 6;
constexpr size_t maximumHeader = 65536;
constexpr size_t maximumRank = 8;

/// Takes the header apart, token by token.
class HeaderParser {
public:
  HeaderParser(const std::string &text, const std::string &path) : text(text), path(path) {}

  Array parse() {
    bool seenType = false, seenOrder = false, seenShape = false;
    expect('{');
    while (!take('}')) {
      const std::string key = string();
      expect(':');
      if (key == "descr" && !seenType) {
        seenType = true;
        type();
      } else if (key == "fortran_order" && !seenOrder) {
        seenOrder = true;
        order();
      } else if (key == "shape" && !seenShape) {
        seenShape = true;
        shape();
      } else {
        fail("unexpected key '" + key + "'");
      }
      if (!take(',')) {
        expect('}');
        break;
      }
    }
    skipSpace();
    if (at != text.size())
      fail("text behind the dictionary");
    if (!seenType || !seenOrder || !seenShape)
      fail("descr, fortran_order or shape is missing");
    // Column order differs from row order only from two dimensions on.
    if (fortran && array.shape.size() > 1)
      failInput(path + ": expected an array in C order, found Fortran order");
    return std::move(array);
  }

private:
  [[noreturn]] void fail(const std::string &what) const {
    failInput(path + ": malformed .npy header: " + what);
  }

  void skipSpace() {
    while (at < text.size() && (text[at] == ' ' || text[at] == '\n'))
      ++at;
  }

  bool take(char c) {
    skipSpace();
    if (at == text.size() || text[at] != c)
      return false;
    ++at;
    return true;
  }

  void expect(char c) {
    if (!take(c))
      fail(std::string("expected '") + c + "' at byte " + std::to_string(at));
  }

  bool takeWord(const char *word) {
    skipSpace();
    if (text.compare(at, std::strlen(word), word) != 0)
      return false;
    at += std::strlen(word);
    return true;
  }

  std::string string() {
    const char quote = take('"') ? '"' : '\'';
    if (quote == '\'')
      expect('\'');
    const size_t end = text.find(quote, at);
    if (end == std::string::npos || end - at > 32)
      fail("expected a short string at byte " + std::to_string(at));
    const std::string value = text.substr(at, end - at);
    for (const char c : value)
      if (c < ' ' || c > '~')
        fail("a character that is not printable");
    at = end + 1;
    return value;
  }

  void type() {
    skipSpace();
    if (at < text.size() && text[at] == '[')
      failInput(path + ": expected elements of type f32, i32 or i64, found a structured type");
    const std::string descr = string();
    if (descr == "<f4")
      array.type = LLMC_F32;
    else if (descr == "<i4")
      array.type = LLMC_I32;
    else if (descr == "<i8")
      array.type = LLMC_I64;
    else
      failInput(path + ": expected elements of type <f4, <i4 or <i8 (f32, i32, i64), found '" +
                descr + "'");
  }

  void order() {
    if (takeWord("True"))
      fortran = true;
    else if (!takeWord("False"))
      fail("fortran_order is neither True nor False");
  }

  void shape() {
    expect('(');
    while (!take(')')) {
      skipSpace();
      int64_t size = 0;
      const size_t begin = at;
      for (; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at)
        if (__builtin_mul_overflow(size, 10, &size) ||
            __builtin_add_overflow(size, text[at] - '0', &size))
          fail("a dimension over 63 bits");
      if (at == begin)
        fail("a dimension that is no whole number");
      array.shape.push_back(size);
      if (array.shape.size() > maximumRank)
        fail("more than 8 dimensions");
      if (!take(',')) {
        expect(')');
        break;
      }
    }
  }

  const std::string &text;
  const std::string &path;
  size_t at = 0;
  bool fortran = false;
  Array array;
};

/// Product of the dimensions times the element, or a failure.
uint64_t dataBytes(const Array &array, const std::string &path) {
  int64_t bytes = elementBytes(array.type);
  for (const int64_t size : array.shape)
    if (__builtin_mul_overflow(bytes, size, &bytes))
      failInput(path + ": the size of shape " + shapeText(array.shape) + " overflows");
  return static_cast<uint64_t>(bytes);
}

std::string headerText(int32_t type, const std::vector<int64_t> &shape) {
  const char *descr = type == LLMC_F32 ? "<f4" : type == LLMC_I32 ? "<i4" : "<i8";
  std::string text = std::string("{'descr': '") + descr + "', 'fortran_order': False, 'shape': (";
  for (const int64_t size : shape)
    text += std::to_string(size) + ", ";
  text += "), }";
  // The data begins at a multiple of 64 bytes, behind a newline.
  const size_t fixed = magicBytes + 4;
  text.append(63 - (fixed + text.size()) % 64, ' ');
  return text + '\n';
}

} // namespace

int64_t llmc::elementBytes(int32_t type) { return type == LLMC_I64 ? 8 : 4; }

const char *llmc::typeName(int32_t type) {
  return type == LLMC_F32 ? "f32" : type == LLMC_I32 ? "i32" : "i64";
}

std::string llmc::shapeText(const std::vector<int64_t> &shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i)
    text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

int64_t Array::count() const {
  int64_t count = 1;
  for (const int64_t size : shape)
    count *= size;
  return count;
}

Array llmc::readNpy(const std::string &path) {
  struct stat status;
  if (stat(path.c_str(), &status))
    failInput(path + ": " + std::strerror(errno));
  if (!S_ISREG(status.st_mode))
    failInput(path + ": is no regular file");
  const uint64_t fileBytes = static_cast<uint64_t>(status.st_size);
  std::ifstream file(path, std::ios::binary);
  char prefix[12] = {};
  if (!file.read(prefix, 10) || std::memcmp(prefix, magic, magicBytes) != 0)
    failInput(path + ": is no .npy file");
  const auto byte = [&](int i) {
    return static_cast<size_t>(static_cast<unsigned char>(prefix[i]));
  };
  const size_t version = byte(6);
  if (version < 1 || version > 3 || byte(7) != 0)
    failInput(path + ": expected .npy version 1.0, 2.0 or 3.0, found " + std::to_string(version) +
              "." + std::to_string(byte(7)));
  size_t headerBytes = byte(8) | byte(9) << 8, begin = 10;
  if (version > 1) {
    if (!file.read(prefix + 10, 2))
      failInput(path + ": ends inside its header");
    headerBytes |= byte(10) << 16 | byte(11) << 24;
    begin = 12;
  }
  if (headerBytes > maximumHeader || begin + headerBytes > fileBytes)
    failInput(path + ": states a header of " + std::to_string(headerBytes) +
              " bytes in a file of " + std::to_string(fileBytes));
  std::string header(headerBytes, '\0');
  if (!file.read(header.data(), static_cast<std::streamsize>(headerBytes)))
    failInput(path + ": ends inside its header");
  Array array = HeaderParser(header, path).parse();
  const uint64_t expected = dataBytes(array, path), found = fileBytes - begin - headerBytes;
  if (expected != found)
    failInput(path + ": expected " + std::to_string(expected) + " bytes of data for shape " +
              shapeText(array.shape) + " of " + typeName(array.type) + ", found " +
              std::to_string(found));
  array.data.resize(expected);
  if (!file.read(array.data.data(), static_cast<std::streamsize>(expected)))
    failInput(path + ": cannot be read");
  return array;
}

std::vector<int64_t> llmc::integers(const Array &array, const std::string &what) {
  if (array.type == LLMC_F32)
    failInput(what + ": expected integers of 32 or 64 bits, found f32");
  std::vector<int64_t> values(static_cast<size_t>(array.count()));
  for (size_t i = 0; i < values.size(); ++i) {
    if (array.type == LLMC_I64) {
      std::memcpy(&values[i], array.data.data() + 8 * i, 8);
      continue;
    }
    int32_t value;
    std::memcpy(&value, array.data.data() + 4 * i, 4);
    values[i] = value;
  }
  return values;
}

/// Everything in front of the data.
static std::string preamble(int32_t type, const std::vector<int64_t> &shape) {
  const std::string header = headerText(type, shape);
  std::string text(magic, magicBytes);
  text +=
      {'\1', '\0', static_cast<char>(header.size() & 255), static_cast<char>(header.size() >> 8)};
  return text + header;
}

NpyWriter::NpyWriter(std::string path, int32_t type, const std::vector<int64_t> &shape)
    : file(std::move(path)), type(type), shape(shape),
      missing(dataBytes(Array{type, shape, {}}, file.path())) {
  const std::string text = preamble(type, shape);
  file.append(text.data(), text.size());
}

void NpyWriter::append(const void *data, size_t bytes) {
  if (bytes > missing)
    failInternal(file.path() + ": more data than its shape holds");
  missing -= bytes;
  file.append(data, bytes);
}

void NpyWriter::commit() {
  if (missing)
    failInternal(file.path() + ": less data than its shape holds");
  file.commit();
}

void NpyWriter::commit(int64_t rows) {
  std::vector<int64_t> fewer = shape;
  fewer.front() = rows;
  const uint64_t left = dataBytes(Array{type, shape, {}}, file.path()) -
                        dataBytes(Array{type, fewer, {}}, file.path());
  const std::string before = preamble(type, shape), now = preamble(type, fewer);
  if (missing != left || before.size() != now.size())
    failInternal(file.path() + ": other data than its shape holds");
  missing = 0;
  file.overwrite(now.data(), now.size());
  file.commit();
}
