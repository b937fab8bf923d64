//===- FuseStages.cpp - order the graph into stages -------------------------------------===//
//
// Fewer barriers: independent operations share a stage, a residual is added by the linear that
// produces it, and what only feeds logits is kept apart so that it runs for wanted rows only.
//
#include "ColumnShares.h"
#include "StagePlan.h"

#include "llmc/IR/Layers.h"
#include "llmc/Lower/Passes.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/Statistic.h"
#include "llvm/Support/Debug.h"

#include <map>

#define DEBUG_TYPE "fuse-stages"

namespace llmc {
#define GEN_PASS_DEF_FUSESTAGES
#include "llmc/Lower/Passes.h.inc"
} // namespace llmc

using namespace mlir;
using namespace llmc;

ALWAYS_ENABLED_STATISTIC(stagesMade, "Stages between which workers wait");

namespace {

/// kind(gate) * up  ->  llmc.gated_activation.
struct JoinGate : public OpRewritePattern<arith::MulFOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(arith::MulFOp op, PatternRewriter &rewriter) const override {
    for (unsigned i : {0u, 1u}) {
      auto activation = op.getOperand(i).getDefiningOp<ActivationOp>();
      if (!activation || !activation->hasOneUse())
        continue;
      rewriter.replaceOpWithNewOp<GatedActivationOp>(
          op, op.getType(), activation.getInput(), op.getOperand(1 - i), activation.getKindAttr());
      return success();
    }
    return rewriter.notifyMatchFailure(op, "no factor is an activation used once");
  }
};

/// Linears whose only use is a sum: the sum is computed as one linear with residual.
void findResiduals(func::FuncOp entry, StagePlan &plan) {
  entry.walk([&](arith::AddFOp add) {
    for (Value operand : {add.getRhs(), add.getLhs()}) {
      auto linear = operand.getDefiningOp<LinearOp>();
      if (!linear || !linear->hasOneUse() || add.getLhs() == add.getRhs())
        continue;
      plan.fused.insert(linear);
      return;
    }
  });
}

/// Storing keys and values as operations of their own, so that they find their stage.
void splitCacheStores(func::FuncOp entry) {
  SmallVector<AttentionOp> cached;
  entry.walk([&](AttentionOp op) {
    if (op.getCacheAttr())
      cached.push_back(op);
  });
  for (AttentionOp op : cached) {
    OpBuilder b(op);
    auto store = [&](Value rows, CachePart part) {
      CacheStoreOp::create(b, op.getLoc(), rows, op.getCacheAttr(), op.getKvHeadsAttr(),
                           CachePartAttr::get(b.getContext(), part));
    };
    store(op.getKey(), CachePart::Keys);
    store(op.getValue(), CachePart::Values);
  }
}

/// A norm that only linears read, and codes of any rows, are computed by every worker for itself:
/// cheaper than waiting.
void findPrivate(func::FuncOp entry, StagePlan &plan) {
  entry.walk([&](Operation *op) {
    if (isa<QuantizeOp>(op))
      plan.privates.insert(op);
    auto rms = dyn_cast<RMSNormOp>(op);
    if (!isa<LayerNormOp>(op) && !(rms && rms.getGroups() == 1))
      return;
    bool linears = llvm::all_of(op->getUses(), [](OpOperand &use) {
      return isa<LinearOp, QuantizeOp>(use.getOwner()) && use.getOperandNumber() == 0;
    });
    if (linears && !op->use_empty())
      plan.privates.insert(op);
  });
}

/// Operations that must see every row: attention (its keys), observers and checks; and what feeds
/// them.
DenseSet<Operation *> findBody(func::FuncOp entry) {
  DenseSet<Operation *> body;
  SmallVector<Operation *> work;
  entry.walk([&](Operation *op) {
    if (isa<AttentionOp, CacheStoreOp, ObserveOp, ExpectCloseOp, ExpectEqOp>(op))
      work.push_back(op);
  });
  while (!work.empty()) {
    Operation *op = work.pop_back_val();
    if (!body.insert(op).second)
      continue;
    for (Value operand : op->getOperands())
      if (Operation *producer = operand.getDefiningOp())
        work.push_back(producer);
  }
  return body;
}

/// Numbers operations in program order: each as early as its operands allow.
class StageNumbers {
public:
  StageNumbers(const StagePlan &plan, int64_t unit) : plan(plan), shares(plan, unit) {}

  int64_t place(Operation *op, int64_t least);
  void finish(StagePlan &result);

private:
  int64_t stageOf(Value value) {
    Operation *producer = value.getDefiningOp();
    return producer ? stages.lookup(producer) : 0;
  }

  const StagePlan &plan;
  ColumnShares shares;
  llvm::MapVector<Operation *, int64_t> stages;
  llvm::StringMap<int64_t> stored; ///< Stage of the last store to a cache.
};

int64_t StageNumbers::place(Operation *op, int64_t least) {
  // Behind operands that any worker may read at any time: computed by the same worker (private), by
  // no one (views), or by this very operation (fused linears).
  int64_t ready = least, latest = 0;
  auto attention = dyn_cast<AttentionOp>(op);
  bool cached = attention && attention.getCacheAttr();
  if (cached)
    ready = std::max(ready, stored.lookup(attention.getCache().value()) + 1);
  for (auto [i, operand] : llvm::enumerate(op->getOperands())) {
    Operation *producer = operand.getDefiningOp();
    if (!producer || isa<WeightOp>(producer) || (cached && i > 0))
      continue; // A cached attention reads what was stored, not the rows.
    if (isView(op) || plan.fused.contains(producer) || plan.privates.contains(producer))
      ready = std::max(ready, stageOf(operand));
    else
      latest = std::max(latest, stageOf(operand));
  }
  bool joined =
      latest >= ready && shares.tryJoin(op, latest, [&](Value value) { return stageOf(value); });
  int64_t stage = std::max(ready, joined || !latest ? latest : latest + 1);
  if (!joined && !plan.fused.contains(op))
    shares.start(op);
  if (auto store = dyn_cast<CacheStoreOp>(op)) {
    int64_t &last = stored[store.getCache()];
    last = std::max(last, stage);
  }
  return stages[op] = stage;
}

/// Orders operations by stage. Operands stay in front of their users: stages only grow along an
/// edge or stay equal, where program order is kept.
void StageNumbers::finish(StagePlan &result) {
  result.shares = shares.assign([&](Operation *op) { return stages.lookup(op); });
  std::map<int64_t, SmallVector<Operation *>> byStage;
  for (auto [op, stage] : stages)
    byStage[stage].push_back(op);
  stagesMade += byStage.size();
  for (auto &[stage, ops] : byStage)
    for (Operation *op : ops) {
      LLVM_DEBUG(llvm::dbgs() << "stage " << stage << ": " << op->getName() << " at "
                              << op->getLoc() << "\n");
      result.order.push_back({op, stage});
    }
}

/// Whether an operation computes rows (or ids) from rows; the rest of what is asked of it, its
/// kernel asks.
bool hasRows(Operation &op) {
  return op.getNumRegions() == 0 && llvm::all_of(op.getOperandTypes(), isRowsOrWeight) &&
         llvm::all_of(op.getResultTypes(), isRowsOrWeight);
}

LogicalResult verifyRows(func::FuncOp entry) {
  for (auto [i, type] : llvm::enumerate(entry.getArgumentTypes())) {
    auto tensor = dyn_cast<RankedTensorType>(type);
    if (!tensor || !isRowsOrWeight(type))
      return entry.emitError("input ")
             << i << " is " << type << ", expected a tensor with rows of static width";
    if (isa<FloatType>(tensor.getElementType()) && tensor.getRank() != 3)
      return entry.emitError("input ")
             << i << " is " << type << ", expected rows of floats as [batch, sequence, width]";
  }
  for (Operation &op : entry.getBody().front().without_terminator())
    if (!hasRows(op))
      return op.emitError(kNoKernel);
  for (Value result : entry.getBody().front().getTerminator()->getOperands())
    if (!isa<RankedTensorType>(result.getType()))
      return entry.emitError("returns ") << result.getType() << ", expected tensors with rows";
  return success();
}

struct FuseStagesPass : public llmc::impl::FuseStagesBase<FuseStagesPass> {
  void runOnOperation() override;
};

StagePlan planStages(func::FuncOp entry, int64_t unit) {
  StagePlan plan;
  findResiduals(entry, plan);
  findPrivate(entry, plan);
  bool step = entry->getAttrOfType<StringAttr>("llmc.role") == "step";
  DenseSet<Operation *> body = findBody(entry);
  StageNumbers numbers(plan, unit);
  int64_t lastBody = 0;
  SmallVector<Operation *> tail;
  for (Operation &op : entry.getBody().front().without_terminator()) {
    if (isa<WeightOp>(op))
      continue;
    if (step && !body.contains(&op))
      tail.push_back(&op);
    else
      lastBody = std::max(lastBody, numbers.place(&op, 1));
  }
  for (Operation *op : tail) {
    numbers.place(op, lastBody + 1);
    plan.tail.insert(op);
  }
  numbers.finish(plan);
  return plan;
}

void FuseStagesPass::runOnOperation() {
  inlineLayers(getOperation()); // --roll-layers finds them again, with their places in memory.
  FailureOr<func::FuncOp> entry = getEntry(getOperation());
  FailureOr<CompileConfig> config = CompileConfig::get(getOperation());
  if (failed(entry) || failed(config) || failed(verifyRows(*entry)))
    return signalPassFailure();
  separateActivations(*entry);
  RewritePatternSet patterns(&getContext());
  patterns.add<JoinGate>(&getContext());
  ScaleOp::getCanonicalizationPatterns(patterns, &getContext());
  SplitOp::getCanonicalizationPatterns(patterns, &getContext());
  if (failed(applyPatternsGreedily(*entry, std::move(patterns))))
    return signalPassFailure();
  splitCacheStores(*entry);
  StagePlan plan = planStages(*entry, config->unit);
  if (failed(buildProgram(*entry, *config, plan)))
    return signalPassFailure();
  entry->erase();
}

} // namespace
