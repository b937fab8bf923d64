//===- Ternarize.cpp - weights of -s, 0 and s ---------------------------------------------===//
//
// BitNet b1.58's absmean rule over the kept weights.
//
#include "llmc/Compress/Passes.h"
#include "llmc/Compress/QuantizeLayer.h"

namespace llmc {
#define GEN_PASS_DEF_TERNARIZE
#include "llmc/Compress/Passes.h.inc"
} // namespace llmc

using namespace mlir;
using namespace llmc;

/// Ternary codes of the kept weights; pruned ones stay 0 and do not pull the mean down.
static Result<TernaryWeight> ternarizeKept(const StoredWeight &weight) {
  if (!weight.isSparse())
    return quantizeTernary(weight.values, weight.rows, weight.columns);
  std::vector<float> kept;
  for (size_t i = 0; i < weight.values.size(); ++i)
    if (weight.keep[i])
      kept.push_back(weight.values[i]);
  Result<TernaryWeight> codes = quantizeTernary(kept, 1, kept.size());
  if (!codes)
    return codes;
  std::vector<int8_t> dense(weight.values.size());
  size_t next = 0;
  for (size_t i = 0; i < dense.size(); ++i)
    if (weight.keep[i])
      dense[i] = codes->codes[next++];
  codes->codes = std::move(dense);
  return codes;
}

namespace {

struct Ternarize : public llmc::impl::TernarizeBase<Ternarize> {
  using TernarizeBase::TernarizeBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    if (packing != "2bit" && packing != "base3") {
      mlir::emitError(module.getLoc())
          << getArgument() << ": expected packing=2bit or base3, found '" << packing << "'";
      return signalPassFailure();
    }
    auto quantized = readActivations(module, getArgument(), activations, /*group=*/0);
    if (failed(quantized))
      return signalPassFailure();
    auto selection = selectWeights(module, getArgument(), include, exclude);
    if (failed(selection))
      return signalPassFailure();

    // The baseline is what 2 bits per weight can do without the rule: a symmetric grid per output.
    IntFormat twoBits{2, 0, true, ScaleType::F32};
    auto ternarize = [&](Layer &layer) -> Result<LayerResult> {
      LayerResult result;
      if (layer.weight.coding == StoredWeight::Coding::Int ||
          layer.weight.coding == StoredWeight::Coding::Table)
        noteRequantized(layer.weight, result.notes);
      Result<TernaryWeight> codes = ternarizeKept(layer.weight);
      if (!codes)
        return codes.failure();
      StoredWeight rounded = layer.weight;
      if (Status ok = quantizeStored(rounded, twoBits); !ok)
        return ok.failure();
      result.baseline = "rtn";
      result.baselineValues = std::move(rounded.values);
      layer.weight.setTernary(std::move(*codes));
      layer.weight.base3 = packing == "base3";
      result.weight = std::move(layer.weight);
      return result;
    };
    PassRun run{getArgument(), "packing=" + packing + " activations=" + activations +
                                   selectionText(include, exclude)};
    if (failed(compressLayers(module, run, *selection, ternarize)))
      return signalPassFailure();
    setActivations(*selection, *quantized);
  }
};

} // namespace
