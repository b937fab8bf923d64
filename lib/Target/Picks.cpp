//===- Picks.cpp - one of four values in each lane --------------------------------------===//
//
// AVX permutes within 128 bits by an index in each lane; elsewhere two levels of selections do it.
//
#include "Dots.h"

#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace llmc;

static Value selectOne(ImplicitLocOpBuilder &b, PickOp op) {
  auto indices = cast<VectorType>(op.getIndex().getType());
  Value zero = splatInteger(b, indices, 0);
  auto bit = [&](int64_t mask) -> Value {
    Value part = arith::AndIOp::create(b, op.getIndex(), splatInteger(b, indices, mask));
    return arith::CmpIOp::create(b, arith::CmpIPredicate::ne, part, zero);
  };
  SmallVector<Value> candidates;
  for (int64_t j = 0; j < 4; ++j) {
    SmallVector<int64_t> order;
    for (int64_t lane = 0; lane < indices.getNumElements(); ++lane)
      order.push_back(lane / 4 * 4 + j);
    candidates.push_back(vector::ShuffleOp::create(b, op.getInput(), op.getInput(), order));
  }
  Value low = bit(1), high = bit(2);
  Value first = arith::SelectOp::create(b, low, candidates[1], candidates[0]);
  Value second = arith::SelectOp::create(b, low, candidates[3], candidates[2]);
  return arith::SelectOp::create(b, high, second, first);
}

void llmc::lowerPicks(ModuleOp module, const TargetInfo &target) {
  // 256 bits are AVX, 512 are AVX-512.
  bool isX86 = StringRef(target.triple).starts_with("x86_64");
  module.walk([&](PickOp op) {
    ImplicitLocOpBuilder b(op.getLoc(), op);
    auto type = cast<VectorType>(op.getInput().getType());
    Value result;
    if (isX86 && type.getNumElements() == target.lanes && target.lanes >= 8)
      result = callIntrinsic(b, type,
                             target.lanes == 16 ? "llvm.x86.avx512.vpermilvar.ps.512"
                                                : "llvm.x86.avx.vpermilvar.ps.256",
                             {op.getInput(), op.getIndex()});
    else
      result = selectOne(b, op);
    op.replaceAllUsesWith(result);
    op.erase();
  });
}
