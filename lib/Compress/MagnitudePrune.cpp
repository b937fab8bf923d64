//===- MagnitudePrune.cpp - prune the smallest weights ------------------------------------===//
//
// Unstructured, or N:M.
//
#include "llmc/Compress/Passes.h"
#include "llmc/Compress/PruneLayer.h"
#include "llmc/Compress/QuantizeLayer.h"
#include "llmc/IR/Layers.h"
#include "llmc/Numerics/Prune.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/raw_ostream.h"

namespace llmc {
#define GEN_PASS_DEF_MAGNITUDEPRUNE
#include "llmc/Compress/Passes.h.inc"
} // namespace llmc

using namespace mlir;
using namespace llmc;

namespace {

struct MagnitudePrune : public llmc::impl::MagnitudePruneBase<MagnitudePrune> {
  using MagnitudePruneBase::MagnitudePruneBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    FlatLayers flat(module);
    auto fail = [&](const llvm::Twine &what) {
      mlir::emitError(module.getLoc()) << getArgument() << ": " << what;
      signalPassFailure();
    };
    PrunePattern parsed;
    std::string text;
    if (!pattern.empty()) {
      Result<PrunePattern> named = parsePattern(pattern);
      if (!named)
        return fail(named.message());
      parsed = *named;
      text = "pattern=" + pattern;
    } else {
      if (!(sparsity >= 0 && sparsity < 1))
        return fail("expected a sparsity of at least 0 and less than 1, found " +
                    llvm::Twine(std::to_string(sparsity)));
      parsed.sparsity = sparsity;
      llvm::raw_string_ostream(text) << "sparsity=" << llvm::format("%g", double(sparsity));
    }
    auto selection = selectWeights(module, getArgument(), include, exclude);
    if (failed(selection))
      return signalPassFailure();

    auto prune = [&](Layer &layer) -> Result<LayerResult> {
      return pruneLayer(layer, parsed, magnitudeScores(layer.weight.values));
    };
    PassRun run{getArgument(), text + selectionText(include, exclude)};
    if (failed(compressLayers(module, run, *selection, prune)))
      return signalPassFailure();
  }
};

} // namespace
