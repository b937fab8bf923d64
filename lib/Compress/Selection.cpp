//===- Selection.cpp - which weights a pass compresses ------------------------------------===//
//
// Grouping of weights by name, recognition of the head, regular expressions.
//
#include "llmc/Compress/Selection.h"
#include "llmc/IR/Layers.h"

#include "mlir/IR/Diagnostics.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/Support/Debug.h"
#include "llvm/Support/Regex.h"

#define DEBUG_TYPE "compress-selection"

using namespace mlir;
using namespace llmc;

/// Whether a user of a value does nothing but change each element, with constants at most.
static bool isElementwise(Operation *op) {
  auto byColumns = dyn_cast<ColumnOpInterface>(op);
  const bool isPointwise = byColumns && byColumns.getColumnGranule() == 1;
  if ((!isPointwise && !op->hasTrait<OpTrait::Elementwise>()) || op->getNumResults() != 1)
    return false;
  unsigned inputs = 0;
  for (Value operand : op->getOperands()) {
    Operation *producer = operand.getDefiningOp();
    inputs +=
        !producer || !(isa<WeightOp>(producer) || producer->hasTrait<OpTrait::ConstantLike>());
  }
  return inputs == 1;
}

static bool feedsOnlyReturn(Value value) {
  if (value.use_empty())
    return false;
  return llvm::all_of(value.getUsers(), [](Operation *user) {
    return isa<func::ReturnOp>(user) ||
           (isElementwise(user) && feedsOnlyReturn(user->getResult(0)));
  });
}

FailureOr<std::vector<WeightUse>> llmc::collectWeights(ModuleOp module) {
  if (!module.getOps<LayerOp>().empty()) // Who reads a weight is not to be seen.
    return mlir::emitError(module.getLoc()) << "weights are looked for in a flat graph: expected "
                                               "--inline-layers (or FlatLayers, in a "
                                               "pass) before, found layers that are functions";
  llvm::MapVector<StringRef, WeightUse> byName;
  LogicalResult distinct = success();
  module.walk([&](WeightOp op) {
    WeightUse &use = byName[op.getWeightName()];
    use.name = op.getWeightName().str();
    if (!use.ops.empty() && (use.ops[0].getComponents() != op.getComponents() ||
                             use.ops[0].getType() != op.getType())) {
      distinct = mlir::emitError(op.getLoc())
                 << "two different weights are called \"" << op.getWeightName() << "\"";
      return;
    }
    use.ops.push_back(op);
    for (OpOperand &operand : op.getResult().getUses()) {
      Operation *user = operand.getOwner();
      if (auto linear = dyn_cast<LinearOp>(user); linear && linear.getWeight() == op.getResult()) {
        use.linears.push_back(linear);
        use.isHead |= feedsOnlyReturn(linear.getResult());
      } else if (auto embedding = dyn_cast<EmbeddingOp>(user)) {
        use.embeddings.push_back(embedding);
      } else {
        use.isOpaque = true;
      }
    }
    // Uses come newest first; the order of the program is the stable one.
    auto order = [](auto &uses) {
      llvm::sort(uses, [](Operation *a, Operation *b) {
        return a->getBlock() == b->getBlock() && a->isBeforeInBlock(b);
      });
    };
    if (use.ops.size() == 1) {
      order(use.linears);
      order(use.embeddings);
    }
  });
  if (failed(distinct))
    return failure();
  std::vector<WeightUse> result;
  for (auto &[name, use] : byName)
    if (getWeightShape(use.ops[0].getType()).size() == 2 &&
        !(use.linears.empty() && use.embeddings.empty()))
      result.push_back(std::move(use));
  return result;
}

static LogicalResult checkPattern(ModuleOp module, StringRef option, StringRef pattern) {
  std::string why;
  if (!pattern.empty() && !llvm::Regex(pattern).isValid(why))
    return mlir::emitError(module.getLoc())
           << option << "=" << pattern << " is no regular expression: " << why;
  return success();
}

FailureOr<std::vector<WeightUse>> llmc::selectWeights(ModuleOp module, StringRef pass,
                                                      StringRef include, StringRef exclude) {
  if (failed(checkPattern(module, "include", include)) ||
      failed(checkPattern(module, "exclude", exclude)))
    return failure();
  FailureOr<std::vector<WeightUse>> all = collectWeights(module);
  if (failed(all))
    return failure();
  llvm::Regex included(include.empty() ? "." : include), excluded(exclude.empty() ? "." : exclude);
  auto part = module->getAttrOfType<ArrayAttr>(kSelectedAttr);
  llvm::DenseSet<Attribute> inPart;
  if (part)
    inPart.insert(part.begin(), part.end());
  std::vector<WeightUse> selected;
  std::string left;
  size_t matched = 0;
  for (WeightUse &use : *all) {
    auto skip = [&]([[maybe_unused]] StringRef why) {
      LLVM_DEBUG(llvm::dbgs() << pass << ": \"" << use.name << "\" is left out: " << why << "\n");
    };
    if (part && !inPart.contains(use.ops[0].getWeightNameAttr())) {
      skip("another block");
      continue;
    }
    if (use.isOpaque) {
      skip("something else than linears and embeddings reads it");
      continue;
    }
    bool wanted =
        include.empty() ? !use.isHead && use.embeddings.empty() : included.match(use.name);
    if (include.empty() && !wanted)
      left += (left.empty() ? "\"" : ", \"") + use.name + "\"";
    matched += wanted;
    if (!wanted)
      skip(!include.empty() ? "no match of include" : use.isHead ? "the head" : "an embedding");
    else if (!exclude.empty() && excluded.match(use.name))
      skip("a match of exclude");
    else
      selected.push_back(std::move(use));
  }
  if (part) // Who chose the part speaks of the whole.
    return selected;
  if (!include.empty() && !matched)
    return mlir::emitError(module.getLoc())
           << pass << ": include=" << include << " matches no weight of a linear or embedding";
  if (include.empty()) {
    auto remark = mlir::emitRemark(module.getLoc())
                  << pass << ": " << selected.size()
                  << (selected.size() == 1 ? " weight is" : " weights are")
                  << " selected: linears but the head, no embeddings";
    if (!left.empty())
      remark << "; left as they are: " << left << " (include=<regex> replaces this selection)";
  }
  return selected;
}
