//===- FuseStages.cpp - order the graph into stages -------------------------------------===//
//
// Fewer barriers: independent operations share a stage, a residual is added by the linear that
// produces it, and what only feeds logits is kept apart so that it runs for wanted rows only.
//
#include "llmc/Lower/CompileConfig.h"
#include "llmc/Lower/Passes.h"

#include "mlir/IR/PatternMatch.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"
#include "llvm/ADT/MapVector.h"

#include <map>

namespace llmc {
#define GEN_PASS_DEF_FUSESTAGES
#include "llmc/Lower/Passes.h.inc"
} // namespace llmc

using namespace mlir;
using namespace llmc;

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

/// Marks linears whose only use is a sum: the sum is emitted as one linear with residual.
void markResiduals(func::FuncOp entry) {
  entry.walk([&](arith::AddFOp add) {
    for (Value operand : {add.getRhs(), add.getLhs()}) {
      auto linear = operand.getDefiningOp<LinearOp>();
      if (!linear || !linear->hasOneUse() || add.getLhs() == add.getRhs())
        continue;
      linear->setAttr("llmc.fused", UnitAttr::get(add.getContext()));
      return;
    }
  });
}

/// Operations that must see every row: attention (its keys), observers and checks; and what feeds
/// them.
DenseSet<Operation *> findBody(func::FuncOp entry) {
  DenseSet<Operation *> body;
  SmallVector<Operation *> work;
  entry.walk([&](Operation *op) {
    if (isa<AttentionOp, ObserveOp, ExpectCloseOp, ExpectEqOp>(op))
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

struct FuseStagesPass : public llmc::impl::FuseStagesBase<FuseStagesPass> {
  void runOnOperation() override;
  void number(func::FuncOp entry);
};

void FuseStagesPass::number(func::FuncOp entry) {
  Builder b(&getContext());
  bool step = entry->getAttrOfType<StringAttr>("llmc.role") == "step";
  DenseSet<Operation *> body = findBody(entry);
  llvm::MapVector<Operation *, int64_t> stages;
  int64_t lastBody = 0;
  auto place = [&](Operation *op, int64_t least) {
    int64_t stage = least;
    for (Value operand : op->getOperands()) {
      Operation *producer = operand.getDefiningOp();
      if (!producer || isa<WeightOp>(producer))
        continue;
      // A view is where its source is, and a fused linear is computed by the sum that uses it.
      bool free = isa<SplitOp>(op) || producer->hasAttr("llmc.fused");
      stage = std::max(stage, stages.lookup(producer) + (free ? 0 : 1));
    }
    stages[op] = stage;
    return stage;
  };
  Block &block = entry.getBody().front();
  SmallVector<Operation *> weights, tail;
  for (Operation &op : block.without_terminator()) {
    if (isa<WeightOp>(op)) {
      weights.push_back(&op);
    } else if (step && !body.contains(&op)) {
      tail.push_back(&op);
    } else {
      lastBody = std::max(lastBody, place(&op, 1));
    }
  }
  for (Operation *op : tail) {
    place(op, lastBody + 1);
    op->setAttr("llmc.tail", b.getUnitAttr());
  }
  // Stable order by stage; operands stay in front of their users because stages only grow along an
  // edge, or stay equal for views and fused linears, whose program order is kept.
  std::map<int64_t, SmallVector<Operation *>> order;
  for (auto [op, stage] : stages)
    order[stage].push_back(op);
  for (Operation *op : llvm::reverse(weights))
    op->moveBefore(&block, block.begin());
  for (auto &[stage, ops] : order)
    for (Operation *op : ops) {
      op->moveBefore(block.getTerminator());
      op->setAttr("llmc.stage", b.getI64IntegerAttr(stage));
    }
}

void FuseStagesPass::runOnOperation() {
  FailureOr<func::FuncOp> entry = getEntry(getOperation());
  if (failed(entry))
    return signalPassFailure();
  RewritePatternSet patterns(&getContext());
  patterns.add<JoinGate>(&getContext());
  ScaleOp::getCanonicalizationPatterns(patterns, &getContext());
  SplitOp::getCanonicalizationPatterns(patterns, &getContext());
  if (failed(applyPatternsGreedily(*entry, std::move(patterns))))
    return signalPassFailure();
  markResiduals(*entry);
  number(*entry);
}

} // namespace
