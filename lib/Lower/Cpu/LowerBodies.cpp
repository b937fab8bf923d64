//===- LowerBodies.cpp - bodies on tensors to loops on memory ---------------------------===//
//
// Bufferization by upstream's analysis, then vectors. Nothing is allocated while a model runs: what
// a body needs besides its results becomes scratch of the thread.
//
#include "VectorizeBody.h"

#include "llmc/Lower/Cpu/CpuConfig.h"
#include "llmc/Lower/Cpu/Passes.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/Transforms/BufferizableOpInterfaceImpl.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/Bufferization/Transforms/Passes.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/Transforms/AllInterfaces.h"
#include "mlir/Dialect/SCF/Transforms/BufferizableOpInterfaceImpl.h"
#include "mlir/Dialect/Tensor/IR/TensorInferTypeOpInterfaceImpl.h"
#include "mlir/Dialect/Tensor/Transforms/BufferizableOpInterfaceImpl.h"
#include "mlir/Dialect/Tensor/Transforms/SubsetInsertionOpInterfaceImpl.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Transforms/Passes.h"
#include "llvm/ADT/Statistic.h"

#define DEBUG_TYPE "lower-bodies"

namespace llmc {
#define GEN_PASS_DEF_LOWERBODIES
#include "llmc/Lower/Cpu/Passes.h.inc"
} // namespace llmc

using namespace mlir;
using namespace llmc;
using exec::GenericOp;

ALWAYS_ENABLED_STATISTIC(bodiesLowered, "Bodies of what has no kernel");

/// Memory of a tensor of a body: rows of a buffer, or a table. The outermost dimension is 1, so its
/// stride is never used.
static MemRefType memoryOf(RankedTensorType type, Value operand) {
  auto buffer = dyn_cast<exec::BufferType>(operand.getType());
  if (!buffer)
    return MemRefType::get(type.getShape(), type.getElementType());
  SmallVector<int64_t> strides(type.getRank(), buffer.getStride());
  if (!type.isDynamicDim(type.getRank() - 1))
    strides.back() = 1;
  auto layout = StridedLayoutAttr::get(type.getContext(), ShapedType::kDynamic, strides);
  return MemRefType::get(type.getShape(), type.getElementType(), layout);
}

/// The body as a function of memory, which holds still while upstream's passes work on it.
static OwningOpRef<ModuleOp> outlineBody(GenericOp op) {
  OwningOpRef<ModuleOp> module = ModuleOp::create(op.getLoc());
  OpBuilder b = OpBuilder::atBlockEnd(module->getBody());
  Block &body = op.getBody().front();
  Operation *yield = body.getTerminator();
  SmallVector<Type> types;
  for (auto [argument, input] : llvm::zip(body.getArguments(), op.getInputs()))
    types.push_back(memoryOf(cast<RankedTensorType>(argument.getType()), input));
  for (auto [result, output] : llvm::zip(yield->getOperands(), op.getOutputs()))
    types.push_back(memoryOf(cast<RankedTensorType>(result.getType()), output));
  types.push_back(MemRefType::get({ShapedType::kDynamic}, b.getI8Type()));
  auto function = func::FuncOp::create(b, op.getLoc(), "body", b.getFunctionType(types, {}));
  Block *block = function.addEntryBlock();
  b.setInsertionPointToEnd(block);
  IRMapping map;
  for (auto [argument, memory] : llvm::zip(body.getArguments(), block->getArguments()))
    map.map(argument, bufferization::ToTensorOp::create(b, op.getLoc(), argument.getType(), memory,
                                                        /*restrict=*/true));
  for (Operation &inner : body.without_terminator())
    b.clone(inner, map);
  auto outputs = block->getArguments().drop_front(op.getInputs().size());
  for (auto [result, memory] : llvm::zip(yield->getOperands(), outputs))
    bufferization::MaterializeInDestinationOp::create(b, op.getLoc(), Type(),
                                                      map.lookupOrDefault(result), memory,
                                                      /*restrict=*/true, /*writable=*/true);
  func::ReturnOp::create(b, op.getLoc());
  return module;
}

/// The most elements that an allocation can have, where every dynamic size is one of the operands',
/// or none.
static std::optional<int64_t> mostElements(memref::AllocOp op, int64_t rows) {
  int64_t elements = 1;
  for (int64_t size : op.getType().getShape())
    if (!ShapedType::isDynamic(size))
      elements *= size;
  for (Value size : op.getDynamicSizes()) {
    auto dim = size.getDefiningOp<memref::DimOp>();
    if (!dim || !isa<BlockArgument>(dim.getSource()))
      return std::nullopt;
    elements *= rows;
  }
  return elements;
}

/// Gives every allocation a place in the scratch memory, and the bytes of all.
static FailureOr<int64_t> placeAllocations(func::FuncOp function, int64_t rows) {
  Value scratch = function.getArguments().back();
  int64_t bytes = 0;
  WalkResult result = function.walk([&](memref::AllocOp op) {
    std::optional<int64_t> elements = mostElements(op, rows);
    if (!elements || !op.getType().getLayout().isIdentity()) {
      op.emitError("needs memory of a size that is none of its operands'");
      return WalkResult::interrupt();
    }
    OpBuilder b(op);
    Value offset = arith::ConstantIndexOp::create(b, op.getLoc(), bytes);
    op.replaceAllUsesWith(
        memref::ViewOp::create(b, op.getLoc(), op.getType(), scratch, offset, op.getDynamicSizes())
            .getResult());
    bytes += (*elements * op.getType().getElementTypeBitWidth() / 8 + 63) / 64 * 64;
    op.erase();
    return WalkResult::advance();
  });
  return result.wasInterrupted() ? FailureOr<int64_t>(failure()) : bytes;
}

/// That a body is made of what --lower-step takes.
static LogicalResult verifyLowered(func::FuncOp function, StringRef source) {
  WalkResult result = function.walk([&](Operation *op) {
    if (op == function || isa<func::ReturnOp>(op) ||
        isa<arith::ArithDialect, memref::MemRefDialect, scf::SCFDialect, vector::VectorDialect,
            math::MathDialect, affine::AffineDialect>(op->getDialect()))
      return WalkResult::advance();
    op->emitOpError("is left in the body of ") << source << ", and has no lowering";
    return WalkResult::interrupt();
  });
  return success(!result.wasInterrupted());
}

namespace {

struct LowerBodiesPass : public llmc::impl::LowerBodiesBase<LowerBodiesPass> {
  void getDependentDialects(DialectRegistry &registry) const override {
    LowerBodiesBase::getDependentDialects(registry);
    arith::registerBufferizableOpInterfaceExternalModels(registry);
    linalg::registerAllDialectInterfaceImplementations(registry);
    scf::registerBufferizableOpInterfaceExternalModels(registry);
    tensor::registerBufferizableOpInterfaceExternalModels(registry);
    tensor::registerInferTypeOpInterfaceExternalModels(registry);
    tensor::registerSubsetOpInterfaceExternalModels(registry);
  }
  void runOnOperation() override;
  LogicalResult lower(GenericOp op, int64_t rows, const VectorShape &vectors);
};

LogicalResult LowerBodiesPass::lower(GenericOp op, int64_t rows, const VectorShape &vectors) {
  OwningOpRef<ModuleOp> module = outlineBody(op);
  auto function = *module->getOps<func::FuncOp>().begin();
  auto clean = [](OpPassManager &passes) {
    passes.addPass(createCanonicalizerPass());
    passes.addPass(createCSEPass());
  };
  PassManager bufferize(&getContext()), finish(&getContext());
  clean(bufferize);
  bufferize.addPass(bufferization::createEmptyTensorEliminationPass());
  bufferize.addPass(bufferization::createOneShotBufferizePass());
  clean(bufferize);
  if (failed(bufferize.run(*module)))
    return op.emitError("has a body that cannot be bufferized");
  FailureOr<int64_t> scratch = placeAllocations(function, rows);
  if (failed(scratch) || failed(vectorizeBody(function, vectors)))
    return failure();
  clean(finish);
  if (failed(finish.run(*module)) || failed(verifyLowered(function, op.getSource())))
    return failure();
  Block &block = function.getBody().front();
  OpBuilder b(block.getTerminator());
  exec::YieldOp::create(b, op.getLoc(), ValueRange());
  block.getTerminator()->erase();
  op.getBody().takeBody(function.getBody());
  op.setScratchBytes(*scratch);
  ++bodiesLowered;
  return success();
}

void LowerBodiesPass::runOnOperation() {
  FailureOr<exec::ProgramOp> program = exec::getProgram(getOperation());
  FailureOr<CpuConfig> config = CpuConfig::get(getOperation());
  if (failed(program) || failed(config))
    return signalPassFailure();
  WalkResult result = program->walk([&](GenericOp op) {
    if (op.isLowered())
      return WalkResult::skip();
    const bool isLowered = succeeded(lower(op, program->getRows(), config->vectors));
    return isLowered ? WalkResult::skip() : WalkResult::interrupt();
  });
  if (result.wasInterrupted())
    signalPassFailure();
}

} // namespace
