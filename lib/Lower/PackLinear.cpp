//===- PackLinear.cpp - writing weights in the order the kernels read them --------------===//
//
// Reads the stored components of a weight row by row (never the whole matrix as floats) and
// scatters the rows into tiles or embedding tables.
//
#include "llmc/Lower/PackedLinear.h"

#include "llmc/IR/WeightData.h"
#include "llmc/Numerics/TritPack.h"

#include <cstring>

using namespace mlir;
using namespace llmc;

namespace {

/// The rows of a weight in order, each with every input: codes (the zero point where pruned) or bit
/// patterns of values.
class RowReader {
public:
  static FailureOr<RowReader> create(WeightOp weight, const CodeFormat &format);

  /// Reads the next row; rows come in order. Fails, with an error on the weight, on a stored value
  /// that is not finite.
  LogicalResult next();

  std::vector<uint32_t> codes;  ///< codes, or values as bit patterns.
  std::vector<uint8_t> kept;    ///< 1 where the weight is stored.
  std::vector<uint32_t> scales; ///< bit patterns of the row's scales.
  std::vector<uint8_t> zeros;   ///< codes of pruned weights: the zero points, also where constant.

private:
  RowReader(WeightOp weight, const CodeFormat &format) : weight(weight), format(format) {}
  uint32_t stored(size_t index, size_t rowStart) const;
  LogicalResult checkFinite();

  WeightOp weight;
  CodeFormat format;
  int64_t columns = 0, groups = 1, row = 0;
  size_t joinedIndex = 0; ///< stored weights before this row in one stream (`mask`).
  size_t rowStride = 0;   ///< bytes of codes or values of a row, if rows have their own.
  bool wide = false;      ///< values are f64.
  SmallVector<ComponentData> data;
  ArrayRef<char> maskBytes, codeBytes, scaleBytes, zeroBytes;
};

uint32_t readPattern(ArrayRef<char> bytes, size_t index, size_t width) {
  uint32_t value = 0;
  std::memcpy(&value, bytes.data() + index * width, width);
  return value;
}

} // namespace

FailureOr<RowReader> RowReader::create(WeightOp weight, const CodeFormat &format) {
  RowReader reader(weight, format);
  Type type = weight.getType();
  ArrayRef<int64_t> dims = getWeightShape(type);
  reader.columns = dims[1];
  auto get = [&](StringRef name, ArrayRef<char> &bytes) -> LogicalResult {
    ElementsAttr elements = weight.getComponent(name);
    if (!elements || !ComponentData(elements).valid())
      return weight.emitError("weight \"")
             << weight.getWeightName() << "\" has no data for component '" << name << "'";
    reader.data.emplace_back(elements);
    bytes = reader.data.back().bytes();
    return success();
  };
  // Views of owned splats move with `data`'s shared pointers, so growing the vector keeps them
  // valid.
  if ((format.keepM || format.masked) && failed(get("mask", reader.maskBytes)))
    return failure();
  bool dense = format.kind == CodeFormat::Kind::Dense;
  if (failed(get(dense ? "values" : "codes", reader.codeBytes)))
    return failure();
  if (!dense && failed(get("scales", reader.scaleBytes)))
    return failure();
  if (format.storesZeros() && failed(get("zeros", reader.zeroBytes)))
    return failure();
  if (format.isGrouped() && format.group)
    reader.groups = (reader.columns + format.group - 1) / format.group;
  int64_t perRow = reader.columns;
  if (format.keepM)
    perRow = reader.columns / format.keepM * format.keepN +
             std::min(format.keepN, reader.columns % format.keepM);
  reader.wide = getWeightElementType(type).isF64() && !isa<CompressedType>(type);
  if (dense)
    reader.rowStride = perRow * (reader.wide ? 8 : format.element.getIntOrFloatBitWidth() / 8);
  else
    reader.rowStride = format.base3 ? packedTritBytes(perRow) : (perRow * format.bits + 7) / 8;
  reader.codes.resize(reader.columns);
  reader.kept.assign(reader.columns, 1);
  reader.scales.resize(reader.groups);
  reader.zeros.assign(reader.groups, dense ? 0 : format.prunedCode());
  return reader;
}

uint32_t RowReader::stored(size_t index, size_t rowStart) const {
  if (wide) {
    double value;
    std::memcpy(&value, codeBytes.data() + rowStart + 8 * index, 8);
    float narrow = static_cast<float>(value);
    uint32_t pattern;
    std::memcpy(&pattern, &narrow, 4);
    return pattern;
  }
  if (format.kind == CodeFormat::Kind::Dense)
    return readPattern(codeBytes.drop_front(rowStart), index,
                       format.element.getIntOrFloatBitWidth() / 8);
  if (format.base3)
    return tritOfByte(static_cast<uint8_t>(codeBytes[rowStart + index / 5]), index % 5);
  size_t bit = index * format.bits, byte = rowStart + bit / 8;
  uint32_t two = static_cast<uint8_t>(codeBytes[byte]);
  if (bit % 8 + format.bits > 8)
    two |= static_cast<uint32_t>(static_cast<uint8_t>(codeBytes[byte + 1])) << 8;
  return (two >> (bit % 8)) & ((1u << format.bits) - 1);
}

// Scales were verified with the type; dense values are read here for the first time.
LogicalResult RowReader::checkFinite() {
  uint32_t exponent = format.element.isF16()    ? 0x7c00
                      : format.element.isBF16() ? 0x7f80
                                                : 0x7f800000;
  for (int64_t i = 0; i < columns; ++i)
    if (kept[i] && (codes[i] & exponent) == exponent)
      return weight.emitError("weight \"")
             << weight.getWeightName() << "\" expects finite values, got "
             << ((codes[i] & (exponent ^ (format.element.isF32() ? 0x7fffffff : 0x7fff))) ? "nan"
                                                                                          : "inf")
             << " at row " << row << ", column " << i;
  return success();
}

LogicalResult RowReader::next() {
  if (!maskBytes.empty()) {
    const char *bits = maskBytes.data() + row * ((columns + 7) / 8);
    for (int64_t i = 0; i < columns; ++i)
      kept[i] = (static_cast<uint8_t>(bits[i / 8]) >> (i % 8)) & 1;
  }
  if (!zeroBytes.empty())
    std::memcpy(zeros.data(), zeroBytes.data() + row * groups, groups);
  if (format.isGrouped())
    for (int64_t g = 0; g < groups; ++g)
      scales[g] =
          readPattern(scaleBytes, row * groups + g, format.element.getIntOrFloatBitWidth() / 8);
  else if (format.kind == CodeFormat::Kind::Ternary)
    scales[0] = readPattern(scaleBytes, 0, 4);
  size_t rowStart = format.masked ? 0 : row * rowStride;
  size_t index = format.masked ? joinedIndex : 0;
  int64_t group = format.isGrouped() && format.group ? format.group : columns;
  for (int64_t i = 0; i < columns; ++i)
    codes[i] = kept[i] ? stored(index++, rowStart) : zeros[i / group];
  joinedIndex = index;
  if (format.kind == CodeFormat::Kind::Dense && failed(checkFinite()))
    return failure();
  ++row;
  return success();
}

//===----------------------------------------------------------------------===//
// Linear
//===----------------------------------------------------------------------===//

namespace {

/// Writes one row into its lane of a tile.
class LaneWriter {
public:
  LaneWriter(const LinearLayout &layout, const RowReader &row, char *tile, int64_t lane)
      : layout(layout), row(row), tile(tile), lane(lane) {}

  void write() {
    for (int64_t start = 0; start < layout.k; start += layout.unit) {
      char *unit = tile + start / layout.unit * layout.unitBytes();
      int64_t length = std::min(layout.unit, layout.k - start);
      writeHeader(unit, start, length);
      char *block = unit + layout.headerBytes();
      for (int64_t offset = 0; offset < length; offset += layout.blockInputs) {
        int64_t inputs = std::min(layout.blockInputs, length - offset);
        writeBlock(block, start + offset, inputs);
        block += layout.blockBytes(inputs);
      }
    }
  }

private:
  void writeHeader(char *unit, int64_t start, int64_t length) {
    if (!layout.scaleBytes)
      return;
    int64_t first = start / layout.group, rows = layout.tileRows;
    char *zeros = unit + layout.groupsPerUnit * rows * layout.scaleBytes;
    for (int64_t g = 0; g * layout.group < length; ++g) {
      std::memcpy(unit + (g * rows + lane) * layout.scaleBytes, &row.scales[first + g],
                  layout.scaleBytes);
      if (layout.format.storesZeros())
        zeros[g * rows + lane] = static_cast<char>(row.zeros[first + g]);
    }
  }

  void putBits(char *plane, unsigned width, int64_t symbol, uint32_t value) {
    CodePlace place(symbol, width);
    char *dword = plane + (place.dword * layout.tileRows + lane) * 4;
    uint32_t word;
    std::memcpy(&word, dword, 4);
    word |= (value & ((1u << width) - 1)) << place.bit;
    std::memcpy(dword, &word, 4);
  }

  char *putPlanes(char *planes, ArrayRef<unsigned> widths, int64_t count, int64_t symbol,
                  uint32_t value) {
    for (unsigned width : widths) {
      putBits(planes, width, symbol, value);
      value >>= width;
      planes += layout.planeBytes(width, count);
    }
    return planes;
  }

  void writeTrits(char *block, int64_t start, int64_t inputs) {
    for (int64_t byte = 0; byte < 4; ++byte) {
      uint8_t codes[5] = {};
      for (int64_t digit = 0; digit < 5 && 4 * digit + byte < inputs; ++digit)
        codes[digit] = static_cast<uint8_t>(row.codes[start + 4 * digit + byte]);
      block[lane * 4 + byte] = static_cast<char>(packTritByte(codes));
    }
  }

  void writeBlock(char *block, int64_t start, int64_t inputs) {
    if (layout.trits)
      return writeTrits(block, start, inputs);
    int64_t count = layout.symbols(inputs), symbol = 0;
    for (int64_t i = 0; i < inputs; ++i) {
      if (layout.sparse && !row.kept[start + i])
        continue;
      uint32_t code = row.codes[start + i];
      char *payload = putPlanes(block, layout.indexPlanes, count, symbol, i % layout.keepM);
      if (layout.valueBytes)
        std::memcpy(payload + (symbol * layout.tileRows + lane) * layout.valueBytes, &code,
                    layout.valueBytes);
      else
        putPlanes(payload, layout.codePlanes, count, symbol, code);
      ++symbol;
    }
  }

  const LinearLayout &layout;
  const RowReader &row;
  char *tile;
  int64_t lane;
};

} // namespace

LogicalResult llmc::packLinear(WeightOp weight, const CodeFormat &format, VectorShape shape,
                               MutableArrayRef<char> out) {
  ArrayRef<int64_t> dims = getWeightShape(weight.getType());
  LinearLayout layout(format, dims[0], dims[1], shape);
  FailureOr<RowReader> reader = RowReader::create(weight, format);
  if (failed(reader))
    return failure();
  std::memset(out.data(), 0, out.size());
  char *tiles = out.data() + layout.matrixHeader;
  for (int64_t n = 0; n < layout.n; ++n) {
    if (failed(reader->next()))
      return failure();
    char *tile = tiles + n / layout.tileRows * layout.tileBytes();
    LaneWriter(layout, *reader, tile, n % layout.tileRows).write();
  }
  if (layout.matrixHeader)
    std::memcpy(out.data(), &reader->scales[0], 4);
  return success();
}

//===----------------------------------------------------------------------===//
// Embedding
//===----------------------------------------------------------------------===//

LogicalResult llmc::packEmbedding(WeightOp weight, const CodeFormat &format,
                                  MutableArrayRef<char> out) {
  ArrayRef<int64_t> dims = getWeightShape(weight.getType());
  EmbeddingLayout layout(format, dims[0], dims[1]);
  FailureOr<RowReader> reader = RowReader::create(weight, format);
  if (failed(reader))
    return failure();
  std::memset(out.data(), 0, out.size());
  bool dense = format.kind == CodeFormat::Kind::Dense;
  int64_t width = format.element.getIntOrFloatBitWidth() / 8;
  for (int64_t n = 0; n < dims[0]; ++n) {
    if (failed(reader->next()))
      return failure();
    char *row = out.data() + layout.matrixHeader + n * layout.rowBytes;
    for (int64_t i = 0; format.base3 && i < dims[1]; i += 5) {
      uint8_t codes[5] = {1, 1, 1, 1, 1};
      for (int64_t digit = 0; digit < 5 && i + digit < dims[1]; ++digit)
        codes[digit] = static_cast<uint8_t>(reader->codes[i + digit]);
      row[i / 5] = static_cast<char>(packTritByte(codes));
    }
    for (int64_t i = 0; !format.base3 && i < dims[1]; ++i) {
      if (dense) {
        std::memcpy(row + i * width, &reader->codes[i], width);
        continue;
      }
      uint32_t shifted = reader->codes[i] << (i * format.bits % 8);
      row[i * format.bits / 8] |= static_cast<char>(shifted);
      row[i * format.bits / 8 + 1] |= static_cast<char>(shifted >> 8);
    }
    for (int64_t g = 0; g < layout.groups; ++g) {
      std::memcpy(row + layout.scales + g * width, &reader->scales[g], width);
      if (format.storesZeros())
        row[layout.zeros + g] = static_cast<char>(reader->zeros[g]);
    }
  }
  if (layout.matrixHeader)
    std::memcpy(out.data(), &reader->scales[0], 4);
  return success();
}
