//===- LLMCTypes.cpp - the type of compressed weights -----------------------------------===//
//
// Syntax and verifier of !llmc.compressed, and what is asked of any weight type; the generated code
// of all types lives here.
//
#include "llmc/IR/LLMCDialect.h"

#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace llmc;

#define GET_TYPEDEF_CLASSES
#include "llmc/IR/LLMCTypes.cpp.inc"

void LLMCDialect::registerTypes() {
  addTypes<
#define GET_TYPEDEF_LIST
#include "llmc/IR/LLMCTypes.cpp.inc"
      >();
}

Type CompressedType::parse(AsmParser &parser) {
  SmallVector<int64_t> shape;
  Type element;
  Attribute scheme;
  SMLoc loc = parser.getCurrentLocation();
  if (parser.parseLess() || parser.parseDimensionList(shape, /*allowDynamic=*/false) ||
      parser.parseType(element) || parser.parseComma() || parser.parseAttribute(scheme) ||
      parser.parseGreater())
    return {};
  return parser.getChecked<CompressedType>(loc, parser.getContext(), shape, element, scheme);
}

void CompressedType::print(AsmPrinter &printer) const {
  printer << "<";
  for (int64_t dim : getShape())
    printer << dim << "x";
  printer << getElementType() << ", " << getScheme() << ">";
}

LogicalResult CompressedType::verify(function_ref<InFlightDiagnostic()> emitError,
                                     ArrayRef<int64_t> shape, Type elementType, Attribute scheme) {
  if (shape.size() != 2 || shape[0] < 1 || shape[1] < 1)
    return emitError() << "expects a compressed weight of two positive dimensions";
  if (!isa<Float32Type, Float16Type, BFloat16Type>(elementType))
    return emitError() << "expects a compressed weight of f32, f16 or bf16, got " << elementType;
  if (!isa<SchemeAttrInterface>(scheme))
    return emitError() << "expects a compression scheme, got " << scheme;
  return success();
}

SchemeAttrInterface CompressedType::getSchemeInterface() const {
  return cast<SchemeAttrInterface>(getScheme());
}

ArrayRef<int64_t> llmc::getWeightShape(Type type) {
  if (auto compressed = dyn_cast<CompressedType>(type))
    return compressed.getShape();
  return cast<RankedTensorType>(type).getShape();
}

Type llmc::getWeightElementType(Type type) {
  if (auto compressed = dyn_cast<CompressedType>(type))
    return compressed.getElementType();
  return cast<RankedTensorType>(type).getElementType();
}

SchemeAttrInterface llmc::getScheme(Type type) {
  if (auto compressed = dyn_cast<CompressedType>(type))
    return compressed.getSchemeInterface();
  return {};
}

std::optional<DecodePlan> llmc::getDecodePlan(Type type) {
  if (SchemeAttrInterface scheme = getScheme(type))
    return scheme.decodePlan();
  DecodePlan plan;
  plan.valueType = getWeightElementType(type);
  return plan;
}
