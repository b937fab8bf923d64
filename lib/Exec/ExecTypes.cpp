//===- ExecTypes.cpp - attributes and types of the exec dialect -------------------------===//
//
// Syntax and verifiers. What an artifact lists is checked here, so that who reads it need not.
//
#include "llmc/Exec/ExecDialect.h"

#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace llmc;
using namespace llmc::exec;

#include "llmc/Exec/ExecEnums.cpp.inc"
#define GET_ATTRDEF_CLASSES
#include "llmc/Exec/ExecAttrs.cpp.inc"
#define GET_TYPEDEF_CLASSES
#include "llmc/Exec/ExecTypes.cpp.inc"

void ExecDialect::registerAttributes() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "llmc/Exec/ExecAttrs.cpp.inc"
      >();
}

void ExecDialect::registerTypes() {
  addTypes<
#define GET_TYPEDEF_LIST
#include "llmc/Exec/ExecTypes.cpp.inc"
      >();
}

LogicalResult ShareAttr::verify(function_ref<InFlightDiagnostic()> emitError, int64_t unit,
                                int64_t total, int64_t first, int64_t width, int64_t column) {
  if (unit < 1 || width < 1)
    return emitError() << "expects a positive unit and width of a share, got " << unit << " and "
                       << width;
  if (first < 0 || total < 1 || first > total - width)
    return emitError() << "expects columns " << first << " to " << first << " + " << width
                       << " of a share within its total of " << total;
  if (column < 0 || column >= width)
    return emitError() << "expects a column of a share from 0 to " << width - 1 << ", got "
                       << column;
  return success();
}

LogicalResult ArtifactAttr::verify(function_ref<InFlightDiagnostic()> emitError, int64_t arena,
                                   int64_t scratch, int64_t kvBlock, int64_t vocabulary,
                                   int64_t idLimit, int64_t longest, ArrayAttr observations,
                                   ArrayAttr checks) {
  for (int64_t number : {arena, scratch, kvBlock, vocabulary, idLimit, longest})
    if (number < 0)
      return emitError() << "expects sizes of an artifact of 0 or more, got " << number;
  if (!observations || !llvm::all_of(observations, llvm::IsaPred<ObservationAttr>))
    return emitError() << "expects a list of #exec.observation, got " << observations;
  if (!checks || !llvm::all_of(checks, llvm::IsaPred<CheckAttr>))
    return emitError() << "expects a list of #exec.check, got " << checks;
  return success();
}

Type BufferType::parse(AsmParser &parser) {
  SmallVector<int64_t> shape;
  Type element;
  SMLoc loc = parser.getCurrentLocation();
  if (parser.parseLess() || parser.parseDimensionList(shape) || parser.parseType(element))
    return {};
  if (shape.size() != 2) {
    parser.emitError(loc, "expects rows and width of a buffer, as ?x64xf32");
    return {};
  }
  int64_t stride = shape[1];
  Space space = Space::Arena;
  bool perSequence = false;
  while (succeeded(parser.parseOptionalComma())) {
    StringRef word;
    SMLoc wordLoc = parser.getCurrentLocation();
    if (parser.parseKeyword(&word))
      return {};
    std::optional<Space> named = symbolizeSpace(word);
    if (named) {
      space = *named;
    } else if (word == "sequences") {
      perSequence = true;
    } else if (word != "stride") {
      parser.emitError(wordLoc, "expects stride, sequences, arena, private or caller, got ")
          << word;
      return {};
    } else if (parser.parseEqual() || parser.parseInteger(stride)) {
      return {};
    }
  }
  if (parser.parseGreater())
    return {};
  return parser.getChecked<BufferType>(loc, parser.getContext(), shape[0], shape[1], element,
                                       stride, space, perSequence);
}

void BufferType::print(AsmPrinter &printer) const {
  printer << "<";
  printer.printDimensionList({getRows(), getWidth()});
  printer << "x" << getElementType();
  if (getStride() != getWidth())
    printer << ", stride = " << getStride();
  if (getPerSequence())
    printer << ", sequences";
  if (getSpace() != Space::Arena)
    printer << ", " << stringifySpace(getSpace());
  printer << ">";
}

LogicalResult BufferType::verify(function_ref<InFlightDiagnostic()> emitError, int64_t rows,
                                 int64_t width, Type elementType, int64_t stride, Space,
                                 bool perSequence) {
  if ((rows < 1 && rows != ShapedType::kDynamic) || width < 1)
    return emitError() << "expects rows of at least one element";
  if (perSequence && rows != ShapedType::kDynamic)
    return emitError() << "expects as many rows as sequences, or " << rows << ", but not both";
  if (stride < width)
    return emitError() << "expects a stride of at least the width of " << width << ", got "
                       << stride;
  if (!isa<Float32Type, Float16Type, BFloat16Type>(elementType) && !elementType.isInteger(32) &&
      !elementType.isInteger(8))
    return emitError() << "expects elements of f32, f16, bf16, i8 or i32, got " << elementType;
  return success();
}

Type PackedType::parse(AsmParser &parser) {
  StringRef word;
  Type content;
  SMLoc loc = parser.getCurrentLocation();
  if (parser.parseLess() || parser.parseKeyword(&word))
    return {};
  std::optional<Form> form = symbolizeForm(word);
  if (!form) {
    parser.emitError(loc, "expects linear, embedding, bias, vector, rows or rope, got ") << word;
    return {};
  }
  if (parser.parseComma() || parser.parseType(content) || parser.parseGreater())
    return {};
  return parser.getChecked<PackedType>(loc, parser.getContext(), *form, content);
}

void PackedType::print(AsmPrinter &printer) const {
  printer << "<" << stringifyForm(getForm()) << ", " << getContent() << ">";
}

LogicalResult PackedType::verify(function_ref<InFlightDiagnostic()> emitError, Form form,
                                 Type content) {
  auto tensor = dyn_cast<RankedTensorType>(content);
  if (!isa<CompressedType>(content) &&
      (!tensor || !tensor.hasStaticShape() || !isa<FloatType>(tensor.getElementType())))
    return emitError() << "expects a tensor of floats or a compressed weight, got " << content;
  int64_t rank = getWeightShape(content).size();
  switch (form) {
  case Form::Linear:
  case Form::Embedding:
    if (rank != 2)
      return emitError() << "expects a matrix in form " << stringifyForm(form) << ", got "
                         << content;
    return success();
  case Form::Bias:
  case Form::Vector:
    if (!tensor || rank != 1)
      return emitError() << "expects a vector in form " << stringifyForm(form) << ", got "
                         << content;
    return success();
  case Form::Rows:
    if (!tensor || rank < 1 || tensor.getNumElements() < 1)
      return emitError() << "expects a tensor with rows, got " << content;
    return success();
  case Form::Rope:
    if (!tensor || rank != 2 || !tensor.getElementType().isF32())
      return emitError() << "expects a matrix of f32 in form rope, got " << content;
    return success();
  }
  llvm_unreachable("all forms are above");
}
