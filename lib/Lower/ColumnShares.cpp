//===- ColumnShares.cpp - which worker computes which columns ---------------------------===//
//
// Chains are joined like sets: a chain that meets another in one operation (gate and up) becomes
// one with it, in the coarser of their units.
//
#include "ColumnShares.h"

#include <map>
#include <numeric>

using namespace mlir;
using namespace llmc;

/// Units smaller than a line of memory would make two workers write to one.
static constexpr int64_t kLine = 16;

int64_t ColumnShares::width(Operation *op) const {
  Value value = op->getNumResults() ? op->getResult(0) : op->getOperand(0);
  return cast<RankedTensorType>(value.getType()).getShape().back();
}

int64_t ColumnShares::granule(Operation *op) const {
  if (isa<LinearOp>(op) || plan.fusedLinear(op))
    return std::lcm(unit, kLine);
  if (getBinaryKind(op))
    return kLine;
  auto byColumns = dyn_cast<ColumnOpInterface>(op);
  const int64_t own = byColumns ? byColumns.getColumnGranule() : 0;
  return own == 1 ? kLine : own;
}

Operation *ColumnShares::leader(Operation *op) {
  while (Operation *next = leaders.lookup(op))
    op = next;
  return op;
}

std::optional<ColumnShares::Place> ColumnShares::placeOf(Value value) {
  Operation *op = value.getDefiningOp();
  if (!op)
    return std::nullopt;
  if (isView(op) && !isa<SplitOp>(op))
    return placeOf(op->getOperand(0));
  if (auto split = dyn_cast<SplitOp>(op)) {
    std::optional<Place> place = placeOf(split.getInput());
    if (!place)
      return std::nullopt;
    for (Value result : split.getResults()) {
      if (result == value)
        return place;
      place->column += cast<RankedTensorType>(result.getType()).getShape().back();
    }
  }
  auto found = places.find(op);
  if (found == places.end())
    return std::nullopt;
  return found->second;
}

bool ColumnShares::tryJoin(Operation *op, int64_t stage, function_ref<int64_t(Value)> stageOf) {
  int64_t own = granule(op);
  if (!own || isa<LinearOp>(op)) // A linear reads whole rows.
    return false;
  SmallVector<Place> joined;
  for (Value operand : op->getOperands()) {
    Operation *producer = operand.getDefiningOp();
    if (!producer || isa<WeightOp>(producer) || stageOf(operand) != stage)
      continue;
    // A fused linear has no columns yet: this sum is what computes it.
    if (plan.fused.contains(producer))
      continue;
    std::optional<Place> place = placeOf(operand);
    if (!place)
      return false;
    joined.push_back({leader(place->chain), place->column});
  }
  if (joined.empty())
    return false;
  Place first = joined.front();
  int64_t unit = own, total = chains[first.chain].width;
  for (Place place : joined) {
    const Chain &chain = chains[place.chain];
    if (place.column != first.column || chain.width != total)
      return false;
    unit = std::lcm(unit, chain.unit);
  }
  // Few units leave workers without work; a short matrix is done soon anyway.
  constexpr int64_t kShort = 256;
  if (first.column % own || (unit > total / 2 && total > kShort))
    return false;
  Chain &target = chains[first.chain];
  target.unit = unit;
  target.linears += plan.fusedLinear(op) ? 1 : 0;
  for (Place place : ArrayRef(joined).drop_front())
    if (place.chain != first.chain && leader(place.chain) != first.chain) {
      target.linears += chains[place.chain].linears;
      leaders[place.chain] = first.chain;
    }
  places[op] = {first.chain, first.column};
  return true;
}

void ColumnShares::start(Operation *op) {
  int64_t own = granule(op);
  if (!own)
    return;
  Chain chain{std::lcm(own, kLine), width(op)};
  auto linear = dyn_cast<LinearOp>(op);
  if (!linear)
    linear = plan.fusedLinear(op);
  if (linear) {
    chain.linears = 1;
    chain.inputs = getWeightShape(linear.getWeight().getType())[1];
  }
  chains[op] = chain;
  places[op] = {op, 0};
}

DenseMap<Operation *, exec::ShareAttr>
ColumnShares::assign(function_ref<int64_t(Operation *)> stageOf) {
  std::map<std::pair<int64_t, int64_t>, SmallVector<Operation *>> groups;
  for (auto &[op, chain] : chains) {
    if (leader(op) != op)
      continue;
    chain.total = chain.width;
    if (chain.linears == 1 && chain.inputs)
      groups[{stageOf(op), chain.inputs}].push_back(op);
  }
  for (auto &[key, members] : groups) {
    int64_t total = 0;
    for (Operation *op : members) {
      chains[op].first = total;
      total += chains[op].width;
    }
    for (Operation *op : members)
      chains[op].total = total;
  }
  DenseMap<Operation *, exec::ShareAttr> shares;
  for (auto &[op, place] : places) {
    const Chain &chain = chains[leader(place.chain)];
    shares[op] = exec::ShareAttr::get(op->getContext(), chain.unit, chain.total, chain.first,
                                      chain.width, place.column);
  }
  return shares;
}
