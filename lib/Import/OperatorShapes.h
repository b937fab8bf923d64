//===- OperatorShapes.h - Shapes that operators make of shapes ------------===//
//
// The same rules for the evaluator that computes whole tensors and the one that computes single
// elements. All throw ImportError where the operands do not fit.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_LIB_IMPORT_OPERATORSHAPES_H
#define LLMC_LIB_IMPORT_OPERATORSHAPES_H

#include "EvaluatorOps.h"

namespace llmc::onnx {

/// Transpose: the attribute, or all axes reversed.
std::vector<int64_t> permutationOf(const Attributes &attributes, int64_t rank);
/// Axes of `perm` from the front; each of `rank` is there once.
std::vector<int64_t> checkedPermutation(const std::vector<int64_t> &perm, int64_t rank);
/// Shape: the dimensions from `start` to `end`, as a tensor.
OnnxTensor dimensionsOf(const Attributes &attributes, const Shape &shape);
/// Reshape of `size` elements: 0 copies a dimension unless `allowzero`, -1 takes what is left.
Shape reshapedShape(const Attributes &attributes, const Shape &shape, int64_t size, Shape wanted);
Shape flattenedShape(const Attributes &attributes, const Shape &shape);
/// Squeeze: without `given` axes all dimensions of one go.
Shape squeezedShape(const Shape &shape, bool given, const std::vector<int64_t> &axes);
Shape unsqueezedShape(const Shape &shape, const std::vector<int64_t> &axes);
Shape tiledShape(const Shape &shape, const std::vector<int64_t> &repeats);
/// Split of a dimension of `length` into `count` outputs: the `given` sizes, or equal parts.
std::vector<int64_t> splitSizes(const Attributes &attributes, int64_t opset, int64_t length,
                                int64_t count, bool given, std::vector<int64_t> sizes);

/// Reductions: which dimensions go, all of them without axes.
std::vector<bool> reducedAxes(const std::vector<int64_t> &axes, int64_t rank);

/// MatMul: [m, k] x [k, n] for each of a batch; a vector has lost its m or n.
struct ProductShape {
  ProductShape(ElementType typeA, const Shape &a, ElementType typeB, const Shape &b);

  int64_t m, k, n;
  bool vectorA, vectorB;
  Shape batchA, batchB, batch; ///< of the operands and of both
  Shape result;
};

} // namespace llmc::onnx

#endif // LLMC_LIB_IMPORT_OPERATORSHAPES_H
