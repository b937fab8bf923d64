//===- CheckOps.cpp - verifiers of the checks that carry numbers ------------------------===//
//
// A check compares rows, so only the last dimension must be the same.
//
#include "llmc/IR/LLMCDialect.h"

using namespace mlir;
using namespace llmc;

// C1 of both checks.
static LogicalResult verifySameRow(Operation *op, Value actual, Value expected) {
  auto a = cast<RankedTensorType>(actual.getType()), e = cast<RankedTensorType>(expected.getType());
  if (a.getRank() < 1 || e.getRank() < 1 || a.getShape().back() != e.getShape().back())
    return op->emitOpError("expects the same last dimension, got ") << a << " and " << e;
  return success();
}

// What is expected is read where it lies.
static WeightSlot expectedSlot(unsigned operand) {
  return operand == 1 ? WeightSlot::Rows : WeightSlot::None;
}

WeightSlot ExpectCloseOp::getWeightSlot(unsigned operand) { return expectedSlot(operand); }
WeightSlot ExpectEqOp::getWeightSlot(unsigned operand) { return expectedSlot(operand); }

LogicalResult ExpectCloseOp::verify() {
  if (getAtol().convertToDouble() < 0 || getRtol().convertToDouble() < 0)
    return emitOpError("expects tolerances of 0 or more");
  return verifySameRow(*this, getActual(), getExpected());
}

LogicalResult ExpectEqOp::verify() { return verifySameRow(*this, getActual(), getExpected()); }
