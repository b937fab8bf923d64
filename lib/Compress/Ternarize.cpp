//===- Ternarize.cpp - weights of -s, 0 and s ---------------------------------------------===//
//
// BitNet b1.58's absmean rule over the kept weights.
//
#include "llmc/Compress/Passes.h"
#include "llmc/Compress/QuantizeLayer.h"
#include "llmc/IR/Layers.h"

namespace llmc {
#define GEN_PASS_DEF_TERNARIZE
#include "llmc/Compress/Passes.h.inc"
} // namespace llmc

using namespace mlir;
using namespace llmc;

namespace {

struct Ternarize : public llmc::impl::TernarizeBase<Ternarize> {
  using TernarizeBase::TernarizeBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    FlatLayers flat(module);
    if (packing != "2bit" && packing != "base3") {
      mlir::emitError(module.getLoc())
          << getArgument() << ": expected packing=2bit or base3, found '" << packing << "'";
      return signalPassFailure();
    }
    auto quantized = readActivations(module, getArgument(), activations, /*group=*/0);
    if (failed(quantized))
      return signalPassFailure();
    auto selection = selectWeights(module, getArgument(), include, exclude);
    if (failed(selection) || failed(setActivations(module, getArgument(), *selection, *quantized)))
      return signalPassFailure();

    SchemeAttrInterface scheme = getTernaryScheme(&getContext(), packing == "base3");
    // The baseline is what 2 bits per weight can do without the rule: a symmetric grid per output.
    IntFormat twoBits{2, 0, true, ScaleType::F32};
    auto ternarize = [&](Layer &layer) -> Result<LayerResult> {
      LayerResult result;
      StoredWeight rounded = layer.weight;
      if (Status ok = encodeStored(layer.weight, scheme); !ok)
        return ok.failure();
      if (layer.weight.values != rounded.values) // Ternary weights are repacked without loss.
        noteRequantized(rounded, result.notes);
      if (Status ok = quantizeStored(rounded, twoBits); !ok)
        return ok.failure();
      result.baseline = "rtn";
      result.baselineValues = std::move(rounded.values);
      result.weight = std::move(layer.weight);
      return result;
    };
    PassRun run{getArgument(), "packing=" + packing + " activations=" + activations +
                                   selectionText(include, exclude)};
    if (failed(compressLayers(module, run, *selection, ternarize)))
      return signalPassFailure();
  }
};

} // namespace
