//===- Schemes.cpp - what each compression scheme stores and means ----------------------===//
//
// Syntax and verifiers of the schemes; their data is SchemeStorage's business.
//
#include "SchemeStorage.h"

#include "mlir/IR/DialectImplementation.h"

using namespace mlir;
using namespace llmc;

#include "llmc/IR/SchemeInterface.cpp.inc"

static bool isFloatStorage(Type type) { return isa<Float32Type, Float16Type, BFloat16Type>(type); }

static LogicalResult verifyInnerKind(EmitError emitError, Attribute inner) {
  if (!isa<DenseSchemeAttr, IntSchemeAttr, TableSchemeAttr, TernarySchemeAttr>(inner))
    return emitError() << "expects an inner scheme of dense, int, table or ternary, got " << inner;
  return success();
}

// What a scheme that keeps every weight answers.
#define LLMC_STORES_EVERY_WEIGHT(Scheme)                                                           \
  SmallVector<SchemeComponent> Scheme::components(int64_t rows, int64_t columns) const {           \
    return innerComponents(*this, denseLayout(rows, columns));                                     \
  }                                                                                                \
  double Scheme::bitsPerWeight(int64_t rows, int64_t columns, double) const {                      \
    return innerBits(*this, rows, columns, 1.0);                                                   \
  }                                                                                                \
  LogicalResult Scheme::verifyData(int64_t rows, int64_t columns, ArrayRef<Bytes> data,            \
                                   EmitError emitError) const {                                    \
    return verifyInner(*this, denseLayout(rows, columns), data, rows * columns, emitError);        \
  }                                                                                                \
  std::vector<float> Scheme::decompress(int64_t rows, int64_t columns, ArrayRef<Bytes> data)       \
      const {                                                                                      \
    return decompressDense(*this, rows, columns, data);                                            \
  }

//===----------------------------------------------------------------------===//
// dense
//===----------------------------------------------------------------------===//

LogicalResult DenseSchemeAttr::verify(EmitError emitError, Type elementType) {
  if (!isFloatStorage(elementType))
    return emitError() << "expects dense storage as f32, f16 or bf16, got " << elementType;
  return success();
}

LLMC_STORES_EVERY_WEIGHT(DenseSchemeAttr)

//===----------------------------------------------------------------------===//
// int
//===----------------------------------------------------------------------===//

// `, group = N, scale = T>` in any order, and the word symmetric where there is one; scales are of
// f16 unless they say otherwise.
static ParseResult parseGroups(AsmParser &parser, int64_t &group, Type &scale, bool *symmetric) {
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
    } else {
      return parser.emitError(loc, "expects group")
             << (symmetric ? ", symmetric or scale, got " : " or scale, got ") << key;
    }
  }
  if (!scale)
    scale = Float16Type::get(parser.getContext());
  return parser.parseGreater();
}

Attribute IntSchemeAttr::parse(AsmParser &parser, Type) {
  int64_t bits = 0, group = 0;
  bool symmetric = false;
  Type scale;
  SMLoc loc = parser.getCurrentLocation();
  if (parser.parseLess() || parser.parseInteger(bits))
    return {};
  if (parseGroups(parser, group, scale, &symmetric))
    return {};
  return parser.getChecked<IntSchemeAttr>(loc, parser.getContext(), bits, group, symmetric, scale);
}

void IntSchemeAttr::print(AsmPrinter &printer) const {
  printer << "<" << getBits() << ", group = " << getGroup();
  if (getSymmetric())
    printer << ", symmetric";
  printer << ", scale = " << getScale() << ">";
}

static LogicalResult verifyGroups(EmitError emitError, int64_t group, Type scale) {
  if (group < 0)
    return emitError() << "expects a group of 0 (per channel) or more, got " << group;
  if (!isa<Float16Type, Float32Type>(scale))
    return emitError() << "expects scales of f16 or f32, got " << scale;
  return success();
}

LogicalResult IntSchemeAttr::verify(EmitError emitError, int64_t bits, int64_t group, bool,
                                    Type scale) {
  if (bits < 2 || bits > 8)
    return emitError() << "expects 2 to 8 bits, got " << bits;
  return verifyGroups(emitError, group, scale);
}

LLMC_STORES_EVERY_WEIGHT(IntSchemeAttr)

//===----------------------------------------------------------------------===//
// table
//===----------------------------------------------------------------------===//

Attribute TableSchemeAttr::parse(AsmParser &parser, Type) {
  int64_t group = 0;
  StringRef name;
  Type scale;
  SMLoc loc = parser.getCurrentLocation(), nameLoc;
  if (parser.parseLess() || (nameLoc = parser.getCurrentLocation(), parser.parseKeyword(&name)))
    return {};
  std::optional<CodeTable> table = parseCodeTable(name.str());
  if (!table) {
    parser.emitError(nameLoc, "expects a table nf4 or nf4_i8, got ") << name;
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

LLMC_STORES_EVERY_WEIGHT(TableSchemeAttr)

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

LLMC_STORES_EVERY_WEIGHT(TernarySchemeAttr)

//===----------------------------------------------------------------------===//
// nm
//===----------------------------------------------------------------------===//

Attribute NMSchemeAttr::parse(AsmParser &parser, Type) {
  int64_t n = 0, m = 0;
  Attribute inner;
  SMLoc loc = parser.getCurrentLocation();
  if (parser.parseLess() || parser.parseInteger(n) || parser.parseColon() ||
      parser.parseInteger(m) || parser.parseComma() || parser.parseAttribute(inner) ||
      parser.parseGreater())
    return {};
  return parser.getChecked<NMSchemeAttr>(loc, parser.getContext(), n, m, inner);
}

void NMSchemeAttr::print(AsmPrinter &printer) const {
  printer << "<" << getN() << ":" << getM() << ", " << getInner() << ">";
}

LogicalResult NMSchemeAttr::verify(EmitError emitError, int64_t n, int64_t m, Attribute inner) {
  if (m < 2 || m > 32 || n < 1 || n >= m)
    return emitError() << "expects N:M with 1 <= N < M <= 32, got " << n << ":" << m;
  return verifyInnerKind(emitError, inner);
}

static KeptLayout nmLayout(NMSchemeAttr scheme, int64_t rows, int64_t columns) {
  return {rows, columns, keptPerRow(scheme.getN(), scheme.getM(), columns), false};
}

SmallVector<SchemeComponent> NMSchemeAttr::components(int64_t rows, int64_t columns) const {
  return keptComponents(getInner(), nmLayout(*this, rows, columns));
}

double NMSchemeAttr::bitsPerWeight(int64_t rows, int64_t columns, double) const {
  double density = static_cast<double>(keptPerRow(getN(), getM(), columns)) / columns;
  return 1.0 + innerBits(getInner(), rows, columns, density);
}

LogicalResult NMSchemeAttr::verifyData(int64_t rows, int64_t columns, ArrayRef<Bytes> data,
                                       EmitError emitError) const {
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t start = 0; start < columns; start += getM()) {
      int64_t length = std::min<int64_t>(getM(), columns - start);
      int64_t kept = countMask(data[0], columns, row, start, start + length);
      if (kept != std::min<int64_t>(getN(), length))
        return emitError() << "breaks its " << getN() << ":" << getM() << " mask: row " << row
                           << ", inputs " << start << " to " << start + length - 1 << " keep "
                           << kept << " weights, expected " << std::min<int64_t>(getN(), length);
    }
  KeptLayout layout = nmLayout(*this, rows, columns);
  return verifyInner(getInner(), layout, data.drop_front(), rows * layout.perRow, emitError);
}

std::vector<float> NMSchemeAttr::decompress(int64_t rows, int64_t columns,
                                            ArrayRef<Bytes> data) const {
  return decompressKept(getInner(), nmLayout(*this, rows, columns), data[0], data.drop_front());
}

//===----------------------------------------------------------------------===//
// mask
//===----------------------------------------------------------------------===//

LogicalResult MaskSchemeAttr::verify(EmitError emitError, Attribute inner) {
  return verifyInnerKind(emitError, inner);
}

static KeptLayout maskLayout(int64_t rows, int64_t columns) {
  return {rows, columns, ShapedType::kDynamic, true};
}

SmallVector<SchemeComponent> MaskSchemeAttr::components(int64_t rows, int64_t columns) const {
  return keptComponents(getInner(), maskLayout(rows, columns));
}

double MaskSchemeAttr::bitsPerWeight(int64_t rows, int64_t columns, double density) const {
  return 1.0 + innerBits(getInner(), rows, columns, density);
}

LogicalResult MaskSchemeAttr::verifyData(int64_t rows, int64_t columns, ArrayRef<Bytes> data,
                                         EmitError emitError) const {
  int64_t kept = 0;
  for (int64_t row = 0; row < rows; ++row)
    kept += countMask(data[0], columns, row, 0, columns);
  return verifyInner(getInner(), maskLayout(rows, columns), data.drop_front(), kept, emitError);
}

std::vector<float> MaskSchemeAttr::decompress(int64_t rows, int64_t columns,
                                              ArrayRef<Bytes> data) const {
  return decompressKept(getInner(), maskLayout(rows, columns), data[0], data.drop_front());
}
