//===- DotMaddubs.cpp - integer dot products with AVX2 and AVX-512BW --------------------===//
//
// vpmaddubsw adds pairs of products in 16 bits, which saturate. As many of a chain are added there
// as the bound on the codes lets be exact; vpmaddwd by ones widens the rest of the way. Codes whose
// pair of products needs more than 16 bits are spread to 16 bits themselves; signed codes give
// their sign to the inputs.
//
#include "Dots.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace llmc;

namespace {

/// The types and intrinsics of one vector width.
struct Width {
  VectorType sums, pairs;
  StringRef maddubs, madd;
};

/// A chain whose products are not yet added to its accumulator.
struct Chain {
  Value acc;   ///< i32.
  Value pairs; ///< i16.
  int64_t largest = 0;
};

} // namespace

static Width widthOf(DotI8Op op) {
  auto sums = cast<VectorType>(op.getAcc().getType());
  auto pairs = VectorType::get({2 * sums.getNumElements()}, IntegerType::get(op.getContext(), 16));
  if (sums.getNumElements() == 16)
    return {sums, pairs, "llvm.x86.avx512.pmaddubs.w.512", "llvm.x86.avx512.pmaddw.d.512"};
  return {sums, pairs, "llvm.x86.avx2.pmadd.ub.sw", "llvm.x86.avx2.pmadd.wd"};
}

static int64_t largestPair(DotI8Op op) { return 2 * 127 * static_cast<int64_t>(op.getBound()); }

static Value spreadProducts(ImplicitLocOpBuilder &b, DotI8Op op, const Width &width) {
  Value codes = vector::BitCastOp::create(b, width.pairs, op.getCodes());
  Value inputs = vector::BitCastOp::create(b, width.pairs, op.getInputs());
  Value eight = splatInteger(b, width.pairs, 8);
  auto shiftRight = [&](Value value) -> Value {
    if (op.getSignedCodes())
      return arith::ShRSIOp::create(b, value, eight);
    return arith::ShRUIOp::create(b, value, eight);
  };
  Value even = shiftRight(arith::ShLIOp::create(b, codes, eight));
  Value odd = shiftRight(codes);
  Value evenInputs = arith::ShRSIOp::create(b, arith::ShLIOp::create(b, inputs, eight), eight);
  Value oddInputs = arith::ShRSIOp::create(b, inputs, eight);
  Value sum = callIntrinsic(b, width.sums, width.madd, {even, evenInputs});
  return arith::AddIOp::create(b, sum, callIntrinsic(b, width.sums, width.madd, {odd, oddInputs}));
}

// The next dot of the chain `op` is in, if it can take sums of 16 bits.
static bool continues(DotI8Op op, int64_t largest) {
  if (!op.getResult().hasOneUse())
    return false;
  auto next = dyn_cast<DotI8Op>(*op.getResult().user_begin());
  return next && next->getBlock() == op->getBlock() && next.getAcc() == op.getResult() &&
         largest + largestPair(next) <= 32767;
}

void llmc::lowerDotsMaddubs(Block &block, int64_t lanes) {
  DenseMap<Operation *, Chain> chains; // By the dot that continues it.
  for (auto op : llvm::make_early_inc_range(block.getOps<DotI8Op>())) {
    if (cast<VectorType>(op.getAcc().getType()).getNumElements() != lanes)
      continue;
    Width width = widthOf(op);
    ImplicitLocOpBuilder b(op.getLoc(), op);
    Value acc = op.getAcc(), result;
    // Only the registers of 256 bits can take the sign of one from the other.
    if (largestPair(op) > 32767 || (op.getSignedCodes() && lanes != 8)) {
      result = arith::AddIOp::create(b, acc, spreadProducts(b, op, width));
    } else {
      Chain chain = chains.lookup(op);
      Value codes = op.getCodes(), inputs = op.getInputs();
      if (op.getSignedCodes()) {
        inputs = callIntrinsic(b, inputs.getType(), "llvm.x86.avx2.psign.b", {inputs, codes});
        codes = LLVM::AbsOp::create(b, codes.getType(), codes, /*is_int_min_poison=*/false);
      }
      Value pairs = callIntrinsic(b, width.pairs, width.maddubs, {codes, inputs});
      if (chain.pairs)
        pairs = keepOrder(b, arith::AddIOp::create(b, chain.pairs, pairs));
      chain.pairs = pairs;
      chain.acc = chain.acc ? chain.acc : acc;
      chain.largest += largestPair(op);
      if (continues(op, chain.largest)) {
        // The sum follows where the chain ends; until then its accumulator stands for it.
        auto next = cast<DotI8Op>(*op.getResult().user_begin());
        next.getAccMutable().assign(chain.acc);
        chains[next] = chain;
        op.erase();
        continue;
      }
      Value ones = splatInteger(b, width.pairs, 1);
      Value sums = callIntrinsic(b, width.sums, width.madd, {chain.pairs, ones});
      result = arith::AddIOp::create(b, chain.acc, sums);
    }
    op.replaceAllUsesWith(keepOrder(b, result));
    op.erase();
  }
}
