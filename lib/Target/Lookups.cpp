//===- Lookups.cpp - tables of 16 in registers, and bytes times three -------------------===//
//
// x86 and AArch64 shuffle bytes by an index within 128 bits, so a table of 16 bytes is one
// instruction. A table of 16 floats is one register of AVX-512. Elsewhere four levels of selections
// choose the entry.
//
#include "Dots.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace llmc;

/// The table, again and again up to the length of `type`.
static Value tableRegister(ImplicitLocOpBuilder &b, LookupOp op, VectorType type) {
  SmallVector<Attribute> table(op.getTable().getValues<Attribute>()), entries;
  for (int64_t i = 0; i < type.getNumElements(); ++i)
    entries.push_back(table[i % table.size()]);
  return arith::ConstantOp::create(b, DenseElementsAttr::get(type, entries));
}

static Value selectEntry(ImplicitLocOpBuilder &b, LookupOp op) {
  auto type = cast<VectorType>(op.getResult().getType());
  SmallVector<Value> entries;
  for (Attribute entry : op.getTable().getValues<Attribute>())
    entries.push_back(arith::ConstantOp::create(b, DenseElementsAttr::get(type, entry)));
  return selectCandidate(b, op.getIndex(), entries);
}

static Value lowerLookup(ImplicitLocOpBuilder &b, LookupOp op, const TargetInfo &target) {
  auto type = cast<VectorType>(op.getResult().getType());
  bool isX86 = StringRef(target.triple).starts_with("x86_64");
  bool isFloat = type.getElementType().isF32();
  int64_t bits = type.getNumElements() * type.getElementTypeBitWidth();
  if (bits != 32 * target.lanes)
    return selectEntry(b, op);
  if (!isX86)
    return isFloat ? selectEntry(b, op)
                   : callIntrinsic(b, type, "llvm.aarch64.neon.tbl1.v16i8",
                                   {tableRegister(b, op, type), op.getIndex()});
  // 128 bits may be without byte shuffles, 256 are of AVX or AVX2.
  if (bits < 256 || (isFloat && bits < 512) || !llvm::is_contained(target.features, "avx2"))
    return selectEntry(b, op);
  Value table = tableRegister(b, op, type);
  if (isFloat)
    return callIntrinsic(b, type, "llvm.x86.avx512.permvar.sf.512", {table, op.getIndex()});
  return callIntrinsic(b, type,
                       bits == 256 ? "llvm.x86.avx2.pshuf.b" : "llvm.x86.avx512.pshuf.b.512",
                       {table, op.getIndex()});
}

void llmc::lowerLookups(ModuleOp module, const TargetInfo &target) {
  module.walk([&](LookupOp op) {
    ImplicitLocOpBuilder b(op.getLoc(), op);
    op.replaceAllUsesWith(lowerLookup(b, op, target));
    op.erase();
  });
  module.walk([&](TripleOp op) {
    ImplicitLocOpBuilder b(op.getLoc(), op);
    Value twice = arith::AddIOp::create(b, op.getInput(), op.getInput());
    Value result = arith::AddIOp::create(b, twice, op.getInput());
    // x86 multiplies no bytes, which LLVM would make of a chain of these.
    bool isRegister = cast<VectorType>(result.getType()).getNumElements() == 4 * target.lanes;
    if (isRegister && StringRef(target.triple).starts_with("x86_64"))
      result = keepOrder(b, result);
    op.replaceAllUsesWith(result);
    op.erase();
  });
}
