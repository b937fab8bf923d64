//===- Nf4Quantize.cpp - quantize weights to the 16 levels of NF4 -------------------------===//
//
// Rounds to a table; which of the two NF4 tables follows from how activations are multiplied.
//
#include "llmc/Compress/Passes.h"
#include "llmc/Compress/QuantizeLayer.h"
#include "llmc/IR/Layers.h"

#include "llvm/Support/raw_ostream.h"

namespace llmc {
#define GEN_PASS_DEF_NF4QUANTIZE
#include "llmc/Compress/Passes.h.inc"
} // namespace llmc

using namespace mlir;
using namespace llmc;

namespace {

struct Nf4Quantize : public llmc::impl::Nf4QuantizeBase<Nf4Quantize> {
  using Nf4QuantizeBase::Nf4QuantizeBase;

  FailureOr<CodeTable> chooseTable(bool quantized) {
    std::optional<CodeTable> named = parseCodeTable(table);
    if (named == CodeTable::NF4 || named == CodeTable::NF4I8)
      return *named;
    ModuleOp module = getOperation();
    if (!table.empty())
      return mlir::emitError(module.getLoc())
             << getArgument() << ": expected table=nf4 or nf4_i8, found '" << table << "'";
    if (quantized)
      mlir::emitRemark(module.getLoc())
          << getArgument()
          << ": the levels are multiples of 1/127 (table nf4_i8), so that products "
          << "with quantized activations are integers; table=nf4 keeps the exact levels";
    return quantized ? CodeTable::NF4I8 : CodeTable::NF4;
  }

  void runOnOperation() override {
    ModuleOp module = getOperation();
    FlatLayers flat(module);
    auto scaleType = readGroupOptions(module, getArgument(), group, scale);
    if (failed(scaleType))
      return signalPassFailure();
    auto quantized = readActivations(module, getArgument(), activations, group);
    if (failed(quantized))
      return signalPassFailure();
    auto chosen = chooseTable(static_cast<bool>(*quantized));
    if (failed(chosen))
      return signalPassFailure();
    auto selection = selectWeights(module, getArgument(), include, exclude);
    if (failed(selection) || failed(setActivations(module, getArgument(), *selection, *quantized)))
      return signalPassFailure();

    // The baseline is an even grid of as many bits and groups.
    SchemeAttrInterface scheme = getTableScheme(&getContext(), {*chosen, group, *scaleType});
    IntFormat even{4, group, false, *scaleType};
    auto quantize = [&](Layer &layer) -> Result<LayerResult> {
      LayerResult result;
      StoredWeight &weight = layer.weight;
      noteRequantized(weight, result.notes);
      StoredWeight rounded = weight;
      if (Status ok = encodeStored(weight, scheme); !ok)
        return ok.failure();
      if (Status ok = quantizeStored(rounded, even); !ok)
        return ok.failure();
      result.baseline = "rtn";
      result.baselineValues = std::move(rounded.values);
      result.weight = std::move(weight);
      return result;
    };
    std::string text;
    llvm::raw_string_ostream(text)
        << "group=" << group << " scale=" << scale << " table=" << codeTableName(*chosen)
        << " activations=" << activations << selectionText(include, exclude);
    if (failed(compressLayers(module, {getArgument(), text}, *selection, quantize)))
      return signalPassFailure();
  }
};

} // namespace
