//===- LowerStep.cpp - the graph to one step function -----------------------------------===//
//
// Stages are separated by barriers; what only feeds logits runs in blocks of rows at the end.
//
#include "StepEmitter.h"

#include "llmc/Lower/AttentionKernels.h"
#include "llmc/Lower/LaneBuilder.h"
#include "llmc/Lower/Passes.h"

#include "llvm/Support/Path.h"

namespace llmc {
#define GEN_PASS_DEF_LOWERSTEP
#include "llmc/Lower/Passes.h.inc"
} // namespace llmc

using namespace mlir;
using namespace llmc;

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

/// Rows 0..count of the logits' buffer to rows outRow.. of the caller's, each thread its columns.
void StepEmitter::copyLogits(Value logits, Value outRow, Value count) {
  Place place = placeOf(logits);
  int64_t width = place.buffer.width;
  LaneBuilder l(b, config.vectors.lanes);
  Value source = viewRows(b, arena, offsetOf(logits));
  KernelFrame frame;
  frame.rows = count;
  std::tie(frame.begin, frame.end) = columnsOf(logits.getDefiningOp(), width, l.lanes);
  l.forElements(frame, width, [&](Value row, Value column, int64_t lanes) {
    Value value = l.load(source, rowIndex(b, row, place.buffer, column), lanes);
    Value target = rowIndex(b, arith::AddIOp::create(b, outRow, row), {width, width}, column);
    l.store(value, logitsOut, target, lanes);
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
    Operation *last = logits.getDefiningOp();
    if (!last || !last->hasAttr("llmc.share"))
      barrier(); // Whole rows are made by one thread.
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
    if (type.getElementType().isF16() && !config.vectors.half)
      return cache.emitError("a cache of f16 needs a target that converts f16 (F16C on x86)");
    if (cache.getByteProducts() && config.vectors.dot == DotKind::None && caches.empty())
      cache.emitWarning("byte_products is slower than f32 on a target without dot products of "
                        "bytes (AVX2 or VNNI on x86, dotprod on Arm)");
    CacheLayout layout{type.getElementType(), type.getDimSize(0), type.getDimSize(1),
                       type.getDimSize(1), cache.getByteProducts()};
    caches[cache.getSymName()] = {layout, kvBlockBytes};
    kvBlockBytes += layout.blockBytes();
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
  own = arith::AddIOp::create(b, constant(scratchBase),
                              arith::MulIOp::create(b, thread, scratchSize));
  int64_t ownBytes = entry->getAttrOfType<IntegerAttr>("llmc.private_bytes").getInt();
  scratch = arith::AddIOp::create(b, own, constant(ownBytes));
  anchor = scratch.getDefiningOp();

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
  scratchBytes += ownBytes;
  scratchSize.setValueAttr(b.getIndexAttr(scratchBytes));
  facts.arenaBytes = scratchBase;
  facts.scratchBytes = scratchBytes;
  facts.kvBlockBytes = kvBlockBytes;
  facts.flags = flags;
  return success();
}

namespace {

/// What the inputs mean: ids of a table, or a mask; and how long a sequence may be.
LogicalResult collectInputs(func::FuncOp entry, const CompileConfig &config,
                            InterfaceFacts &facts) {
  facts.sequenceLimit = config.maxTokens;
  if (auto stated = entry->getParentOfType<ModuleOp>()->getAttrOfType<IntegerAttr>("llmc.context"))
    facts.sequenceLimit = std::min(facts.sequenceLimit, stated.getInt());
  for (BlockArgument argument : entry.getArguments()) {
    InterfaceInput input;
    input.buffer =
        cast<IntegerAttr>(entry.getArgAttr(argument.getArgNumber(), "llmc.buffer")).getInt();
    auto type = dyn_cast<RankedTensorType>(argument.getType());
    if (!type || type.getRank() != 2 || !isa<IntegerType>(type.getElementType()))
      return entry.emitError("input ")
             << argument.getArgNumber() << " is " << argument.getType()
             << ", expected ids or a mask as a tensor of integers [batch, sequence]";
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

/// Norms read their scale and bias from the weight file; only P_run has a code for failed checks.
LogicalResult checkOperations(func::FuncOp entry, bool isStep) {
  WalkResult result = entry.walk([&](Operation *op) {
    if (isStep && isa<ExpectCloseOp, ExpectEqOp>(op)) {
      op->emitError("expects a function with llmc.role \"run\", where its outcome is reported");
      return WalkResult::interrupt();
    }
    if (isa<RMSNormOp, LayerNormOp>(op))
      for (Value value : op->getOperands().drop_front())
        if (!value.getDefiningOp<WeightOp>()) {
          op->emitError("expects scale and bias made by llmc.weight");
          return WalkResult::interrupt();
        }
    return WalkResult::advance();
  });
  return success(!result.wasInterrupted());
}

/// Where a check stands in the source, without the folder: the artifact must not depend on it.
std::string placeInSource(Location loc) {
  auto file = loc->findInstanceOf<FileLineColLoc>();
  if (!file)
    return "";
  return (llvm::sys::path::filename(file.getFilename().getValue()) + ":" +
          llvm::Twine(file.getLine()))
      .str();
}

/// What a failed check has to say, for who runs the module.
void listChecks(ModuleOp module, func::FuncOp entry) {
  Builder b(module.getContext());
  SmallVector<Attribute> list;
  entry.walk([&](Operation *op) {
    if (!isa<ExpectCloseOp, ExpectEqOp>(op))
      return;
    int64_t offset = op->getAttrOfType<DenseI64ArrayAttr>("llmc.buffer")[0];
    int64_t width = cast<RankedTensorType>(op->getOperand(0).getType()).getShape().back();
    auto weight = op->getOperand(1).getDefiningOp<WeightOp>();
    list.push_back(b.getDictionaryAttr(
        {b.getNamedAttr("kind", b.getStringAttr(op->getName().stripDialect())),
         b.getNamedAttr("expected", b.getStringAttr(weight ? weight.getWeightName() : "")),
         b.getNamedAttr("source", b.getStringAttr(placeInSource(op->getLoc()))),
         b.getNamedAttr("offset", b.getI64IntegerAttr(offset)),
         b.getNamedAttr("width", b.getI64IntegerAttr(width))}));
  });
  module->setAttr("llmc.checks", b.getArrayAttr(list));
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
  facts.embedWeights = config.embedWeights;
  facts.context = config.context;
  facts.chunk = config.chunk;
  facts.maxTokens = config.maxTokens;
  StepEmitter emitter(module, *entry, config);
  if (failed(collectInputs(*entry, config, facts)) ||
      failed(checkOperations(*entry, facts.isStep)) || failed(emitter.emit(facts)))
    return signalPassFailure();
  if (facts.isStep) {
    if (facts.inputs.size() != 1 || !facts.inputs[0].limit) {
      entry->emitError("expects a step to take the ids and nothing else");
      return signalPassFailure();
    }
    facts.idsBuffer = facts.inputs[0].buffer;
  }
  listObservations(module, *entry);
  listChecks(module, *entry);
  Builder b(module.getContext());
  module->setAttr("llmc.arena_bytes", b.getI64IntegerAttr(facts.arenaBytes));
  module->setAttr("llmc.scratch_bytes", b.getI64IntegerAttr(facts.scratchBytes));
  module->setAttr("llmc.kv_block_bytes", b.getI64IntegerAttr(facts.kvBlockBytes));
  module->setAttr("llmc.vocabulary", b.getI64IntegerAttr(facts.isStep ? facts.vocabulary : 0));
  // Ids are below the rows of the table, which need not be as many as the logits.
  const InterfaceInput *ids =
      llvm::find_if(facts.inputs, [](const InterfaceInput &input) { return input.limit > 0; });
  module->setAttr("llmc.id_limit", b.getI64IntegerAttr(ids == facts.inputs.end() ? 0 : ids->limit));
  if (!facts.isStep)
    module->setAttr("llmc.longest_sequence", b.getI64IntegerAttr(facts.sequenceLimit));
  if (failed(emitInterface(module, facts)))
    return signalPassFailure();
  entry->erase();
  for (auto cache : llvm::make_early_inc_range(module.getOps<CacheOp>()))
    cache.erase();
}

} // namespace
