//===- StoredWeight.cpp - a weight as the numerics see it, and its stored form ------------===//
//
// Packing and unpacking of every scheme. Sparse schemes store the kept weights of each row (nm) or
// of the whole matrix (mask) one after the other.
//
#include "llmc/Compress/StoredWeight.h"

#include "llmc/IR/WeightData.h"
#include "llmc/Numerics/BitPack.h"
#include "llmc/Numerics/Prune.h"
#include "llmc/Numerics/TritPack.h"

#include <cmath>

using namespace mlir;
using namespace llmc;

void StoredWeight::setInt(IntWeight codes) {
  coding = Coding::Int;
  values = dequantize(codes);
  ints = std::move(codes);
}

void StoredWeight::setTable(TableWeight codes) {
  coding = Coding::Table;
  values = dequantize(codes);
  table = std::move(codes);
}

void StoredWeight::setTernary(TernaryWeight codes) {
  coding = Coding::Ternary;
  values = dequantize(codes);
  ternary = std::move(codes);
}

void StoredWeight::setFloat(std::vector<float> newValues) {
  coding = Coding::Float;
  storage = elementType;
  values = std::move(newValues);
  ints = {};
  table = {};
  ternary = {};
}

int64_t PackedWeight::bytes() const {
  int64_t sum = 0;
  for (const std::vector<char> &component : components)
    sum += component.size();
  return sum;
}

double PackedWeight::bitsPerWeight() const {
  ArrayRef<int64_t> shape = getWeightShape(type);
  return 8.0 * static_cast<double>(bytes()) / (static_cast<double>(shape[0]) * shape[1]);
}

static Type makeScaleType(MLIRContext *context, ScaleType scale) {
  return scale == ScaleType::F16 ? Type(Float16Type::get(context))
                                 : Type(Float32Type::get(context));
}

IntSchemeAttr llmc::makeIntScheme(MLIRContext *context, const IntFormat &format) {
  return IntSchemeAttr::get(context, format.bits, format.group, format.symmetric,
                            makeScaleType(context, format.scale));
}

TableSchemeAttr llmc::makeTableScheme(MLIRContext *context, const TableFormat &format) {
  return TableSchemeAttr::get(context, format.table, format.group,
                              makeScaleType(context, format.scale));
}

TableFormat llmc::tableFormat(TableSchemeAttr scheme) {
  return {scheme.getTable(), scheme.getGroup(),
          scheme.getScale().isF32() ? ScaleType::F32 : ScaleType::F16};
}

IntFormat llmc::intFormat(IntSchemeAttr scheme) {
  IntFormat format;
  format.bits = scheme.getBits();
  format.group = scheme.getGroup();
  format.symmetric = scheme.getSymmetric();
  format.scale = scheme.getScale().isF32() ? ScaleType::F32 : ScaleType::F16;
  return format;
}

int64_t llmc::storedBytes(WeightOp weight) {
  int64_t sum = 0;
  for (NamedAttribute component : weight.getComponents())
    if (auto elements = dyn_cast<ElementsAttr>(component.getValue()))
      sum +=
          elements.getNumElements() * ((elements.getElementType().getIntOrFloatBitWidth() + 7) / 8);
  return sum;
}

//===----------------------------------------------------------------------===//
// Unpacking
//===----------------------------------------------------------------------===//

static Span<const uint8_t> asBytes(ArrayRef<char> bytes) {
  return {reinterpret_cast<const uint8_t *>(bytes.data()), bytes.size()};
}

/// Stands for the number of bits of ternary codes that are stored five to a byte.
constexpr int kBase3 = 0;

static Result<std::vector<uint8_t>> unpackStream(Span<const uint8_t> stream, int64_t rows,
                                                 int64_t columns, int bits) {
  return bits == kBase3 ? unpackTrits(stream, rows, columns)
                        : unpackBits(stream, rows, columns, bits);
}

/// The codes of a scheme as a dense matrix, `fill(row, column)` where pruned.
template <typename Fill>
static Result<std::vector<uint8_t>> unpackCodes(const StoredWeight &weight, ArrayRef<char> stream,
                                                int bits, Fill &&fill) {
  int64_t rows = weight.rows, columns = weight.columns;
  if (!weight.isSparse())
    return unpackStream(asBytes(stream), rows, columns, bits);
  int64_t kept = 0;
  for (uint8_t keep : weight.keep)
    kept += keep;
  bool joined = weight.sparsity == StoredWeight::Sparsity::Mask;
  Result<std::vector<uint8_t>> stored =
      joined ? unpackStream(asBytes(stream), 1, kept, bits)
             : unpackStream(asBytes(stream), rows, kept / rows, bits);
  if (!stored)
    return stored;
  std::vector<uint8_t> codes(rows * columns);
  size_t next = 0;
  for (int64_t i = 0; i < rows * columns; ++i)
    codes[i] = weight.keep[i] ? (*stored)[next++] : fill(i / columns, i % columns);
  return codes;
}

static Status unpackInt(StoredWeight &weight, IntSchemeAttr scheme,
                        ArrayRef<ArrayRef<char>> components) {
  IntWeight &ints = weight.ints;
  ints.format = intFormat(scheme);
  ints.rows = weight.rows;
  ints.cols = weight.columns;
  ints.scales = readFloats(components[1], scheme.getScale());
  if (!scheme.getSymmetric()) {
    Span<const uint8_t> zeros = asBytes(components[2]);
    ints.zeros.assign(zeros.begin(), zeros.end());
  }
  int64_t group = ints.format.groupSize(weight.columns);
  auto codes =
      unpackCodes(weight, components[0], ints.format.bits, [&](int64_t row, int64_t column) {
        return static_cast<uint8_t>(ints.zero(row, column / group));
      });
  if (!codes)
    return codes.failure();
  ints.codes = std::move(*codes);
  return {};
}

static Status unpackTable(StoredWeight &weight, TableSchemeAttr scheme,
                          ArrayRef<ArrayRef<char>> components) {
  weight.table.format = tableFormat(scheme);
  weight.table.rows = weight.rows;
  weight.table.cols = weight.columns;
  weight.table.scales = readFloats(components[1], scheme.getScale());
  auto codes = unpackCodes(weight, components[0], 4,
                           [](int64_t, int64_t) { return uint8_t(kTableZeroCode); });
  if (!codes)
    return codes.failure();
  weight.table.codes = std::move(*codes);
  return {};
}

static Status unpackTernary(StoredWeight &weight, TernarySchemeAttr scheme,
                            ArrayRef<ArrayRef<char>> components) {
  weight.base3 = scheme.getBase3();
  Type f32 = Float32Type::get(weight.elementType.getContext());
  weight.ternary.scale = readFloats(components[1], f32)[0];
  auto codes = unpackCodes(weight, components[0], weight.base3 ? kBase3 : 2,
                           [](int64_t, int64_t) { return uint8_t(1); });
  if (!codes)
    return codes.failure();
  weight.ternary.codes.resize(codes->size());
  for (size_t i = 0; i < codes->size(); ++i)
    weight.ternary.codes[i] = static_cast<int8_t>(static_cast<int>((*codes)[i]) - 1);
  return {};
}

static void unpackMask(StoredWeight &weight, ArrayRef<char> mask) {
  int64_t stride = (weight.columns + 7) / 8;
  weight.keep.resize(weight.rows * weight.columns);
  for (int64_t i = 0; i < weight.rows; ++i)
    for (int64_t j = 0; j < weight.columns; ++j)
      weight.keep[i * weight.columns + j] =
          (static_cast<uint8_t>(mask[i * stride + j / 8]) >> (j % 8)) & 1;
}

Result<StoredWeight> llmc::unpackWeight(WeightOp op) {
  StoredWeight weight;
  ArrayRef<int64_t> shape = getWeightShape(op.getType());
  if (shape.size() != 2)
    return Failure{"expected a weight of two dimensions, found " + std::to_string(shape.size())};
  weight.rows = shape[0];
  weight.columns = shape[1];
  weight.elementType = getWeightElementType(op.getType());
  if (weight.elementType.isF64())
    weight.elementType = Float32Type::get(op.getContext());
  FailureOr<std::vector<float>> values = readWeight(op);
  if (failed(values))
    return Failure{"cannot be read"};
  weight.values = std::move(*values);
  weight.storage = weight.elementType;

  if (SchemeAttrInterface scheme = getScheme(op.getType())) {
    SmallVector<ComponentData> data;
    SmallVector<ArrayRef<char>> bytes;
    for (const SchemeComponent &component : scheme.components(weight.rows, weight.columns))
      data.emplace_back(op.getComponent(component.name));
    for (const ComponentData &component : data)
      bytes.push_back(component.bytes());
    ArrayRef<ArrayRef<char>> inner = bytes;
    Attribute coding = scheme;
    if (auto nm = dyn_cast<NMSchemeAttr>(coding)) {
      weight.sparsity = StoredWeight::Sparsity::NM;
      weight.n = nm.getN();
      weight.m = nm.getM();
      coding = nm.getInner();
    } else if (auto mask = dyn_cast<MaskSchemeAttr>(coding)) {
      weight.sparsity = StoredWeight::Sparsity::Mask;
      coding = mask.getInner();
    }
    if (weight.isSparse()) {
      unpackMask(weight, inner[0]);
      inner = inner.drop_front();
    }
    Status ok;
    if (auto ints = dyn_cast<IntSchemeAttr>(coding)) {
      weight.coding = StoredWeight::Coding::Int;
      ok = unpackInt(weight, ints, inner);
    } else if (auto table = dyn_cast<TableSchemeAttr>(coding)) {
      weight.coding = StoredWeight::Coding::Table;
      ok = unpackTable(weight, table, inner);
    } else if (auto ternary = dyn_cast<TernarySchemeAttr>(coding)) {
      weight.coding = StoredWeight::Coding::Ternary;
      ok = unpackTernary(weight, ternary, inner);
    } else {
      weight.storage = cast<DenseSchemeAttr>(coding).getElementType();
    }
    if (!ok)
      return ok.failure();
  }
  if (Status ok = verifyFinite(weight.values, weight.rows, weight.columns); !ok)
    return ok.failure();
  return weight;
}

//===----------------------------------------------------------------------===//
// Packing
//===----------------------------------------------------------------------===//

/// The entries of `dense` that are kept, all of them without a mask.
template <typename T>
static std::vector<T> keptOnly(const StoredWeight &weight, std::vector<T> dense) {
  if (!weight.isSparse())
    return dense;
  size_t next = 0;
  for (size_t i = 0; i < dense.size(); ++i)
    if (weight.keep[i])
      dense[next++] = dense[i];
  dense.resize(next);
  return dense;
}

static std::vector<char> asChars(const std::vector<uint8_t> &bytes) {
  return {bytes.begin(), bytes.end()};
}

static Result<std::vector<char>> packCodes(const StoredWeight &weight, std::vector<uint8_t> dense,
                                           int bits) {
  std::vector<uint8_t> codes = keptOnly(weight, std::move(dense));
  int64_t rows = weight.sparsity == StoredWeight::Sparsity::Mask ? 1 : weight.rows;
  auto perRow = static_cast<int64_t>(codes.size()) / rows;
  Result<std::vector<uint8_t>> packed =
      bits == kBase3 ? packTrits(codes, rows, perRow) : packBits(codes, rows, perRow, bits);
  if (!packed)
    return packed.failure();
  return asChars(*packed);
}

static std::vector<char> packMask(const StoredWeight &weight) {
  int64_t stride = (weight.columns + 7) / 8;
  std::vector<char> mask(weight.rows * stride);
  for (int64_t i = 0; i < weight.rows; ++i)
    for (int64_t j = 0; j < weight.columns; ++j)
      if (weight.keep[i * weight.columns + j])
        mask[i * stride + j / 8] |= static_cast<char>(1 << (j % 8));
  return mask;
}

Result<PackedWeight> llmc::packWeight(const StoredWeight &weight) {
  MLIRContext *context = weight.elementType.getContext();
  PackedWeight packed;
  if (weight.isSparse())
    packed.components.push_back(packMask(weight));
  Attribute coding;
  switch (weight.coding) {
  case StoredWeight::Coding::Float: {
    coding = DenseSchemeAttr::get(context, weight.storage);
    std::vector<char> stored = storeFloats(keptOnly(weight, weight.values), weight.storage);
    for (float value : readFloats(stored, weight.storage))
      if (!std::isfinite(value))
        return Failure{"a value is too large for its type"};
    packed.components.push_back(std::move(stored));
    break;
  }
  case StoredWeight::Coding::Int: {
    const IntWeight &ints = weight.ints;
    IntSchemeAttr scheme = makeIntScheme(context, ints.format);
    coding = scheme;
    auto codes = packCodes(weight, ints.codes, ints.format.bits);
    if (!codes)
      return codes.failure();
    packed.components.push_back(std::move(*codes));
    packed.components.push_back(storeFloats(ints.scales, scheme.getScale()));
    if (!ints.format.symmetric)
      packed.components.push_back(asChars(ints.zeros));
    break;
  }
  case StoredWeight::Coding::Table: {
    TableSchemeAttr scheme = makeTableScheme(context, weight.table.format);
    coding = scheme;
    auto codes = packCodes(weight, weight.table.codes, 4);
    if (!codes)
      return codes.failure();
    packed.components.push_back(std::move(*codes));
    packed.components.push_back(storeFloats(weight.table.scales, scheme.getScale()));
    break;
  }
  case StoredWeight::Coding::Ternary: {
    coding = TernarySchemeAttr::get(context, weight.base3);
    std::vector<uint8_t> raised(weight.ternary.codes.size());
    for (size_t i = 0; i < raised.size(); ++i)
      raised[i] = static_cast<uint8_t>(weight.ternary.codes[i] + 1);
    auto codes = packCodes(weight, std::move(raised), weight.base3 ? kBase3 : 2);
    if (!codes)
      return codes.failure();
    packed.components.push_back(std::move(*codes));
    packed.components.push_back(storeFloats({weight.ternary.scale}, Float32Type::get(context)));
    break;
  }
  }
  int64_t shape[] = {weight.rows, weight.columns};
  if (weight.sparsity == StoredWeight::Sparsity::NM)
    coding = NMSchemeAttr::get(context, weight.n, weight.m, coding);
  else if (weight.sparsity == StoredWeight::Sparsity::Mask)
    coding = MaskSchemeAttr::get(context, coding);
  else if (weight.coding == StoredWeight::Coding::Float && weight.storage == weight.elementType) {
    packed.type = RankedTensorType::get(shape, weight.elementType);
    return packed;
  }
  packed.type = CompressedType::get(context, shape, weight.elementType, coding);
  return packed;
}
