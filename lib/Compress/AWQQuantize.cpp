//===- AWQQuantize.cpp - quantize weights to integers, protecting the channels that matter ===//
//
// Searches the scales of all sites on the model as it came in, then scales, clips and rounds layer
// by layer. A weight may lose rows at one site and gain columns at another; both are applied before
// it is rounded.
//
#include "llmc/Calibrate/StatisticsAttr.h"
#include "llmc/Compress/FoldScales.h"
#include "llmc/Compress/Passes.h"
#include "llmc/Compress/QuantizeLayer.h"
#include "llmc/IR/Layers.h"
#include "llmc/Numerics/Checkpoint.h"
#include "llmc/Numerics/Hash.h"

#include "llvm/ADT/Statistic.h"
#include "llvm/Support/Debug.h"

#include <chrono>
#include <limits>

#define DEBUG_TYPE "awq-quantize"

namespace llmc {
#define GEN_PASS_DEF_AWQQUANTIZE
#include "llmc/Compress/Passes.h.inc"
} // namespace llmc

using namespace mlir;
using namespace llmc;

ALWAYS_ENABLED_STATISTIC(sitesScaled, "Sites whose channels were scaled");
ALWAYS_ENABLED_STATISTIC(sitesKept, "Sites where no strength was better than none");

/// Every selected linear needs a Hessian.
static LogicalResult requireStatistics(const PassRun &run, ArrayRef<WeightUse> selection) {
  for (const WeightUse &use : selection)
    for (LinearOp linear : use.linears) {
      DictionaryAttr statistics = getStatistics(linear);
      if (statistics && statistics.contains("hessian"))
        continue;
      return mlir::emitError(linear.getLoc())
             << run.flag << ": weight \"" << use.name << "\" has no "
             << (statistics ? "Hessian; run --calibrate with hessian=true first"
                            : "calibration statistics; run --calibrate first (a pass that used "
                              "them dropped them, unless --keep-statistics was given)");
    }
  return success();
}

/// All that the scales of a site depend on.
static uint64_t hashSite(const PassRun &run, const FoldSite &site, ArrayRef<WeightUse> weights,
                         ArrayRef<bool> selected) {
  std::string text = (run.flag + " scales " + run.options).str();
  uint64_t hash = hashBytes(text.data(), text.size());
  for (int64_t number : {site.heads.kvHeads, site.heads.repeat, site.heads.headDim})
    hash = hashBytes(&number, sizeof number, hash);
  for (size_t i : site.consumers)
    if (selected[i])
      hash = hashBytes(&i, sizeof i, hash) ^ hashLayer(weights[i].op(), std::nullopt);
  for (LinearOp linear : site.linears)
    if (DictionaryAttr statistics = getStatistics(linear))
      hash = hashStatistics(statistics, hash);
  return hash;
}

static uint64_t hashRanges(ArrayRef<RowRange> ranges) {
  uint64_t hash = 0;
  for (RowRange range : ranges)
    for (int64_t number : {range.first, range.count})
      hash = hashBytes(&number, sizeof number, hash);
  return hash;
}

/// Searches the scales of one site. Weights that are not selected stay float, so they have no loss.
static Result<AwqScales> searchSite(const FoldSite &site, ArrayRef<WeightUse> weights,
                                    ArrayRef<bool> selected, const IntFormat &format) {
  std::vector<StoredWeight> stored;
  std::vector<LinearWeight> linears;
  for (size_t i : site.consumers) {
    if (!selected[i])
      continue;
    Result<StoredWeight> weight = unpackWeight(weights[i].op());
    if (!weight)
      return Failure{"weight \"" + weights[i].name + "\": " + weight.message()};
    stored.push_back(std::move(*weight));
  }
  for (const StoredWeight &weight : stored)
    linears.push_back({weight.values, weight.rows});
  SmallVector<LinearOp> calibrated;
  for (LinearOp linear : site.linears)
    if (getStatistics(linear))
      calibrated.push_back(linear);
  auto statistics = mergedStatistics(calibrated);
  if (!statistics)
    return statistics.failure();
  AwqOptions options;
  options.format = format;
  options.heads = site.heads;
  return searchAwqScales(linears, stored[0].columns, **statistics, options);
}

/// Limits of the search, infinite for rows that become queries or keys: how they are rounded shows
/// in products of both, which the error of one does not measure.
static Result<std::vector<float>> clipLimits(const Layer &layer, const IntFormat &format,
                                             ArrayRef<RowRange> unclipped) {
  const StoredWeight &weight = layer.weight;
  Result<AwqClip> clip =
      searchClip(weight.values, weight.rows, weight.columns, *layer.statistics, format);
  if (!clip)
    return clip.failure();
  int64_t groups = format.groupCount(weight.columns);
  for (RowRange range : unclipped)
    std::fill_n(clip->limits.begin() + range.first * groups, range.count * groups,
                std::numeric_limits<float>::infinity());
  return std::move(clip->limits);
}

namespace {

struct AWQQuantize : public llmc::impl::AWQQuantizeBase<AWQQuantize> {
  using AWQQuantizeBase::AWQQuantizeBase;

  void runOnOperation() override {
    if (failed(run(getOperation())))
      signalPassFailure();
  }

  LogicalResult run(ModuleOp module) {
    FlatLayers flat(module);
    auto settings =
        readQuantizeOptions(module, getArgument(), bits, group, symmetric, scale, activations);
    if (failed(settings))
      return failure();
    auto selection = selectWeights(module, getArgument(), include, exclude);
    if (failed(selection))
      return failure();
    PassRun run{getArgument(), settings->text + selectionText(include, exclude)};
    // Static scales are not those of the inputs that scaling makes, so they are taken anew behind
    // it.
    if (failed(requireStatistics(run, *selection)) ||
        failed(setActivations(module, getArgument(), *selection, /*activations=*/{})))
      return failure();
    auto weights = collectWeights(module);
    if (failed(weights))
      return failure();
    // Weights without linears (embeddings) have no inputs to weigh; they are only rounded.
    SmallVector<bool> selected;
    DenseMap<StringRef, size_t> indexOf;
    for (auto [i, use] : llvm::enumerate(*weights)) {
      indexOf[use.name] = i;
      StringRef name = use.name;
      selected.push_back(
          llvm::any_of(*selection, [&](const WeightUse &s) { return s.name == name; }));
    }

    std::vector<FoldSite> sites;
    std::vector<std::vector<float>> scales;
    if (failed(searchScales(module, run, *weights, selected, settings->format, sites, scales)))
      return failure();
    std::vector<WeightScaling> scaling(weights->size());
    for (auto [site, s] : llvm::zip(sites, scales)) {
      for (size_t i : site.consumers)
        scaling[i].columns = s;
      if (site.producers.empty())
        continue;
      Result<std::vector<float>> divisors = producerDivisors(site, s);
      if (!divisors)
        return mlir::emitError(site.producers[0].getLoc()) << divisors.message();
      scaling[site.producer].divisors = std::move(*divisors);
      scaling[site.producer].firstRow = site.firstRow;
    }

    std::string suffix = blobSuffix(module);
    auto queryKeyRows = findQueryKeyRows(module, *weights);
    auto quantize = [&](Layer &layer) -> Result<LayerResult> {
      size_t i = indexOf.lookup(layer.name);
      return quantizeLayer(layer, scaling[i], queryKeyRows[i], settings->format);
    };
    auto dependencies = [&](const Layer &layer) {
      size_t i = indexOf.lookup(layer.name);
      return scaling[i].hash(hashRanges(queryKeyRows[i]));
    };
    if (failed(compressLayers(module, run, *selection, quantize, dependencies)))
      return failure();
    for (auto [i, use] : llvm::enumerate(*weights))
      if (!selected[i] && !scaling[i].empty() && failed(scaleFloatWeight(use, scaling[i], suffix)))
        return failure();
    for (auto [site, s] : llvm::zip(sites, scales))
      if (failed(foldScales(module, site, s, suffix)))
        return failure();
    return setActivations(module, getArgument(), *selection, settings->activations);
  }

  /// Finds the sites and searches them in parallel; keeps those where scaling helps.
  LogicalResult searchScales(ModuleOp module, const PassRun &run, ArrayRef<WeightUse> weights,
                             ArrayRef<bool> selected, const IntFormat &format,
                             std::vector<FoldSite> &sites,
                             std::vector<std::vector<float>> &scales) {
    std::vector<FoldRefusal> refusals;
    std::vector<FoldSite> found = findFoldSites(module, weights, selected, refusals);
    std::vector<SmallVector<std::string, 1>> notes(weights.size());
    for (const FoldRefusal &refusal : refusals)
      notes[refusal.weight].push_back("clipped but not scaled, because " + refusal.reason);
    emitNotes(module, run, weights, notes);

    std::vector<AwqScales> searched(found.size());
    SmallVector<WeightUse> first;
    for (const FoldSite &site : found)
      first.push_back(weights[site.consumers[0]]);
    auto search = [&](size_t i) -> std::optional<std::string> {
      auto start = std::chrono::steady_clock::now();
      uint64_t key = hasCheckpoint() ? hashSite(run, found[i], weights, selected) : 0;
      if (std::optional<RecordReader> kept = findCheckpoint(key)) {
        searched[i].ratio = kept->number<double>();
        searched[i].scales = kept->array<float>();
        return std::nullopt;
      }
      Result<AwqScales> result = searchSite(found[i], weights, selected, format);
      if (!result)
        return result.message();
      searched[i] = std::move(*result);
      std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
      RecordWriter record;
      record.add(searched[i].ratio).addArray(Span<const float>(searched[i].scales));
      keepCheckpoint(key, taken.count(), record);
      return std::nullopt;
    };
    if (failed(runInParallel(module, run, first, search, "searching scales")))
      return failure();
    for (auto [site, result] : llvm::zip(found, searched)) {
      LLVM_DEBUG(llvm::dbgs() << run.flag << ": inputs of \"" << weights[site.consumers[0]].name
                              << "\": strength " << result.ratio << "\n");
      ++(result.ratio == 0 ? sitesKept : sitesScaled);
      if (result.ratio == 0)
        continue;
      sites.push_back(std::move(site));
      scales.push_back(std::move(result.scales));
    }
    return success();
  }

  static Result<LayerResult> quantizeLayer(Layer &layer, const WeightScaling &scaling,
                                           ArrayRef<RowRange> unclipped, const IntFormat &format) {
    LayerResult result;
    noteRequantized(layer.weight, result.notes);
    noteFewIds(layer, result.notes);
    StoredWeight &weight = layer.weight;
    StoredWeight rounded = weight;
    if (Status ok = quantizeStored(rounded, format); !ok)
      return ok.failure();
    result.baseline = "rtn";
    result.baselineValues = std::move(rounded.values);
    scaling.apply(result.baselineValues, weight.rows, weight.columns);
    scaling.apply(weight.values, weight.rows, weight.columns);
    result.reference = weight.values;
    std::vector<float> limits;
    if (layer.statistics) {
      if (!scaling.columns.empty()) {
        std::vector<float> inverse;
        for (float s : scaling.columns)
          inverse.push_back(1.0f / s);
        if (Status ok = layer.statistics->scaleChannels(inverse); !ok)
          return ok.failure();
      }
      Result<std::vector<float>> searched = clipLimits(layer, format, unclipped);
      if (!searched)
        return searched.failure();
      limits = std::move(*searched);
    }
    if (Status ok = quantizeStored(weight, format, limits); !ok)
      return ok.failure();
    result.weight = std::move(weight);
    return result;
  }
};

} // namespace
