//===- FoldScales.cpp - scale channels at a site ------------------------------------------===//
//
// Edits of norms, biases, statistics and uncompressed weights.
//
#include "llmc/Compress/FoldScales.h"

#include "llmc/Calibrate/StatisticsAttr.h"
#include "llmc/Compress/CompressLayers.h"
#include "llmc/IR/WeightData.h"
#include "llmc/Numerics/Hash.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/StringSet.h"

using namespace mlir;
using namespace llmc;

uint64_t WeightScaling::hash(uint64_t seed) const {
  seed = hashBytes(&firstRow, sizeof firstRow, seed);
  seed = hashBytes(columns.data(), columns.size() * sizeof(float), seed);
  return hashBytes(divisors.data(), divisors.size() * sizeof(float), seed);
}

void WeightScaling::apply(std::vector<float> &values, int64_t rows, int64_t cols) const {
  if (!columns.empty())
    scaleColumns(values, rows, columns);
  for (size_t i = 0; i < divisors.size(); ++i)
    for (int64_t j = 0; j < cols; ++j)
      values[(firstRow + i) * cols + j] /= divisors[i];
}

Result<std::vector<float>> llmc::producerDivisors(const FoldSite &site, Span<const float> scales) {
  return compactHeads(scales, site.heads);
}

/// All operations of the module that hold the vector `weight`, and whether only `readers` read it.
static bool isOwned(ModuleOp module, StringRef name, ArrayRef<Operation *> readers,
                    SmallVectorImpl<WeightOp> &ops) {
  bool owned = true;
  module.walk([&](WeightOp op) {
    if (op.getWeightName() != name)
      return;
    ops.push_back(op);
    for (Operation *user : op->getUsers())
      owned &= llvm::is_contained(readers, user);
  });
  return owned;
}

/// The first name of the form <module>.scaled<k>.<kind> that no weight has.
static std::string copyName(ModuleOp module, StringRef name) {
  llvm::StringSet<> taken;
  module.walk([&](WeightOp op) { taken.insert(op.getWeightName()); });
  auto [stem, kind] = name.rsplit('.');
  for (unsigned k = 1;; ++k) {
    std::string candidate = (stem + ".scaled" + llvm::Twine(k)).str();
    if (!kind.empty())
      candidate += "." + kind.str();
    if (!taken.contains(candidate))
      return candidate;
  }
}

/// Divides elements [first, first + divisors) of operand `index` of all `readers`, a vector weight.
static LogicalResult divideVector(ModuleOp module, ArrayRef<Operation *> readers, unsigned index,
                                  int64_t first, Span<const float> divisors, StringRef suffix) {
  auto weight = readers[0]->getOperand(index).getDefiningOp<WeightOp>();
  FailureOr<std::vector<float>> values = readWeight(weight);
  if (failed(values) || failed(verifyFiniteValues(weight, *values)))
    return failure();
  for (size_t i = 0; i < divisors.size(); ++i)
    (*values)[first + i] /= divisors[i];
  auto type = cast<RankedTensorType>(weight.getType());
  std::vector<char> bytes = storeFloats(*values, type.getElementType());
  if (failed(verifyFiniteValues(weight, readFloats(bytes, type.getElementType()))))
    return failure(); // Too large for the type it is stored as.
  SmallVector<WeightOp> ops;
  bool owned = isOwned(module, weight.getWeightName(), readers, ops);
  std::string name =
      owned ? weight.getWeightName().str() : copyName(module, weight.getWeightName());
  DictionaryAttr components =
      makeComponents(module.getContext(), name, type, ArrayRef<char>(bytes), suffix);
  if (owned) {
    for (WeightOp op : ops)
      op.setComponentsAttr(components);
    return success();
  }
  for (Operation *reader : readers) {
    OpBuilder builder(reader);
    auto copy =
        WeightOp::create(builder, weight.getLoc(), type, builder.getStringAttr(name), components);
    reader->setOperand(index, copy.getResult());
  }
  return success();
}

static LogicalResult rescaleStatistics(FoldSite &site, Span<const float> scales, StringRef suffix) {
  std::vector<float> inverse(scales.size());
  for (size_t i = 0; i < scales.size(); ++i)
    inverse[i] = 1.0f / scales[i];
  llvm::MapVector<Attribute, SmallVector<LinearOp>> shared;
  for (LinearOp linear : site.linears)
    if (DictionaryAttr statistics = getStatistics(linear))
      shared[statistics].push_back(linear);
  for (auto &[attribute, linears] : shared) {
    Result<ChannelStatistics> statistics = readStatistics(cast<DictionaryAttr>(attribute));
    if (!statistics)
      return linears[0].emitError() << statistics.message();
    if (Status ok = statistics->scaleChannels(inverse); !ok)
      return linears[0].emitError() << ok.message();
    StringRef key = linears[0].getWeight().getDefiningOp<WeightOp>().getWeightName();
    DictionaryAttr scaled =
        makeStatisticsAttr(linears[0].getContext(), *statistics, (key + ".input").str(), suffix);
    for (LinearOp linear : linears)
      linear->setAttr(kStatisticsAttr, scaled);
  }
  return success();
}

LogicalResult llmc::foldScales(ModuleOp module, FoldSite &site, Span<const float> scales,
                               StringRef suffix) {
  if (!site.norms.empty()) {
    // Operand 0 is the input, 1 the scale, 2 the bias.
    for (unsigned index = 1; index < site.norms[0]->getNumOperands(); ++index)
      if (failed(divideVector(module, site.norms, index, 0, scales, suffix)))
        return failure();
  } else {
    SmallVector<Operation *> biased;
    for (LinearOp producer : site.producers)
      if (producer.getBias())
        biased.push_back(producer);
    Result<std::vector<float>> divisors = producerDivisors(site, scales);
    if (!divisors)
      return site.producers[0].emitError() << divisors.message();
    if (!biased.empty() &&
        failed(divideVector(module, biased, 2, site.firstRow, *divisors, suffix)))
      return failure();
  }
  return rescaleStatistics(site, scales, suffix);
}

LogicalResult llmc::scaleFloatWeight(WeightUse &use, const WeightScaling &scaling,
                                     StringRef suffix) {
  Result<StoredWeight> weight = unpackWeight(use.op());
  if (!weight)
    return mlir::emitError(use.op().getLoc())
           << "weight \"" << use.name << "\": " << weight.message();
  scaling.apply(weight->values, weight->rows, weight->columns);
  weight->storage = weight->elementType; // Quotients of 16-bit values need more than 16 bits.
  Result<PackedWeight> packed = packWeight(*weight);
  if (!packed)
    return mlir::emitError(use.op().getLoc())
           << "weight \"" << use.name << "\": " << packed.message();
  replaceWeight(use, *packed, suffix);
  return success();
}
