//===- SchemeStorage.cpp - stored weights, read and checked -----------------------------===//
//
// Components, sizes, checks and decompression of what the schemes store. nm and mask hand the kept
// weights of a row to their inner scheme, so the decoders read kept weights one after the other,
// each with the input it belongs to.
//
#include "SchemeStorage.h"

#include "llmc/IR/WeightData.h"
#include "llmc/Numerics/BitPack.h"
#include "llmc/Numerics/TritPack.h"

#include "llvm/ADT/TypeSwitch.h"

#include <cmath>

using namespace mlir;
using namespace llmc;

//===----------------------------------------------------------------------===//
// Reading stored numbers
//===----------------------------------------------------------------------===//

static bool readMask(Bytes mask, int64_t columns, int64_t row, int64_t column) {
  int64_t stride = (columns + 7) / 8;
  return (static_cast<uint8_t>(mask[row * stride + column / 8]) >> (column % 8)) & 1;
}

int64_t llmc::countMask(Bytes mask, int64_t columns, int64_t row, int64_t begin, int64_t end) {
  int64_t kept = 0;
  for (int64_t k = begin; k < end; ++k)
    kept += readMask(mask, columns, row, k);
  return kept;
}

// Codes of `bits` bits, one per byte; the sizes were checked with the type.
static std::vector<uint8_t> readCodes(Bytes stream, int64_t rows, int64_t perRow, unsigned bits) {
  Span<const uint8_t> packed(reinterpret_cast<const uint8_t *>(stream.data()), stream.size());
  Result<std::vector<uint8_t>> codes = unpackBits(packed, rows, perRow, bits);
  return codes ? std::move(*codes) : std::vector<uint8_t>(rows * perRow);
}

// The same for ternary codes.
static std::vector<uint8_t> readTrits(Bytes stream, int64_t rows, int64_t perRow, bool base3) {
  if (!base3)
    return readCodes(stream, rows, perRow, 2);
  Span<const uint8_t> packed(reinterpret_cast<const uint8_t *>(stream.data()), stream.size());
  Result<std::vector<uint8_t>> codes = unpackTrits(packed, rows, perRow);
  return codes ? std::move(*codes) : std::vector<uint8_t>(rows * perRow);
}

static Type getByteType(MLIRContext *context) {
  return IntegerType::get(context, 8, IntegerType::Unsigned);
}

//===----------------------------------------------------------------------===//
// The inner schemes seen as streams of kept weights
//===----------------------------------------------------------------------===//

static int64_t groupsOf(int64_t group, int64_t columns) {
  return group ? (columns + group - 1) / group : 1;
}

// Bytes of `count` ternary codes.
static int64_t tritBytes(int64_t count, bool base3) {
  return base3 ? packedTritBytes(count) : packedRowBytes(count, 2);
}

int64_t llmc::keptPerRow(int64_t n, int64_t m, int64_t columns) {
  return columns / m * n + std::min(n, columns % m);
}

SmallVector<SchemeComponent> llmc::innerComponents(Attribute inner, const KeptLayout &layout) {
  MLIRContext *context = inner.getContext();
  int64_t dynamic = ShapedType::kDynamic;
  SmallVector<SchemeComponent> result;
  auto stream = [&](StringRef name, Type type, int64_t perRow) {
    if (layout.joined)
      result.push_back({name.str(), type, {dynamic}});
    else
      result.push_back({name.str(), type, {layout.rows, perRow}});
  };
  TypeSwitch<Attribute>(inner)
      .Case<DenseSchemeAttr>(
          [&](auto dense) { stream("values", dense.getElementType(), layout.perRow); })
      .Case<IntSchemeAttr>([&](auto scheme) {
        stream("codes", getByteType(context), packedRowBytes(layout.perRow, scheme.getBits()));
        int64_t groups = groupsOf(scheme.getGroup(), layout.columns);
        result.push_back({"scales", scheme.getScale(), {layout.rows, groups}});
        if (!scheme.getSymmetric())
          result.push_back({"zeros", getByteType(context), {layout.rows, groups}});
      })
      .Case<TableSchemeAttr>([&](auto scheme) {
        stream("codes", getByteType(context), packedRowBytes(layout.perRow, 4));
        int64_t groups = groupsOf(scheme.getGroup(), layout.columns);
        result.push_back({"scales", scheme.getScale(), {layout.rows, groups}});
      })
      .Case<TernarySchemeAttr>([&](auto scheme) {
        stream("codes", getByteType(context), tritBytes(layout.perRow, scheme.getBase3()));
        result.push_back({"scales", Float32Type::get(context), {1}});
      });
  return result;
}

double llmc::innerBits(Attribute inner, int64_t rows, int64_t columns, double density) {
  return TypeSwitch<Attribute, double>(inner)
      .Case<DenseSchemeAttr>(
          [&](auto dense) { return density * dense.getElementType().getIntOrFloatBitWidth(); })
      .Case<IntSchemeAttr>([&](auto scheme) {
        double perGroup =
            scheme.getScale().getIntOrFloatBitWidth() + (scheme.getSymmetric() ? 0 : 8);
        return density * scheme.getBits() +
               perGroup * groupsOf(scheme.getGroup(), columns) / columns;
      })
      .Case<TableSchemeAttr>([&](auto scheme) {
        double perGroup = scheme.getScale().getIntOrFloatBitWidth();
        return density * 4 + perGroup * groupsOf(scheme.getGroup(), columns) / columns;
      })
      .Case<TernarySchemeAttr>([&](auto scheme) {
        return density * (scheme.getBase3() ? 1.6 : 2) + 32.0 / (rows * columns);
      })
      .Default([](Attribute) { return 0.0; });
}

namespace {

/// All `kept` stored weights of an inner scheme, ready to be read one after the other.
class InnerReader {
public:
  InnerReader(Attribute inner, const KeptLayout &layout, ArrayRef<Bytes> data, int64_t kept)
      : perRow(layout.joined ? 0 : layout.perRow) {
    MLIRContext *context = inner.getContext();
    int64_t rows = layout.joined ? 1 : layout.rows;
    int64_t perStream = layout.joined ? kept : layout.perRow;
    auto readGroups = [&](int64_t size, Type type) {
      scales = readFloats(data[1], type);
      groups = groupsOf(size, layout.columns);
      group = size ? size : layout.columns;
    };
    if (auto dense = dyn_cast<DenseSchemeAttr>(inner)) {
      values = readFloats(data[0], dense.getElementType());
    } else if (auto scheme = dyn_cast<IntSchemeAttr>(inner)) {
      codes = readCodes(data[0], rows, perStream, scheme.getBits());
      readGroups(scheme.getGroup(), scheme.getScale());
      zero = 1 << (scheme.getBits() - 1);
      if (!scheme.getSymmetric())
        zeros = data[2];
    } else if (auto scheme = dyn_cast<TableSchemeAttr>(inner)) {
      codes = readCodes(data[0], rows, perStream, 4);
      readGroups(scheme.getGroup(), scheme.getScale());
      levels = tableLevels(scheme.getTable());
    } else {
      codes = readTrits(data[0], rows, perStream, cast<TernarySchemeAttr>(inner).getBase3());
      scales = readFloats(data[1], Float32Type::get(context));
      group = 0;
      zero = 1;
    }
  }

  /// The weights of one row: calls put(column, value) for those whose column `next` yields.
  template <typename Columns, typename Put>
  void readRow(int64_t row, Columns &&columns, Put &&put) {
    int64_t index = perRow ? row * perRow : joinedIndex;
    int64_t scaleIndex = -1;
    float scale = 0;
    int offset = zero;
    columns([&](int64_t column) {
      if (!values.empty()) {
        put(column, values[index++]);
        return;
      }
      int64_t wanted = group ? row * groups + column / group : 0;
      if (wanted != scaleIndex) {
        scaleIndex = wanted;
        scale = scales[wanted];
        if (!zeros.empty())
          offset = static_cast<uint8_t>(zeros[wanted]);
      }
      int code = codes[index++];
      put(column, (levels ? (*levels)[code] : static_cast<float>(code - offset)) * scale);
    });
    if (!perRow)
      joinedIndex = index;
  }

private:
  int64_t perRow;          ///< 0: joined
  int64_t joinedIndex = 0; ///< weights read so far when joined
  std::vector<float> values, scales;
  std::vector<uint8_t> codes;
  Bytes zeros;
  std::optional<std::array<float, 16>> levels; ///< of a table
  int zero = 0;
  int64_t groups = 1, group = 0;
};

} // namespace

static LogicalResult verifyFiniteData(Bytes data, int64_t count, Type type, StringRef what,
                                      EmitError emit) {
  std::vector<float> values = readFloats(data, type);
  for (int64_t i = 0; i < count; ++i)
    if (!std::isfinite(values[i]))
      return emit() << "expects finite " << what << ", got " << values[i] << " at index " << i;
  return success();
}

LogicalResult llmc::verifyInner(Attribute inner, const KeptLayout &layout, ArrayRef<Bytes> data,
                                int64_t kept, EmitError emit) {
  if (auto dense = dyn_cast<DenseSchemeAttr>(inner)) {
    int64_t width = dense.getElementType().getIntOrFloatBitWidth() / 8;
    if (static_cast<int64_t>(data[0].size()) != kept * width)
      return emit() << "expects " << kept << " kept values, got " << data[0].size() / width;
    return verifyFiniteData(data[0], kept, dense.getElementType(), "values", emit);
  }
  auto ternary = dyn_cast<TernarySchemeAttr>(inner);
  auto scheme = dyn_cast<IntSchemeAttr>(inner);
  unsigned bits = scheme ? scheme.getBits() : 4;
  int64_t expected = ternary ? tritBytes(kept, ternary.getBase3()) : packedRowBytes(kept, bits);
  if (layout.joined && static_cast<int64_t>(data[0].size()) != expected)
    return emit() << "expects " << expected << " bytes of codes for " << kept
                  << " kept weights, got " << data[0].size();
  if (ternary) {
    for (size_t i = 0; ternary.getBase3() && i < data[0].size(); ++i)
      if (!isTritByte(static_cast<uint8_t>(data[0][i])))
        return emit() << "expects bytes of five ternary codes, got "
                      << static_cast<int>(static_cast<uint8_t>(data[0][i])) << " at byte " << i;
    int64_t perRow = layout.joined ? kept : layout.perRow, rows = layout.joined ? 1 : layout.rows;
    std::vector<uint8_t> codes = readTrits(data[0], rows, perRow, ternary.getBase3());
    for (int64_t i = 0; i < rows * perRow; ++i)
      if (codes[i] > 2)
        return emit() << "expects ternary codes 0 to 2, got 3 at row " << i / perRow << ", index "
                      << i % perRow;
    return verifyFiniteData(data[1], 1, Float32Type::get(inner.getContext()), "scales", emit);
  }
  auto table = dyn_cast<TableSchemeAttr>(inner);
  int64_t group = table ? table.getGroup() : scheme.getGroup();
  int64_t groups = layout.rows * groupsOf(group, layout.columns);
  Type scale = table ? table.getScale() : scheme.getScale();
  if (failed(verifyFiniteData(data[1], groups, scale, "scales", emit)))
    return failure();
  if (scheme && !scheme.getSymmetric())
    for (int64_t i = 0; i < groups; ++i)
      if (static_cast<uint8_t>(data[2][i]) >> bits)
        return emit() << "expects zero points of " << bits << " bits, got "
                      << static_cast<int>(static_cast<uint8_t>(data[2][i])) << " at index " << i;
  return success();
}

std::vector<float> llmc::decompressDense(Attribute scheme, int64_t rows, int64_t columns,
                                         ArrayRef<Bytes> data) {
  std::vector<float> result(rows * columns);
  InnerReader reader(scheme, denseLayout(rows, columns), data, rows * columns);
  for (int64_t n = 0; n < rows; ++n) {
    float *row = result.data() + n * columns;
    reader.readRow(
        n,
        [&](auto &&next) {
          for (int64_t k = 0; k < columns; ++k)
            next(k);
        },
        [&](int64_t k, float value) { row[k] = value; });
  }
  return result;
}

std::vector<float> llmc::decompressKept(Attribute inner, const KeptLayout &layout, Bytes mask,
                                        ArrayRef<Bytes> data) {
  std::vector<float> result(layout.rows * layout.columns, 0.0f);
  int64_t kept = 0;
  for (int64_t n = 0; layout.joined && n < layout.rows; ++n)
    kept += countMask(mask, layout.columns, n, 0, layout.columns);
  InnerReader reader(inner, layout, data, kept);
  for (int64_t n = 0; n < layout.rows; ++n) {
    float *row = result.data() + n * layout.columns;
    reader.readRow(
        n,
        [&](auto &&next) {
          for (int64_t k = 0; k < layout.columns; ++k)
            if (readMask(mask, layout.columns, n, k))
              next(k);
        },
        [&](int64_t k, float value) { row[k] = value; });
  }
  return result;
}

SmallVector<SchemeComponent> llmc::keptComponents(Attribute inner, const KeptLayout &layout) {
  SmallVector<SchemeComponent> result = {
      {"mask", getByteType(inner.getContext()), {layout.rows, (layout.columns + 7) / 8}}};
  result.append(innerComponents(inner, layout));
  return result;
}
