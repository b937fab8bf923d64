//===- KernelOps.cpp - verifiers of the operations of kernels ---------------------------===//
//
// The labels C1, C2, ... are those of the operations' descriptions.
//
#include "llmc/IR/LLMCDialect.h"

using namespace mlir;
using namespace llmc;

LogicalResult DotI8Op::verify() {
  int64_t lanes = cast<VectorType>(getAcc().getType()).getNumElements();
  int64_t bytes = cast<VectorType>(getCodes().getType()).getNumElements();
  if (bytes != 4 * lanes) // C1
    return emitOpError("expects 4 codes for each of ") << lanes << " sums, got " << bytes;
  int64_t bound = getBoundAttr().getInt(), largest = getSignedCodes() ? 128 : 255;
  if (bound < 1 || bound > largest) // C2
    return emitOpError("expects a bound from 1 to ") << largest << ", got " << bound;
  return success();
}

LogicalResult PickOp::verify() {
  auto lanes = [](Value value) { return cast<VectorType>(value.getType()).getNumElements(); };
  if (lanes(getInput()) % 4 != 0 || lanes(getInput()) != lanes(getIndex())) // C1
    return emitOpError("expects as many indices as inputs and a multiple of four, got ")
           << getInput().getType() << " and " << getIndex().getType();
  return success();
}
