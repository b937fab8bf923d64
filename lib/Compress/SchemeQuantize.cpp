//===- SchemeQuantize.cpp - round weights to any scheme ------------------------------------===//
//
// The rounding is the scheme's; this pass names none.
//
#include "llmc/Compress/Passes.h"
#include "llmc/Compress/QuantizeLayer.h"
#include "llmc/IR/Layers.h"

#include "mlir/AsmParser/AsmParser.h"

namespace llmc {
#define GEN_PASS_DEF_SCHEMEQUANTIZE
#include "llmc/Compress/Passes.h.inc"
} // namespace llmc

using namespace mlir;
using namespace llmc;

namespace {

struct SchemeQuantize : public llmc::impl::SchemeQuantizeBase<SchemeQuantize> {
  using SchemeQuantizeBase::SchemeQuantizeBase;

  /// The scheme that is named and its plan, which has codes and no mask.
  FailureOr<std::pair<SchemeAttrInterface, DecodePlan>> readScheme() {
    ModuleOp module = getOperation();
    std::string text = StringRef(scheme).starts_with("#") ? scheme : "#llmc." + scheme;
    auto named = dyn_cast_or_null<SchemeAttrInterface>(parseAttribute(text, &getContext()));
    std::optional<DecodePlan> plan = named ? named.decodePlan() : std::nullopt;
    if (!plan || plan->isSparse() || plan->level == DecodePlan::Level::Value)
      return mlir::emitError(module.getLoc())
             << getArgument() << ": expected a scheme with codes and no mask, "
             << "such as scheme=int<4,group=32>, found '" << scheme << "'";
    return std::pair(named, *plan);
  }

  void runOnOperation() override {
    ModuleOp module = getOperation();
    FlatLayers flat(module);
    auto named = readScheme();
    if (failed(named))
      return signalPassFailure();
    auto &[format, plan] = *named;
    auto quantized = readActivations(module, getArgument(), activations, plan.scaleColumns);
    if (failed(quantized))
      return signalPassFailure();
    auto selection = selectWeights(module, getArgument(), include, exclude);
    if (failed(selection) || failed(setActivations(module, getArgument(), *selection, *quantized)))
      return signalPassFailure();

    // The baseline is an even grid of as many bits and groups.
    bool half = plan.scaleType && plan.scaleType.isF16();
    IntFormat even{std::max(2, static_cast<int>(plan.bits)), plan.scaleColumns, false,
                   half ? ScaleType::F16 : ScaleType::F32};
    auto quantize = [&, scheme = format](Layer &layer) -> Result<LayerResult> {
      LayerResult result;
      noteRequantized(layer.weight, result.notes);
      StoredWeight rounded = layer.weight;
      if (Status ok = encodeStored(layer.weight, scheme); !ok)
        return ok.failure();
      if (Status ok = quantizeStored(rounded, even); !ok)
        return ok.failure();
      result.baseline = "rtn";
      result.baselineValues = std::move(rounded.values);
      result.weight = std::move(layer.weight);
      return result;
    };
    std::string text = "scheme=" + scheme + " activations=" + activations;
    if (failed(compressLayers(module, {getArgument(), text + selectionText(include, exclude)},
                              *selection, quantize)))
      return signalPassFailure();
  }
};

} // namespace
