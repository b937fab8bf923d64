//===- BuildBodies.cpp - stages of what has no kernel -----------------------------------===//
//
// Such an operation becomes a body in linalg on tensors: its own, or that of a scalar operation of
// arith or math on each element.
//
#include "ProgramBuilder.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace llmc;
using exec::BufferType;
using exec::Each;
using exec::Form;

std::optional<exec::BinaryKind> llmc::getBinaryKind(Operation *op) {
  return TypeSwitch<Operation *, std::optional<exec::BinaryKind>>(op)
      .Case([](arith::AddFOp) { return exec::BinaryKind::Add; })
      .Case([](arith::SubFOp) { return exec::BinaryKind::Sub; })
      .Case([](arith::MulFOp) { return exec::BinaryKind::Mul; })
      .Case([](arith::DivFOp) { return exec::BinaryKind::Div; })
      .Case([](arith::MaximumFOp) { return exec::BinaryKind::Max; })
      .Case([](arith::MinimumFOp) { return exec::BinaryKind::Min; })
      .Default(std::nullopt);
}

/// An operation on scalars that is written on tensors of floats, and needs no library.
static bool isPointwise(Operation *op) {
  return isa<arith::NegFOp, arith::SIToFPOp, arith::UIToFPOp, math::AbsFOp, math::CopySignOp,
             math::ErfOp, math::ExpOp, math::SqrtOp, math::TanhOp>(op);
}

bool llmc::runsByBody(Operation *op) { return isa<LinalgBodyOpInterface>(op) || isPointwise(op); }

/// The scalar operation on each element. In memory floats are f32 and integers i32.
static Value buildPointwise(ImplicitLocOpBuilder &b, Operation *op, ValueRange inputs) {
  auto shape = cast<RankedTensorType>(inputs[0].getType()).getShape();
  Value empty = tensor::EmptyOp::create(b, shape, b.getF32Type());
  SmallVector<AffineMap> maps(inputs.size() + 1, b.getMultiDimIdentityMap(shape.size()));
  SmallVector<utils::IteratorType> loops(shape.size(), utils::IteratorType::parallel);
  return linalg::GenericOp::create(
             b, empty.getType(), inputs, empty, maps, loops,
             [&](OpBuilder &inner, Location loc, ValueRange arguments) {
               OperationState scalar(loc, op->getName(), arguments.drop_back(),
                                     TypeRange{inner.getF32Type()}, op->getAttrs());
               linalg::YieldOp::create(inner, loc, inner.create(scalar)->getResults());
             })
      .getResult(0);
}

/// The tensor that a body has of an operand: one row or sequence of a buffer, or a whole table.
FailureOr<RankedTensorType> ProgramBuilder::bodyType(OpOperand &operand, bool eachRow) {
  Operation *op = operand.getOwner();
  auto type = cast<RankedTensorType>(operand.get().getType());
  MLIRContext *context = op->getContext();
  auto user = dyn_cast<WeightUserOpInterface>(op);
  if (user && user.getWeightSlot(operand.getOperandNumber()) == WeightSlot::Rows) {
    if (!packed(operand.get(), Form::Rows))
      return op->emitError("expects a table made by llmc.weight");
    return RankedTensorType::get(type.getShape(), Float32Type::get(context));
  }
  BufferType held = exec::getBufferType(buffer(operand.get()));
  if (!isa<LinalgBodyOpInterface>(op) && isa<BlockArgument>(operand.get()))
    return op->emitError("expects ids, indices and masks of the caller to be read as such");
  const int64_t rows = eachRow || held.getPerSequence() ? 1 : ShapedType::kDynamic;
  Type element = held.getElementType();
  if (type.getRank() == 3)
    return RankedTensorType::get({1, rows, held.getWidth()}, element);
  if (type.getRank() == 2 && element.isInteger() && held.getWidth() == 1)
    return RankedTensorType::get({1, rows}, element);
  if (type.getRank() == 2 && rows == 1)
    return RankedTensorType::get({1, held.getWidth()}, element);
  return op->emitError("expects [batch, sequence, width], or rows of their own, got ") << type;
}

LogicalResult ProgramBuilder::emitBody(Operation *op) {
  auto own = dyn_cast<LinalgBodyOpInterface>(op);
  const bool eachRow = !own || own.isRowWise();
  if (!eachRow && step)
    return op->emitError("needs all rows of a sequence, of which a step sees those of a call");
  Region region;
  Block &block = region.emplaceBlock();
  SmallVector<Value> inputs;
  SmallVector<int64_t> limits;
  bool perSequence = false;
  for (OpOperand &operand : op->getOpOperands()) {
    FailureOr<RankedTensorType> type = bodyType(operand, eachRow);
    if (failed(type))
      return failure();
    block.addArgument(*type, op->getLoc());
    Value held = buffer(operand.get());
    auto user = dyn_cast<WeightUserOpInterface>(op);
    if (user && user.getWeightSlot(operand.getOperandNumber()) == WeightSlot::Rows)
      held = packed(operand.get(), Form::Rows);
    else
      perSequence |= exec::getBufferType(held).getPerSequence();
    inputs.push_back(held);
    int64_t limit = own ? own.getIndexLimit(operand.getOperandNumber()) : 0;
    limits.push_back(ShapedType::isDynamic(limit) ? -1 : limit);
  }
  ImplicitLocOpBuilder b(op->getLoc(), op->getContext());
  b.setInsertionPointToEnd(&block);
  SmallVector<Value> results;
  if (own)
    results = own.buildBody(b, block.getArguments());
  else
    results.push_back(buildPointwise(b, op, block.getArguments()));
  exec::YieldOp::create(b, results);

  SmallVector<Value> outputs;
  for (auto [result, computed] : llvm::zip(op->getResults(), results)) {
    auto type = cast<RankedTensorType>(computed.getType());
    if (type.getRank() == 3 && type.getDimSize(1) > 1)
      return op->emitError("gives ")
             << type.getDimSize(1) << " rows of a sequence, expected one, or one for each token";
    const bool isIds = ShapedType::isDynamic(type.getShape().back()); // A number for each row.
    const int64_t width = isIds ? 1 : type.getShape().back();
    const bool joined = eachRow ? perSequence : type.getDimSize(1) == 1;
    const int64_t stride = type.getElementType().isInteger() ? width : paddedStride(width);
    auto held = BufferType::get(op->getContext(), ShapedType::kDynamic, width,
                                type.getElementType(), stride, exec::Space::Arena, joined);
    outputs.push_back(exec::BufferOp::create(declare, op->getLoc(), held, IntegerAttr()));
    buffers[result] = outputs.back();
  }
  const bool hasIndices = llvm::any_of(limits, [](int64_t limit) { return limit != 0; });
  auto generic = exec::GenericOp::create(
      kernels, op->getLoc(), inputs, outputs, op->getName().getStringRef(),
      eachRow ? Each::Row : Each::Sequence,
      hasIndices ? kernels.getDenseI64ArrayAttr(limits) : DenseI64ArrayAttr());
  generic.getBody().takeBody(region);
  return success();
}

/// The same rows under another type.
LogicalResult ProgramBuilder::emitReshape(Operation *op) {
  auto source = cast<RankedTensorType>(op->getOperand(0).getType());
  auto result = cast<RankedTensorType>(op->getResult(0).getType());
  RankedTensorType longer = source.getRank() > result.getRank() ? source : result;
  if (source.getRank() + result.getRank() != 5 || longer.getDimSize(1) != 1 ||
      source.getShape().back() != result.getShape().back())
    return op->emitError("expects to drop or add a sequence of 1 between batch and width, got ")
           << source << " to " << result;
  buffers[op->getResult(0)] = buffer(op->getOperand(0));
  return success();
}
