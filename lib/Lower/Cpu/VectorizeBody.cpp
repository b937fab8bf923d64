//===- VectorizeBody.cpp - linalg on memory to vectors ----------------------------------===//
//
// The innermost loop goes by vectors, and what is left over of it by a shorter one; loops around it
// are taken in order, so sums have one order whatever the number of threads.
//
#include "VectorizeBody.h"

#include "llmc/Lower/Cpu/MathKernels.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/Dialect/Linalg/Utils/Utils.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/SCF/Transforms/TileUsingInterface.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Dialect/Vector/Transforms/LoweringPatterns.h"
#include "mlir/Dialect/Vector/Transforms/VectorRewritePatterns.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/Debug.h"

#define DEBUG_TYPE "lower-bodies"

using namespace mlir;
using namespace llmc;

/// Loops over elements.
static LogicalResult toLoops(IRRewriter &rewriter, linalg::LinalgOp op) {
  rewriter.setInsertionPoint(op);
  if (failed(linalg::linalgOpToLoops(rewriter, op)))
    return op.emitError("cannot become loops");
  rewriter.eraseOp(op);
  return success();
}

/// Loops over vectors of `lanes` elements of the innermost dimension, which these divide.
static LogicalResult toVectors(IRRewriter &rewriter, linalg::LinalgOp op, int64_t lanes) {
  if (lanes == 1)
    return toLoops(rewriter, op);
  rewriter.setInsertionPoint(op);
  SmallVector<OpFoldResult> sizes(op.getNumLoops(), rewriter.getIndexAttr(1));
  sizes.back() = rewriter.getIndexAttr(lanes);
  FailureOr<scf::SCFTilingResult> tiled =
      scf::tileUsingSCF(rewriter, cast<TilingInterface>(op.getOperation()),
                        scf::SCFTilingOptions().setTileSizes(sizes));
  if (failed(tiled))
    return op.emitError("cannot be tiled");
  rewriter.eraseOp(op);
  auto tile = cast<linalg::LinalgOp>(tiled->tiledOps.front());
  rewriter.setInsertionPoint(tile);
  if (failed(linalg::vectorize(rewriter, tile))) {
    LLVM_DEBUG(llvm::dbgs() << "not vectorised: " << tile.getLoc() << "\n");
    return toLoops(rewriter, tile);
  }
  rewriter.eraseOp(tile);
  return success();
}

static LogicalResult lowerLinalg(IRRewriter &rewriter, linalg::LinalgOp op, int64_t lanes) {
  SmallVector<int64_t> ranges = op.getStaticLoopRanges();
  if (ranges.empty() || ShapedType::isDynamic(ranges.back()))
    return toLoops(rewriter, op);
  const int64_t width = ranges.back(), whole = width / lanes * lanes;
  if (whole == 0 || whole == width)
    return toVectors(rewriter, op, std::min(lanes, width));
  rewriter.setInsertionPoint(op);
  auto [main, rest] = linalg::splitOp(rewriter, cast<TilingInterface>(op.getOperation()),
                                      ranges.size() - 1, rewriter.getIndexAttr(whole));
  if (!main || !rest)
    return op.emitError("cannot be split");
  return success(
      succeeded(toVectors(rewriter, cast<linalg::LinalgOp>(main.getOperation()), lanes)) &&
      succeeded(toVectors(rewriter, cast<linalg::LinalgOp>(rest.getOperation()), width - whole)));
}

/// A compiled model imports no libm: what is no instruction is spelled out.
static LogicalResult expandMath(IRRewriter &rewriter, func::FuncOp function) {
  WalkResult result = function.walk([&](Operation *op) {
    if (!isa_and_nonnull<math::MathDialect>(op->getDialect()) ||
        isa<math::AbsFOp, math::CopySignOp, math::SqrtOp>(op))
      return WalkResult::advance();
    ImplicitLocOpBuilder b(op->getLoc(), rewriter);
    b.setInsertionPoint(op);
    Value expanded = TypeSwitch<Operation *, Value>(op)
                         .Case([&](math::ExpOp exp) { return emitExp(b, exp.getOperand()); })
                         .Case([&](math::TanhOp tanh) { return emitTanh(b, tanh.getOperand()); })
                         .Case([&](math::ErfOp erf) { return emitErf(b, erf.getOperand()); })
                         .Default(Value());
    if (!expanded) {
      op->emitError("has no expansion, and a model imports no library of such functions");
      return WalkResult::interrupt();
    }
    rewriter.replaceOp(op, expanded);
    return WalkResult::advance();
  });
  return success(!result.wasInterrupted());
}

LogicalResult llmc::vectorizeBody(func::FuncOp function, const VectorShape &vectors) {
  IRRewriter rewriter(function.getContext());
  function.walk([&](memref::CopyOp op) {
    rewriter.setInsertionPoint(op);
    linalg::makeMemRefCopyOp(rewriter, op.getLoc(), op.getSource(), op.getTarget());
    rewriter.eraseOp(op);
  });
  SmallVector<linalg::LinalgOp> ops;
  function.walk([&](linalg::LinalgOp op) { ops.push_back(op); });
  for (linalg::LinalgOp op : ops) {
    if (!isa<linalg::GenericOp>(op)) {
      rewriter.setInsertionPoint(op);
      FailureOr<linalg::GenericOp> generic = linalg::generalizeNamedOp(rewriter, op);
      if (failed(generic))
        return op.emitError("has no general form");
      op = *generic;
    }
    if (failed(lowerLinalg(rewriter, op, vectors.lanes)))
      return failure();
  }
  MLIRContext *context = function.getContext();
  RewritePatternSet units(context), reductions(context);
  vector::MultiDimReductionOp::getCanonicalizationPatterns(units, context);
  vector::populateCastAwayVectorLeadingOneDimPatterns(units);
  vector::populateVectorTransferDropUnitDimsPatterns(units);
  vector::populateVectorMultiReductionLoweringPatterns(
      reductions, vector::VectorMultiReductionLowering::InnerReduction);
  vector::populateVectorTransferLoweringPatterns(reductions, /*maxTransferRank=*/1);
  if (failed(applyPatternsGreedily(function, std::move(units))) ||
      failed(applyPatternsGreedily(function, std::move(reductions))))
    return function.emitError("has a body whose vectors cannot be simplified");
  return expandMath(rewriter, function);
}
