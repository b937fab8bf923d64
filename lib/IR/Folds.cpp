//===- Folds.cpp - folders and canonicalisers -------------------------------------------===//
//
// Only identities that hold bit for bit, or that join two constants.
//
#include "llmc/IR/LLMCDialect.h"

#include "mlir/IR/PatternMatch.h"

using namespace mlir;
using namespace llmc;

// relu(relu(x)) = relu(x).
OpFoldResult ActivationOp::fold(FoldAdaptor) {
  auto inner = getInput().getDefiningOp<ActivationOp>();
  if (inner && getKind() == ActivationKind::Relu && inner.getKind() == ActivationKind::Relu)
    return inner.getResult();
  return {};
}

// x * 1 = x.
OpFoldResult ScaleOp::fold(FoldAdaptor) {
  if (getFactor().convertToDouble() == 1.0)
    return getInput();
  return {};
}

namespace {

/// (x * a) * b = x * (a * b) where one factor is a power of two, so that no bit changes.
struct JoinScales : public OpRewritePattern<ScaleOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(ScaleOp op, PatternRewriter &rewriter) const override {
    auto inner = op.getInput().getDefiningOp<ScaleOp>();
    if (!inner)
      return rewriter.notifyMatchFailure(op, "input is no llmc.scale");
    double a = inner.getFactor().convertToDouble(), b = op.getFactor().convertToDouble();
    int exponent;
    if (std::abs(std::frexp(a, &exponent)) != 0.5 && std::abs(std::frexp(b, &exponent)) != 0.5)
      return rewriter.notifyMatchFailure(op, "neither factor is a power of two");
    rewriter.replaceOpWithNewOp<ScaleOp>(op, op.getType(), inner.getInput(),
                                         rewriter.getF64FloatAttr(a * b));
    return success();
  }
};

/// A split with one result is its input.
struct DropSingleSplit : public OpRewritePattern<SplitOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(SplitOp op, PatternRewriter &rewriter) const override {
    if (op.getNumResults() != 1)
      return rewriter.notifyMatchFailure(op, "splits into several results");
    rewriter.replaceOp(op, op.getInput());
    return success();
  }
};

} // namespace

void ScaleOp::getCanonicalizationPatterns(RewritePatternSet &results, MLIRContext *context) {
  results.add<JoinScales>(context);
}

void SplitOp::getCanonicalizationPatterns(RewritePatternSet &results, MLIRContext *context) {
  results.add<DropSingleSplit>(context);
}
