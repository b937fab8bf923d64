//===- BlockPlan.cpp - a model as blocks that run one after another -----------------------===//
//
// Points where one value goes over cut the function into segments; segments become blocks by the
// attention in them.
//
#include "llmc/Calibrate/BlockPlan.h"

#include "mlir/IR/IRMapping.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "llvm/ADT/MapVector.h"

using namespace mlir;
using namespace llmc;

static bool isStep(func::FuncOp entry) {
  return entry->getAttrOfType<StringAttr>("llmc.role") == "step";
}

/// Whether every block may read it: masks and ids of a graph without cache.
static bool isForAll(Value value, func::FuncOp entry) {
  auto tensor = dyn_cast<RankedTensorType>(value.getType());
  return isa<BlockArgument>(value) && !isStep(entry) && tensor &&
         isa<IntegerType>(tensor.getElementType());
}

static bool areRows(Value value) {
  auto tensor = dyn_cast<RankedTensorType>(value.getType());
  return tensor && tensor.getRank() == 3 && isa<FloatType>(tensor.getElementType()) &&
         tensor.isDynamicDim(1) && !tensor.isDynamicDim(2);
}

namespace {

/// Operations between two cuts.
struct Segment {
  size_t begin, end;
  bool hasAttention;
};

/// Where the function can be cut.
class Cuts {
public:
  Cuts(func::FuncOp entry) : entry(entry) {
    for (Operation &op : entry.getBody().front().without_terminator())
      if (!isa<WeightOp>(op))
        ops.push_back(&op);
    for (auto [i, op] : llvm::enumerate(ops))
      order[op] = i;
    findCrossings();
  }

  /// The one value that goes from the operations in front of `at` to the others, or null.
  Value at(size_t at) const {
    Value only;
    for (const auto &[value, span] : crossings) {
      if (span.first >= at || span.second < at)
        continue;
      if (only)
        return {};
      only = value;
    }
    for (const auto &[cache, span] : caches)
      if (span.first < at && span.second >= at)
        return {};
    return only && areRows(only) ? only : Value();
  }

  std::vector<Operation *> ops;

private:
  /// From behind which operation to in front of which one a value is needed.
  using Span = std::pair<size_t, size_t>;

  void findCrossings() {
    for (BlockArgument argument : entry.getArguments())
      if (!isForAll(argument, entry))
        addUses(argument, 0);
    for (auto [i, op] : llvm::enumerate(ops)) {
      for (Value result : op->getResults())
        addUses(result, i);
      if (auto attention = dyn_cast<AttentionOp>(op); attention && attention.getCacheAttr()) {
        auto &span = caches.try_emplace(attention.getCacheAttr(), Span(i, i)).first->second;
        span.second = i;
      }
    }
  }

  void addUses(Value value, size_t from) {
    Span span(from, from);
    // What is only returned, nobody in a later block needs.
    for (Operation *user : value.getUsers())
      if (auto place = order.find(user); place != order.end())
        span.second = std::max(span.second, place->second);
    crossings[value] = span;
  }

  func::FuncOp entry;
  DenseMap<Operation *, size_t> order;
  llvm::MapVector<Value, Span> crossings;
  llvm::MapVector<Attribute, Span> caches;
};

} // namespace

/// Where blocks begin. Each has one attention at its front; what comes in front of the first and
/// behind the last is a block of its own.
static std::vector<size_t> findStarts(ArrayRef<Segment> segments) {
  std::vector<size_t> starts{0};
  for (auto [i, segment] : llvm::enumerate(segments))
    if (segment.hasAttention && i)
      starts.push_back(i);
  // The last layer has as many segments as the one in front of it.
  if (starts.size() < 3)
    return starts;
  size_t last = starts.back(), usual = last - starts[starts.size() - 2];
  if (segments.size() - last > usual)
    starts.push_back(last + usual);
  return starts;
}

std::vector<ModelBlock> llmc::wholeModel(func::FuncOp entry) {
  return {ModelBlock{Cuts(entry).ops, {}, {}}};
}

std::vector<ModelBlock> llmc::planBlocks(func::FuncOp entry) {
  Cuts cuts(entry);
  size_t count = cuts.ops.size();
  std::vector<Segment> segments;
  for (size_t i = 0; i < count; ++i) {
    if (!i || cuts.at(i))
      segments.push_back({i, i, false});
    segments.back().end = i + 1;
    segments.back().hasAttention |= isa<AttentionOp>(cuts.ops[i]);
  }
  std::vector<size_t> starts = findStarts(segments);
  std::vector<ModelBlock> blocks;
  for (auto [i, start] : llvm::enumerate(starts)) {
    const bool last = i + 1 == starts.size();
    size_t begin = segments.empty() ? 0 : segments[start].begin;
    size_t end = last ? count : segments[starts[i + 1]].begin;
    ModelBlock block;
    block.ops.assign(cuts.ops.begin() + begin, cuts.ops.begin() + end);
    if (i)
      block.input = blocks.back().output;
    if (!last)
      block.output = cuts.at(end);
    blocks.push_back(std::move(block));
  }
  return blocks;
}

namespace {

/// Builds the module of one block.
class BlockExtractor {
public:
  BlockExtractor(func::FuncOp entry, const ModelBlock &block)
      : entry(entry), block(block), b(entry.getContext()) {}

  OwningOpRef<ModuleOp> extract(ArrayRef<ObservedValue> observed) {
    OwningOpRef<ModuleOp> module = ModuleOp::create(entry.getLoc());
    for (NamedAttribute attribute : entry->getParentOfType<ModuleOp>()->getAttrs())
      if (attribute.getName() == "llmc.context" || attribute.getName() == "llmc.context_reason")
        (*module)->setAttr(attribute.getName(), attribute.getValue());
    b.setInsertionPointToEnd(module->getBody());
    cloneCaches();
    startFunction();
    for (const ObservedValue &seen : observed)
      if (mapping.contains(seen.value))
        observe(seen);
    for (Operation *op : block.ops) {
      for (Value operand : op->getOperands())
        if (auto weight = operand.getDefiningOp<WeightOp>(); weight && !mapping.contains(operand))
          b.clone(*weight, mapping);
      Operation *copy = b.clone(*op, mapping);
      if (auto attention = dyn_cast<AttentionOp>(copy); attention && attention.getCacheAttr())
        attention.setCacheAttr(caches.lookup(attention.getCacheAttr()));
      for (const ObservedValue &seen : observed)
        if (seen.value.getDefiningOp() == op)
          observe(seen);
    }
    Value output = block.output ? block.output : observed.back().value;
    Value result = mapping.lookup(output);
    func::ReturnOp::create(b, entry.getLoc(), result);
    function.setFunctionType(b.getFunctionType(function.getArgumentTypes(), result.getType()));
    removeUnneeded();
    return module;
  }

private:
  /// Named anew, so that equal blocks are equal in text.
  void cloneCaches() {
    for (Operation *op : block.ops) {
      auto attention = dyn_cast<AttentionOp>(op);
      if (!attention || !attention.getCacheAttr() || caches.contains(attention.getCacheAttr()))
        continue;
      auto cache = cast<CacheOp>(
          b.clone(*SymbolTable::lookupNearestSymbolFrom(op, attention.getCacheAttr())));
      cache.setSymName("kv." + std::to_string(caches.size()));
      caches[attention.getCacheAttr()] = FlatSymbolRefAttr::get(cache.getSymNameAttr());
    }
  }

  void startFunction() {
    SmallVector<Value> arguments;
    if (block.input)
      arguments.push_back(block.input);
    for (BlockArgument argument : entry.getArguments())
      if ((!block.input || isForAll(argument, entry)) &&
          llvm::any_of(argument.getUsers(),
                       [&](Operation *user) { return llvm::is_contained(block.ops, user); }))
        arguments.push_back(argument);
    SmallVector<Type> types(llvm::map_range(arguments, [](Value v) { return v.getType(); }));
    function =
        func::FuncOp::create(b, entry.getLoc(), entry.getName(), b.getFunctionType(types, {}));
    function->setAttr("llmc.role", entry->getAttr("llmc.role"));
    Block *body = function.addEntryBlock();
    SmallVector<DictionaryAttr> attributes;
    for (auto [i, argument] : llvm::enumerate(arguments)) {
      mapping.map(argument, body->getArgument(i));
      auto given = dyn_cast<BlockArgument>(argument);
      DictionaryAttr known = given ? entry.getArgAttrDict(given.getArgNumber()) : DictionaryAttr();
      if (argument == block.input)
        known = b.getDictionaryAttr(b.getNamedAttr("llmc.name", b.getStringAttr("rows")));
      attributes.push_back(known ? known : b.getDictionaryAttr({}));
    }
    function.setAllArgAttrs(attributes);
    b.setInsertionPointToEnd(body);
  }

  void observe(const ObservedValue &seen) {
    ObserveOp::create(b, seen.value.getLoc(), b.getStringAttr(seen.name),
                      mapping.lookup(seen.value));
  }

  void removeUnneeded() {
    for (Operation &op : llvm::make_early_inc_range(llvm::reverse(function.getBody().front())))
      if (isOpTriviallyDead(&op))
        op.erase();
  }

  func::FuncOp entry;
  const ModelBlock &block;
  OpBuilder b;
  IRMapping mapping;
  DenseMap<Attribute, FlatSymbolRefAttr> caches;
  func::FuncOp function;
};

} // namespace

OwningOpRef<ModuleOp> llmc::extractBlock(func::FuncOp entry, const ModelBlock &block,
                                         ArrayRef<ObservedValue> observed) {
  return BlockExtractor(entry, block).extract(observed);
}
