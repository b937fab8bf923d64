//===- Sparsify24.cpp - keep 2 of each 4 consecutive inputs -------------------------------===//
//
// Wanda's score where there are statistics, magnitude otherwise.
//
#include "llmc/Compress/Passes.h"
#include "llmc/Compress/PruneLayer.h"
#include "llmc/Compress/QuantizeLayer.h"
#include "llmc/IR/Layers.h"
#include "llmc/Numerics/Prune.h"

namespace llmc {
#define GEN_PASS_DEF_SPARSIFY24
#include "llmc/Compress/Passes.h.inc"
} // namespace llmc

using namespace mlir;
using namespace llmc;

namespace {

struct Sparsify24 : public llmc::impl::Sparsify24Base<Sparsify24> {
  using Sparsify24Base::Sparsify24Base;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    FlatLayers flat(module);
    auto selection = selectWeights(module, getArgument(), include, exclude);
    if (failed(selection))
      return signalPassFailure();

    PrunePattern pattern;
    pattern.n = 2;
    pattern.m = 4;
    auto prune = [&](Layer &layer) -> Result<LayerResult> {
      const StoredWeight &weight = layer.weight;
      if (!layer.statistics) {
        auto result = pruneLayer(layer, pattern, magnitudeScores(weight.values));
        if (result && result->weight)
          result->notes.push_back("no statistics, so pruned by magnitude; run --calibrate first to "
                                  "weigh weights by their inputs");
        return result;
      }
      auto scores =
          wandaScores(weight.values, weight.rows, weight.columns, layer.statistics->sumSquares);
      if (!scores)
        return scores.failure();
      SmallVector<std::string, 1> notes;
      noteFewIds(layer, notes);
      auto result = pruneLayer(layer, pattern, std::move(*scores));
      if (result && result->weight)
        result->notes.append(notes);
      return result;
    };
    PassRun run{getArgument(), StringRef(selectionText(include, exclude)).ltrim().str()};
    if (failed(compressLayers(module, run, *selection, prune)))
      return signalPassFailure();
  }
};

} // namespace
