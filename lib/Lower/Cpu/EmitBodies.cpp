//===- EmitBodies.cpp - calls of bodies -------------------------------------------------===//
//
// A body becomes a kernel that runs it for each row or sequence of its thread. Bodies that are the
// same share a kernel, as layers do.
//
#include "StepEmitter.h"

#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/OperationSupport.h"

using namespace mlir;
using namespace llmc;
using exec::Each;
using exec::GenericOp;

/// Memory of row or sequence `number` of an operand, as the body has it.
static Value viewOperand(ImplicitLocOpBuilder &b, const KernelFrame &frame, Value operand,
                         MemRefType type, Value offset, Value number, Each each) {
  auto buffer = dyn_cast<exec::BufferType>(operand.getType());
  Value memory = viewAs(b, buffer ? frame.arena : frame.weights, offset, type.getElementType());
  auto [strides, start] = type.getStridesAndOffset();
  SmallVector<OpFoldResult> sizes = getAsIndexOpFoldResult(b.getContext(), type.getShape());
  for (OpFoldResult &size : sizes)
    if (isa<Attribute>(size) && ShapedType::isDynamic(*getConstantIntValue(size)))
      size = frame.sequence;
  OpFoldResult first = b.getIndexAttr(0);
  if (buffer) {
    Value row = number;
    if (each == Each::Sequence && !buffer.getPerSequence())
      row = arith::MulIOp::create(b, number, frame.sequence);
    first = arith::MulIOp::create(b, row, indexConstant(b, buffer.getStride())).getResult();
  }
  return memref::ReinterpretCastOp::create(b, type, memory, first, sizes,
                                           getAsIndexOpFoldResult(b.getContext(), strides));
}

Kernel StepEmitter::bodyKernel(GenericOp op) {
  for (auto &[known, kernel] : bodies)
    if (known.getEach() == op.getEach() && known.getOperandTypes() == op.getOperandTypes() &&
        known.getInputs().size() == op.getInputs().size() &&
        OperationEquivalence::isRegionEquivalentTo(&known.getBody(), &op.getBody(),
                                                   OperationEquivalence::IgnoreLocations))
      return kernel;
  std::string name = "body" + std::to_string(bodies.size()) + "_" + op.getSource().str();
  llvm::replace(name, '.', '_');
  auto body = [&](ImplicitLocOpBuilder &kb, KernelFrame &frame) {
    Value count = frame.rows;
    if (op.getEach() == Each::Sequence)
      count = arith::DivUIOp::create(kb, frame.rows, frame.sequence);
    Value scratchMemory = viewAs(kb, frame.arena, frame.scratch, kb.getI8Type());
    auto [begin, end] = threadRange(kb, frame, count);
    forLoop(kb, begin, end, 1, [&](Value number) {
      IRMapping map;
      Block &block = op.getBody().front();
      for (auto [i, operand] : llvm::enumerate(op.getOperands())) {
        BlockArgument argument = block.getArgument(i);
        map.map(argument, viewOperand(kb, frame, operand, cast<MemRefType>(argument.getType()),
                                      frame.offsets[i], number, op.getEach()));
      }
      map.map(block.getArguments().back(), scratchMemory);
      for (Operation &inner : block.without_terminator())
        kb.clone(inner, map);
    });
  };
  Kernel kernel = kernels.getOrCreate(name, op.getNumOperands(), op.getScratchBytes(), body);
  bodies.push_back({op, kernel});
  return kernel;
}

LogicalResult StepEmitter::emitBody(GenericOp op) {
  if (!op.isLowered())
    return op.emitError("has a body on tensors; run --lower-bodies");
  SmallVector<Value> offsets;
  for (Value operand : op.getOperands())
    offsets.push_back(isa<exec::PackedType>(operand.getType()) ? weightOffset(operand)
                                                               : offsetOf(operand));
  call(bodyKernel(op), offsets);
  return success();
}
