//===- Provenance.cpp - what each pass did to each layer ----------------------------------===//
//
// Hashing, measuring and writing of the module attribute.
//
#include "llmc/Compress/Provenance.h"

#include "llmc/IR/WeightData.h"
#include "llmc/Numerics/ErrorMetrics.h"
#include "llmc/Numerics/Hash.h"
#include "llvm/ADT/Statistic.h"
#include "llvm/Support/raw_ostream.h"

#include <map>
#include <mutex>

using namespace mlir;
using namespace llmc;

void llmc::measure(LayerRecord &record, Span<const float> weight, int64_t rows, int64_t columns,
                   Span<const float> approximation, Span<const float> baseline,
                   const std::optional<ChannelStatistics> &statistics) {
  auto error = [&](Span<const float> other) {
    if (!statistics)
      return squaredError(weight, other);
    if (!statistics->hasHessian())
      return diagonalError(weight, other, rows, columns, statistics->sumSquares);
    return hessianError(weight, other, rows, columns, statistics->hessian);
  };
  record.measure = !statistics ? "plain" : statistics->hasHessian() ? "hessian" : "diagonal";
  record.error = error(approximation);
  record.baselineError = error(baseline);
  std::vector<float> nothing(weight.size());
  double energy = error(nothing);
  record.relativeError = energy > 0 ? record.error / energy : 0;
}

static uint64_t hashString(StringRef text, uint64_t seed) {
  return hashBytes(text.data(), text.size(), seed);
}

uint64_t llmc::hashLayer(WeightOp weight, const std::optional<ChannelStatistics> &statistics) {
  std::string type;
  llvm::raw_string_ostream(type) << weight.getType();
  uint64_t hash = hashString(type, hashString(weight.getWeightName(), 0));
  for (NamedAttribute component : weight.getComponents()) { // in order of name
    ComponentData data(cast<ElementsAttr>(component.getValue()));
    hash = hashBytes(data.bytes().data(), data.bytes().size(), hash);
  }
  if (!statistics)
    return hash;
  for (const std::vector<double> *values :
       {&statistics->mean, &statistics->meanAbs, &statistics->maxAbs, &statistics->sumSquares})
    hash = hashBytes(values->data(), values->size() * 8, hash);
  return hashBytes(statistics->hessian.data(), statistics->hessian.size() * 4, hash);
}

int64_t llmc::provenanceSteps(ModuleOp module) {
  auto steps = module->getAttrOfType<ArrayAttr>(kProvenanceAttr);
  return steps ? static_cast<int64_t>(steps.size()) : 0;
}

std::string llmc::blobSuffix(ModuleOp module) {
  return "." + std::to_string(provenanceSteps(module) + 1);
}

namespace {
/// What a pass has done, for --pass-statistics.
struct Totals {
  explicit Totals(const char *pass)
      : weights(pass, "weights", "Weights stored anew"),
        bytesBefore(pass, "bytesBefore", "Bytes of these weights before"),
        bytesAfter(pass, "bytesAfter", "Bytes of these weights after") {}
  llvm::TrackingStatistic weights, bytesBefore, bytesAfter;
};
} // namespace

/// Kept for good, with the names that they point to: they are printed when all passes are done.
static void countLayers(StringRef pass, ArrayRef<LayerRecord> layers) {
  static std::mutex mutex;
  static auto *all = new std::map<std::string, std::unique_ptr<Totals>>;
  std::lock_guard<std::mutex> lock(mutex);
  auto entry = all->try_emplace(pass.str()).first;
  if (!entry->second)
    entry->second = std::make_unique<Totals>(entry->first.c_str());
  entry->second->weights += layers.size();
  for (const LayerRecord &layer : layers) {
    entry->second->bytesBefore += layer.bytesBefore;
    entry->second->bytesAfter += layer.bytesAfter;
  }
}

void llmc::appendProvenance(ModuleOp module, StringRef pass, StringRef options,
                            ArrayRef<LayerRecord> layers) {
  countLayers(pass, layers);
  Builder b(module.getContext());
  uint64_t input = 0;
  SmallVector<Attribute> entries;
  for (const LayerRecord &layer : layers) {
    input = hashBytes(&layer.inputHash, 8, input);
    SmallVector<NamedAttribute> entry = {
        b.getNamedAttr("name", b.getStringAttr(layer.name)),
        b.getNamedAttr("input", b.getStringAttr(hashText(layer.inputHash))),
        b.getNamedAttr("bytes_before", b.getI64IntegerAttr(layer.bytesBefore)),
        b.getNamedAttr("bytes_after", b.getI64IntegerAttr(layer.bytesAfter)),
        b.getNamedAttr("bits_per_weight", b.getF64FloatAttr(layer.bitsPerWeight)),
        b.getNamedAttr("measure", b.getStringAttr(layer.measure)),
        b.getNamedAttr("error", b.getF64FloatAttr(layer.error)),
        b.getNamedAttr("relative_error", b.getF64FloatAttr(layer.relativeError)),
    };
    if (!layer.baseline.empty()) {
      entry.push_back(b.getNamedAttr("baseline", b.getStringAttr(layer.baseline)));
      entry.push_back(b.getNamedAttr("baseline_error", b.getF64FloatAttr(layer.baselineError)));
    }
    entries.push_back(b.getDictionaryAttr(entry));
  }
  SmallVector<Attribute> steps;
  if (auto before = module->getAttrOfType<ArrayAttr>(kProvenanceAttr))
    steps.append(before.begin(), before.end());
  steps.push_back(b.getDictionaryAttr({b.getNamedAttr("pass", b.getStringAttr(pass)),
                                       b.getNamedAttr("options", b.getStringAttr(options)),
                                       b.getNamedAttr("input", b.getStringAttr(hashText(input))),
                                       b.getNamedAttr("layers", b.getArrayAttr(entries))}));
  module->setAttr(kProvenanceAttr, b.getArrayAttr(steps));
}
