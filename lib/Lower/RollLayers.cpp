//===- RollLayers.cpp - one body for layers that are alike ------------------------------===//
//
// Looks for stages that repeat with a period and differ in weights, buffers and caches only.
// Weights and memory have their places by then, so nothing that runs moves: rolled code computes
// the same numbers at the same addresses.
//
#include "llmc/Lower/CompileConfig.h"
#include "llmc/Lower/Passes.h"

#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/Statistic.h"

#include <map>

#define DEBUG_TYPE "roll-layers"

namespace llmc {
#define GEN_PASS_DEF_ROLLLAYERS
#include "llmc/Lower/Passes.h.inc"
} // namespace llmc

using namespace mlir;
using namespace llmc;
using exec::StageOp;

ALWAYS_ENABLED_STATISTIC(stagesRolled, "Stages that became turns of others");

namespace {

/// `turns` times `period` stages from `begin` on.
struct Run {
  int64_t begin = 0, period = 0, turns = 0;
  int64_t saved() const { return (turns - 1) * period; }
};

/// Gives stages that differ in nothing but weights, buffers and caches the same number.
class StageKinds {
public:
  explicit StageKinds(ModuleOp module) : module(module) {}

  int64_t of(StageOp stage);

private:
  std::vector<const void *> describe(StageOp stage);

  ModuleOp module;
  SymbolTableCollection symbols;
  std::map<std::vector<const void *>, int64_t> known; ///< Only looked up: no order of addresses.
};

std::vector<const void *> StageKinds::describe(StageOp stage) {
  std::vector<const void *> key;
  for (Operation &op : stage.getBody().front()) {
    NamedAttrList attributes(op.getAttrDictionary());
    if (auto name = dyn_cast_or_null<FlatSymbolRefAttr>(attributes.erase("cache"))) {
      auto cache = cast<CacheOp>(symbols.lookupNearestSymbolFrom(module, name));
      key.push_back(cache.getType().getAsOpaquePointer());
      key.push_back(
          BoolAttr::get(module.getContext(), cache.getByteProducts()).getAsOpaquePointer());
    }
    key.push_back(op.getName().getAsOpaquePointer());
    key.push_back(attributes.getDictionary(module.getContext()).getAsOpaquePointer());
    for (Value operand : op.getOperands()) {
      auto [owner, column] = exec::getViewed(operand);
      key.push_back(operand.getType().getAsOpaquePointer());
      key.push_back(owner.getType().getAsOpaquePointer());
      Builder b(module.getContext());
      key.push_back(b.getI64IntegerAttr(column).getAsOpaquePointer());
    }
    key.push_back(nullptr);
  }
  return key;
}

int64_t StageKinds::of(StageOp stage) {
  const auto next = static_cast<int64_t>(known.size());
  std::vector<const void *> key = describe(stage);
  for (Operation &op : stage.getBody().front())
    if (exec::isOfCaller(&op) || op.getNumRegions() > 0) // Done once in a call, or a body.
      key.push_back(stage.getOperation());               // Like no other.
  return known.try_emplace(std::move(key), next).first->second;
}

/// The run that saves most, of the shortest period, and the first of these.
Run findRun(ArrayRef<int64_t> kinds) {
  Run best;
  const auto count = static_cast<int64_t>(kinds.size());
  for (int64_t period = 1; 2 * period <= count; ++period) {
    int64_t equal = 0;
    for (int64_t begin = count - 1 - period; begin >= 0; --begin) {
      equal = kinds[begin] == kinds[begin + period] ? equal + 1 : 0;
      Run run{begin, period, 1 + equal / period};
      if (run.saved() > best.saved() ||
          (run.saved() > 0 && run.saved() == best.saved() && period == best.period))
        best = run;
    }
  }
  return best;
}

/// Makes the body of a run from the stages of its first turn.
class Roller {
public:
  Roller(ArrayRef<StageOp> stages, Run run)
      : stages(stages.slice(run.begin, run.period * run.turns)), period(run.period) {}

  /// Finds what stands in the body, turn by turn. True of as many turns as are told; those behind
  /// are not like the first in what is one buffer, one array or one cache.
  int64_t readTurns();
  void roll();

private:
  bool readTurn(ArrayRef<StageOp> turn);
  void joinBuffers();
  Value joined(Value buffer) const;
  bool varies(ArrayRef<Value> column) const;
  ArrayAttr varyingCaches() const;
  void bind(exec::RepeatOp repeat);

  ArrayRef<StageOp> stages;
  int64_t period;
  /// By what it is in the first turn.
  llvm::MapVector<Value, SmallVector<Value>> values;
  llvm::MapVector<Attribute, SmallVector<Attribute>> caches;
  llvm::MapVector<Value, Value> same; ///< Buffers that another in the same place stands for.
};

/// Operands of the kernels of some stages, and their caches.
template <typename Operand, typename Cache>
void forEachPlace(ArrayRef<StageOp> stages, Operand operand, Cache cache) {
  for (StageOp stage : stages)
    for (Operation &op : stage.getBody().front()) {
      for (OpOperand &place : op.getOpOperands())
        operand(place);
      if (auto name = op.getAttr("cache"))
        cache(name);
    }
}

/// Whether `now` agrees with `first` on which entries are one and the same.
template <typename T> bool agree(ArrayRef<T> first, ArrayRef<T> now) {
  DenseMap<T, T> there, back;
  return llvm::all_of(llvm::zip_equal(first, now), [&](auto pair) {
    auto [a, b] = pair;
    return there.try_emplace(a, b).first->second == b && back.try_emplace(b, a).first->second == a;
  });
}

/// Whether something may be another in each turn: arrays and buffers with places, not what is the
/// caller's.
bool canVary(Value value) {
  if (auto buffer = value.getDefiningOp<exec::BufferOp>())
    return buffer.getOffset().has_value();
  return isa<exec::WeightOp, exec::RopeTableOp>(value.getDefiningOp());
}

bool Roller::readTurn(ArrayRef<StageOp> turn) {
  SmallVector<Value> firstValues, nextValues;
  SmallVector<Attribute> firstCaches, nextCaches;
  auto read = [](ArrayRef<StageOp> from, auto &operands, auto &names) {
    forEachPlace(
        from, [&](OpOperand &place) { operands.push_back(exec::getViewed(place.get()).buffer); },
        [&](Attribute name) { names.push_back(name); });
  };
  read(stages.take_front(period), firstValues, firstCaches);
  read(turn, nextValues, nextCaches);
  if (!agree<Value>(firstValues, nextValues) || !agree<Attribute>(firstCaches, nextCaches))
    return false;
  for (auto [first, next] : llvm::zip(firstValues, nextValues))
    if (first != next && (!canVary(first) || !canVary(next)))
      return false;
  const size_t number = (turn.data() - stages.data()) / period;
  for (auto [first, next] : llvm::zip(firstValues, nextValues))
    if (auto &column = values[first]; column.size() == number)
      column.push_back(next);
  for (auto [first, next] : llvm::zip(firstCaches, nextCaches))
    if (auto &column = caches[first]; column.size() == number)
      column.push_back(next);
  return true;
}

int64_t Roller::readTurns() {
  int64_t turns = 0;
  const auto most = static_cast<int64_t>(stages.size()) / period;
  while (turns < most && readTurn(stages.slice(turns * period, period)))
    ++turns;
  stages = stages.take_front(turns * period);
  return turns;
}

Value Roller::joined(Value buffer) const {
  for (auto found = same.find(buffer); found != same.end(); found = same.find(buffer))
    buffer = found->second;
  return buffer;
}

bool Roller::varies(ArrayRef<Value> column) const {
  return llvm::any_of(column, [&](Value value) { return joined(value) != joined(column[0]); });
}

/// A buffer of the first turn takes the part of those that lie where it lies; so most of a body
/// needs no arguments. What is carried from turn to turn is so joined with what it becomes, and
/// hence all or none of the columns that a buffer stands in.
void Roller::joinBuffers() {
  auto isBuffer = [](const auto &entry) {
    return isa<exec::BufferType>(entry.first.getType()) && !llvm::all_equal(entry.second);
  };
  DenseSet<Value> apart;
  for (const auto &[first, column] : llvm::make_filter_range(values, isBuffer))
    for (Value value : column)
      if (llvm::any_of(value.getUsers(), llvm::IsaPred<exec::RepeatOp>))
        apart.insert(value); // Bound elsewhere, where it must not become another.
  for (bool changed = true; changed;) {
    changed = false;
    for (const auto &[first, column] : llvm::make_filter_range(values, isBuffer)) {
      if (llvm::none_of(column, [&, first = first](Value value) {
            return apart.contains(value) || exec::getPlace(value) != exec::getPlace(first);
          }))
        continue;
      for (Value value : column)
        changed |= apart.insert(value).second;
    }
  }
  for (const auto &[first, column] : llvm::make_filter_range(values, isBuffer))
    for (Value value : column)
      if (!apart.contains(value) && joined(value) != joined(first))
        same[joined(value)] = joined(first);
  for (const auto &entry : same) {
    Operation *kept = joined(entry.second).getDefiningOp(), *gone = entry.first.getDefiningOp();
    if (gone->isBeforeInBlock(kept))
      kept->moveBefore(gone);
    Value(entry.first).replaceAllUsesWith(kept->getResult(0));
  }
}

ArrayAttr Roller::varyingCaches() const {
  SmallVector<Attribute> lists;
  for (const auto &[first, column] : caches)
    if (!llvm::all_equal(column))
      lists.push_back(ArrayAttr::get(first.getContext(), column));
  return lists.empty() ? ArrayAttr() : ArrayAttr::get(lists[0].getContext(), lists);
}

/// Moves the stages of the first turn into the body, where arguments stand for what varies.
void Roller::bind(exec::RepeatOp repeat) {
  Block &body = repeat.getBody().front();
  DenseMap<Value, Value> arguments;
  for (const auto &[first, column] : values)
    if (varies(column))
      arguments[first] = body.addArgument(first.getType(), first.getLoc());
  for (StageOp stage : stages.take_front(period))
    stage->moveBefore(&body, body.end());
  OpBuilder views = OpBuilder::atBlockBegin(&body);
  forEachPlace(
      stages.take_front(period),
      [&](OpOperand &place) {
        auto [owner, column] = exec::getViewed(place.get());
        Value argument = arguments.lookup(owner);
        if (!argument)
          return;
        Type type = place.get().getType();
        place.set(argument.getType() == type
                      ? argument
                      : exec::ViewOp::create(views, argument.getLoc(), type, argument,
                                             views.getI64IntegerAttr(column)));
      },
      [](Attribute) {});
}

void Roller::roll() {
  joinBuffers();
  SmallVector<Value> bound;
  for (const auto &[first, column] : values)
    if (varies(column))
      bound.append(column.begin(), column.end());
  StageOp front = stages.front(), last = stages.back();
  OpBuilder b(last);
  const auto turns = static_cast<int64_t>(stages.size()) / period;
  auto repeat = exec::RepeatOp::create(b, front.getLoc(), turns, bound, varyingCaches());
  repeat.getBody().emplaceBlock();
  for (Operation *op = front, *behind = repeat; op != repeat;) {
    Operation *next = op->getNextNode();
    if (isa<exec::ObserveOp>(op)) { // Of what has not been written before.
      op->moveAfter(behind);
      behind = op;
    }
    op = next;
  }
  bind(repeat);
  for (StageOp stage : stages.drop_front(period))
    stage.erase();
  for (const auto &entry : same)
    entry.first.getDefiningOp()->erase();
  SmallVector<exec::ViewOp> views(repeat->getBlock()->getOps<exec::ViewOp>());
  for (exec::ViewOp view : llvm::reverse(views)) // A view of a view comes behind it.
    if (view->use_empty())
      view->erase();
  stagesRolled += (turns - 1) * period;
}

struct RollLayersPass : public llmc::impl::RollLayersBase<RollLayersPass> {
  void runOnOperation() override;
};

/// Rolls the run that saves most, then what is in front of it and behind.
void rollRuns(ArrayRef<StageOp> stages, ArrayRef<int64_t> kinds) {
  Run run = findRun(kinds);
  if (run.saved() == 0)
    return;
  Roller roller(stages, run);
  const int64_t turns = roller.readTurns();
  LLVM_DEBUG(llvm::dbgs() << "stages " << run.begin << " on: " << turns << " of " << run.turns
                          << " turns of " << run.period << "\n");
  if (turns > 1)
    roller.roll();
  // A turn that is not like the first begins a run of its own.
  const int64_t end = run.begin + turns * run.period, begin = turns > 1 ? run.begin : end;
  rollRuns(stages.take_front(begin), kinds.take_front(begin));
  rollRuns(stages.drop_front(end), kinds.drop_front(end));
}

void RollLayersPass::runOnOperation() {
  FailureOr<exec::ProgramOp> program = exec::getProgram(getOperation());
  if (failed(program) || failed(verifyPlanned(*program)))
    return signalPassFailure();
  StageKinds known(getOperation());
  SmallVector<SmallVector<StageOp>> parts(1); // Between repeats that are there already.
  for (Operation &op : program->getBody().front()) {
    if (auto stage = dyn_cast<StageOp>(op))
      parts.back().push_back(stage);
    else if (isa<exec::RepeatOp>(op))
      parts.emplace_back();
  }
  for (ArrayRef<StageOp> stages : parts)
    rollRuns(stages, llvm::map_to_vector(stages, [&](StageOp stage) { return known.of(stage); }));
}

} // namespace
