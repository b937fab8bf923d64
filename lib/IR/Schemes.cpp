//===- Schemes.cpp - what each compression scheme stores and means ----------------------===//
//
// Syntax, verifiers, plans and rounding of the schemes; what follows from a plan is in
// SchemeStorage.cpp and StoredRows.cpp, what says which weights are kept in SparseSchemes.cpp.
//
#include "llmc/IR/Schemes.h"

#include "llmc/IR/WeightData.h"
#include "llmc/Numerics/FloatZeros.h"
#include "llmc/Numerics/LearnedLevels.h"
#include "llmc/Numerics/NVFP4.h"
#include "llmc/Numerics/Ternary.h"

#include "mlir/IR/DialectImplementation.h"

using namespace mlir;
using namespace llmc;

#include "llmc/IR/SchemeInterface.cpp.inc"

using EmitError = function_ref<InFlightDiagnostic()>;
using Level = DecodePlan::Level;

static bool isFloatStorage(Type type) { return isa<Float32Type, Float16Type, BFloat16Type>(type); }

//===----------------------------------------------------------------------===//
// dense
//===----------------------------------------------------------------------===//

LogicalResult DenseSchemeAttr::verify(EmitError emitError, Type elementType) {
  if (!isFloatStorage(elementType))
    return emitError() << "expects dense storage as f32, f16 or bf16, got " << elementType;
  return success();
}

std::optional<DecodePlan> DenseSchemeAttr::decodePlan() const {
  DecodePlan plan;
  plan.valueType = getElementType();
  return plan;
}

SchemeAttrInterface llmc::getValueScheme(Type type) {
  return DenseSchemeAttr::get(type.getContext(), type);
}

//===----------------------------------------------------------------------===//
// int
//===----------------------------------------------------------------------===//

// `, group = N, scale = T>` in any order, and the word symmetric and `zero = T` where there are
// zero points; scales are of f16 unless they say otherwise.
static ParseResult parseGroups(AsmParser &parser, int64_t &group, Type &scale, bool *symmetric,
                               Type *zero = nullptr) {
  while (succeeded(parser.parseOptionalComma())) {
    StringRef key;
    SMLoc loc = parser.getCurrentLocation();
    if (parser.parseKeyword(&key))
      return failure();
    if (symmetric && key == "symmetric") {
      *symmetric = true;
    } else if (key == "group") {
      if (parser.parseEqual() || parser.parseInteger(group))
        return failure();
    } else if (key == "scale") {
      if (parser.parseEqual() || parser.parseType(scale))
        return failure();
    } else if (zero && key == "zero") {
      if (parser.parseEqual() || parser.parseType(*zero))
        return failure();
    } else {
      return parser.emitError(loc, "expects group")
             << (symmetric ? ", symmetric, scale or zero, got " : " or scale, got ") << key;
    }
  }
  if (!scale)
    scale = Float16Type::get(parser.getContext());
  return parser.parseGreater();
}

Attribute IntSchemeAttr::parse(AsmParser &parser, Type) {
  int64_t bits = 0, group = 0;
  bool symmetric = false;
  Type scale, zero;
  SMLoc loc = parser.getCurrentLocation();
  if (parser.parseLess() || parser.parseInteger(bits))
    return {};
  if (parseGroups(parser, group, scale, &symmetric, &zero))
    return {};
  return parser.getChecked<IntSchemeAttr>(loc, parser.getContext(), bits, group, symmetric, scale,
                                          zero);
}

void IntSchemeAttr::print(AsmPrinter &printer) const {
  printer << "<" << getBits() << ", group = " << getGroup();
  if (getSymmetric())
    printer << ", symmetric";
  printer << ", scale = " << getScale();
  if (getZero())
    printer << ", zero = " << getZero();
  printer << ">";
}

static LogicalResult verifyGroups(EmitError emitError, int64_t group, Type scale) {
  if (group < 0)
    return emitError() << "expects a group of 0 (per channel) or more, got " << group;
  if (!isa<Float16Type, Float32Type>(scale))
    return emitError() << "expects scales of f16 or f32, got " << scale;
  return success();
}

LogicalResult IntSchemeAttr::verify(EmitError emitError, int64_t bits, int64_t group,
                                    bool symmetric, Type scale, Type zero) {
  if (bits < 2 || bits > 8)
    return emitError() << "expects 2 to 8 bits, got " << bits;
  if (zero && !isa<Float16Type, Float32Type>(zero))
    return emitError() << "expects zero points of f16 or f32 (bytes where none is named), got "
                       << zero;
  if (zero && symmetric)
    return emitError() << "expects symmetric or zero points of " << zero << ", got both";
  return verifyGroups(emitError, group, scale);
}

std::optional<DecodePlan> IntSchemeAttr::decodePlan() const {
  DecodePlan plan;
  plan.level = Level::Affine;
  plan.bits = getBits();
  plan.codes = 1u << plan.bits;
  plan.scaleType = getScale();
  plan.scaleColumns = getGroup();
  plan.storesZeros = !getSymmetric();
  plan.zeroType = getZero();
  plan.zeroCode = 1u << (plan.bits - 1);
  return plan;
}

static Type makeScaleType(MLIRContext *context, ScaleType scale) {
  return scale == ScaleType::F16 ? Type(Float16Type::get(context))
                                 : Type(Float32Type::get(context));
}

static ScaleType scaleTypeOf(Type type) { return type.isF16() ? ScaleType::F16 : ScaleType::F32; }

SchemeAttrInterface llmc::getIntScheme(MLIRContext *context, const IntFormat &format) {
  return IntSchemeAttr::get(context, format.bits, format.group, format.symmetric,
                            makeScaleType(context, format.scale), /*zero=*/Type());
}

PlainCodes llmc::plainCodes(MLIRContext *context, const IntWeight &weight) {
  Type scale = makeScaleType(context, weight.format.scale);
  PlainCodes plain{weight.codes, {storeFloats(weight.scales, scale)}};
  if (!weight.format.symmetric)
    plain.parts.emplace_back(weight.zeros.begin(), weight.zeros.end());
  return plain;
}

Result<PlainCodes> IntSchemeAttr::encode(Span<const float> weight, int64_t rows, int64_t columns,
                                         Span<const uint8_t> keep) const {
  IntFormat format{static_cast<int>(getBits()), getGroup(), getSymmetric(),
                   scaleTypeOf(getScale())};
  if (getZero()) {
    Result<FloatZeroWeight> codes =
        quantizeFloatZeros(weight, rows, columns, format, scaleTypeOf(getZero()), keep);
    if (!codes)
      return codes.failure();
    return PlainCodes{
        std::move(codes->codes),
        {storeFloats(codes->scales, getScale()), storeFloats(codes->zeros, getZero())}};
  }
  QuantizeOptions options;
  options.keep = keep;
  Result<IntWeight> codes = quantizeRtn(weight, rows, columns, format, options);
  if (!codes)
    return codes.failure();
  return plainCodes(getContext(), *codes);
}

//===----------------------------------------------------------------------===//
// table
//===----------------------------------------------------------------------===//

/// `<word`, and where the word is.
static ParseResult parseFirstWord(AsmParser &parser, StringRef &word, SMLoc &place) {
  if (parser.parseLess())
    return failure();
  place = parser.getCurrentLocation();
  return parser.parseKeyword(&word);
}

Attribute TableSchemeAttr::parse(AsmParser &parser, Type) {
  int64_t group = 0;
  StringRef name;
  Type scale;
  SMLoc loc = parser.getCurrentLocation(), nameLoc;
  if (failed(parseFirstWord(parser, name, nameLoc)))
    return {};
  std::optional<CodeTable> table = parseCodeTable(name.str());
  if (!table) {
    parser.emitError(nameLoc, "expects a table ") << codeTableNames() << ", got " << name;
    return {};
  }
  if (parseGroups(parser, group, scale, nullptr))
    return {};
  return parser.getChecked<TableSchemeAttr>(loc, parser.getContext(), *table, group, scale);
}

void TableSchemeAttr::print(AsmPrinter &printer) const {
  printer << "<" << codeTableName(getTable()) << ", group = " << getGroup()
          << ", scale = " << getScale() << ">";
}

LogicalResult TableSchemeAttr::verify(EmitError emitError, CodeTable, int64_t group, Type scale) {
  return verifyGroups(emitError, group, scale);
}

std::optional<DecodePlan> TableSchemeAttr::decodePlan() const {
  DecodePlan plan;
  plan.level = Level::Table;
  plan.bits = 4;
  plan.codes = 16;
  plan.levels = tableLevels(getTable());
  if (const std::array<int8_t, 16> *integers = integerLevels(getTable()))
    plan.integers = *integers;
  plan.tableName = codeTableName(getTable());
  plan.scaleType = getScale();
  plan.scaleColumns = getGroup();
  plan.zeroCode = tableZeroCode(getTable());
  return plan;
}

SchemeAttrInterface llmc::getTableScheme(MLIRContext *context, const TableFormat &format) {
  return TableSchemeAttr::get(context, format.table, format.group,
                              makeScaleType(context, format.scale));
}

Result<PlainCodes> TableSchemeAttr::encode(Span<const float> weight, int64_t rows, int64_t columns,
                                           Span<const uint8_t> keep) const {
  TableFormat format{getTable(), getGroup(), scaleTypeOf(getScale())};
  Result<TableWeight> codes = quantizeTable(weight, rows, columns, format, keep);
  if (!codes)
    return codes.failure();
  return PlainCodes{std::move(codes->codes), {storeFloats(codes->scales, getScale())}};
}

//===----------------------------------------------------------------------===//
// float
//===----------------------------------------------------------------------===//

Attribute FloatSchemeAttr::parse(AsmParser &parser, Type) {
  StringRef name, per;
  Type scale;
  SMLoc loc = parser.getCurrentLocation(), nameLoc;
  if (failed(parseFirstWord(parser, name, nameLoc)))
    return {};
  std::optional<Float8Type> format = parseFloat8(name.str());
  if (!format) {
    parser.emitError(nameLoc, "expects a float e4m3 or e5m2, got ") << name;
    return {};
  }
  std::optional<Float8Blocks> blocks = Float8Blocks::Row;
  while (succeeded(parser.parseOptionalComma())) {
    StringRef key;
    SMLoc keyLoc = parser.getCurrentLocation();
    if (parser.parseKeyword(&key) || parser.parseEqual())
      return {};
    if (key == "scale") {
      if (parser.parseType(scale))
        return {};
    } else if (key != "per") {
      parser.emitError(keyLoc, "expects per or scale, got ") << key;
      return {};
    } else if (parser.parseKeyword(&per)) {
      return {};
    } else if (blocks = parseFloat8Blocks(per.str()); !blocks) {
      parser.emitError(keyLoc, "expects a scale per matrix, row or block, got ") << per;
      return {};
    }
  }
  if (!scale)
    scale = Float32Type::get(parser.getContext());
  if (parser.parseGreater())
    return {};
  return parser.getChecked<FloatSchemeAttr>(loc, parser.getContext(), *format, *blocks, scale);
}

void FloatSchemeAttr::print(AsmPrinter &printer) const {
  printer << "<" << float8Name(getFormat()) << ", per = " << float8BlocksName(getPer())
          << ", scale = " << getScale() << ">";
}

LogicalResult FloatSchemeAttr::verify(EmitError emitError, Float8Type, Float8Blocks, Type scale) {
  return verifyGroups(emitError, /*group=*/0, scale);
}

static Float8Format formatOf(FloatSchemeAttr scheme) {
  return {scheme.getFormat(), scheme.getPer(), scaleTypeOf(scheme.getScale())};
}

std::optional<DecodePlan> FloatSchemeAttr::decodePlan() const {
  Float8Format format = formatOf(*this);
  DecodePlan plan;
  plan.level = Level::Table;
  plan.bits = 8;
  plan.codes = 256;
  plan.levels = float8Levels(format.type);
  plan.tableName = float8Name(format.type);
  plan.scaleType = getScale();
  plan.scaleRows = format.blockRows();
  plan.scaleColumns = format.blockColumns();
  return plan;
}

Result<PlainCodes> FloatSchemeAttr::encode(Span<const float> weight, int64_t rows, int64_t columns,
                                           Span<const uint8_t> keep) const {
  Result<Float8Weight> codes = quantizeFloat8(weight, rows, columns, formatOf(*this), keep);
  if (!codes)
    return codes.failure();
  return PlainCodes{std::move(codes->codes), {storeFloats(codes->scales, getScale())}};
}

//===----------------------------------------------------------------------===//
// nvfp4
//===----------------------------------------------------------------------===//

std::optional<DecodePlan> NVFP4SchemeAttr::decodePlan() const {
  DecodePlan plan;
  plan.level = Level::Table;
  plan.bits = 4;
  plan.codes = 16;
  plan.levels = float4Levels();
  plan.tableName = "e2m1";
  plan.scaleType = IntegerType::get(getContext(), 8, IntegerType::Unsigned);
  plan.scaleColumns = kNVFP4Group;
  plan.superType = Float32Type::get(getContext());
  plan.scaleLevels = float8Levels(Float8Type::E4M3);
  return plan;
}

Result<PlainCodes> NVFP4SchemeAttr::encode(Span<const float> weight, int64_t rows, int64_t columns,
                                           Span<const uint8_t> keep) const {
  Result<NVFP4Weight> codes = quantizeNVFP4(weight, rows, columns, keep);
  if (!codes)
    return codes.failure();
  Type superType = Float32Type::get(getContext());
  return PlainCodes{std::move(codes->codes),
                    {std::vector<char>(codes->scales.begin(), codes->scales.end()),
                     storeFloats({codes->super}, superType)}};
}

//===----------------------------------------------------------------------===//
// levels
//===----------------------------------------------------------------------===//

LogicalResult LevelsSchemeAttr::verify(EmitError emitError, int64_t rows, Type type) {
  if (rows < 0)
    return emitError() << "expects levels for 0 (all) or more rows, got " << rows;
  if (!isa<Float16Type, Float32Type>(type))
    return emitError() << "expects levels of f16 or f32, got " << type;
  return success();
}

std::optional<DecodePlan> LevelsSchemeAttr::decodePlan() const {
  DecodePlan plan;
  plan.level = Level::StoredTable;
  plan.bits = 4;
  plan.codes = kLearnedLevels;
  plan.tableRows = getRows();
  plan.valueType = getType();
  return plan;
}

Result<PlainCodes> LevelsSchemeAttr::encode(Span<const float> weight, int64_t rows, int64_t columns,
                                            Span<const uint8_t> keep) const {
  Result<LearnedWeight> learned =
      learnLevels(weight, rows, columns, getRows(), scaleTypeOf(getType()), keep);
  if (!learned)
    return learned.failure();
  return PlainCodes{std::move(learned->codes), {storeFloats(learned->levels, getType())}};
}

//===----------------------------------------------------------------------===//
// ternary
//===----------------------------------------------------------------------===//

Attribute TernarySchemeAttr::parse(AsmParser &parser, Type) {
  if (failed(parser.parseOptionalLess()))
    return TernarySchemeAttr::get(parser.getContext(), /*base3=*/false);
  if (parser.parseKeyword("base3") || parser.parseGreater())
    return {};
  return TernarySchemeAttr::get(parser.getContext(), /*base3=*/true);
}

void TernarySchemeAttr::print(AsmPrinter &printer) const {
  if (getBase3())
    printer << "<base3>";
}

std::optional<DecodePlan> TernarySchemeAttr::decodePlan() const {
  DecodePlan plan;
  plan.level = Level::Affine;
  plan.bits = 2;
  plan.codes = 3;
  plan.base3 = getBase3();
  plan.scaleType = Float32Type::get(getContext());
  plan.scaleRows = 0;
  plan.zeroCode = 1;
  return plan;
}

SchemeAttrInterface llmc::getTernaryScheme(MLIRContext *context, bool base3) {
  return TernarySchemeAttr::get(context, base3);
}

// Pruned weights stay 0 and do not pull the mean down.
Result<PlainCodes> TernarySchemeAttr::encode(Span<const float> weight, int64_t rows,
                                             int64_t columns, Span<const uint8_t> keep) const {
  std::vector<float> kept;
  for (size_t i = 0; i < keep.size(); ++i)
    if (keep[i])
      kept.push_back(weight[i]);
  Result<TernaryWeight> codes = keep.empty()
                                    ? quantizeTernary(weight, rows, columns)
                                    : quantizeTernary(kept, 1, static_cast<int64_t>(kept.size()));
  if (!codes)
    return codes.failure();
  PlainCodes plain{{}, {storeFloats({codes->scale}, Float32Type::get(getContext()))}};
  size_t next = 0;
  for (size_t i = 0; i < weight.size(); ++i) {
    bool stored = keep.empty() || keep[i];
    plain.codes.push_back(static_cast<uint8_t>(stored ? codes->codes[next++] + 1 : 1));
  }
  return plain;
}
