//===- LowerStep.cpp - the program to one step function ---------------------------------===//
//
// Stages are separated by barriers; what only feeds logits runs in blocks of rows at the end.
//
#include "StepEmitter.h"

#include "llmc/Lower/Cpu/LaneBuilder.h"
#include "llmc/Lower/Cpu/Passes.h"

namespace llmc {
#define GEN_PASS_DEF_LOWERSTEP
#include "llmc/Lower/Cpu/Passes.h.inc"
} // namespace llmc

using namespace mlir;
using namespace llmc;

LogicalResult StepEmitter::emitStages(Block &block, bool first) {
  for (Operation &next : block) {
    if (auto repeated = dyn_cast<exec::RepeatOp>(next)) {
      first = false;
      if (failed(emitRepeat(repeated)))
        return failure();
    }
    auto stage = dyn_cast<exec::StageOp>(next);
    if (!stage)
      continue;
    if (!first)
      barrier();
    first = false;
    for (Operation &op : stage.getBody().front()) {
      b.setLoc(op.getLoc());
      if (failed(emitOp(op)))
        return failure();
    }
  }
  return success();
}

/// A loop; every turn starts with a barrier, for the stage before or for the turn before.
LogicalResult StepEmitter::emitRepeat(exec::RepeatOp op) {
  LogicalResult result = success();
  b.setLoc(op.getLoc());
  forLoop(b, constant(0), constant(op.getTurns()), 1, [&](Value number) {
    repeat = op;
    turn = number;
    result = emitStages(op.getBody().front(), /*first=*/false);
    b.setLoc(op.getLoc());
  });
  repeat = {};
  turn = {};
  return result;
}

/// Numbers at equal distances are computed, others read from a table: in the code there is neither
/// an address nor anything else that grows with the number of turns.
Value StepEmitter::ofTurn(ArrayRef<int64_t> values) {
  const int64_t first = values[0], distance = values[1] - first;
  bool isEven = true;
  for (auto [number, value] : llvm::enumerate(values))
    isEven &= value == first + static_cast<int64_t>(number) * distance;
  if (isEven) {
    Value behind = arith::MulIOp::create(b, turn, constant(distance));
    return arith::AddIOp::create(b, constant(first), behind);
  }
  memref::GlobalOp &table = tables[values.vec()];
  auto type = MemRefType::get({static_cast<int64_t>(values.size())}, b.getI64Type());
  if (!table) {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToEnd(module.getBody());
    auto content = RankedTensorType::get(type.getShape(), type.getElementType());
    table = memref::GlobalOp::create(b, config.prefix + "_turns_" + std::to_string(tables.size()),
                                     b.getStringAttr("private"), type,
                                     DenseElementsAttr::get(content, values), /*constant=*/true,
                                     /*alignment=*/IntegerAttr());
  }
  Value numbers = memref::GetGlobalOp::create(b, type, table.getSymName());
  Value number = memref::LoadOp::create(b, numbers, turn);
  return arith::IndexCastOp::create(b, b.getIndexType(), number);
}

/// Rows of a weight that a test uses like an activation.
void StepEmitter::copyWeightRows(exec::CopyOp op) {
  auto type = cast<RankedTensorType>(exec::getPackedType(op.getInput()).getContent());
  int64_t width = type.getShape().back(), count = type.getNumElements() / width;
  int64_t stride = exec::getBufferType(op.getOutput()).getStride();
  std::string name = "copy_rows_" + std::to_string(count) + "x" + std::to_string(width);
  Kernel kernel = kernels.getOrCreate(name, 2, 0, [&](ImplicitLocOpBuilder &kb, KernelFrame &f) {
    Value source = viewAs(kb, f.weights, f.offsets[0], kb.getF32Type());
    Value target = viewRows(kb, f.arena, f.offsets[1]);
    auto [begin, end] = threadRange(kb, f, indexConstant(kb, count));
    forLoop(kb, begin, end, 1, [&](Value row) {
      forLoop(kb, indexConstant(kb, 0), indexConstant(kb, width), 1, [&](Value column) {
        Value value = memref::LoadOp::create(kb, source,
                                             ValueRange{rowIndex(kb, row, {width, width}, column)});
        memref::StoreOp::create(kb, value, target,
                                ValueRange{rowIndex(kb, row, {width, stride}, column)});
      });
    });
  });
  call(kernel, {weightOffset(op.getInput()), offsetOf(op.getOutput())});
}

/// The rows of a block to the caller's, each thread its columns.
void StepEmitter::copyLogits(exec::CopyOp op) {
  Place place = placeOf(op.getInput());
  int64_t width = place.buffer.width;
  LaneBuilder l(b, config.vectors.lanes);
  Value source = viewRows(b, arena, offsetOf(op.getInput()));
  KernelFrame frame;
  frame.rows = currentRows;
  std::tie(frame.begin, frame.end) = columnsOf(current, width, l.lanes);
  l.forElements(frame, width, [&](Value row, Value column, int64_t lanes) {
    Value value = l.load(source, rowIndex(b, row, place.buffer, column), lanes);
    Value target = rowIndex(b, arith::AddIOp::create(b, tailOut, row), {width, width}, column);
    l.store(value, logitsOut, target, lanes);
  });
}

LogicalResult StepEmitter::emitTail(exec::TailOp tail) {
  LogicalResult result = success();
  Value firstRow = arith::SubIOp::create(b, rows, wanted);
  int64_t block = tail.getRows();
  forLoop(b, constant(0), wanted, block, [&](Value start) {
    barrier(); // For the body, or for the copy of the block before.
    Value left = arith::SubIOp::create(b, wanted, start);
    currentRows = arith::MinUIOp::create(b, left, constant(block));
    tailStart = arith::AddIOp::create(b, firstRow, start);
    tailOut = start;
    result = emitStages(tail.getBody().front(), /*first=*/true);
    b.setLoc(program.getLoc());
  });
  tailStart = {};
  currentRows = rows;
  return result;
}

LogicalResult StepEmitter::emitCaches() {
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
  return success();
}

/// The function of the step, with the builder in it and its arguments known by name.
func::FuncOp StepEmitter::startStep() {
  Type index = b.getIndexType(), pointer = LLVM::LLVMPointerType::get(b.getContext());
  Type memory = MemRefType::get({ShapedType::kDynamic}, b.getI8Type());
  Type logitsType = MemRefType::get({ShapedType::kDynamic}, b.getF32Type());
  SmallVector<Type> types(3, memory);
  types.append(7, index);
  types.append({pointer, logitsType, pointer, index});
  b.setInsertionPointToEnd(module.getBody());
  auto barrierFunction =
      func::FuncOp::create(b, config.prefix + "_barrier", b.getFunctionType({pointer, index}, {}));
  barrierFunction.setPrivate(); // Defined by the interface, as is:
  func::FuncOp::create(b, config.prefix + "_memory", b.getFunctionType({pointer}, {memory}))
      .setPrivate();
  auto step = func::FuncOp::create(b, config.prefix + "_step", b.getFunctionType(types, {}));
  step.setPrivate();
  step->setAttr("llvm.linkage", LLVM::LinkageAttr::get(b.getContext(), LLVM::Linkage::Internal));
  Block *body = step.addEntryBlock();
  b.setInsertionPointToStart(body);
  Value *targets[] = {&arena, &weights, &kv,      &rows, &sequence,  &past,   &wanted,
                      &total, &thread,  &threads, &job,  &logitsOut, &owners, &ownerCount};
  for (auto [target, argument] : llvm::zip(targets, body->getArguments()))
    *target = argument;
  currentRows = rows;
  return step;
}

LogicalResult StepEmitter::emit(InterfaceFacts &facts) {
  if (failed(emitCaches()))
    return failure();
  startStep();
  auto scratchSize = arith::ConstantIndexOp::create(b, 0); // Known when all kernels are.
  own = arith::AddIOp::create(b, constant(*program.getArenaBytes()),
                              arith::MulIOp::create(b, thread, scratchSize));
  int64_t ownBytes = *program.getPrivateBytes();
  scratch = arith::AddIOp::create(b, own, constant(ownBytes));
  anchor = scratch.getDefiningOp();
  if (failed(emitStages(program.getBody().front(), /*first=*/true)))
    return failure();
  b.setLoc(program.getLoc());
  if (exec::TailOp tail = program.getTail(); tail && failed(emitTail(tail)))
    return failure();
  func::ReturnOp::create(b);
  scratchBytes += ownBytes;
  scratchSize.setValueAttr(b.getIndexAttr(scratchBytes));
  facts.arenaBytes = *program.getArenaBytes();
  facts.scratchBytes = scratchBytes;
  facts.kvBlockBytes = kvBlockBytes;
  return success();
}

namespace {

struct LowerStepPass : public llmc::impl::LowerStepBase<LowerStepPass> {
  void runOnOperation() override;
};

void LowerStepPass::runOnOperation() {
  ModuleOp module = getOperation();
  FailureOr<exec::ProgramOp> program = exec::getProgram(module);
  FailureOr<CpuConfig> config = CpuConfig::get(module);
  if (failed(program) || failed(config) || failed(verifyPlanned(*program)))
    return signalPassFailure();
  InterfaceFacts facts;
  facts.prefix = config->prefix;
  facts.embedWeights = config->embedWeights;
  facts.context = config->context;
  facts.chunk = config->chunk;
  facts.maxTokens = config->maxTokens;
  StepEmitter emitter(module, *program, *config);
  if (failed(collectInterface(*program, *config, facts)) || failed(emitter.emit(facts)))
    return signalPassFailure();
  module->setAttr("exec.artifact", describeArtifact(*program, facts));
  if (failed(emitInterface(module, facts)))
    return signalPassFailure();
  program->erase();
  for (auto cache : llvm::make_early_inc_range(module.getOps<CacheOp>()))
    cache.erase();
}

} // namespace
