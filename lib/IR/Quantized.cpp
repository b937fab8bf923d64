//===- Quantized.cpp - rows as codes and scales -------------------------------------------===//
//
// The type, llmc.quantize, and how a linear that says by attribute how its input is quantized comes
// to read one. Of one value there is one llmc.quantize for all that want the same.
//
#include "llmc/IR/LLMCDialect.h"
#include "llmc/IR/WeightData.h"

#include "mlir/IR/DialectImplementation.h"
#include "mlir/IR/PatternMatch.h"

#include <cmath>

using namespace mlir;
using namespace llmc;

Type QuantizedType::parse(AsmParser &parser) {
  SmallVector<int64_t> shape;
  Type element;
  Attribute quantization;
  SMLoc loc = parser.getCurrentLocation();
  if (parser.parseLess() || parser.parseDimensionList(shape) || parser.parseType(element) ||
      parser.parseComma() || parser.parseAttribute(quantization) || parser.parseGreater())
    return {};
  return parser.getChecked<QuantizedType>(loc, parser.getContext(), ArrayRef<int64_t>(shape),
                                          element, quantization);
}

void QuantizedType::print(AsmPrinter &printer) const {
  printer << "<";
  printer.printDimensionList(getShape());
  printer << "x" << getElementType() << ", " << getQuantization() << ">";
}

LogicalResult QuantizedType::verify(function_ref<InFlightDiagnostic()> emitError,
                                    ArrayRef<int64_t> shape, Type elementType,
                                    Attribute quantization) {
  if (shape.empty() || shape.back() < 1)
    return emitError() << "expects quantized rows of a static width of at least one element";
  if (!isa<Float32Type, Float16Type, BFloat16Type, Float64Type>(elementType))
    return emitError() << "expects quantized rows of f32, f16, bf16 or f64, got " << elementType;
  if (!isa<DynamicQuantAttr, StaticQuantAttr>(quantization))
    return emitError() << "expects #llmc.dynamic or #llmc.static, got " << quantization;
  return success();
}

int64_t QuantizedType::getGroup() const {
  auto dynamic = dyn_cast<DynamicQuantAttr>(getQuantization());
  return dynamic ? dynamic.getGroup() : 0;
}

bool QuantizedType::isStatic() const { return isa<StaticQuantAttr>(getQuantization()); }

LogicalResult QuantizeOp::verify() {
  QuantizedType type = getType();
  if (getInput().getType() != type.getDenseType()) // C1
    return emitOpError("expects the codes of ")
           << getInput().getType() << ", got those of " << type.getDenseType();
  if (type.isStatic() != static_cast<bool>(getScale())) // C2
    return emitOpError(type.isStatic() ? "expects a scale with " : "expects no scale with ")
           << type.getQuantization();
  if (!getScale())
    return success();
  auto scale = cast<RankedTensorType>(getScale().getType());
  if (scale.getShape() != ArrayRef<int64_t>{1} || !scale.getElementType().isF32())
    return emitOpError("expects a scale of one f32, got ") << scale;
  auto weight = getScale().getDefiningOp<WeightOp>();
  ElementsAttr values = weight ? weight.getComponent("values") : ElementsAttr();
  if (!values || !ComponentData(values).valid()) // The weight says what it lacks.
    return success();
  float number = readFloats(ComponentData(values).bytes(), scale.getElementType()).front();
  if (!(number > 0) || !std::isfinite(number))
    return emitOpError("expects a positive scale, got ") << std::to_string(number);
  return success();
}

WeightSlot QuantizeOp::getWeightSlot(unsigned operand) {
  return operand == 0 ? WeightSlot::None : WeightSlot::Vector;
}

Value LinearOp::getRows() {
  auto quantize = getInput().getDefiningOp<QuantizeOp>();
  return quantize ? quantize.getInput() : getInput();
}

Attribute LinearOp::getQuantization() {
  if (auto type = dyn_cast<QuantizedType>(getInput().getType()))
    return type.getQuantization();
  return getActivationsAttr();
}

Value llmc::quantizeOnce(Value rows, Attribute quantization, WeightOp scale, LinearOp reader) {
  auto type = QuantizedType::get(cast<RankedTensorType>(rows.getType()), quantization);
  for (Operation *user : rows.getUsers()) {
    auto known = dyn_cast<QuantizeOp>(user);
    if (!known || known.getType() != type || known->getBlock() != reader->getBlock())
      continue;
    auto own = known.getScale() ? known.getScale().getDefiningOp<WeightOp>() : WeightOp();
    if (scale && (!own || own.getComponents() != scale.getComponents()))
      continue;
    if (reader->isBeforeInBlock(known)) {
      known->moveBefore(reader);
      if (own && known->isBeforeInBlock(own))
        own->moveBefore(known);
    }
    return known;
  }
  OpBuilder b(reader);
  return QuantizeOp::create(b, reader.getLoc(), type, rows, scale ? scale.getResult() : Value());
}

/// Makes `linear` read codes, as its attribute says.
static void separate(LinearOp linear) {
  Value codes = quantizeOnce(linear.getInput(), linear.getActivationsAttr(), /*scale=*/{}, linear);
  linear.removeActivationsAttr();
  linear.getInputMutable().assign(codes);
}

void llmc::separateActivations(Operation *root) {
  root->walk([](LinearOp linear) {
    if (linear.getActivationsAttr())
      separate(linear);
  });
}

namespace {

/// linear(x) {activations = how}  ->  linear(quantize(x)).
struct SeparateActivations : public OpRewritePattern<LinearOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(LinearOp op, PatternRewriter &rewriter) const override {
    if (!op.getActivationsAttr())
      return rewriter.notifyMatchFailure(op,
                                         "does not say by attribute how its input is quantized");
    auto rows = cast<RankedTensorType>(op.getInput().getType());
    auto type = QuantizedType::get(rows, op.getActivationsAttr());
    Value codes;
    for (Operation *user : op.getInput().getUsers())
      if (auto known = dyn_cast<QuantizeOp>(user); known && known.getType() == type &&
                                                   known->getBlock() == op->getBlock() &&
                                                   known->isBeforeInBlock(op))
        codes = known;
    if (!codes)
      codes = QuantizeOp::create(rewriter, op.getLoc(), type, op.getInput(), /*scale=*/Value());
    rewriter.modifyOpInPlace(op, [&] {
      op.removeActivationsAttr();
      op.getInputMutable().assign(codes);
    });
    return success();
  }
};

} // namespace

void LinearOp::getCanonicalizationPatterns(RewritePatternSet &results, MLIRContext *context) {
  results.add<SeparateActivations>(context);
}
