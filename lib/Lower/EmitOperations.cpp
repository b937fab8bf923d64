//===- EmitOperations.cpp - calls of kernels, operation by operation --------------------===//
//
// Where an operation's operands lie, which kernel computes it, and which part of it this thread
// has.
//
#include "StepEmitter.h"

#include "llmc/Lower/AttentionKernels.h"
#include "llmc/Lower/CodeFormat.h"
#include "llmc/Lower/LinearKernels.h"
#include "llmc/Lower/RowKernels.h"

#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace llmc;

int64_t llmc::packedOffset(Operation *op, StringRef form) {
  auto packed = op->getAttrOfType<DictionaryAttr>("llmc.packed");
  return cast<DenseI64ArrayAttr>(packed.get(form))[0];
}

static bool hasPackedForm(Operation *op, StringRef form) {
  auto packed = op->getAttrOfType<DictionaryAttr>("llmc.packed");
  return packed && packed.contains(form);
}

Place StepEmitter::placeOf(Value value) {
  auto type = cast<RankedTensorType>(value.getType());
  Place place;
  int64_t width = isa<FloatType>(type.getElementType()) ? type.getShape().back() : 0;
  place.buffer = {width, width ? paddedStride(width) : 0};
  if (auto argument = dyn_cast<BlockArgument>(value)) {
    place.offset =
        cast<IntegerAttr>(entry.getArgAttr(argument.getArgNumber(), "llmc.buffer")).getInt();
    return place;
  }
  Operation *op = value.getDefiningOp();
  if (auto split = dyn_cast<SplitOp>(op)) {
    Place parent = placeOf(split.getInput());
    int64_t column = 0;
    for (Value result : split.getResults()) {
      if (result == value)
        break;
      column += cast<RankedTensorType>(result.getType()).getShape().back();
    }
    return {parent.offset + column * 4, {width, parent.buffer.stride}, parent.tail};
  }
  place.offset = op->getAttrOfType<DenseI64ArrayAttr>("llmc.buffer")[0];
  place.tail = op->hasAttr("llmc.tail");
  place.own = op->hasAttr("llmc.private");
  return place;
}

Value StepEmitter::offsetOf(Value value) {
  Place place = placeOf(value);
  Value offset = constant(place.offset);
  if (place.own)
    offset = arith::AddIOp::create(b, own, offset);
  if (!tailStart || place.tail)
    return offset;
  // The tail reads rows of the body from where its block starts.
  int64_t bytes = place.buffer.stride ? place.buffer.stride * 4 : 4;
  return arith::AddIOp::create(b, offset, arith::MulIOp::create(b, tailStart, constant(bytes)));
}

Value StepEmitter::weightOffset(Value value, StringRef form) {
  return constant(packedOffset(value.getDefiningOp(), form));
}

void StepEmitter::call(const Kernel &kernel, ArrayRef<Value> offsets) {
  func::FuncOp function = kernel.function;
  if (!function->hasAttr("llvm.linkage")) {
    function->setAttr("llvm.linkage",
                      LLVM::LinkageAttr::get(b.getContext(), LLVM::Linkage::Internal));
    // One body for all layers: inlining would copy it for each of them.
    function->setAttr("passthrough", b.getStrArrayAttr({"noinline"}));
  }
  scratchBytes = std::max(scratchBytes, (kernel.scratchBytes + 63) / 64 * 64);
  // What each thread needs whole is computed by each as if it were alone.
  bool alone = current && current->hasAttr("llmc.private");
  SmallVector<Value> arguments = {arena, weights, kv, currentRows, sequence, past};
  arguments.push_back(alone ? constant(0) : thread);
  arguments.push_back(alone ? constant(1) : threads);
  arguments.push_back(scratch);
  auto [begin, end] = kernel.columns ? columnsOf(current, kernel.columns, kernel.unit)
                                     : std::pair(constant(0), constant(0));
  arguments.append({begin, end});
  arguments.append(offsets.begin(), offsets.end());
  func::CallOp::create(b, function, arguments);
}

std::pair<Value, Value> StepEmitter::columnsOf(Operation *op, int64_t width, int64_t unit) {
  auto attribute = op ? op->getAttrOfType<DenseI64ArrayAttr>("llmc.share") : nullptr;
  std::vector<int64_t> share = {unit, width, 0, width, 0};
  if (attribute)
    share.assign(attribute.asArrayRef().begin(), attribute.asArrayRef().end());
  share.push_back(width);
  auto [known, isNew] = knownRanges.try_emplace(share);
  if (!isNew)
    return known->second;
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPoint(anchor);
  int64_t first = share[2], all = share[3], column = share[4];
  auto bound = [&](Value index) -> Value {
    Value at =
        arith::DivUIOp::create(b, arith::MulIOp::create(b, constant(share[1]), index), threads);
    // Subtraction stays above zero, as indices are compared without a sign.
    at = arith::SubIOp::create(b, arith::MaxUIOp::create(b, at, constant(first)), constant(first));
    at = arith::MulIOp::create(b, arith::CeilDivUIOp::create(b, at, constant(share[0])),
                               constant(share[0]));
    at = arith::MinUIOp::create(b, at, constant(all));
    at =
        arith::SubIOp::create(b, arith::MaxUIOp::create(b, at, constant(column)), constant(column));
    return arith::MinUIOp::create(b, at, constant(width));
  };
  Value begin = bound(thread), end = bound(arith::AddIOp::create(b, thread, constant(1)));
  return known->second = {begin, end};
}

void StepEmitter::barrier() {
  func::CallOp::create(b, config.prefix + "_barrier", TypeRange{}, ValueRange{job, thread});
}

LogicalResult StepEmitter::emitLinear(LinearOp linear, Value residual, Value result) {
  auto weight = linear.getWeight().getDefiningOp<WeightOp>();
  if (!weight)
    return linear.emitError("expects a weight made by llmc.weight");
  CodeFormat format = getCodeFormat(weight.getType(), linear.getActivationsAttr());
  ArrayRef<int64_t> shape = getWeightShape(weight.getType());
  std::optional<RowBuffer> residualBuffer;
  if (residual)
    residualBuffer = placeOf(residual).buffer;
  Kernel kernel =
      getLinearKernel(kernels, format, shape[0], shape[1], placeOf(linear.getInput()).buffer,
                      placeOf(result).buffer, linear.getBias() != nullptr, residualBuffer);
  SmallVector<Value> offsets = {offsetOf(linear.getInput()), weightOffset(weight, "linear")};
  if (linear.getBias()) {
    if (!linear.getBias().getDefiningOp<WeightOp>())
      return linear.emitError("expects a bias made by llmc.weight");
    offsets.push_back(weightOffset(linear.getBias(), "bias"));
  }
  if (residual)
    offsets.push_back(offsetOf(residual));
  offsets.push_back(offsetOf(result));
  call(kernel, offsets);
  return success();
}

LogicalResult StepEmitter::emitAttention(AttentionOp op) {
  auto width = [](Value value) {
    return cast<RankedTensorType>(value.getType()).getShape().back();
  };
  int64_t kvHeads = op.getKvHeads();
  AttentionShape shape;
  shape.heads = op.getHeads();
  shape.kvHeads = kvHeads;
  shape.headSize = width(op.getKey()) / kvHeads;
  shape.valueSize = width(op.getValue()) / kvHeads;
  shape.scale = op.getScale().convertToDouble();
  shape.causal = op.getCausal();
  shape.window = op.getWindow();
  shape.softcap = op.getSoftcap().convertToDouble();
  shape.q = placeOf(op.getQuery()).buffer;
  shape.k = placeOf(op.getKey()).buffer;
  shape.v = placeOf(op.getValue()).buffer;
  shape.y = placeOf(op.getResult()).buffer;
  shape.hasMask = op.getMask() != nullptr;
  Value q = offsetOf(op.getQuery()), k = offsetOf(op.getKey()), v = offsetOf(op.getValue()),
        y = offsetOf(op.getResult());
  if (!op.getCacheAttr()) {
    SmallVector<Value> offsets = {q, k, v};
    if (op.getMask())
      offsets.push_back(offsetOf(op.getMask()));
    offsets.push_back(y);
    call(getAttentionKernel(kernels, shape), offsets);
    return success();
  }
  if (op.getMask())
    return op.emitError("cannot have both a cache and a padding mask: a state is one sequence");
  auto &[layout, place] = caches[op.getCacheAttr().getValue()];
  shape.cacheElement = layout.element;
  shape.byteProducts = layout.quads;
  call(getCachedAttentionKernel(kernels, shape), {q, y, constant(place), constant(kvBlockBytes)});
  return success();
}

void StepEmitter::emitCacheStore(CacheStoreOp op) {
  RowBuffer rows = placeOf(op.getInput()).buffer;
  auto &[layout, place] = caches[op.getCache()];
  Kernel kernel = op.getPart() == CachePart::Keys ? getKeyStoreKernel(kernels, layout, rows)
                                                  : getValueStoreKernel(kernels, layout, rows);
  call(kernel, {offsetOf(op.getInput()), constant(place), constant(kvBlockBytes)});
}

void StepEmitter::emitEmbedding(EmbeddingOp op) {
  auto weight = op.getWeight().getDefiningOp<WeightOp>();
  CodeFormat format = getCodeFormat(weight.getType(), nullptr);
  ArrayRef<int64_t> shape = getWeightShape(weight.getType());
  bool tied = hasPackedForm(weight, "linear");
  RowBuffer buffer = placeOf(op.getResult()).buffer;
  Kernel kernel = tied ? getPackedEmbeddingKernel(kernels, format, shape[0], shape[1], buffer)
                       : getEmbeddingKernel(kernels, format, shape[0], shape[1], buffer);
  call(kernel, {offsetOf(op.getIds()), weightOffset(weight, tied ? "linear" : "embedding"),
                offsetOf(op.getResult())});
}

LogicalResult StepEmitter::emitExpect(Operation &op, double atol, double rtol, bool exact) {
  Value actual = op.getOperand(0), expected = op.getOperand(1);
  auto weight = expected.getDefiningOp<WeightOp>();
  int64_t flag = op.getAttrOfType<DenseI64ArrayAttr>("llmc.buffer")[0];
  flags.push_back(flag);
  RowBuffer expectedBuffer = placeOf(actual).buffer;
  if (weight)
    expectedBuffer.stride = expectedBuffer.width;
  else
    expectedBuffer = placeOf(expected).buffer;
  call(getExpectKernel(kernels, placeOf(actual).buffer, expectedBuffer, atol, rtol, exact,
                       weight != nullptr),
       {offsetOf(actual), weight ? weightOffset(expected, "rows") : offsetOf(expected),
        constant(flag)});
  return success();
}

LogicalResult StepEmitter::emitOp(Operation &op) {
  current = &op;
  auto unary = [&](const Kernel &kernel) {
    call(kernel, {offsetOf(op.getOperand(0)), offsetOf(op.getResult(0))});
    return success();
  };
  auto binary = [&](StringRef kind) {
    RowBuffer a = placeOf(op.getOperand(0)).buffer, c = placeOf(op.getOperand(1)).buffer;
    call(getBinaryKernel(kernels, kind, a, c, placeOf(op.getResult(0)).buffer),
         {offsetOf(op.getOperand(0)), offsetOf(op.getOperand(1)), offsetOf(op.getResult(0))});
    return success();
  };
  auto buffer = [&](Value value) { return placeOf(value).buffer; };
  return TypeSwitch<Operation *, LogicalResult>(&op)
      .Case<LinearOp>([&](LinearOp linear) {
        return linear->hasAttr("llmc.fused") ? success()
                                             : emitLinear(linear, {}, linear.getResult());
      })
      .Case<arith::AddFOp>([&](arith::AddFOp add) {
        for (unsigned i : {1u, 0u}) {
          auto linear = add.getOperand(i).getDefiningOp<LinearOp>();
          if (linear && linear->hasAttr("llmc.fused"))
            return emitLinear(linear, add.getOperand(1 - i), add.getResult());
        }
        return binary("add");
      })
      .Case<arith::SubFOp>([&](auto) { return binary("sub"); })
      .Case<arith::MulFOp>([&](auto) { return binary("mul"); })
      .Case<arith::DivFOp>([&](auto) { return binary("div"); })
      .Case<arith::MaximumFOp>([&](auto) { return binary("max"); })
      .Case<arith::MinimumFOp>([&](auto) { return binary("min"); })
      .Case<EmbeddingOp>([&](EmbeddingOp embedding) {
        if (!embedding.getWeight().getDefiningOp<WeightOp>())
          return LogicalResult(embedding.emitError("expects a table made by llmc.weight"));
        emitEmbedding(embedding);
        return success();
      })
      .Case<PositionsOp>([&](PositionsOp positions) {
        call(getPositionsKernel(kernels, positions.getOffset()), {offsetOf(positions.getResult())});
        return success();
      })
      .Case<RMSNormOp>([&](RMSNormOp norm) {
        call(getRMSNormKernel(kernels, buffer(norm.getInput()), buffer(norm.getResult()),
                              norm.getGroups(), norm.getEps().convertToDouble()),
             {offsetOf(norm.getInput()), weightOffset(norm.getScale(), "vector"),
              offsetOf(norm.getResult())});
        return success();
      })
      .Case<LayerNormOp>([&](LayerNormOp norm) {
        SmallVector<Value> offsets = {offsetOf(norm.getInput()),
                                      weightOffset(norm.getScale(), "vector")};
        if (norm.getBias())
          offsets.push_back(weightOffset(norm.getBias(), "vector"));
        offsets.push_back(offsetOf(norm.getResult()));
        call(getLayerNormKernel(kernels, buffer(norm.getInput()), buffer(norm.getResult()),
                                norm.getEps().convertToDouble(), norm.getBias() != nullptr),
             offsets);
        return success();
      })
      .Case<RopeOp>([&](RopeOp rope) {
        call(getRopeKernel(kernels, buffer(rope.getInput()), buffer(rope.getResult()),
                           rope.getHeads(), rope.getFrequencies().size(), rope.getLayout()),
             {offsetOf(rope.getInput()), constant(packedOffset(rope, "rope")),
              offsetOf(rope.getResult())});
        return success();
      })
      .Case<AttentionOp>([&](AttentionOp attention) { return emitAttention(attention); })
      .Case<CacheStoreOp>([&](CacheStoreOp store) {
        emitCacheStore(store);
        return success();
      })
      .Case<ActivationOp>([&](ActivationOp activation) {
        return unary(getActivationKernel(kernels, activation.getKind(), buffer(op.getOperand(0)),
                                         buffer(op.getResult(0))));
      })
      .Case<GatedActivationOp>([&](GatedActivationOp gated) {
        call(getGatedActivationKernel(kernels, gated.getKind(), buffer(gated.getGate()),
                                      buffer(gated.getUp()), buffer(gated.getResult())),
             {offsetOf(gated.getGate()), offsetOf(gated.getUp()), offsetOf(gated.getResult())});
        return success();
      })
      .Case<SoftmaxOp>([&](auto) {
        return unary(getSoftmaxKernel(kernels, buffer(op.getOperand(0)), buffer(op.getResult(0))));
      })
      .Case<ScaleOp>([&](ScaleOp scale) {
        return unary(getScaleKernel(kernels, scale.getFactor().convertToDouble(),
                                    buffer(op.getOperand(0)), buffer(op.getResult(0))));
      })
      .Case<ExpectCloseOp>([&](ExpectCloseOp expect) {
        return emitExpect(op, expect.getAtol().convertToDouble(),
                          expect.getRtol().convertToDouble(), false);
      })
      .Case<ExpectEqOp>([&](auto) { return emitExpect(op, 0, 0, true); })
      .Case<SplitOp, ObserveOp>([&](auto) { return success(); })
      .Default([&](Operation *other) {
        return other->emitError("has no lowering in a step (is it an operation on whole rows?)");
      });
}
