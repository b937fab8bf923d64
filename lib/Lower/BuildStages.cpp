//===- BuildStages.cpp - stages and the kernels in them ---------------------------------===//
//
// An operation becomes a kernel that writes a buffer; a split is views, and a sum takes the linear
// it is fused with.
//
#include "ProgramBuilder.h"

#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace llmc;
using exec::BufferType;
using exec::Form;
using exec::Space;

void ProgramBuilder::startStage(Location loc, int64_t number) {
  if (stage == number)
    return;
  const bool isFirst = region->getOps<exec::StageOp>().empty();
  OpBuilder b = OpBuilder::atBlockEnd(region);
  auto next = exec::StageOp::create(b, loc);
  kernels.setInsertionPointToEnd(&next.getBody().emplaceBlock());
  if (isFirst)
    declare.setInsertionPoint(next);
  stage = number;
}

LogicalResult ProgramBuilder::emitLinear(LinearOp op, Value residual, Value result,
                                         exec::ShareAttr share) {
  Value weight = packed(op.getWeight(), Form::Linear);
  if (!weight)
    return op.emitError("expects a weight made by llmc.weight");
  Value bias = op.getBias() ? packed(op.getBias(), Form::Bias) : Value();
  if (op.getBias() && !bias)
    return op.emitError("expects a bias made by llmc.weight");
  auto quantized = dyn_cast<QuantizedType>(op.getInput().getType());
  exec::LinearOp::create(kernels, op.getLoc(), buffer(op.getInput()), scales.lookup(op.getInput()),
                         weight, bias, residual ? buffer(residual) : Value(), result,
                         kernels.getI64IntegerAttr(quantized ? quantized.getGroup() : 0), share);
  return success();
}

/// Each worker makes codes for itself, as waiting for others would take longer.
LogicalResult ProgramBuilder::emitQuantize(QuantizeOp op) {
  Value given = op.getScale() ? packed(op.getScale(), Form::Vector) : Value();
  if (op.getScale() && !given)
    return op.emitError("expects a scale made by llmc.weight");
  MLIRContext *context = op.getContext();
  QuantizedType type = op.getType();
  constexpr int64_t kLine = 64;
  const int64_t width = type.getWidth(), group = type.getGroup();
  const int64_t count = group ? (width + group - 1) / group : 1;
  const bool perSequence = isPerSequence(op.getInput());
  auto make = [&](int64_t columns, Type element, int64_t stride) -> Value {
    auto rows = BufferType::get(context, ShapedType::kDynamic, columns, element, stride,
                                Space::Private, perSequence);
    return exec::BufferOp::create(declare, op.getLoc(), rows, IntegerAttr());
  };
  Value codes = make(width, kernels.getI8Type(), (width + kLine - 1) / kLine * kLine);
  Value scale = make(count, kernels.getF32Type(), count);
  buffers[op.getResult()] = codes;
  scales[op.getResult()] = scale;
  exec::QuantizeOp::create(kernels, op.getLoc(), buffer(op.getInput()), given, codes, scale,
                           kernels.getI64IntegerAttr(group));
  return success();
}

LogicalResult ProgramBuilder::emitAttention(AttentionOp op, Value result) {
  if (!op.getCacheAttr()) {
    exec::AttentionOp::create(kernels, op.getLoc(), buffer(op.getQuery()), buffer(op.getKey()),
                              buffer(op.getValue()), op.getMask() ? buffer(op.getMask()) : Value(),
                              result, op.getHeadsAttr(), op.getKvHeadsAttr(), op.getScaleAttr(),
                              op.getCausalAttr(), op.getWindowAttr(), op.getSoftcapAttr());
    return success();
  }
  if (op.getMask())
    return op.emitError("cannot have both a cache and a padding mask: a state is one sequence");
  exec::CachedAttentionOp::create(kernels, op.getLoc(), buffer(op.getQuery()), op.getCacheAttr(),
                                  result, op.getHeadsAttr(), op.getKvHeadsAttr(), op.getScaleAttr(),
                                  op.getCausalAttr(), op.getWindowAttr(), op.getSoftcapAttr());
  return success();
}

LogicalResult ProgramBuilder::emitExpect(Operation *op, FloatAttr atol, FloatAttr rtol,
                                         bool exact) {
  if (step)
    return op->emitError(
        "expects a function with llmc.role \"run\", where its outcome is reported");
  auto outcome = BufferType::get(op->getContext(), 1, 3, kernels.getI32Type(), 16, Space::Arena);
  Value output = exec::BufferOp::create(declare, op->getLoc(), outcome, IntegerAttr());
  Value expected = packed(op->getOperand(1), Form::Rows);
  exec::ExpectOp::create(kernels, op->getLoc(), buffer(op->getOperand(0)),
                         expected ? expected : buffer(op->getOperand(1)), output, atol, rtol,
                         exact ? kernels.getUnitAttr() : UnitAttr());
  return success();
}

void ProgramBuilder::emitSplit(SplitOp op) {
  Value source = buffer(op.getInput());
  BufferType whole = exec::getBufferType(source);
  int64_t column = 0;
  for (Value result : op.getResults()) {
    int64_t width = cast<RankedTensorType>(result.getType()).getShape().back();
    buffers[result] = exec::ViewOp::create(declare, op.getLoc(), whole.withWidth(width), source,
                                           declare.getI64IntegerAttr(column));
    column += width;
  }
}

LogicalResult ProgramBuilder::emit(const PlacedOp &placed) {
  Operation *op = placed.op;
  if (auto split = dyn_cast<SplitOp>(op)) {
    emitSplit(split);
    return success();
  }
  if (isView(op))
    return emitReshape(op);
  if (auto observe = dyn_cast<ObserveOp>(op)) {
    OpBuilder b = OpBuilder::atBlockEnd(region);
    exec::ObserveOp::create(b, op->getLoc(), observe.getObserverAttr(), buffer(observe.getInput()));
    return success();
  }
  if (plan.fused.contains(op))
    return success();
  startStage(op->getLoc(), placed.stage);
  if (runsByBody(op))
    return emitBody(op);
  Value result;
  if (op->getNumResults() == 1 && isa<RankedTensorType>(op->getResult(0).getType())) {
    Space space = plan.privates.contains(op) ? Space::Private : Space::Arena;
    result = newBuffer(op->getLoc(), op->getResult(0), space);
    buffers[op->getResult(0)] = result;
  }
  return emitKernel(op, result);
}

LogicalResult ProgramBuilder::emitKernel(Operation *op, Value result) {
  Location loc = op->getLoc();
  exec::ShareAttr share = plan.shares.lookup(op);
  if (std::optional<exec::BinaryKind> kind = getBinaryKind(op);
      kind && !(isa<arith::AddFOp>(op) && plan.fusedLinear(op))) {
    exec::BinaryOp::create(kernels, loc, *kind, buffer(op->getOperand(0)),
                           buffer(op->getOperand(1)), result, share);
    return success();
  }
  return TypeSwitch<Operation *, LogicalResult>(op)
      .Case<LinearOp>([&](LinearOp linear) { return emitLinear(linear, {}, result, share); })
      .Case<QuantizeOp>([&](QuantizeOp quantize) { return emitQuantize(quantize); })
      .Case<arith::AddFOp>([&](arith::AddFOp add) {
        LinearOp linear = plan.fusedLinear(add);
        Value residual = add.getLhs() == linear.getResult() ? add.getRhs() : add.getLhs();
        return emitLinear(linear, residual, result, share);
      })
      .Case<EmbeddingOp>([&](EmbeddingOp embedding) -> LogicalResult {
        Value table = packed(embedding.getWeight(), Form::Linear);
        if (!table)
          table = packed(embedding.getWeight(), Form::Embedding);
        if (!table)
          return embedding.emitError("expects a table made by llmc.weight");
        exec::EmbeddingOp::create(kernels, loc, table, buffer(embedding.getIds()), result);
        return success();
      })
      .Case<PositionsOp>([&](PositionsOp positions) {
        exec::PositionsOp::create(kernels, loc, result, positions.getOffsetAttr());
        return success();
      })
      .Case<RMSNormOp>([&](RMSNormOp norm) -> LogicalResult {
        Value scale = packed(norm.getScale(), Form::Vector);
        if (!scale)
          return norm.emitError("expects scale and bias made by llmc.weight");
        exec::RMSNormOp::create(kernels, loc, buffer(norm.getInput()), scale, result,
                                norm.getEpsAttr(), norm.getGroupsAttr(), share);
        return success();
      })
      .Case<LayerNormOp>([&](LayerNormOp norm) -> LogicalResult {
        Value scale = packed(norm.getScale(), Form::Vector);
        Value bias = norm.getBias() ? packed(norm.getBias(), Form::Vector) : Value();
        if (!scale || (norm.getBias() && !bias))
          return norm.emitError("expects scale and bias made by llmc.weight");
        exec::LayerNormOp::create(kernels, loc, buffer(norm.getInput()), scale, bias, result,
                                  norm.getEpsAttr());
        return success();
      })
      .Case<RopeOp>([&](RopeOp rope) {
        auto table = [&](DenseF64ArrayAttr frequencies) {
          return frequencies ? ropeTables.at(ropeKey(rope, frequencies)) : Value();
        };
        DenseF64ArrayAttr later = longFrequencies(rope);
        exec::RopeOp::create(
            kernels, loc, buffer(rope.getInput()), table(rope.getFrequenciesAttr()), table(later),
            result, rope.getHeadsAttr(), rope.getLayoutAttr(),
            kernels.getI64IntegerAttr(later ? rope.getOriginalContext() : 0), share);
        return success();
      })
      .Case<AttentionOp>([&](AttentionOp attention) { return emitAttention(attention, result); })
      .Case<CacheStoreOp>([&](CacheStoreOp store) {
        exec::CacheStoreOp::create(kernels, loc, buffer(store.getInput()), store.getCacheAttr(),
                                   store.getHeadsAttr(), store.getPartAttr(), share);
        return success();
      })
      .Case<ActivationOp>([&](ActivationOp activation) {
        exec::ActivationOp::create(kernels, loc, buffer(activation.getInput()), result,
                                   activation.getKindAttr(), share);
        return success();
      })
      .Case<GatedActivationOp>([&](GatedActivationOp gated) {
        exec::GateOp::create(kernels, loc, buffer(gated.getGate()), buffer(gated.getUp()), result,
                             gated.getKindAttr(), share);
        return success();
      })
      .Case<SoftmaxOp>([&](SoftmaxOp softmax) {
        exec::SoftmaxOp::create(kernels, loc, buffer(softmax.getInput()), result);
        return success();
      })
      .Case<ScaleOp>([&](ScaleOp scale) {
        exec::ScaleOp::create(kernels, loc, buffer(scale.getInput()), result, scale.getFactorAttr(),
                              share);
        return success();
      })
      .Case<ExpectCloseOp>([&](ExpectCloseOp expect) {
        return emitExpect(op, expect.getAtolAttr(), expect.getRtolAttr(), false);
      })
      .Case<ExpectEqOp>([&](auto) {
        FloatAttr none = kernels.getF64FloatAttr(0);
        return emitExpect(op, none, none, true);
      })
      .Default([&](Operation *other) { return other->emitError(kNoKernel); });
}

/// The stages behind the last attention, and the copy of the logits: by the worker that has
/// computed a column, or where whole rows were computed a stage later.
LogicalResult ProgramBuilder::emitTail(ArrayRef<PlacedOp> ops, Value logits) {
  OpBuilder b = OpBuilder::atBlockEnd(region);
  auto tail = exec::TailOp::create(b, entry.getLoc(), std::min(kTailRows, config.chunk));
  region = &tail.getBody().emplaceBlock();
  declare.setInsertionPointToEnd(region);
  stage = -1;
  for (const PlacedOp &placed : ops)
    if (failed(emit(placed)))
      return failure();
  Operation *last = logits.getDefiningOp();
  exec::ShareAttr share = last ? plan.shares.lookup(last) : exec::ShareAttr();
  constexpr int64_t kBehindAll = std::numeric_limits<int64_t>::max();
  if (!share || stage < 0)
    startStage(entry.getLoc(), kBehindAll);
  Value target = newBuffer(entry.getLoc(), logits, Space::Caller);
  exec::CopyOp::create(kernels, entry.getLoc(), buffer(logits), target, share);
  return success();
}
