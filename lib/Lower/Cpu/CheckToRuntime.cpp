//===- CheckToRuntime.cpp - checks as code ----------------------------------------------===//
//
// llmc.expect_close and llmc.expect_eq leave the first disagreement (its place from 1, what was
// there and what was expected) in 12 bytes of their own. The entry point turns it into an error
// code, and the runner into a message.
//
#include "llmc/Lower/Cpu/LaneBuilder.h"
#include "llmc/Lower/Cpu/RowKernels.h"

#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace llmc;

/// Whether two scalars agree; false where either is NaN.
static Value agree(ImplicitLocOpBuilder &b, Value actual, Value expected, double atol, double rtol,
                   bool exact) {
  if (exact)
    return arith::CmpFOp::create(b, arith::CmpFPredicate::OEQ, actual, expected);
  auto wide = [&](Value v) -> Value { return arith::ExtFOp::create(b, b.getF64Type(), v); };
  auto constant = [&](double v) -> Value {
    return arith::ConstantOp::create(b, b.getF64FloatAttr(v));
  };
  Value a = wide(actual), e = wide(expected);
  Value difference = math::AbsFOp::create(b, arith::SubFOp::create(b, a, e));
  Value relative = arith::MulFOp::create(b, math::AbsFOp::create(b, e), constant(rtol));
  Value bound = arith::AddFOp::create(b, relative, constant(atol));
  return arith::CmpFOp::create(b, arith::CmpFPredicate::OLE, difference, bound);
}

Kernel llmc::getExpectKernel(KernelBuilder &builder, RowBuffer actual, RowBuffer expected,
                             double atol, double rtol, bool exact, bool expectedInWeights) {
  auto body = [&](ImplicitLocOpBuilder &b, KernelFrame &frame) {
    Value zero = indexConstant(b, 0);
    Value isFirst = arith::CmpIOp::create(b, arith::CmpIPredicate::eq, frame.thread, zero);
    auto branch = scf::IfOp::create(b, isFirst, /*withElseRegion=*/false);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(branch.thenBlock());
    Value left = viewRows(b, frame.arena, frame.offsets[0]);
    Value right = viewRows(b, expectedInWeights ? frame.weights : frame.arena, frame.offsets[1]);
    Value flag = viewAs(b, frame.arena, frame.offsets[2], b.getI32Type());
    Value total = mulIndex(b, frame.rows, actual.width);
    Value found =
        forLoop(b, zero, total, 1, ValueRange{zero},
                [&](Value item, ValueRange carried) -> SmallVector<Value> {
                  Value row = divIndex(b, item, actual.width);
                  Value column = remIndex(b, item, actual.width);
                  Value x = memref::LoadOp::create(b, left, rowIndex(b, row, actual, column));
                  Value y = memref::LoadOp::create(b, right, rowIndex(b, row, expected, column));
                  Value none = arith::CmpIOp::create(b, arith::CmpIPredicate::eq, carried[0], zero);
                  Value here = arith::SelectOp::create(b, none, addIndex(b, item, 1), carried[0]);
                  Value good = agree(b, x, y, atol, rtol, exact);
                  return {arith::SelectOp::create(b, good, carried[0], here)};
                })[0];
    Value narrow = arith::IndexCastOp::create(b, b.getI32Type(), found);
    memref::StoreOp::create(b, narrow, flag, zero);
    Value none = arith::CmpIOp::create(b, arith::CmpIPredicate::eq, found, zero);
    Value last = arith::SubIOp::create(b, found, indexConstant(b, 1));
    Value item = arith::SelectOp::create(b, none, zero, last);
    Value row = divIndex(b, item, actual.width), column = remIndex(b, item, actual.width);
    Value values = viewRows(b, frame.arena, frame.offsets[2]);
    Value x = memref::LoadOp::create(b, left, rowIndex(b, row, actual, column));
    Value y = memref::LoadOp::create(b, right, rowIndex(b, row, expected, column));
    memref::StoreOp::create(b, x, values, indexConstant(b, 1));
    memref::StoreOp::create(b, y, values, indexConstant(b, 2));
  };
  return builder.getOrCreate(
      kernelName(exact ? "expect_eq" : "expect_close",
                 {actual.width, actual.stride, expected.stride, expectedInWeights}, {atol, rtol}),
      3, 0, body);
}
