//===- FoldSites.cpp - where input channels can be scaled without changing the model ------===//
//
// From each value that linears read, back to what makes it.
//
#include "llmc/Compress/FoldSites.h"

#include "llvm/ADT/MapVector.h"

using namespace mlir;
using namespace llmc;

static int64_t width(Value value) {
  return cast<RankedTensorType>(value.getType()).getShape().back();
}

namespace {

/// A slice of the result of a linear.
struct ProjectionSlice {
  LinearOp linear;
  int64_t firstRow = 0;
};

/// Who owns each weight matrix.
class WeightIndex {
public:
  explicit WeightIndex(ArrayRef<WeightUse> weights) : weights(weights) {
    for (auto [i, use] : llvm::enumerate(weights))
      for (WeightOp op : use.ops)
        byOp[op] = i;
  }
  std::optional<size_t> find(Value weight) const {
    auto op = weight.getDefiningOp<WeightOp>();
    auto it = op ? byOp.find(op) : byOp.end();
    return it == byOp.end() ? std::nullopt : std::optional<size_t>(it->second);
  }
  const WeightUse &operator[](size_t i) const { return weights[i]; }

private:
  ArrayRef<WeightUse> weights;
  DenseMap<Operation *, size_t> byOp;
};

} // namespace

/// The projection that makes `value`, if nothing else reads it.
static std::optional<ProjectionSlice> traceProjection(Value value) {
  if (!value.hasOneUse())
    return std::nullopt;
  if (auto linear = value.getDefiningOp<LinearOp>())
    return ProjectionSlice{linear, 0};
  auto split = value.getDefiningOp<SplitOp>();
  if (!split || !split.getInput().hasOneUse())
    return std::nullopt;
  auto linear = split.getInput().getDefiningOp<LinearOp>();
  if (!linear)
    return std::nullopt;
  int64_t first = 0;
  for (Value result : split.getResults().take_front(cast<OpResult>(value).getResultNumber()))
    first += width(result);
  return ProjectionSlice{linear, first};
}

/// f32, f16 or bf16, not sparse.
static bool isFloatTensor(const WeightUse &use) {
  std::optional<DecodePlan> plan = getDecodePlan(use.op().getType());
  return plan && plan->isDense();
}

/// Fills in what makes `input`; otherwise says why it cannot be scaled.
static std::optional<std::string> findProducer(Value input, const WeightIndex &index,
                                               ArrayRef<bool> selected, FoldSite &site) {
  Operation *producer = input.getDefiningOp();
  std::optional<ProjectionSlice> slice;
  if (auto norm = dyn_cast_or_null<RMSNormOp>(producer)) {
    if (norm.getGroups() != 1 || !norm.getScale().getDefiningOp<WeightOp>())
      return "it reads a norm whose scale is no weight of its whole width";
    site.norms.push_back(norm);
    return std::nullopt;
  }
  if (auto norm = dyn_cast_or_null<LayerNormOp>(producer)) {
    if (!norm.getScale().getDefiningOp<WeightOp>() ||
        (norm.getBias() && !norm.getBias().getDefiningOp<WeightOp>()))
      return "it reads a norm whose scale or bias is no weight";
    site.norms.push_back(norm);
    return std::nullopt;
  }
  if (auto attention = dyn_cast_or_null<AttentionOp>(producer)) {
    slice = traceProjection(attention.getValue());
    if (!slice)
      return "the values of its attention come from no projection of their own";
    site.heads.kvHeads = attention.getKvHeads();
    site.heads.repeat = attention.getHeads() / attention.getKvHeads();
    site.heads.headDim = width(attention.getValue()) / attention.getKvHeads();
    if (site.heads.expandedSize() != width(input))
      return "the width of its attention is not heads times the size of a value";
  } else if (auto gated = dyn_cast_or_null<GatedActivationOp>(producer)) {
    slice = traceProjection(gated.getUp());
    if (!slice)
      return "the values of its gated activation come from no projection of their own";
    site.heads = {1, 1, width(input)};
  } else if (isa_and_nonnull<ActivationOp>(producer)) {
    return "its input comes out of an activation";
  } else {
    return "what makes its input cannot be divided";
  }
  std::optional<size_t> weight = index.find(slice->linear.getWeight());
  if (!weight)
    return "the projection before it has no weight of its own";
  Value bias = slice->linear.getBias();
  if (bias && !bias.getDefiningOp<WeightOp>())
    return "the bias of the projection before it is no weight";
  if (!selected[*weight] && !isFloatTensor(index[*weight]))
    return "the projection before it is compressed already";
  site.producers.push_back(slice->linear);
  site.producer = *weight;
  site.firstRow = slice->firstRow;
  return std::nullopt;
}

/// Why the weights of a merged site cannot be scaled, if so.
static std::optional<std::string> checkOwnership(const FoldSite &site, const WeightIndex &index,
                                                 ArrayRef<bool> selected) {
  for (size_t i : site.consumers) {
    const WeightUse &use = index[i];
    bool inside = llvm::all_of(use.linears,
                               [&](LinearOp op) { return llvm::is_contained(site.linears, op); });
    if (!inside || !use.embeddings.empty() || use.isOpaque)
      return "\"" + use.name + "\", which reads the same input, is used elsewhere too";
    if (!selected[i] && !isFloatTensor(use))
      return "\"" + use.name + "\", which reads the same input, is compressed already";
  }
  if (site.producers.empty())
    return std::nullopt;
  const WeightUse &use = index[site.producer];
  bool inside = llvm::all_of(use.linears,
                             [&](LinearOp op) { return llvm::is_contained(site.producers, op); });
  if (!inside || !use.embeddings.empty() || use.isOpaque)
    return "the weight of the projection before it is used elsewhere too";
  return std::nullopt;
}

std::vector<FoldSite> llmc::findFoldSites(ModuleOp module, ArrayRef<WeightUse> weights,
                                          ArrayRef<bool> selected,
                                          std::vector<FoldRefusal> &refusals) {
  WeightIndex index(weights);
  llvm::MapVector<Value, SmallVector<LinearOp>> readers;
  module.walk([&](LinearOp linear) { readers[linear.getRows()].push_back(linear); });

  std::vector<FoldSite> sites;
  auto refuse = [&](const FoldSite &site, const std::string &reason) {
    for (size_t i : site.consumers)
      if (selected[i])
        refusals.push_back({i, reason});
  };
  for (auto &[input, linears] : readers) {
    FoldSite site;
    site.linears = linears;
    bool known = true, wanted = false;
    for (LinearOp linear : linears) {
      std::optional<size_t> weight = index.find(linear.getWeight());
      known &= weight.has_value();
      if (!weight)
        continue;
      wanted |= selected[*weight];
      if (!llvm::is_contained(site.consumers, *weight))
        site.consumers.push_back(*weight);
    }
    if (!wanted)
      continue;
    if (!known || llvm::any_of(input.getUsers(), [](Operation *user) {
          return !isa<LinearOp, QuantizeOp, ObserveOp>(user);
        })) {
      refuse(site, "its input is read by more than linears");
      continue;
    }
    if (llvm::any_of(linears, [](LinearOp linear) {
          return isa_and_nonnull<StaticQuantAttr>(linear.getQuantization());
        })) {
      refuse(site, "its input is quantized with a static scale");
      continue;
    }
    if (auto reason = findProducer(input, index, selected, site)) {
      refuse(site, *reason);
      continue;
    }
    // The same weights in another entry point are the same site.
    auto same = llvm::find_if(sites, [&](const FoldSite &other) {
      return other.consumers == site.consumers && other.producer == site.producer &&
             other.firstRow == site.firstRow && other.norms.empty() == site.norms.empty();
    });
    if (same == sites.end()) {
      sites.push_back(std::move(site));
      continue;
    }
    same->linears.append(site.linears);
    same->norms.append(site.norms);
    same->producers.append(site.producers);
  }
  std::vector<FoldSite> legal;
  for (FoldSite &site : sites)
    if (auto reason = checkOwnership(site, index, selected))
      refuse(site, *reason);
    else
      legal.push_back(std::move(site));
  return legal;
}

/// Marks the rows of linears behind `value`, of which the columns [first, first + count) are meant.
static void markRows(Value value, int64_t first, int64_t count, const WeightIndex &index,
                     std::vector<SmallVector<RowRange>> &ranges) {
  Operation *op = value.getDefiningOp();
  if (auto linear = dyn_cast_or_null<LinearOp>(op)) {
    if (std::optional<size_t> weight = index.find(linear.getWeight()))
      ranges[*weight].push_back({first, count});
  } else if (auto split = dyn_cast_or_null<SplitOp>(op)) {
    for (Value result : split.getResults().take_front(cast<OpResult>(value).getResultNumber()))
      first += width(result);
    markRows(split.getInput(), first, count, index, ranges);
  } else if (isa_and_nonnull<RopeOp, RMSNormOp, LayerNormOp, ScaleOp>(op)) {
    markRows(op->getOperand(0), first, count, index, ranges);
  }
}

std::vector<SmallVector<RowRange>> llmc::findQueryKeyRows(ModuleOp module,
                                                          ArrayRef<WeightUse> weights) {
  WeightIndex index(weights);
  std::vector<SmallVector<RowRange>> ranges(weights.size());
  module.walk([&](AttentionOp attention) {
    for (Value value : {attention.getQuery(), attention.getKey()})
      markRows(value, 0, width(value), index, ranges);
  });
  return ranges;
}
