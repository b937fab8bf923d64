//===- DotGeneric.cpp - integer dot products on any target ------------------------------===//
//
// The choice among instruction sets, and the fallback: each lane's four bytes are taken apart by
// shifts.
//
#include "Dots.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
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
