//===- LayerPlan.cpp - where a graph is cut into layers, and which are alike --------------===//
//
// Points where fewest values go over cut a function into segments, and a layer is what begins with
// a segment that has an attention. Numbers of a graph are compared, data of weights never.
//
#include "LayerPlan.h"

#include "mlir/IR/Builders.h"

#include <map>

using namespace mlir;
using namespace llmc;

FlatSymbolRefAttr llmc::getNamedCache(Operation *op) {
  return isa<AttentionOp, CacheStoreOp>(op) ? op->getAttrOfType<FlatSymbolRefAttr>("cache")
                                            : FlatSymbolRefAttr();
}

/// Whether a value can go in or out of a layer.
static bool canPass(Type type) {
  auto tensor = dyn_cast<RankedTensorType>(type);
  if (!tensor)
    return isa<CompressedType>(type);
  Type element = tensor.getElementType();
  return element.isF32() || element.isF16() || element.isBF16() || element.isF64() ||
         element.isSignlessInteger(32) || element.isSignlessInteger(64);
}

namespace {

using Range = std::pair<size_t, size_t>; ///< [first, second) of operations or segments

/// The operations of one function without weights, and what goes over between them.
class FunctionPlan {
public:
  explicit FunctionPlan(func::FuncOp function) : function(function) {
    for (Operation &op : function.getBody().front().without_terminator())
      if (!isa<WeightOp>(op))
        ops.push_back(&op);
    for (auto [i, op] : llvm::enumerate(ops))
      order[op] = i;
  }

  std::vector<PlannedLayer> layers();

private:
  std::vector<Range> cut();
  std::vector<size_t> findStarts(ArrayRef<Range> segments);
  size_t beginOfFirst(ArrayRef<size_t> begins);
  size_t endOfLast(ArrayRef<size_t> begins);
  PlannedLayer describe(Range range);
  int64_t numberOf(Range range); ///< equal for ranges that are alike
  bool areAlike(Range a, Range b) {
    return a.second <= ops.size() && b.second <= ops.size() && a.first < a.second &&
           numberOf(a) == numberOf(b);
  }
  bool isInside(Operation *op, Range range) const {
    auto found = order.find(op);
    return found != order.end() && found->second >= range.first && found->second < range.second;
  }

  func::FuncOp function;
  SmallVector<Operation *> ops;
  DenseMap<Operation *, size_t> order;
  std::map<std::vector<const void *>, int64_t> known;
};

/// Segments between the points where fewest values go over: fewest of those between two attentions,
/// so that what all layers read, like a mask, makes no difference.
std::vector<Range> FunctionPlan::cut() {
  std::vector<int64_t> change(ops.size() + 2, 0);
  auto add = [&](Value value, size_t from) { // `from`: the first cut behind it.
    size_t last = from;
    for (Operation *user : value.getUsers())
      if (auto place = order.find(user); place != order.end()) // Not what is only returned.
        last = std::max(last, place->second + 1);
    ++change[from];
    --change[last];
  };
  for (BlockArgument argument : function.getArguments())
    add(argument, 0);
  for (auto [i, op] : llvm::enumerate(ops))
    for (Value result : op->getResults())
      add(result, i + 1);
  std::vector<int64_t> width, zone, fewest(1, INT64_MAX);
  int64_t crossing = 0;
  for (size_t at = 0; at < ops.size(); ++at) {
    crossing += change[at];
    width.push_back(crossing);
    zone.push_back(static_cast<int64_t>(fewest.size()) - 1);
    if (crossing > 0)
      fewest.back() = std::min(fewest.back(), crossing);
    if (isa<AttentionOp>(ops[at]))
      fewest.push_back(INT64_MAX);
  }
  std::vector<Range> segments;
  for (size_t at = 0; at < ops.size(); ++at) {
    if (at == 0 || width[at] == fewest[zone[at]])
      segments.emplace_back(at, at);
    segments.back().second = at + 1;
  }
  return segments;
}

/// Where layers begin: with segments that have an attention, or where there are not several of
/// these, with those of the kind that is met most often.
std::vector<size_t> FunctionPlan::findStarts(ArrayRef<Range> segments) {
  std::vector<size_t> starts;
  for (Range segment : segments)
    if (llvm::any_of(ArrayRef(ops).slice(segment.first, segment.second - segment.first),
                     llvm::IsaPred<AttentionOp>))
      starts.push_back(segment.first);
  if (starts.size() > 1) {
    starts.front() = beginOfFirst(starts);
    return starts;
  }
  std::map<int64_t, std::vector<size_t>> byKind; // Numbered in order of appearance.
  for (Range segment : segments)
    byKind[numberOf(segment)].push_back(segment.first);
  starts.clear();
  for (const auto &[kind, found] : byKind)
    if (found.size() > std::max<size_t>(starts.size(), 1))
      starts = found;
  return starts;
}

/// Embeddings and masks stand in front of the first layer: it begins where that makes it like
/// another.
size_t FunctionPlan::beginOfFirst(ArrayRef<size_t> begins) {
  const size_t end = begins[1];
  for (size_t i = 1; i + 1 < begins.size(); ++i) {
    Range other(begins[i], begins[i + 1]);
    const size_t length = other.second - other.first;
    if (length <= end && areAlike({end - length, end}, other))
      return end - length;
  }
  if (begins.size() == 2) // Whose end nobody knows yet.
    for (size_t begin = 0; begin <= begins[0]; ++begin)
      if (areAlike({end, end + end - begin}, {begin, end}))
        return begin;
  return begins[0];
}

/// Norm and head stand behind the last layer: it ends where that makes it like another, or else it
/// is as long as the one in front of it.
size_t FunctionPlan::endOfLast(ArrayRef<size_t> begins) {
  const size_t begin = begins.back();
  for (size_t i = begins.size() - 1; i-- > 0;) {
    Range other(begins[i], begins[i + 1]);
    const size_t end = begin + other.second - other.first;
    if (areAlike({begin, end}, other))
      return end;
  }
  return std::min(ops.size(), begin + begin - begins[begins.size() - 2]);
}

int64_t FunctionPlan::numberOf(Range range) {
  const auto next = static_cast<int64_t>(known.size());
  return known.try_emplace(describe(range).key, next).first->second;
}

/// Reads an operation's share of what makes two layers alike.
class Describer {
public:
  Describer(PlannedLayer &layer, MLIRContext *context) : layer(layer), b(context) {}

  /// False if the operation cannot stand in a layer.
  bool read(Operation *op, size_t number) {
    if (op->getNumRegions() || op->getNumSuccessors())
      return false;
    NamedAttrList attributes(op->getAttrDictionary());
    for (NamedAttribute own : op->getDiscardableAttrs())
      attributes.erase(own.getName());
    add(op->getName().getAsOpaquePointer());
    if (FlatSymbolRefAttr cache = getNamedCache(op)) {
      attributes.erase("cache");
      if (!readCache(op, cache))
        return false;
    }
    DictionaryAttr rest = attributes.getDictionary(op->getContext());
    bool refers = false; // To what a layer does not see.
    rest.walk([&](SymbolRefAttr) { refers = true; });
    if (refers)
      return false;
    add(rest.getAsOpaquePointer());
    for (OpOperand &operand : op->getOpOperands())
      if (!readOperand(operand, number))
        return false;
    add(nullptr);
    for (Value result : op->getResults()) {
      add(result.getType().getAsOpaquePointer());
      addNumber(static_cast<int64_t>(values.size()));
      values[result] = static_cast<int64_t>(values.size());
    }
    // A call has a location for each that is told apart here.
    addNumber(locations.try_emplace(op->getLoc(), static_cast<int64_t>(number)).first->second);
    return true;
  }

  void addNumber(int64_t number) { add(b.getI64IntegerAttr(number).getAsOpaquePointer()); }

private:
  void add(const void *part) { layer.key.push_back(part); }

  bool readCache(Operation *op, FlatSymbolRefAttr name) {
    auto cache = SymbolTable::lookupNearestSymbolFrom<CacheOp>(op, name);
    if (!cache)
      return false;
    if (!llvm::is_contained(layer.caches, name))
      layer.caches.push_back(name);
    addNumber(llvm::find(layer.caches, name) - layer.caches.begin());
    add(cache.getType().getAsOpaquePointer());
    addNumber(cache.getByteProducts());
    return true;
  }

  bool readOperand(OpOperand &operand, size_t number) {
    Value value = operand.get();
    auto [place, isNew] = values.try_emplace(value, static_cast<int64_t>(values.size()));
    addNumber(place->second);
    if (!isNew)
      return true;
    const bool isWeight = value.getDefiningOp<WeightOp>() != nullptr;
    (isWeight ? layer.weights : layer.inputs).emplace_back(number, operand.getOperandNumber());
    addNumber(isWeight);
    add(value.getType().getAsOpaquePointer());
    return canPass(value.getType());
  }

  PlannedLayer &layer;
  Builder b;
  DenseMap<Value, int64_t> values; ///< numbered as they are met
  DenseMap<Location, int64_t> locations;
};

/// What a layer of these operations is. One that cannot be a function is like no other, and has no
/// operations.
PlannedLayer FunctionPlan::describe(Range range) {
  PlannedLayer layer;
  Describer describer(layer, function.getContext());
  bool possible = true;
  for (size_t i = range.first; i < range.second && possible; ++i)
    possible = describer.read(ops[i], i - range.first);
  for (size_t i = range.first; i < range.second && possible; ++i)
    for (Value result : ops[i]->getResults()) {
      const bool leaves =
          llvm::any_of(result.getUsers(), [&](Operation *user) { return !isInside(user, range); });
      describer.addNumber(leaves);
      if (leaves)
        layer.outputs.push_back(result);
      possible &= !leaves || canPass(result.getType());
    }
  if (!possible) {
    layer = PlannedLayer();
    layer.key = {ops[range.first]};
    return layer;
  }
  layer.ops.assign(ops.begin() + range.first, ops.begin() + range.second);
  return layer;
}

std::vector<PlannedLayer> FunctionPlan::layers() {
  std::vector<size_t> begins = findStarts(cut());
  std::vector<PlannedLayer> layers;
  if (begins.size() < 2)
    return layers;
  begins.push_back(endOfLast(begins));
  for (size_t i = 0; i + 1 < begins.size(); ++i) {
    PlannedLayer layer = describe({begins[i], begins[i + 1]});
    if (!layer.ops.empty())
      layers.push_back(std::move(layer));
  }
  return layers;
}

} // namespace

std::vector<PlannedLayer> llmc::planLayers(ModuleOp module) {
  std::vector<PlannedLayer> layers;
  for (auto function : module.getOps<func::FuncOp>()) {
    if (!function.getBody().hasOneBlock())
      continue;
    for (PlannedLayer &layer : FunctionPlan(function).layers())
      layers.push_back(std::move(layer));
  }
  return layers;
}
