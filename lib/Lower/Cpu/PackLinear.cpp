//===- PackLinear.cpp - writing weights in the order the kernels read them --------------===//
//
// Reads the stored components of a weight row by row (never the whole matrix as floats) and
// scatters the rows into tiles or embedding tables.
//
#include "llmc/Lower/Cpu/PackedLinear.h"

#include "llmc/IR/StoredRows.h"
#include "llmc/IR/WeightData.h"
#include "llmc/Numerics/TritPack.h"

#include <cstring>

using namespace mlir;
using namespace llmc;

namespace {

/// The rows of a weight in order, as its scheme stores them or, where no kernel follows that, as
/// f32 values.
class RowReader {
public:
  static FailureOr<RowReader> create(WeightOp weight, const CodeFormat &format);

  /// Reads the next row; rows come in order. Fails, with an error on the weight, on a value that is
  /// not finite.
  LogicalResult next();

  const std::vector<uint32_t> &codes() const { return stored ? stored->codes : decoded; }
  bool kept(int64_t input) const { return !stored || stored->kept[input]; }
  const std::vector<uint32_t> &scales() const { return stored->scales; }
  const std::vector<uint8_t> &zeros() const { return stored->zeros; }

private:
  RowReader(WeightOp weight, const CodeFormat &format) : weight(weight), format(format) {}
  LogicalResult checkFinite();

  WeightOp weight;
  CodeFormat format;
  int64_t rows = 0, columns = 0, row = 0;
  StoredData data;
  std::optional<StoredRows> stored; ///< none: decoded
  std::vector<uint32_t> decoded;    ///< bit patterns of the row's values
  std::vector<float> block;         ///< some rows, since a mask counts from its start for each call
};

} // namespace

FailureOr<RowReader> RowReader::create(WeightOp weight, const CodeFormat &format) {
  RowReader reader(weight, format);
  ArrayRef<int64_t> dims = getWeightShape(weight.getType());
  reader.rows = dims[0];
  reader.columns = dims[1];
  FailureOr<StoredData> data = getStoredData(weight);
  if (failed(data))
    return failure();
  reader.data = std::move(*data);
  if (format.decodedFrom)
    reader.decoded.resize(reader.columns);
  else
    reader.stored.emplace(*getDecodePlan(weight.getType()), reader.rows, reader.columns,
                          reader.data.bytes);
  return reader;
}

// Scales were verified with the type; dense values are read here for the first time.
LogicalResult RowReader::checkFinite() {
  uint32_t exponent = format.element.isF16()    ? 0x7c00
                      : format.element.isBF16() ? 0x7f80
                                                : 0x7f800000;
  for (int64_t i = 0; i < columns; ++i) {
    uint32_t bits = codes()[i];
    if (kept(i) && (bits & exponent) == exponent)
      return weight.emitError("weight \"")
             << weight.getWeightName() << "\" expects finite values, got "
             << ((bits & (exponent ^ (format.element.isF32() ? 0x7fffffff : 0x7fff))) ? "nan"
                                                                                      : "inf")
             << " at row " << row << ", column " << i;
  }
  return success();
}

LogicalResult RowReader::next() {
  constexpr int64_t kBlock = 64;
  if (stored) {
    stored->read(row);
  } else {
    if (row % kBlock == 0) {
      block.resize(std::min(kBlock, rows - row) * columns);
      getScheme(weight.getType()).decodeRows(rows, columns, data.bytes, row, block);
    }
    std::memcpy(decoded.data(), block.data() + row % kBlock * columns, columns * 4);
  }
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
      std::memcpy(unit + (g * rows + lane) * layout.scaleBytes, &row.scales()[first + g],
                  layout.scaleBytes);
      if (layout.format.storesZeros())
        zeros[g * rows + lane] = static_cast<char>(row.zeros()[first + g]);
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
        codes[digit] = static_cast<uint8_t>(row.codes()[start + 4 * digit + byte]);
      block[lane * 4 + byte] = static_cast<char>(packTritByte(codes));
    }
  }

  void writeBlock(char *block, int64_t start, int64_t inputs) {
    if (layout.trits)
      return writeTrits(block, start, inputs);
    int64_t count = layout.symbols(inputs), symbol = 0;
    for (int64_t i = 0; i < inputs; ++i) {
      if (layout.sparse && !row.kept(start + i))
        continue;
      uint32_t code = row.codes()[start + i];
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
    std::memcpy(out.data(), &reader->scales()[0], 4);
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
        codes[digit] = static_cast<uint8_t>(reader->codes()[i + digit]);
      row[i / 5] = static_cast<char>(packTritByte(codes));
    }
    for (int64_t i = 0; !format.base3 && i < dims[1]; ++i) {
      if (dense) {
        std::memcpy(row + i * width, &reader->codes()[i], width);
        continue;
      }
      uint32_t shifted = reader->codes()[i] << (i * format.bits % 8);
      row[i * format.bits / 8] |= static_cast<char>(shifted);
      row[i * format.bits / 8 + 1] |= static_cast<char>(shifted >> 8);
    }
    for (int64_t g = 0; g < layout.groups; ++g) {
      std::memcpy(row + layout.scales + g * width, &reader->scales()[g], width);
      if (format.storesZeros())
        row[layout.zeros + g] = static_cast<char>(reader->zeros()[g]);
    }
  }
  if (layout.matrixHeader)
    std::memcpy(out.data(), &reader->scales()[0], 4);
  return success();
}
