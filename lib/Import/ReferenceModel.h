//===- ReferenceModel.h - The meaning of a module, by the book ------------===//
//
// Interprets the graph ops of an imported module in f64, one operation at a time, as their
// descriptions say. Slow, and independent of every lowering; the import check compares it with the
// original.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_LIB_IMPORT_REFERENCEMODEL_H
#define LLMC_LIB_IMPORT_REFERENCEMODEL_H

#include "llmc/IR/LLMCDialect.h"

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace llmc {

class ReferenceModel {
public:
  /// [batch, positions, width], row-major.
  struct Tensor {
    std::vector<double> data;
    int64_t width = 1;
  };

  explicit ReferenceModel(ModuleOp module);

  /// Runs the function on ids (and masks) [batch, positions], by argument name, behind what earlier
  /// calls left in the caches. Returns the results; throws onnx::ImportError for an operation it
  /// does not know.
  std::vector<Tensor> run(const std::map<std::string, std::vector<int64_t>> &inputs, int64_t batch,
                          int64_t length);

  /// The result of the last operation at each named location of the last run.
  const std::map<std::string, Tensor> &byLocation() const { return results; }

private:
  Tensor evaluate(Operation &op);
  Tensor linear(LinearOp op);
  Tensor attention(AttentionOp op);
  const std::vector<float> &weightOf(Value value);
  Tensor &at(Value value);

  struct Cache {
    std::vector<double> keys, values;
  };
  func::FuncOp function;
  int64_t batch = 1, length = 0, past = 0;
  std::map<std::string, Cache> caches;
  DenseMap<Value, Tensor> tensors;
  /// Behind pointers: an operation holds several weights while the map grows.
  DenseMap<Operation *, std::unique_ptr<std::vector<float>>> weights;
  std::map<std::string, Tensor> results;
};

} // namespace llmc

#endif // LLMC_LIB_IMPORT_REFERENCEMODEL_H
