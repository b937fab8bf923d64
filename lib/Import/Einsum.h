//===- Einsum.h - The equation of an Einsum -------------------------------===//

#ifndef LLMC_LIB_IMPORT_EINSUM_H
#define LLMC_LIB_IMPORT_EINSUM_H

#include "llmc/Import/OnnxTensor.h"

#include <map>
#include <string>
#include <vector>

namespace llmc::onnx {

/// Which dimension each label is. An ellipsis stands for labels of its own, aligned to the right.
struct EinsumPlan {
  std::vector<std::vector<int>> operands; ///< Labels of each operand's dimensions.
  std::vector<int> output;
  std::map<int, int64_t> sizes;
};

/// Throws ImportError where equation and shapes do not fit. Operator Einsum of ONNX, opset 12.
EinsumPlan planEinsum(const std::string &equation, const std::vector<Shape> &shapes);

/// The loops of a plan: the output's labels outside, what is summed over inside.
struct EinsumLoops {
  std::vector<int64_t> extents;              ///< Of all labels, those of the output first.
  std::vector<std::vector<int64_t>> strides; ///< How far label l goes on in operand i.
  size_t outer = 0;                          ///< How many labels the output has.
  Shape shape;                               ///< Of the output.
  int64_t terms = 1;                         ///< Of each sum.
};

/// Throws ImportError (ResourceLimit) where a sum has more terms than can be counted.
EinsumLoops einsumLoops(const EinsumPlan &plan, const std::vector<Shape> &shapes);

} // namespace llmc::onnx

#endif // LLMC_LIB_IMPORT_EINSUM_H
