//===- DotVnni.cpp - integer dot products with AVX-512 VNNI and AVX-VNNI ----------------===//
//
// vpdpbusd is the operation itself; the same intrinsic gives the EVEX and the VEX form.
//
#include "Dots.h"

using namespace mlir;
using namespace llmc;

void llmc::lowerDotsVnni(Block &block, int64_t lanes) {
  for (auto op : llvm::make_early_inc_range(block.getOps<DotI8Op>())) {
    if (cast<VectorType>(op.getAcc().getType()).getNumElements() != lanes || op.getSignedCodes())
      continue;
    ImplicitLocOpBuilder b(op.getLoc(), op);
    std::string name = "llvm.x86.avx512.vpdpbusd." + std::to_string(32 * lanes);
    op.replaceAllUsesWith(callIntrinsic(b, op.getAcc().getType(), name,
                                        {op.getAcc(), op.getCodes(), op.getInputs()}));
    op.erase();
  }
}
