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

LogicalResult BlockI8Op::verify() {
  auto isTile = [](uint64_t count) { return count == 16 || count == 32; };
  if (!isTile(getRows()) || !isTile(getColumns())) // C1
    return emitOpError("expects a block of 16 or 32 rows and columns, got ")
           << getRows() << " by " << getColumns();
  if ((getDepth() != 32 && getDepth() != 64) || !getInputs() || getInputs() % getDepth()) // C2
    return emitOpError("expects a depth of 32 or 64 and inputs a multiple of it, got ")
           << getDepth() << " and " << getInputs();
  struct {
    StringRef name;
    uint64_t stride, least;
  } strides[] = {{"sum_stride", getSumStride(), getColumns()},
                 {"input_stride", getInputStride(), getInputs()},
                 {"code_stride", getCodeStride(), 4 * getColumns()}};
  for (auto [name, stride, least] : strides)
    if (stride < least || stride > (uint64_t(1) << 31)) // C3
      return emitOpError("expects ") << name << " of at least " << least << ", got " << stride;
  if (getBound() < 1 || getBound() > 255) // C4
    return emitOpError("expects a bound from 1 to 255, got ") << getBound();
  return success();
}

LogicalResult PickOp::verify() {
  auto lanes = [](Value value) { return cast<VectorType>(value.getType()).getNumElements(); };
  if (lanes(getInput()) % 4 != 0 || lanes(getInput()) != lanes(getIndex())) // C1
    return emitOpError("expects as many indices as inputs and a multiple of four, got ")
           << getInput().getType() << " and " << getIndex().getType();
  return success();
}

LogicalResult LookupOp::verify() {
  auto index = cast<VectorType>(getIndex().getType()),
       result = cast<VectorType>(getResult().getType());
  ShapedType table = getTable().getShapedType();
  if (table.getElementType() != result.getElementType() || table.getNumElements() != 16) // C1
    return emitOpError("expects a table of 16 ") << result.getElementType() << ", got " << table;
  Type word = IntegerType::get(getContext(), result.getElementType().isF32() ? 32 : 8);
  if (index.getNumElements() != result.getNumElements() || index.getElementType() != word) // C2
    return emitOpError("expects ")
           << result.getNumElements() << " indices of " << word << ", got " << index;
  return success();
}

LogicalResult PickI8Op::verify() {
  auto bytes = [](Value value) { return cast<VectorType>(value.getType()).getNumElements(); };
  if (bytes(getInput()) != 8 || bytes(getIndex()) % 16 != 0) // C1
    return emitOpError("expects 8 inputs and a multiple of 16 indices, got ")
           << getInput().getType() << " and " << getIndex().getType();
  return success();
}
