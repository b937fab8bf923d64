//===- StatisticsAttr.cpp - calibration statistics as an attribute of llmc.linear ---------===//
//
// Channel statistics to resource blobs and back.
//
#include "llmc/Calibrate/StatisticsAttr.h"

#include "llmc/IR/WeightData.h"
#include "llmc/Numerics/Hash.h"
#include "llmc/Numerics/MappedPages.h"
#include "mlir/IR/AsmState.h"
#include "llvm/ADT/SetVector.h"

#include <cstring>

using namespace mlir;
using namespace llmc;

namespace {
/// The vectors of the store, by entry.
struct Moment {
  llvm::StringLiteral name;
  std::vector<double> ChannelStatistics::*field;
};
} // namespace

static constexpr Moment kMoments[] = {{"mean", &ChannelStatistics::mean},
                                      {"mean_abs", &ChannelStatistics::meanAbs},
                                      {"max_abs", &ChannelStatistics::maxAbs},
                                      {"sum_squares", &ChannelStatistics::sumSquares}};

DictionaryAttr llmc::makeStatisticsAttr(MLIRContext *context, const ChannelStatistics &statistics,
                                        StringRef key, StringRef suffix) {
  Builder builder(context);
  SmallVector<NamedAttribute> entries;
  auto blobName = [&](StringRef entry) { return (key + "." + entry + suffix).str(); };
  int64_t channels = statistics.channels();
  entries.push_back(builder.getNamedAttr("count", builder.getI64IntegerAttr(statistics.count)));
  for (const Moment &moment : kMoments) {
    const std::vector<double> &values = statistics.*moment.field;
    ArrayRef<char> bytes(reinterpret_cast<const char *>(values.data()), values.size() * 8);
    entries.push_back(builder.getNamedAttr(
        moment.name, makeResource(RankedTensorType::get({channels}, builder.getF64Type()),
                                  blobName(moment.name), bytes)));
  }
  if (statistics.hasHessian()) {
    int64_t size = triangleSize(channels);
    AsmResourceBlob blob = allocateBlob(builder.getContext(), size * 4);
    char *out = blob.getMutableData().data();
    for (int64_t i = 0; i < channels; ++i) {
      size_t length = (channels - i) * 4;
      std::memcpy(out, statistics.hessian.data() + i * channels + i, length);
      out += length;
    }
    dropPages(blob.getData().data(), size * 4);
    entries.push_back(builder.getNamedAttr(
        "hessian", makeResource(RankedTensorType::get({size}, builder.getF32Type()),
                                blobName("hessian"), std::move(blob))));
  }
  return builder.getDictionaryAttr(entries);
}

Result<ChannelStatistics> llmc::readStatistics(DictionaryAttr attribute) {
  ChannelStatistics statistics;
  auto count = attribute.getAs<IntegerAttr>("count");
  if (!count)
    return Failure{"statistics have no count"};
  statistics.count = count.getInt();
  auto entry = [&](StringRef name) -> Result<ElementsAttr> {
    auto elements = attribute.getAs<ElementsAttr>(name);
    if (!elements || elements.getShapedType().getRank() != 1 ||
        !isa<Float32Type, Float64Type>(elements.getElementType()) ||
        !ComponentData(elements).valid())
      return Failure{"statistics have no " + name.str() + " of f32 or f64 and rank 1"};
    return elements;
  };
  auto doubles = [](ElementsAttr elements) {
    ComponentData data(elements);
    std::vector<double> values(elements.getNumElements());
    if (elements.getElementType().isF64()) {
      std::memcpy(values.data(), data.bytes().data(), values.size() * 8);
      return values;
    }
    std::vector<float> narrow = readFloats(data.bytes(), elements.getElementType());
    values.assign(narrow.begin(), narrow.end());
    return values;
  };
  for (const Moment &moment : kMoments) {
    Result<ElementsAttr> elements = entry(moment.name);
    if (!elements)
      return elements.failure();
    statistics.*moment.field = doubles(*elements);
  }
  if (attribute.contains("hessian")) {
    auto elements = attribute.getAs<ElementsAttr>("hessian");
    if (!elements || !elements.getElementType().isF32() || !ComponentData(elements).valid())
      return Failure{"statistics have no hessian of f32"};
    ArrayRef<int64_t> shape = elements.getShapedType().getShape();
    int64_t channels = statistics.channels();
    statistics.hessian = readFloats(ComponentData(elements).bytes(), elements.getElementType());
    if (shape == ArrayRef<int64_t>{triangleSize(channels)})
      statistics.hessian = squareOfTriangle(statistics.hessian, channels);
    else if (shape != ArrayRef<int64_t>{channels, channels})
      return Failure{"statistics of " + std::to_string(channels) +
                     " channels have no hessian of as many rows and columns, nor its upper "
                     "triangle of " +
                     std::to_string(triangleSize(channels)) + " entries"};
  }
  if (Status ok = statistics.verify(); !ok)
    return ok.failure();
  return statistics;
}

uint64_t llmc::hashStatistics(DictionaryAttr attribute, uint64_t seed) {
  for (NamedAttribute entry : attribute) // in order of name
    if (auto elements = dyn_cast<ElementsAttr>(entry.getValue())) {
      ComponentData data(elements);
      seed = hashBytes(data.bytes().data(), data.bytes().size(), seed);
    } else if (auto count = dyn_cast<IntegerAttr>(entry.getValue())) {
      int64_t number = count.getInt();
      seed = hashBytes(&number, sizeof number, seed);
    }
  return seed;
}

Result<std::optional<ChannelStatistics>> llmc::mergedStatistics(ArrayRef<LinearOp> linears) {
  std::optional<ChannelStatistics> merged;
  llvm::SetVector<Attribute> seen;
  for (LinearOp linear : linears) {
    DictionaryAttr attribute = getStatistics(linear);
    if (!attribute)
      return std::optional<ChannelStatistics>();
    if (!seen.insert(attribute))
      continue;
    Result<ChannelStatistics> statistics = readStatistics(attribute);
    if (!statistics)
      return statistics.failure();
    if (!merged) {
      merged = std::move(*statistics);
    } else if (Status ok = merged->merge(*statistics); !ok) {
      return ok.failure();
    }
  }
  return merged;
}
