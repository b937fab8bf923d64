//===- DotNeon.cpp - integer dot products with the dotprod extension --------------------===//
//
// sdot takes signed bytes. Codes above 127 lose 128 first, and 128 times the sum of the inputs is
// added; that sum is the same for every vector of codes, so it is computed once.
//
#include "Dots.h"

using namespace mlir;
using namespace llmc;

void llmc::lowerDotsNeon(Block &block) {
  for (auto op : llvm::make_early_inc_range(block.getOps<DotI8Op>())) {
    auto sums = cast<VectorType>(op.getAcc().getType());
    auto bytes = cast<VectorType>(op.getCodes().getType());
    if (sums.getNumElements() != 4)
      continue;
    ImplicitLocOpBuilder b(op.getLoc(), op);
    auto sdot = [&](Value acc, Value codes) {
      return callIntrinsic(b, sums, "llvm.aarch64.neon.sdot", {acc, codes, op.getInputs()});
    };
    Value acc = op.getAcc(), codes = op.getCodes();
    if (op.getBound() > 127 && !op.getSignedCodes()) {
      Value half = splatInteger(b, bytes, 64);
      Value offset = sdot(sdot(splatInteger(b, sums, 0), half), half);
      acc = arith::AddIOp::create(b, acc, offset);
      codes = arith::XOrIOp::create(b, codes, splatInteger(b, bytes, -128));
    }
    op.replaceAllUsesWith(sdot(acc, codes));
    op.erase();
  }
}
