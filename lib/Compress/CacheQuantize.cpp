//===- CacheQuantize.cpp - keys and values in fewer bits ------------------------------------===//
//
// The type of a cache is the decision, and whether it is multiplied as it is; kernels narrow on the
// way in and widen on the way out.
//
#include "llmc/Compress/Passes.h"
#include "llmc/IR/Layers.h"

#include "llvm/ADT/StringSwitch.h"

namespace llmc {
#define GEN_PASS_DEF_CACHEQUANTIZE
#include "llmc/Compress/Passes.h.inc"
} // namespace llmc

using namespace mlir;
using namespace llmc;

namespace {

struct CacheQuantize : public llmc::impl::CacheQuantizeBase<CacheQuantize> {
  using CacheQuantizeBase::CacheQuantizeBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    FlatLayers flat(module);
    Builder b(&getContext());
    Type element = llvm::StringSwitch<Type>(type.getValue())
                       .Case("f32", b.getF32Type())
                       .Case("f16", b.getF16Type())
                       .Case("bf16", b.getBF16Type())
                       .Case("i8", b.getI8Type())
                       .Default(Type());
    if (!element) {
      module.emitError("cache-quantize: expected type f32, f16, bf16 or i8, got '") << type << "'";
      return signalPassFailure();
    }
    if (products != "f32" && products != "i8") {
      module.emitError("cache-quantize: expected products f32 or i8, got '") << products << "'";
      return signalPassFailure();
    }
    if (products == "i8" && !element.isInteger(8)) {
      module.emitError("cache-quantize: expected type i8 with products of i8, got '")
          << type << "'";
      return signalPassFailure();
    }
    auto caches = module.getOps<CacheOp>();
    if (caches.empty()) {
      module.emitError("cache-quantize: the model has no cache");
      return signalPassFailure();
    }
    for (CacheOp cache : caches) {
      auto shape = cast<RankedTensorType>(cache.getType());
      cache.setType(RankedTensorType::get(shape.getShape(), element));
      cache.setByteProducts(products == "i8");
    }
  }
};

} // namespace
