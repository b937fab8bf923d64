//===- DotGeneric.cpp - integer dot products on any target ------------------------------===//
//
// The choice among instruction sets, and the fallback: each lane's four bytes are taken apart by
// shifts.
//
#include "Dots.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace llmc;

Value llmc::callIntrinsic(ImplicitLocOpBuilder &b, Type type, StringRef name,
                          ValueRange arguments) {
  return LLVM::CallIntrinsicOp::create(b, type, b.getStringAttr(name), arguments).getResult(0);
}

Value llmc::splatInteger(ImplicitLocOpBuilder &b, VectorType type, int64_t value) {
  Attribute element = b.getIntegerAttr(type.getElementType(), value);
  return arith::ConstantOp::create(b, DenseElementsAttr::get(type, element));
}

Value llmc::selectCandidate(ImplicitLocOpBuilder &b, Value index, ArrayRef<Value> candidates) {
  auto type = cast<VectorType>(index.getType());
  Value zero = splatInteger(b, type, 0);
  SmallVector<Value> level(candidates);
  for (int64_t bit = 1; level.size() > 1; bit *= 2) {
    Value part = arith::AndIOp::create(b, index, splatInteger(b, type, bit));
    Value isOdd = arith::CmpIOp::create(b, arith::CmpIPredicate::ne, part, zero);
    SmallVector<Value> next;
    for (size_t i = 0; i < level.size(); i += 2)
      next.push_back(arith::SelectOp::create(b, isOdd, level[i + 1], level[i]));
    level = next;
  }
  return level.front();
}

Value llmc::keepOrder(ImplicitLocOpBuilder &b, Value value) {
  auto dialect = LLVM::AsmDialectAttr::get(b.getContext(), LLVM::AsmDialect::AD_ATT);
  // Of 32 registers of 512 bits, x means the first 16.
  auto type = cast<VectorType>(value.getType());
  bool isWide = type.getNumElements() * type.getElementTypeBitWidth() == 512;
  StringRef constraints = isWide ? "=v,0" : "=x,0";
  return LLVM::InlineAsmOp::create(b, value.getType(), value, "", constraints,
                                   /*has_side_effects=*/false, /*is_align_stack=*/false,
                                   LLVM::TailCallKind::None, dialect, ArrayAttr())
      .getResult(0);
}

void llmc::lowerDotsGeneric(Block &block) {
  for (auto op : llvm::make_early_inc_range(block.getOps<DotI8Op>())) {
    ImplicitLocOpBuilder b(op.getLoc(), op);
    auto type = cast<VectorType>(op.getAcc().getType());
    auto constant = [&](int64_t value) { return splatInteger(b, type, value); };
    Value codes = vector::BitCastOp::create(b, type, op.getCodes());
    Value inputs = vector::BitCastOp::create(b, type, op.getInputs());
    Value sum = op.getAcc();
    for (int64_t shift : {0, 8, 16, 24}) {
      Value code = arith::ShLIOp::create(b, codes, constant(24 - shift));
      code = op.getSignedCodes() ? arith::ShRSIOp::create(b, code, constant(24)).getResult()
                                 : arith::ShRUIOp::create(b, code, constant(24)).getResult();
      Value input = arith::ShLIOp::create(b, inputs, constant(24 - shift));
      input = arith::ShRSIOp::create(b, input, constant(24));
      sum = arith::AddIOp::create(b, sum, arith::MulIOp::create(b, code, input));
    }
    op.replaceAllUsesWith(sum);
    op.erase();
  }
}

// A row at a time, as many sums as a register has.
static void lowerBlockGeneric(BlockI8Op op, int64_t lanes) {
  ImplicitLocOpBuilder b(op.getLoc(), op);
  auto sums = VectorType::get({lanes}, b.getI32Type());
  auto bytes = VectorType::get({4 * lanes}, b.getI8Type());
  auto index = [&](int64_t value) -> Value { return arith::ConstantIndexOp::create(b, value); };
  // start + by * stride.
  auto at = [&](Value start, Value by, uint64_t stride) -> Value {
    Value distance = arith::MulIOp::create(b, by, index(static_cast<int64_t>(stride)));
    return arith::AddIOp::create(b, start, distance);
  };
  auto loop = [&](int64_t end, int64_t step, ValueRange init, auto body) {
    return scf::ForOp::create(b, index(0), index(end), index(step), init,
                              [&](OpBuilder &builder, Location, Value i, ValueRange carried) {
                                OpBuilder::InsertionGuard guard(b);
                                b.setInsertionPointToEnd(builder.getInsertionBlock());
                                scf::YieldOp::create(b, body(i, carried));
                              });
  };
  using Values = SmallVector<Value>;
  auto rows = static_cast<int64_t>(op.getRows()), columns = static_cast<int64_t>(op.getColumns());
  loop(rows, 1, {}, [&](Value row, ValueRange) {
    Value rowSums = at(op.getSumStart(), row, op.getSumStride());
    Value rowInputs = at(op.getInputStart(), row, op.getInputStride());
    loop(columns, lanes, {}, [&](Value column, ValueRange) {
      Value place = arith::AddIOp::create(b, rowSums, column);
      Value firstCode = at(op.getCodeStart(), column, 4), start = splatInteger(b, sums, 0);
      if (op.getAccumulate())
        start = vector::LoadOp::create(b, sums, op.getSums(), ValueRange{place});
      auto quads = static_cast<int64_t>(op.getInputs()) / 4;
      Value sum =
          loop(quads, 1, start, [&](Value quad, ValueRange carried) {
            Value codeAt = at(firstCode, quad, op.getCodeStride());
            Value codes = vector::LoadOp::create(b, bytes, op.getCodes(), ValueRange{codeAt});
            Value inputAt = at(rowInputs, quad, 4);
            Value four = vector::LoadOp::create(b, VectorType::get({4}, b.getI8Type()), op.getX(),
                                                ValueRange{inputAt});
            Value word = vector::BitCastOp::create(b, VectorType::get({1}, b.getI32Type()), four);
            Value scalar = vector::ExtractOp::create(b, word, ArrayRef<int64_t>{0});
            Value all = vector::BroadcastOp::create(b, sums, scalar);
            Value inputs = vector::BitCastOp::create(b, bytes, all);
            return Values{DotI8Op::create(b, carried[0], codes, inputs,
                                          static_cast<int64_t>(op.getBound()),
                                          /*signed_codes=*/false)};
          }).getResult(0);
      vector::StoreOp::create(b, sum, op.getSums(), ValueRange{place});
      return Values{};
    });
    return Values{};
  });
  op.erase();
}

void llmc::lowerBlocks(ModuleOp module, const TargetInfo &target) {
  if (target.tiles)
    lowerBlocksAmx(module);
  module.walk([&](BlockI8Op op) { lowerBlockGeneric(op, target.lanes); });
}

void llmc::lowerDots(ModuleOp module, const TargetInfo &target) {
  module.walk([&](Block *block) {
    if (target.dot == "maddubs")
      lowerDotsMaddubs(*block, target.lanes);
    else if (target.dot == "vnni")
      lowerDotsVnni(*block, target.lanes);
    else if (target.dot == "sdot")
      lowerDotsNeon(*block);
    lowerDotsGeneric(*block);
  });
}
