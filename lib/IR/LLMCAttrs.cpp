//===- LLMCAttrs.cpp - enumerations and activation quantization -------------------------===//
//
// Syntax and verifiers of the attributes that are no schemes; the generated code of all attributes
// lives here.
//
#include "llmc/IR/LLMCDialect.h"

#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace llmc;

#include "llmc/IR/LLMCEnums.cpp.inc"
#define GET_ATTRDEF_CLASSES
#include "llmc/IR/LLMCAttrs.cpp.inc"

void LLMCDialect::registerAttributes() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "llmc/IR/LLMCAttrs.cpp.inc"
      >();
}

Attribute DynamicQuantAttr::parse(AsmParser &parser, Type) {
  Type element;
  StringRef mode;
  int64_t group = 0;
  SMLoc start = parser.getCurrentLocation();
  if (parser.parseLess() || parser.parseType(element) || parser.parseComma() ||
      parser.parseKeyword(&mode))
    return {};
  if (mode == "per_group") {
    SMLoc loc = parser.getCurrentLocation();
    if (parser.parseLess() || parser.parseInteger(group) || parser.parseGreater())
      return {};
    if (group < 1) {
      parser.emitError(loc, "expects a positive block of channels, got ") << group;
      return {};
    }
  } else if (mode != "per_token") {
    parser.emitError(start, "expects per_token or per_group<N>, got ") << mode;
    return {};
  }
  if (parser.parseGreater())
    return {};
  return parser.getChecked<DynamicQuantAttr>(start, parser.getContext(), element, group);
}

void DynamicQuantAttr::print(AsmPrinter &printer) const {
  printer << "<" << getElementType() << ", ";
  if (getGroup())
    printer << "per_group<" << getGroup() << ">";
  else
    printer << "per_token";
  printer << ">";
}

LogicalResult DynamicQuantAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                                       Type elementType, int64_t group) {
  if (!elementType.isInteger(8))
    return emitError() << "expects activations quantized to i8, got " << elementType;
  if (group < 0)
    return emitError() << "expects a block of channels of 0 (per token) or more, got " << group;
  return success();
}

LogicalResult StaticQuantAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                                      Type elementType) {
  if (!elementType.isInteger(8))
    return emitError() << "expects activations quantized to i8, got " << elementType;
  return success();
}
