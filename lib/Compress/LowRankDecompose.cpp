//===- LowRankDecompose.cpp - two thin linears for one ------------------------------------===//
//
// Whitened by the Hessian where there is one, plain otherwise.
//
#include "llmc/Calibrate/StatisticsAttr.h"
#include "llmc/Compress/Passes.h"
#include "llmc/Compress/QuantizeLayer.h"
#include "llmc/IR/Layers.h"
#include "llmc/IR/WeightData.h"
#include "llmc/Numerics/LowRank.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/raw_ostream.h"

namespace llmc {
#define GEN_PASS_DEF_LOWRANKDECOMPOSE
#include "llmc/Compress/Passes.h.inc"
} // namespace llmc

using namespace mlir;
using namespace llmc;

namespace {

/// Both factors of a layer, as weights.
struct Factors {
  PackedWeight a, b;
  LayerRecord record;
};

/// The shape that is asked for.
struct Size {
  int64_t rank;
  double ratio;
};

} // namespace

/// A factor in the 16 bits that the matrix had, if it fits them; else in the matrix's element type.
static Result<PackedWeight> packFactor(std::vector<float> values, int64_t rows, int64_t columns,
                                       const StoredWeight &matrix) {
  StoredWeight factor;
  factor.rows = rows;
  factor.columns = columns;
  factor.elementType = matrix.elementType;
  factor.setFloat(std::move(values));
  if (!matrix.isQuantized() && matrix.storage != factor.storage) {
    factor.storage = matrix.storage;
    Result<PackedWeight> packed = packWeight(factor);
    if (packed)
      return packed;
    factor.storage = matrix.elementType;
  }
  return packWeight(factor);
}

/// The rank for a weight. Fails where it saves nothing.
static Result<int64_t> chooseRank(const StoredWeight &weight, Size size) {
  int64_t rows = weight.rows, columns = weight.columns;
  int64_t rank = size.rank ? size.rank : rankForRatio(rows, columns, size.ratio);
  std::string shape = std::to_string(rows) + "x" + std::to_string(columns);
  if (rank < 1)
    return Failure{"the ratio leaves no rank of a " + shape + " matrix"};
  if (!rankSaves(rows, columns, rank))
    return Failure{"rank " + std::to_string(rank) + " saves nothing on a " + shape +
                   " matrix, where less than " +
                   std::to_string((rows * columns - 1) / (rows + columns) + 1) +
                   " does; choose a smaller one or leave the weight out with exclude="};
  return rank;
}

/// Whether the Hessian is zero: no direction matters more than another.
static bool isDead(const ChannelStatistics &statistics) {
  int64_t channels = statistics.channels();
  for (int64_t i = 0; i < channels; ++i)
    if (statistics.hessian[i * channels + i] != 0)
      return false;
  return true;
}

/// Decomposes a layer and measures what is lost against the plain decomposition.
static Result<Factors> decompose(Layer &layer, Size size, SmallVectorImpl<std::string> &notes) {
  const StoredWeight &weight = layer.weight;
  int64_t rows = weight.rows, columns = weight.columns;
  if (weight.isSparse())
    return Failure{"has a mask, which a decomposition would give up"};
  if (weight.isQuantized())
    notes.push_back("was quantized; its factors are floats again");
  Result<int64_t> rank = chooseRank(weight, size);
  if (!rank)
    return rank.failure();
  Result<LowRankFactors> plain = decomposeLowRank(weight.values, rows, columns, *rank);
  if (!plain)
    return plain.failure();
  bool hasHessian = layer.statistics && layer.statistics->hasHessian();
  Result<LowRankFactors> best = plain;
  if (hasHessian && isDead(*layer.statistics)) {
    notes.push_back("its input was always 0 while calibrating, so decomposed as it is");
  } else if (hasHessian) {
    noteFewIds(layer, notes);
    best = decomposeLowRankWhitened(weight.values, rows, columns, layer.statistics->hessian, *rank);
  } else {
    notes.push_back("no Hessian, so decomposed as it is; run --calibrate first to keep what its "
                    "inputs use");
  }
  if (!best)
    return best.failure();

  Factors factors;
  factors.record.baseline = "svd";
  measure(factors.record, weight.values, rows, columns, multiplyFactors(*best, rows, columns),
          multiplyFactors(*plain, rows, columns), layer.statistics);
  auto a = packFactor(std::move(best->a), rows, *rank, weight);
  if (!a)
    return a.failure();
  auto b = packFactor(std::move(best->b), *rank, columns, weight);
  if (!b)
    return b.failure();
  factors.a = std::move(*a);
  factors.b = std::move(*b);
  return factors;
}

/// <module>.lowrank_<factor>.weight
static std::string factorName(StringRef name, StringRef factor) {
  std::string stem = name.str();
  bool suffixed = name.ends_with(".weight");
  if (suffixed)
    stem = name.drop_back(strlen(".weight")).str();
  return stem + ".lowrank_" + factor.str() + (suffixed ? ".weight" : "");
}

/// Replaces the linears of a weight by two each.
static void replaceLinears(WeightUse &use, const Factors &factors, StringRef suffix) {
  MLIRContext *context = use.op().getContext();
  auto components = [&](StringRef name, const PackedWeight &packed) {
    SmallVector<ArrayRef<char>> bytes(packed.components.begin(), packed.components.end());
    return makeComponents(context, name, packed.type, bytes, suffix);
  };
  std::string nameA = factorName(use.name, "a"), nameB = factorName(use.name, "b");
  DictionaryAttr dataA = components(nameA, factors.a), dataB = components(nameB, factors.b);
  for (WeightOp op : use.ops) {
    OpBuilder builder(op);
    auto b =
        WeightOp::create(builder, op.getLoc(), factors.b.type, builder.getStringAttr(nameB), dataB);
    auto a =
        WeightOp::create(builder, op.getLoc(), factors.a.type, builder.getStringAttr(nameA), dataA);
    for (LinearOp linear : use.linears) {
      if (linear.getWeight() != op.getResult())
        continue;
      builder.setInsertionPoint(linear);
      auto inner = LinearOp::create(builder, linear.getLoc(), linear.getInput(), b.getResult(),
                                    Value(), linear.getActivationsAttr());
      if (DictionaryAttr statistics = getStatistics(linear))
        inner->setAttr(kStatisticsAttr, statistics);
      auto outer = LinearOp::create(builder, linear.getLoc(), inner.getResult(), a.getResult(),
                                    linear.getBias(), linear.getActivationsAttr());
      if (auto quantized = dyn_cast<QuantizedType>(linear.getInput().getType()))
        outer.getInputMutable().assign(
            quantizeOnce(inner.getResult(), quantized.getQuantization(), /*scale=*/{}, outer));
      linear.getResult().replaceAllUsesWith(outer.getResult());
      linear.erase();
    }
    op.erase();
  }
}

namespace {

struct LowRankDecompose : public llmc::impl::LowRankDecomposeBase<LowRankDecompose> {
  using LowRankDecomposeBase::LowRankDecomposeBase;

  void runOnOperation() override {
    if (failed(run(getOperation())))
      signalPassFailure();
  }

  LogicalResult run(ModuleOp module) {
    FlatLayers flat(module);
    auto fail = [&](const llvm::Twine &what) {
      return mlir::emitError(module.getLoc()) << getArgument() << ": " << what;
    };
    if (rank < 0)
      return fail("expected a rank of 1 or more, found " + llvm::Twine(rank));
    if (!rank && !(ratio > 0 && ratio < 1))
      return fail("expected a ratio between 0 and 1, found " + llvm::Twine(std::to_string(ratio)));
    auto selection = selectWeights(module, getArgument(), include, exclude);
    if (failed(selection))
      return failure();
    std::string text;
    llvm::raw_string_ostream stream(text);
    if (rank)
      stream << "rank=" << rank;
    else
      stream << "ratio=" << llvm::format("%g", double(ratio));
    stream << selectionText(include, exclude);
    PassRun run{getArgument(), text};

    // An embedding reads rows of a matrix, which two factors are not.
    llvm::erase_if(*selection, [&](const WeightUse &use) {
      if (!use.embeddings.empty())
        mlir::emitRemark(module.getLoc())
            << run.flag << ": left as it is, because an embedding reads it: \"" << use.name << "\"";
      return !use.embeddings.empty();
    });
    for (const WeightUse &use : *selection)
      for (LinearOp linear : use.linears)
        if (isa_and_nonnull<StaticQuantAttr>(linear.getQuantization()))
          return mlir::emitError(linear.getLoc())
                 << run.flag << ": weight \"" << use.name << "\" reads an input of a static scale, "
                 << "and nothing is known of what its second factor would read; decompose first, "
                 << "then calibrate and quantize";
    std::vector<Factors> factors(selection->size());
    std::vector<SmallVector<std::string, 1>> notes(selection->size());
    auto compute = [&](size_t i) -> std::optional<std::string> {
      const WeightUse &use = (*selection)[i];
      Result<Layer> layer = readLayer(use, i);
      if (!layer)
        return layer.message();
      Result<Factors> result = decompose(*layer, {rank, ratio}, notes[i]);
      if (!result)
        return result.message();
      if (layer->statistics)
        notes[i].push_back("the second factor has no statistics; passes that need them want "
                           "another --calibrate");
      LayerRecord &record = result->record;
      record.name = use.name;
      record.inputHash = hashLayer(use.op(), layer->statistics);
      record.bytesBefore = storedBytes(use.op());
      record.bytesAfter = result->a.bytes() + result->b.bytes();
      record.bitsPerWeight = 8.0 * static_cast<double>(record.bytesAfter) /
                             static_cast<double>(layer->weight.rows * layer->weight.columns);
      factors[i] = std::move(*result);
      return std::nullopt;
    };
    if (failed(runInParallel(module, run, *selection, compute)))
      return failure();
    emitNotes(module, run, *selection, notes);
    std::string suffix = blobSuffix(module);
    std::vector<LayerRecord> records;
    for (auto [use, layer] : llvm::zip(*selection, factors)) {
      replaceLinears(use, layer, suffix);
      records.push_back(std::move(layer.record));
    }
    appendProvenance(module, run.flag, run.options, records);
    return success();
  }
};

} // namespace
