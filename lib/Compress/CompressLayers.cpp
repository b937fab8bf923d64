//===- CompressLayers.cpp - run a method over the selected weights ------------------------===//
//
// The frame of the compression passes: parallel numbers, serial edits.
//
#include "llmc/Compress/CompressLayers.h"

#include "llmc/Calibrate/StatisticsAttr.h"
#include "llmc/Compress/Passes.h"
#include "llmc/IR/WeightData.h"
#include "llmc/Numerics/Checkpoint.h"
#include "llmc/Numerics/Hash.h"
#include "llmc/Numerics/Progress.h"
#include "mlir/AsmParser/AsmParser.h"
#include "mlir/IR/Threading.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/Support/Debug.h"

#include <chrono>

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

static DictionaryAttr storedComponents(const WeightUse &use, const PackedWeight &packed,
                                       StringRef suffix) {
  SmallVector<ArrayRef<char>> bytes(packed.components.begin(), packed.components.end());
  return makeComponents(use.op().getContext(), use.name, packed.type, bytes, suffix);
}

static void setWeight(WeightUse &use, Type type, DictionaryAttr components) {
  for (WeightOp &op : use.ops) {
    op.setComponentsAttr(components);
    op.getResult().setType(type);
  }
}

void llmc::replaceWeight(WeightUse &use, const PackedWeight &packed, StringRef suffix) {
  setWeight(use, packed.type, storedComponents(use, packed, suffix));
}

namespace {

/// What a method has made of a layer.
struct Outcome {
  std::optional<PackedWeight> packed; ///< none: left as it is
  LayerRecord record;
  SmallVector<std::string, 1> notes;

  void keep(uint64_t key, double seconds) const;
  /// False where nothing was kept. The name stays as it is.
  bool find(uint64_t key, MLIRContext *context);
};

} // namespace

void Outcome::keep(uint64_t key, double seconds) const {
  RecordWriter w;
  std::string type;
  if (packed)
    llvm::raw_string_ostream(type) << packed->type;
  w.addText(type).add<uint64_t>(packed ? packed->components.size() : 0);
  if (packed)
    for (const std::vector<char> &component : packed->components)
      w.addArray(Span<const char>(component));
  w.add(record.inputHash).add(record.bytesBefore).add(record.bytesAfter).add(record.bitsPerWeight);
  w.addText(record.measure).add(record.error).add(record.relativeError);
  w.addText(record.baseline).add(record.baselineError).add<uint64_t>(notes.size());
  for (const std::string &note : notes)
    w.addText(note);
  keepCheckpoint(key, seconds, w);
}

bool Outcome::find(uint64_t key, MLIRContext *context) {
  std::optional<RecordReader> r = findCheckpoint(key);
  if (!r)
    return false;
  std::string type = r->text();
  auto components = r->number<uint64_t>();
  if (!type.empty()) {
    packed.emplace();
    packed->type = parseType(type, context);
    for (uint64_t i = 0; i < components; ++i)
      packed->components.push_back(r->array<char>());
  }
  record.inputHash = r->number<uint64_t>();
  record.bytesBefore = r->number<int64_t>();
  record.bytesAfter = r->number<int64_t>();
  record.bitsPerWeight = r->number<double>();
  record.measure = r->text();
  record.error = r->number<double>();
  record.relativeError = r->number<double>();
  record.baseline = r->text();
  record.baselineError = r->number<double>();
  for (uint64_t count = r->number<uint64_t>(); notes.size() < count;)
    notes.push_back(r->text());
  return !packed || packed->type;
}

/// Runs the method on one layer.
static Status computeOutcome(const WeightUse &use, Layer &layer, const LayerMethod &method,
                             Outcome &outcome) {
  LayerRecord &record = outcome.record;
  record.bytesBefore = storedBytes(use.op());
  std::vector<float> original = layer.weight.values;
  int64_t rows = layer.weight.rows, columns = layer.weight.columns;
  Result<LayerResult> result = method(layer);
  if (!result)
    return result.failure();
  outcome.notes = std::move(result->notes);
  if (!result->weight)
    return {};
  Result<PackedWeight> packed = packWeight(*result->weight);
  if (!packed)
    return packed.failure();
  record.bytesAfter = packed->bytes();
  record.bitsPerWeight = packed->bitsPerWeight();
  record.baseline = result->baseline;
  if (!result->reference.empty())
    original = std::move(result->reference);
  measure(record, original, rows, columns, result->weight->values, result->baselineValues,
          layer.statistics);
  outcome.packed = std::move(*packed);
  return {};
}

static double secondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

LogicalResult llmc::compressLayers(ModuleOp module, const PassRun &run,
                                   std::vector<WeightUse> &selection, LayerMethod method,
                                   LayerDependencies dependencies) {
  if (selection.empty() && module->hasAttr(kSelectedAttr))
    return success(); // A block without one.
  struct Stored {
    Type type;
    DictionaryAttr components; ///< null: left as it is
    LayerRecord record;
  };
  std::vector<Stored> stored(selection.size());
  std::vector<SmallVector<std::string, 1>> notes(selection.size());
  std::string suffix = blobSuffix(module);
  std::string what = (run.flag + " " + run.options).str();
  auto compress = [&](size_t i) -> std::optional<std::string> {
    auto start = std::chrono::steady_clock::now();
    Result<Layer> layer = readLayer(selection[i], i);
    if (!layer)
      return layer.message();
    Outcome outcome;
    outcome.record.inputHash = hashLayer(selection[i].op(), layer->statistics);
    uint64_t key = hashBytes(what.data(), what.size(), outcome.record.inputHash);
    if (dependencies)
      key ^= dependencies(*layer);
    if (!outcome.find(key, module.getContext())) {
      if (Status ok = computeOutcome(selection[i], *layer, method, outcome); !ok)
        return ok.message();
      outcome.keep(key, secondsSince(start));
    }
    notes[i] = std::move(outcome.notes);
    outcome.record.name = selection[i].name;
    stored[i].record = std::move(outcome.record);
    if (!outcome.packed)
      return std::nullopt;
    // In a mapped file already, so that what is done takes no memory.
    stored[i].type = outcome.packed->type;
    stored[i].components = storedComponents(selection[i], *outcome.packed, suffix);
    return std::nullopt;
  };
  if (failed(runInParallel(module, run, selection, compress)))
    return failure();

  emitNotes(module, run, selection, notes);
  std::vector<LayerRecord> records;
  for (auto [use, outcome] : llvm::zip(selection, stored)) {
    if (!outcome.components) {
      LLVM_DEBUG(llvm::dbgs() << run.flag << ": \"" << use.name << "\" stays as it is\n");
      continue;
    }
    LLVM_DEBUG(llvm::dbgs() << run.flag << ": \"" << use.name
                            << "\": " << outcome.record.bytesBefore << " bytes become "
                            << outcome.record.bytesAfter << ", error " << outcome.record.error
                            << ", that of " << outcome.record.baseline << " "
                            << outcome.record.baselineError << "\n");
    setWeight(use, outcome.type, outcome.components);
    records.push_back(std::move(outcome.record));
  }
  appendProvenance(module, run.flag, run.options, records);
  return success();
}
