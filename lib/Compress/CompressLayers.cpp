//===- CompressLayers.cpp - run a method over the selected weights ------------------------===//
//
// The frame of the compression passes: parallel numbers, serial edits.
//
#include "llmc/Compress/CompressLayers.h"

#include "llmc/Calibrate/StatisticsAttr.h"
#include "llmc/Compress/Passes.h"
#include "llmc/IR/WeightData.h"
#include "llmc/Numerics/Progress.h"
#include "mlir/IR/Threading.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/Support/Debug.h"

#define DEBUG_TYPE "compress"

using namespace mlir;
using namespace llmc;

bool llmc::readsStatistics(StringRef flag) {
  static constexpr StringRef kFlags[] = {"awq-quantize", "low-rank-decompose", "magnitude-prune",
                                         "nf4-quantize", "rtn-quantize",       "scheme-quantize",
                                         "sparsify-2-4", "ternarize"};
  return llvm::is_contained(kFlags, flag);
}

/// How long a layer takes beside others; right for methods that multiply a weight by a Hessian.
static double workOf(const WeightUse &use) {
  ArrayRef<int64_t> shape = getWeightShape(use.op().getType());
  double work = 1;
  for (int64_t size : shape)
    work *= static_cast<double>(size);
  return shape.empty() ? work : work * static_cast<double>(llvm::min_element(shape)[0]);
}

LogicalResult llmc::runInParallel(ModuleOp module, const PassRun &run,
                                  ArrayRef<WeightUse> selection,
                                  std::function<std::optional<std::string>(size_t)> fn,
                                  StringRef step) {
  std::vector<std::optional<std::string>> errors(selection.size());
  double work = 0;
  for (const WeightUse &use : selection)
    work += workOf(use);
  {
    Progress progress((run.flag + (step.empty() ? "" : ", ") + step).str(), "layers",
                      selection.size(), work);
    mlir::parallelFor(module.getContext(), 0, selection.size(), [&](size_t i) {
      errors[i] = fn(i);
      progress.add(1, workOf(selection[i]));
    });
  }
  for (auto [use, error] : llvm::zip(selection, errors))
    if (error)
      return mlir::emitError(use.op().getLoc())
             << run.flag << ": weight \"" << use.name << "\": " << *error;
  return success();
}

Result<Layer> llmc::readLayer(const WeightUse &use, size_t index) {
  Layer layer;
  layer.index = index;
  layer.name = use.name;
  Result<StoredWeight> weight = unpackWeight(use.op());
  if (!weight)
    return weight.failure();
  layer.weight = std::move(*weight);
  auto statistics = mergedStatistics(use.linears);
  if (!statistics)
    return statistics.failure();
  layer.statistics = std::move(*statistics);
  if (layer.statistics && layer.statistics->channels() != layer.weight.columns)
    return Failure{"expected statistics of " + std::to_string(layer.weight.columns) +
                   " channels, found " + std::to_string(layer.statistics->channels())};
  return layer;
}

void llmc::noteFewIds(const Layer &layer, SmallVectorImpl<std::string> &notes) {
  if (!layer.statistics || layer.statistics->count >= kFewIds)
    return;
  std::string count = std::to_string(layer.statistics->count);
  notes.push_back("decided by statistics of only " + count + (count == "1" ? " id" : " ids") +
                  ", which say little; calibrate on some 10,000");
}

void llmc::emitNotes(ModuleOp module, const PassRun &run, ArrayRef<WeightUse> selection,
                     ArrayRef<SmallVector<std::string, 1>> notes) {
  llvm::MapVector<StringRef, SmallVector<StringRef>> about;
  for (auto [use, layerNotes] : llvm::zip(selection, notes))
    for (const std::string &note : layerNotes)
      about[note].push_back(use.name);
  for (auto &[note, names] : about) {
    auto remark = mlir::emitRemark(module.getLoc())
                  << run.flag << ": " << note << ": \"" << names.front() << "\"";
    if (names.size() > 1)
      remark << " and " << names.size() - 1 << " more";
  }
}

void llmc::replaceWeight(WeightUse &use, const PackedWeight &packed, StringRef suffix) {
  SmallVector<ArrayRef<char>> bytes(packed.components.begin(), packed.components.end());
  DictionaryAttr components =
      makeComponents(use.op().getContext(), use.name, packed.type, bytes, suffix);
  for (WeightOp &op : use.ops) {
    op.setComponentsAttr(components);
    op.getResult().setType(packed.type);
  }
}

LogicalResult llmc::compressLayers(ModuleOp module, const PassRun &run,
                                   std::vector<WeightUse> &selection, LayerMethod method) {
  struct Outcome {
    std::optional<PackedWeight> packed;
    LayerRecord record;
  };
  std::vector<Outcome> outcomes(selection.size());
  std::vector<SmallVector<std::string, 1>> notes(selection.size());
  auto compress = [&](size_t i) -> std::optional<std::string> {
    Result<Layer> layer = readLayer(selection[i], i);
    if (!layer)
      return layer.message();
    LayerRecord &record = outcomes[i].record;
    record.name = selection[i].name;
    record.inputHash = hashLayer(selection[i].op(), layer->statistics);
    record.bytesBefore = storedBytes(selection[i].op());
    std::vector<float> original = layer->weight.values;
    int64_t rows = layer->weight.rows, columns = layer->weight.columns;
    Result<LayerResult> result = method(*layer);
    if (!result)
      return result.message();
    notes[i] = std::move(result->notes);
    if (!result->weight)
      return std::nullopt;
    Result<PackedWeight> packed = packWeight(*result->weight);
    if (!packed)
      return packed.message();
    record.bytesAfter = packed->bytes();
    record.bitsPerWeight = packed->bitsPerWeight();
    record.baseline = result->baseline;
    if (!result->reference.empty())
      original = std::move(result->reference);
    measure(record, original, rows, columns, result->weight->values, result->baselineValues,
            layer->statistics);
    outcomes[i].packed = std::move(*packed);
    return std::nullopt;
  };
  if (failed(runInParallel(module, run, selection, compress)))
    return failure();

  emitNotes(module, run, selection, notes);
  std::string suffix = blobSuffix(module);
  std::vector<LayerRecord> records;
  for (auto [use, outcome] : llvm::zip(selection, outcomes)) {
    if (!outcome.packed) {
      LLVM_DEBUG(llvm::dbgs() << run.flag << ": \"" << use.name << "\" stays as it is\n");
      continue;
    }
    LLVM_DEBUG(llvm::dbgs() << run.flag << ": \"" << use.name
                            << "\": " << outcome.record.bytesBefore << " bytes become "
                            << outcome.record.bytesAfter << ", error " << outcome.record.error
                            << ", that of " << outcome.record.baseline << " "
                            << outcome.record.baselineError << "\n");
    replaceWeight(use, *outcome.packed, suffix);
    outcome.packed.reset();
    records.push_back(std::move(outcome.record));
  }
  appendProvenance(module, run.flag, run.options, records);
  return success();
}
