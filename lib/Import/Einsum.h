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

/// How far one goes in an operand of this shape where the label goes on by one; a dimension of 1
/// stays.
int64_t einsumStride(int label, const std::vector<int> &labels, const Shape &shape);

} // namespace llmc::onnx

#endif // LLMC_LIB_IMPORT_EINSUM_H
