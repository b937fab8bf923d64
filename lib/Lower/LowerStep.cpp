//===- LowerStep.cpp - the graph to one step function -----------------------------------===//
//
// Each operation becomes a call of a kernel that all threads make together; stages are separated by
// barriers; what only feeds logits runs in blocks of rows at the end.
//
#include "StepEmitter.h"

#include "llmc/Lower/AttentionKernels.h"
#include "llmc/Lower/CodeFormat.h"
#include "llmc/Lower/LinearKernels.h"
#include "llmc/Lower/PackedLinear.h"
#include "llmc/Lower/Passes.h"
#include "llmc/Lower/RowKernels.h"

#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/TypeSwitch.h"

namespace llmc {
#define GEN_PASS_DEF_LOWERSTEP
#include "llmc/Lower/Passes.h.inc"
} // namespace llmc

using namespace mlir;
using namespace llmc;

namespace {

int64_t packedOffset(Operation *op, StringRef form) {
  auto packed = op->getAttrOfType<DictionaryAttr>("llmc.packed");
  return cast<DenseI64ArrayAttr>(packed.get(form))[0];
}

bool hasPackedForm(Operation *op, StringRef form) {
  auto packed = op->getAttrOfType<DictionaryAttr>("llmc.packed");
  return packed && packed.contains(form);
}

/// Where a value lies: byte offset of its first row in the arena, shape of a row, and whether it
/// holds tail rows only.
struct Place {
  int64_t offset = 0;
  RowBuffer buffer; ///< stride 0: i32 ids, one for each row.
  bool tail = false;
};

class StepEmitter {
public:
  StepEmitter(ModuleOp module, func::FuncOp entry, const CompileConfig &config)
      : module(module), entry(entry), config(config), kernels(module, config.vectors),
        b(entry.getLoc(), module.getContext()) {}

  LogicalResult emit(InterfaceFacts &facts);

private:
  Place placeOf(Value value);
  Value offsetOf(Value value);
  Value weightOffset(Value value, StringRef form);
  void call(const Kernel &kernel, ArrayRef<Value> offsets);
  void barrier();
  LogicalResult emitOp(Operation &op);
  LogicalResult emitLinear(LinearOp linear, Value residual, Value result);
  LogicalResult emitAttention(AttentionOp op);
  void emitEmbedding(EmbeddingOp op);
  LogicalResult emitExpect(Operation &op, double atol, double rtol, bool exact);
  void copyWeightRows(WeightOp weight);
  LogicalResult emitStages(ArrayRef<Operation *> ops, bool first);
  void emitTail(ArrayRef<Operation *> ops, Value logits, LogicalResult &result);
  void copyLogits(Value logits, Value outRow, Value count);
  Value constant(int64_t value) { return indexConstant(b, value); }

  ModuleOp module;
  func::FuncOp entry;
  CompileConfig config;
  KernelBuilder kernels;
  ImplicitLocOpBuilder b;
  llvm::StringMap<int64_t> cacheOffsets;
  int64_t kvBlockBytes = 0, scratchBytes = 0;
  SmallVector<int64_t> flags;

  // Values of the step function.
  Value arena, weights, kv, rows, sequence, past, wanted, thread, threads, job, logitsOut, scratch;
  Value tailStart;   ///< First row of the running tail block; null in the body.
  Value currentRows; ///< Rows of the kernels being called.
};

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
  return place;
}

Value StepEmitter::offsetOf(Value value) {
  Place place = placeOf(value);
  Value offset = constant(place.offset);
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
  SmallVector<Value> arguments = {arena, weights, kv,      currentRows, sequence,
                                  past,  thread,  threads, scratch};
  arguments.append(offsets.begin(), offsets.end());
  func::CallOp::create(b, function, arguments);
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
  Value cache = constant(cacheOffsets.lookup(op.getCacheAttr().getValue())),
        stride = constant(kvBlockBytes);
  call(getCacheStoreKernel(kernels, shape), {k, v, cache, stride});
  barrier();
  call(getCachedAttentionKernel(kernels, shape), {q, y, cache, stride});
  return success();
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

LogicalResult StepEmitter::emitStages(ArrayRef<Operation *> ops, bool first) {
  int64_t stage = -1;
  for (Operation *op : ops) {
    int64_t next = op->getAttrOfType<IntegerAttr>("llmc.stage").getInt();
    bool calls = !isa<SplitOp, ObserveOp>(op) && !op->hasAttr("llmc.fused");
    if (calls && next != stage) {
      if (!first)
        barrier();
      first = false;
      stage = next;
    }
    b.setLoc(op->getLoc());
    if (failed(emitOp(*op)))
      return failure();
  }
  return success();
}

/// Rows of a weight that a test uses like an activation, brought to the arena by thread 0.
void StepEmitter::copyWeightRows(WeightOp weight) {
  auto type = cast<RankedTensorType>(weight.getType());
  int64_t width = type.getShape().back(), count = type.getNumElements() / width;
  std::string name = "copy_rows_" + std::to_string(count) + "x" + std::to_string(width);
  Kernel kernel = kernels.getOrCreate(name, 2, 0, [&](ImplicitLocOpBuilder &kb, KernelFrame &f) {
    Value source = viewAs(kb, f.weights, f.offsets[0], kb.getF32Type());
    Value target = viewRows(kb, f.arena, f.offsets[1]);
    auto [begin, end] = threadRange(kb, f, indexConstant(kb, count));
    forLoop(kb, begin, end, 1, [&](Value row) {
      forLoop(kb, indexConstant(kb, 0), indexConstant(kb, width), 1, [&](Value column) {
        Value value = memref::LoadOp::create(kb, source,
                                             ValueRange{rowIndex(kb, row, {width, width}, column)});
        memref::StoreOp::create(
            kb, value, target, ValueRange{rowIndex(kb, row, {width, paddedStride(width)}, column)});
      });
    });
  });
  call(kernel, {constant(packedOffset(weight, "rows")),
                constant(weight->getAttrOfType<DenseI64ArrayAttr>("llmc.buffer")[0])});
}

/// Rows 0..count of the logits' buffer to rows outRow.. of the caller's.
void StepEmitter::copyLogits(Value logits, Value outRow, Value count) {
  Place place = placeOf(logits);
  int64_t width = place.buffer.width, lanes = config.vectors.lanes;
  Value source = viewRows(b, arena, offsetOf(logits));
  Value zero = constant(0), whole = constant(width / lanes * lanes), all = constant(width);
  KernelFrame frame;
  frame.thread = thread;
  frame.threads = threads;
  auto vector = VectorType::get({lanes}, b.getF32Type());
  auto [begin, end] = threadRange(b, frame, count);
  forLoop(b, begin, end, 1, [&](Value row) {
    Value target = arith::MulIOp::create(b, arith::AddIOp::create(b, outRow, row), all);
    forLoop(b, zero, whole, lanes, [&](Value column) {
      Value value = vector::LoadOp::create(b, vector, source,
                                           ValueRange{rowIndex(b, row, place.buffer, column)});
      vector::StoreOp::create(b, value, logitsOut,
                              ValueRange{arith::AddIOp::create(b, target, column)});
    });
    forLoop(b, whole, all, 1, [&](Value column) {
      Value value =
          memref::LoadOp::create(b, source, ValueRange{rowIndex(b, row, place.buffer, column)});
      memref::StoreOp::create(b, value, logitsOut,
                              ValueRange{arith::AddIOp::create(b, target, column)});
    });
  });
}

void StepEmitter::emitTail(ArrayRef<Operation *> ops, Value logits, LogicalResult &result) {
  Value firstRow = arith::SubIOp::create(b, rows, wanted);
  int64_t block = std::min(kTailRows, config.chunk);
  forLoop(b, constant(0), wanted, block, [&](Value start) {
    barrier(); // The body, or the copy of the block before.
    Value left = arith::SubIOp::create(b, wanted, start);
    currentRows = arith::MinUIOp::create(b, left, constant(block));
    tailStart = arith::AddIOp::create(b, firstRow, start);
    result = emitStages(ops, /*first=*/true);
    if (failed(result))
      return;
    b.setLoc(entry.getLoc());
    barrier();
    copyLogits(logits, start, currentRows);
  });
  tailStart = {};
  currentRows = rows;
}

LogicalResult StepEmitter::emit(InterfaceFacts &facts) {
  Block &block = entry.getBody().front();
  auto terminator = cast<func::ReturnOp>(block.getTerminator());
  for (auto cache : module.getOps<CacheOp>()) {
    auto type = cast<RankedTensorType>(cache.getType());
    cacheOffsets[cache.getSymName()] = kvBlockBytes;
    kvBlockBytes += cacheBlockBytes(type.getDimSize(0), type.getDimSize(1));
  }
  Type index = b.getIndexType(), pointer = LLVM::LLVMPointerType::get(b.getContext());
  Type memory = MemRefType::get({ShapedType::kDynamic}, b.getI8Type());
  Type logitsType = MemRefType::get({ShapedType::kDynamic}, b.getF32Type());
  SmallVector<Type> types(3, memory);
  types.append(6, index);
  types.append({pointer, logitsType});
  b.setInsertionPointToEnd(module.getBody());
  auto barrierFunction =
      func::FuncOp::create(b, config.prefix + "_barrier", b.getFunctionType({pointer, index}, {}));
  barrierFunction.setPrivate(); // Defined by the interface.
  auto step = func::FuncOp::create(b, config.prefix + "_step", b.getFunctionType(types, {}));
  step.setPrivate();
  step->setAttr("llvm.linkage", LLVM::LinkageAttr::get(b.getContext(), LLVM::Linkage::Internal));
  Block *body = step.addEntryBlock();
  b.setInsertionPointToStart(body);
  Value *targets[] = {&arena,  &weights, &kv,      &rows, &sequence, &past,
                      &wanted, &thread,  &threads, &job,  &logitsOut};
  for (auto [target, argument] : llvm::zip(targets, body->getArguments()))
    *target = argument;
  currentRows = rows;
  int64_t scratchBase = entry->getAttrOfType<IntegerAttr>("llmc.arena_bytes").getInt();
  auto scratchSize = arith::ConstantIndexOp::create(b, 0); // Known when all kernels are.
  scratch = arith::AddIOp::create(b, constant(scratchBase),
                                  arith::MulIOp::create(b, thread, scratchSize));

  bool isStep = entry->getAttrOfType<StringAttr>("llmc.role") == "step";
  SmallVector<Operation *> bodyOps, tailOps;
  bool copied = false;
  for (Operation &op : block.without_terminator()) {
    if (auto weight = dyn_cast<WeightOp>(op)) {
      if (weight->hasAttr("llmc.buffer")) {
        copyWeightRows(weight);
        copied = true;
      }
    } else {
      (op.hasAttr("llmc.tail") ? tailOps : bodyOps).push_back(&op);
    }
  }
  if (failed(emitStages(bodyOps, /*first=*/!copied)))
    return failure();
  b.setLoc(entry.getLoc());
  if (isStep) {
    if (terminator.getNumOperands() != 1)
      return entry.emitError("expects a step to return the logits and nothing else");
    LogicalResult result = success();
    emitTail(tailOps, terminator.getOperand(0), result);
    if (failed(result))
      return failure();
    facts.vocabulary = placeOf(terminator.getOperand(0)).buffer.width;
  } else {
    for (Value output : terminator.getOperands()) {
      Place place = placeOf(output);
      facts.outputs.push_back({place.offset, place.buffer.width, place.buffer.stride});
    }
  }
  func::ReturnOp::create(b);
  scratchSize.setValueAttr(b.getIndexAttr(scratchBytes));
  facts.arenaBytes = scratchBase;
  facts.scratchBytes = scratchBytes;
  facts.kvBlockBytes = kvBlockBytes;
  facts.flags = flags;
  return success();
}

/// What the inputs mean: ids of a table, or a mask; and how long a sequence may be.
LogicalResult collectInputs(func::FuncOp entry, const CompileConfig &config,
                            InterfaceFacts &facts) {
  facts.sequenceLimit = config.maxTokens;
  for (BlockArgument argument : entry.getArguments()) {
    InterfaceInput input;
    input.buffer =
        cast<IntegerAttr>(entry.getArgAttr(argument.getArgNumber(), "llmc.buffer")).getInt();
    bool isMask = false;
    for (Operation *user : argument.getUsers()) {
      if (auto embedding = dyn_cast<EmbeddingOp>(user)) {
        int64_t rows = getWeightShape(embedding.getWeight().getType())[0];
        input.limit = input.limit ? std::min(input.limit, rows) : rows;
      } else if (isa<AttentionOp>(user)) {
        isMask = true;
      }
    }
    if (isMask && input.limit)
      return entry.emitError("input ") << argument.getArgNumber() << " is both ids and a mask";
    facts.inputs.push_back(input);
  }
  entry.walk([&](Operation *op) {
    if (isa<RopeOp>(op))
      facts.sequenceLimit = std::min(facts.sequenceLimit, config.context);
    auto embedding = dyn_cast<EmbeddingOp>(op);
    auto positions = embedding ? embedding.getIds().getDefiningOp<PositionsOp>() : PositionsOp();
    if (positions)
      facts.sequenceLimit = std::min<int64_t>(facts.sequenceLimit,
                                              getWeightShape(embedding.getWeight().getType())[0] -
                                                  positions.getOffset());
    if (auto weight = dyn_cast<WeightOp>(op); weight && weight->hasAttr("llmc.buffer")) {
      auto type = cast<RankedTensorType>(weight.getType());
      facts.fixedRows = type.getNumElements() / type.getShape().back();
      facts.fixedSequence = type.getRank() > 1 ? type.getDimSize(type.getRank() - 2) : 1;
    }
  });
  return success();
}

/// Observed rows stay in the arena; who runs the module finds them by this list.
void listObservations(ModuleOp module, func::FuncOp entry) {
  Builder b(module.getContext());
  SmallVector<Attribute> list;
  entry.walk([&](ObserveOp op) {
    Operation *producer = op.getInput().getDefiningOp();
    auto buffer = producer ? producer->getAttrOfType<DenseI64ArrayAttr>("llmc.buffer") : nullptr;
    if (!buffer)
      return;
    int64_t width = cast<RankedTensorType>(op.getInput().getType()).getShape().back();
    list.push_back(
        b.getDictionaryAttr({b.getNamedAttr("name", op.getObserverAttr()),
                             b.getNamedAttr("offset", b.getI64IntegerAttr(buffer[0])),
                             b.getNamedAttr("width", b.getI64IntegerAttr(width)),
                             b.getNamedAttr("stride", b.getI64IntegerAttr(paddedStride(width)))}));
  });
  module->setAttr("llmc.observations", b.getArrayAttr(list));
}

struct LowerStepPass : public llmc::impl::LowerStepBase<LowerStepPass> {
  void runOnOperation() override;
};

void LowerStepPass::runOnOperation() {
  ModuleOp module = getOperation();
  FailureOr<func::FuncOp> entry = getEntry(module);
  if (failed(entry))
    return signalPassFailure();
  CompileConfig config = CompileConfig::get(module);
  InterfaceFacts facts;
  facts.prefix = config.prefix;
  facts.isStep = (*entry)->getAttrOfType<StringAttr>("llmc.role") == "step";
  facts.context = config.context;
  facts.chunk = config.chunk;
  facts.maxTokens = config.maxTokens;
  StepEmitter emitter(module, *entry, config);
  if (failed(collectInputs(*entry, config, facts)) || failed(emitter.emit(facts)))
    return signalPassFailure();
  if (facts.isStep) {
    if (facts.inputs.size() != 1 || !facts.inputs[0].limit) {
      entry->emitError("expects a step to take the ids and nothing else");
      return signalPassFailure();
    }
    facts.idsBuffer = facts.inputs[0].buffer;
  }
  listObservations(module, *entry);
  Builder b(module.getContext());
  module->setAttr("llmc.arena_bytes", b.getI64IntegerAttr(facts.arenaBytes));
  module->setAttr("llmc.scratch_bytes", b.getI64IntegerAttr(facts.scratchBytes));
  module->setAttr("llmc.kv_block_bytes", b.getI64IntegerAttr(facts.kvBlockBytes));
  module->setAttr("llmc.vocabulary", b.getI64IntegerAttr(facts.isStep ? facts.vocabulary : 0));
  if (failed(emitInterface(module, facts)))
    return signalPassFailure();
  entry->erase();
  for (auto cache : llvm::make_early_inc_range(module.getOps<CacheOp>()))
    cache.erase();
}

} // namespace
