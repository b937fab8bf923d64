//===- StagePlan.h - how a graph is cut into stages -------------------------------------===//
//
// What --fuse-stages decides before it builds the program. Private to Lower.
//
#ifndef LLMC_LIB_LOWER_STAGEPLAN_H
#define LLMC_LIB_LOWER_STAGEPLAN_H

#include "llmc/Exec/ExecDialect.h"
#include "llmc/Lower/CompileConfig.h"

namespace llmc {

/// What is said of an operation that buildProgram has no kernel for.
inline constexpr const char kNoKernel[] =
    "has no lowering in a step (is it an operation on whole rows?)";

/// Rows of a static width, quantized or not, ids, or what a weight may be.
inline bool isRowsOrWeight(Type type) {
  auto tensor = dyn_cast<RankedTensorType>(type);
  if (!tensor)
    return isa<CompressedType, QuantizedType>(type);
  return tensor.getRank() > 0 &&
         (isa<IntegerType>(tensor.getElementType()) ||
          (isa<FloatType>(tensor.getElementType()) &&
           tensor.getShape().back() != ShapedType::kDynamic && tensor.getShape().back() > 0));
}

/// An operation of the graph and the number of its stage.
struct PlacedOp {
  Operation *op = nullptr;
  int64_t stage = 0;
};

/// The kernel of arithmetic on two operands, or none.
std::optional<exec::BinaryKind> getBinaryKind(Operation *op);
/// Whether an operation runs as the linalg body that it has, or that follows from its being
/// pointwise: it has no kernel.
bool runsByBody(Operation *op);
/// Whether the results are parts of an operand, which nobody computes.
inline bool isView(Operation *op) {
  return isa<SplitOp, tensor::CollapseShapeOp, tensor::ExpandShapeOp>(op);
}

struct StagePlan {
  SmallVector<PlacedOp> order; ///< All but weights, by stage, then as in the graph.
  DenseSet<Operation *> fused; ///< Linears that are computed by the sum which is their only user.
  DenseSet<Operation *> privates; ///< Computed by every worker for itself.
  DenseSet<Operation *> tail;     ///< For wanted rows only.
  DenseMap<Operation *, exec::ShareAttr> shares;

  /// The linear that a sum computes on the way, or none.
  LinearOp fusedLinear(Operation *sum) const {
    for (Value operand : sum->getOperands())
      if (auto linear = operand.getDefiningOp<LinearOp>(); linear && fused.contains(linear))
        return linear;
    return {};
  }
};

/// Builds the program of `entry` in front of it. Errors name the operation that has no kernel.
FailureOr<exec::ProgramOp> buildProgram(func::FuncOp entry, const CompileConfig &config,
                                        const StagePlan &plan);

} // namespace llmc

#endif // LLMC_LIB_LOWER_STAGEPLAN_H
