//===- Decompress.cpp - store compressed weights dense again ------------------------------===//
//
// The matrix each compressed weight means, in f32. What the graph computes stays the same.
//
#include "llmc/Compress/CompressLayers.h"
#include "llmc/Compress/Passes.h"
#include "llmc/Compress/QuantizeLayer.h"

#include "llmc/IR/Layers.h"
#include "llmc/IR/WeightData.h"

namespace llmc {
#define GEN_PASS_DEF_DECOMPRESS
#include "llmc/Compress/Passes.h.inc"
} // namespace llmc

using namespace mlir;
using namespace llmc;

/// Where a weight's values go: a plain tensor if that is f32, otherwise (the weight means f16 or
/// bf16) f32 storage of that type, because the products of codes and scales need not fit it.
static Type denseType(CompressedType type) {
  Type f32 = Float32Type::get(type.getContext());
  if (type.getElementType().isF32())
    return RankedTensorType::get(type.getShape(), f32);
  return CompressedType::get(type.getContext(), type.getShape(), type.getElementType(),
                             getValueScheme(f32));
}

namespace {

struct Decompress : public llmc::impl::DecompressBase<Decompress> {
  using DecompressBase::DecompressBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    FlatLayers flat(module);
    std::string wanted = include.empty() ? std::string(".*") : include.getValue();
    auto selection = selectWeights(module, getArgument(), wanted, exclude);
    if (failed(selection))
      return signalPassFailure();
    llvm::erase_if(*selection, [](const WeightUse &use) {
      auto type = dyn_cast<CompressedType>(use.op().getType());
      return !type || denseType(type) == type;
    });
    if (selection->empty()) {
      mlir::emitRemark(module.getLoc()) << getArgument() << ": no weight is compressed";
      return;
    }

    std::vector<PackedWeight> dense(selection->size());
    std::vector<LayerRecord> records(selection->size());
    auto decompress = [&](size_t i) -> std::optional<std::string> {
      WeightOp op = (*selection)[i].op();
      FailureOr<std::vector<float>> values = readWeight(op);
      if (failed(values))
        return "cannot be read";
      dense[i].type = denseType(cast<CompressedType>(op.getType()));
      dense[i].components.push_back(storeFloats(*values, Float32Type::get(&getContext())));
      records[i].name = (*selection)[i].name;
      records[i].inputHash = hashLayer(op, std::nullopt);
      records[i].bytesBefore = storedBytes(op);
      records[i].bytesAfter = dense[i].bytes();
      records[i].bitsPerWeight = dense[i].bitsPerWeight();
      return std::nullopt;
    };
    PassRun run{getArgument(), StringRef(selectionText(include, exclude)).ltrim().str()};
    if (failed(runInParallel(module, run, *selection, decompress)))
      return signalPassFailure();
    std::string suffix = blobSuffix(module);
    for (auto [use, packed] : llvm::zip(*selection, dense))
      replaceWeight(use, packed, suffix);
    appendProvenance(module, run.flag, run.options, records);
  }
};

} // namespace
