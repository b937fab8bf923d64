//===- RTNQuantize.cpp - quantize weights to integers, round to nearest -------------------===//
//
// The baseline of all integer methods.
//
#include "llmc/Compress/Passes.h"
#include "llmc/Compress/QuantizeLayer.h"
#include "llmc/IR/Layers.h"

namespace llmc {
#define GEN_PASS_DEF_RTNQUANTIZE
#include "llmc/Compress/Passes.h.inc"
} // namespace llmc

using namespace mlir;
using namespace llmc;

namespace {

struct RTNQuantize : public llmc::impl::RTNQuantizeBase<RTNQuantize> {
  using RTNQuantizeBase::RTNQuantizeBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    FlatLayers flat(module);
    auto settings =
        readQuantizeOptions(module, getArgument(), bits, group, symmetric, scale, activations);
    if (failed(settings))
      return signalPassFailure();
    auto selection = selectWeights(module, getArgument(), include, exclude);
    if (failed(selection) ||
        failed(setActivations(module, getArgument(), *selection, settings->activations)))
      return signalPassFailure();

    auto quantize = [&](Layer &layer) -> Result<LayerResult> {
      LayerResult result;
      noteRequantized(layer.weight, result.notes);
      if (settings->format.bits == 2)
        result.notes.push_back("2 bits rounded to nearest lose most of a model");
      if (Status ok = quantizeStored(layer.weight, settings->format); !ok)
        return ok.failure();
      result.baseline = "rtn";
      result.baselineValues = layer.weight.values;
      result.weight = std::move(layer.weight);
      return result;
    };
    PassRun run{getArgument(), settings->text + selectionText(include, exclude)};
    if (failed(compressLayers(module, run, *selection, quantize)))
      return signalPassFailure();
  }
};

} // namespace
