//===- OutlineLayers.cpp - layers that are alike become one function ----------------------===//
//
// Makes an llmc.layer of each kind of layer, and of each layer a call with what it has of its own.
//
#include "LayerPlan.h"

#include "llmc/IR/Passes.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/Statistic.h"

#include <map>

#define DEBUG_TYPE "outline-layers"

namespace llmc {
#define GEN_PASS_DEF_OUTLINELAYERS
#include "llmc/IR/Passes.h.inc"
} // namespace llmc

using namespace mlir;
using namespace llmc;

ALWAYS_ENABLED_STATISTIC(layersOutlined, "Layers that became calls");

using Kind = std::vector<PlannedLayer>; // Layers that are alike.

/// Kinds in the order of their first layers.
static std::vector<Kind> groupByKind(std::vector<PlannedLayer> layers) {
  std::map<std::vector<const void *>, size_t> known;
  std::vector<Kind> kinds;
  for (PlannedLayer &layer : layers) {
    size_t number = known.try_emplace(layer.key, kinds.size()).first->second;
    if (number == kinds.size())
      kinds.emplace_back();
    kinds[number].push_back(std::move(layer));
  }
  return kinds;
}

/// Operations that a function with calls is shorter by.
static int64_t savedBy(const Kind &kind) {
  const auto count = static_cast<int64_t>(kind.size());
  return (count - 1) * static_cast<int64_t>(kind[0].ops.size()) - count - 2;
}

/// What names of weights have in common at their end, from a dot on: mlp.up_proj.weight.
static StringRef commonName(ArrayRef<StringRef> names) {
  if (llvm::all_equal(names))
    return names.front();
  StringRef common = names.front();
  for (StringRef name : names) {
    size_t equal = 0;
    while (equal < std::min(common.size(), name.size()) &&
           common[common.size() - 1 - equal] == name[name.size() - 1 - equal])
      ++equal;
    common = common.take_back(equal);
  }
  size_t dot = common.find('.');
  return dot == StringRef::npos ? StringRef() : common.drop_front(dot + 1);
}

namespace {

/// Makes the function of a kind, and the calls.
class Outliner {
public:
  Outliner(const Kind &kind, StringRef name, Operation *before)
      : kind(kind), name(name), b(before) {
    DenseSet<Location> distinct;
    for (auto [i, op] : llvm::enumerate(kind[0].ops))
      if (distinct.insert(op->getLoc()).second)
        located.push_back(i);
  }

  void run() {
    makeLayer();
    for (auto [i, layer] : llvm::enumerate(kind))
      makeCall(layer, i);
    layersOutlined += static_cast<unsigned>(kind.size());
  }

private:
  void makeLayer();
  void makeCall(const PlannedLayer &layer, size_t turn);
  DictionaryAttr describeArgument(size_t number);
  void takeAttributes(Operation *made, size_t number);
  Location locationOf(const PlannedLayer &layer);

  const Kind &kind;
  StringRef name;
  OpBuilder b;
  SmallVector<size_t> located;             ///< one operation for each location
  SmallVector<SmallVector<Attribute>> own; ///< for each number of a layer, one of each layer
};

/// The locations of all operations, to be seen where locations are; the first is its own.
Location Outliner::locationOf(const PlannedLayer &layer) {
  SmallVector<Attribute> all;
  for (size_t number : located)
    all.push_back(LocationAttr(layer.ops[number]->getLoc()));
  return FusedLoc::get({layer.ops[0]->getLoc()}, b.getArrayAttr(all), b.getContext());
}

DictionaryAttr Outliner::describeArgument(size_t number) {
  if (number < kind[0].inputs.size())
    return b.getDictionaryAttr({});
  SmallVector<StringRef> names;
  for (const PlannedLayer &layer : kind)
    names.push_back(layer.operands()[number].getDefiningOp<WeightOp>().getWeightName());
  StringRef common = commonName(names);
  return common.empty() ? b.getDictionaryAttr({})
                        : b.getDictionaryAttr(b.getNamedAttr("llmc.name", b.getStringAttr(common)));
}

/// Leaves on an operation of the body the discardable attributes that all layers have, and the
/// number of an entry in the place of others.
void Outliner::takeAttributes(Operation *made, size_t number) {
  llvm::SetVector<StringAttr> names;
  for (const PlannedLayer &layer : kind)
    for (NamedAttribute attribute : layer.ops[number]->getDiscardableAttrs())
      names.insert(attribute.getName());
  for (StringAttr attribute : names) {
    SmallVector<Attribute> column;
    for (const PlannedLayer &layer : kind) {
      Attribute value = layer.ops[number]->getDiscardableAttr(attribute);
      column.push_back(value ? value : absentInLayer(b.getContext()));
    }
    if (llvm::all_equal(column) && !isa<PerLayerAttr>(column[0]))
      continue;
    const auto *found = llvm::find(own, column);
    const auto place = static_cast<int64_t>(found - own.begin());
    if (found == own.end())
      own.push_back(std::move(column));
    made->setDiscardableAttr(attribute, PerLayerAttr::get(b.getContext(), place));
  }
}

void Outliner::makeLayer() {
  const PlannedLayer &first = kind[0];
  SmallVector<Value> operands = first.operands();
  SmallVector<Attribute> described;
  for (size_t i = 0; i < operands.size(); ++i)
    described.push_back(describeArgument(i));
  auto type =
      b.getFunctionType(TypeRange(ValueRange(operands)), TypeRange(ValueRange(first.outputs)));
  auto layer = LayerOp::create(b, locationOf(first), b.getStringAttr(name), TypeAttr::get(type),
                               b.getStringAttr("private"), b.getArrayAttr(described), ArrayAttr());
  OpBuilder::InsertionGuard guard(b);
  Block *body = b.createBlock(&layer.getBody());
  IRMapping mapping;
  for (Value operand : operands)
    mapping.map(operand, body->addArgument(operand.getType(), b.getUnknownLoc()));
  DenseMap<Attribute, FlatSymbolRefAttr> caches;
  for (FlatSymbolRefAttr outside : first.caches) {
    auto cache =
        cast<CacheOp>(b.clone(*SymbolTable::lookupNearestSymbolFrom(first.ops[0], outside)));
    cache.setSymName("kv." + std::to_string(caches.size()));
    cache->setDiscardableAttrs(DictionaryAttr::get(b.getContext()));
    cache->setLoc(b.getUnknownLoc());
    caches[outside] = FlatSymbolRefAttr::get(cache.getSymNameAttr());
  }
  for (auto [i, op] : llvm::enumerate(first.ops)) {
    Operation *made = b.clone(*op, mapping);
    takeAttributes(made, i);
    if (FlatSymbolRefAttr cache = getNamedCache(op))
      made->setAttr("cache", caches.lookup(cache));
  }
  SmallVector<Value> results;
  for (Value output : first.outputs)
    results.push_back(mapping.lookup(output));
  LayerReturnOp::create(b, b.getUnknownLoc(), results);
}

/// A call in the place of the last operation, so that the weights of the layer are in front of it.
void Outliner::makeCall(const PlannedLayer &layer, size_t turn) {
  SmallVector<WeightOp> weights;
  SmallVector<int64_t> places;
  for (auto [number, op] : llvm::enumerate(layer.ops))
    for (WeightOp weight : weightsInFrontOf(op)) {
      weights.push_back(weight);
      places.push_back(static_cast<int64_t>(number));
    }
  OpBuilder at(layer.ops.back());
  SmallVector<Attribute> caches(layer.caches.begin(), layer.caches.end()), values;
  for (const SmallVector<Attribute> &column : own)
    values.push_back(column[turn]);
  auto call = LayerCallOp::create(at, locationOf(layer), TypeRange(ValueRange(layer.outputs)),
                                  FlatSymbolRefAttr::get(at.getContext(), name), layer.operands(),
                                  caches.empty() ? ArrayAttr() : at.getArrayAttr(caches),
                                  values.empty() ? ArrayAttr() : at.getArrayAttr(values),
                                  DenseI64ArrayAttr(), ArrayAttr(), ArrayAttr());
  if (places != defaultPlaces(weights, call, layer.firstReads()))
    call.setPlaces(places);
  for (auto [result, output] : llvm::zip_equal(call.getResults(), layer.outputs))
    Value(output).replaceAllUsesWith(result);
  for (Operation *op : llvm::reverse(layer.ops))
    op->erase();
}

struct OutlineLayersPass : public llmc::impl::OutlineLayersBase<OutlineLayersPass> {
  void runOnOperation() override {
    const bool hadLayers = inlineLayers(getOperation());
    outlineLayers(getOperation(), /*always=*/hadLayers);
  }
};

} // namespace

bool llmc::outlineLayers(ModuleOp module, bool always) {
  std::vector<Kind> kinds = groupByKind(planLayers(module));
  const bool saves = llvm::any_of(kinds, [](const Kind &kind) { return savedBy(kind) > 0; });
  if (kinds.empty() || (!saves && !always))
    return false;
  Operation *first = *module.getOps<func::FuncOp>().begin();
  int64_t number = 0;
  for (const Kind &kind : kinds) {
    std::string name;
    do
      name = "layer." + std::to_string(number++);
    while (SymbolTable::lookupSymbolIn(module, name));
    Outliner(kind, name, first).run();
  }
  return true;
}
