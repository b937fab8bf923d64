//===- Picks.cpp - one of four values in each lane, one of eight bytes ------------------===//
//
// AVX permutes within 128 bits by an index in each lane or byte, NEON bytes by a table; elsewhere
// levels of selections do it.
//
#include "Dots.h"

#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace llmc;

static Value selectOne(ImplicitLocOpBuilder &b, PickOp op) {
  auto indices = cast<VectorType>(op.getIndex().getType());
  SmallVector<Value> candidates;
  for (int64_t j = 0; j < 4; ++j) {
    SmallVector<int64_t> order;
    for (int64_t lane = 0; lane < indices.getNumElements(); ++lane)
      order.push_back(lane / 4 * 4 + j);
    candidates.push_back(vector::ShuffleOp::create(b, op.getInput(), op.getInput(), order));
  }
  return selectCandidate(b, op.getIndex(), candidates);
}

// The eight bytes, again and again.
static Value repeatBytes(ImplicitLocOpBuilder &b, PickI8Op op) {
  auto bytes = cast<VectorType>(op.getIndex().getType());
  Type wide = b.getI64Type();
  Value all = vector::BitCastOp::create(b, VectorType::get({1}, wide), op.getInput());
  all = vector::ExtractOp::create(b, all, ArrayRef<int64_t>{0});
  all = vector::BroadcastOp::create(b, VectorType::get({bytes.getNumElements() / 8}, wide), all);
  return vector::BitCastOp::create(b, bytes, all);
}

static Value selectByte(ImplicitLocOpBuilder &b, PickI8Op op) {
  auto bytes = cast<VectorType>(op.getIndex().getType());
  SmallVector<Value> candidates;
  for (int64_t i = 0; i < 8; ++i) {
    Value byte = vector::ExtractOp::create(b, op.getInput(), ArrayRef<int64_t>{i});
    candidates.push_back(vector::BroadcastOp::create(b, bytes, byte));
  }
  return selectCandidate(b, op.getIndex(), candidates);
}

static void lowerBytePicks(ModuleOp module, const TargetInfo &target) {
  StringRef triple = target.triple;
  module.walk([&](PickI8Op op) {
    ImplicitLocOpBuilder b(op.getLoc(), op);
    auto type = cast<VectorType>(op.getIndex().getType());
    bool isNative = type.getNumElements() == 4 * target.lanes;
    Value result;
    // Registers of 512 bits have bytes where they have dot products.
    if (triple.starts_with("x86_64") && isNative && target.lanes >= 8 && target.dot != "none")
      result = callIntrinsic(
          b, type, target.lanes == 16 ? "llvm.x86.avx512.pshuf.b.512" : "llvm.x86.avx2.pshuf.b",
          {repeatBytes(b, op), op.getIndex()});
    else if (triple.starts_with("aarch64") && isNative && target.lanes == 4)
      // A table answers 0 behind its end, so the index is masked.
      result = callIntrinsic(
          b, type, "llvm.aarch64.neon.tbl1.v16i8",
          {repeatBytes(b, op),
           arith::AndIOp::create(b, op.getIndex(), splatInteger(b, type, 7)).getResult()});
    else
      result = selectByte(b, op);
    op.replaceAllUsesWith(result);
    op.erase();
  });
}

void llmc::lowerPicks(ModuleOp module, const TargetInfo &target) {
  lowerBytePicks(module, target);
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
