//===- ReferenceModel.h - The meaning of a module, by the book ------------===//
//
// Interprets the graph ops of an imported module in f64, one operation at a time and only those
// that are asked for, as their descriptions say. Independent of every lowering; the import check
// compares it with the original. Weights are read where they lie, so that memory does not grow with
// the model.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_LIB_IMPORT_REFERENCEMODEL_H
#define LLMC_LIB_IMPORT_REFERENCEMODEL_H

#include "llmc/IR/LLMCDialect.h"

#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace llmc {

class ReferenceModel {
public:
  /// [batch, positions, width], row-major.
  struct Tensor {
    std::vector<double> data;
    int64_t width = 1;
  };
  /// Keys and values of each row of the batch, [positions, width].
  struct Cache {
    std::vector<std::vector<double>> keys, values;
  };
  struct Step {
    int64_t batch = 1, past = 0, length = 1;
    /// Ids and masks [batch, positions], by argument name.
    std::map<std::string, std::vector<int64_t>> inputs;
    /// Values that are kept until they are released.
    std::vector<Value> watched;
  };
  using Ranges = std::vector<std::pair<int64_t, int64_t>>;

  explicit ReferenceModel(ModuleOp module);

  func::FuncOp getFunction() const { return function; }

  /// Forgets the values of the step before. Caches stay; they must hold `past` positions.
  void begin(Step step);
  /// The value, computed with what it needs unless it is there. Throws onnx::ImportError for an
  /// operation that is not known.
  const Tensor &compute(Value value);
  /// Some rows and columns of the result of a linear, as [rows, columns].
  std::vector<double> computePart(LinearOp op, ArrayRef<int64_t> rows, const Ranges &columns);
  /// Rounds the input of a linear to bytes with one scale, as the original does and the module does
  /// not: what is compared is then the product.
  void roundInput(LinearOp op) { bytes.insert(op); }
  /// Takes a value as given, for all that is computed later.
  void replace(Value value, Tensor tensor);
  void release(Value value);
  Cache &cacheOf(AttentionOp op);
  void clearCaches() { caches.clear(); }

private:
  Tensor evaluate(Operation &op);
  Tensor attention(AttentionOp op);
  void split(SplitOp op);
  Tensor embedding(EmbeddingOp op);
  Tensor quantized(QuantizeOp op);
  const std::vector<float> &vectorOf(Value value);
  const Tensor &at(Value value);
  void consume(Value value);

  /// The data of a weight while its operation runs; of small models for good.
  struct StoredWeight;
  StoredWeight &stored(Value value);

  func::FuncOp function;
  Step step;
  int threads = 1;
  bool keepsWeights = true;
  std::map<std::string, Cache> caches;
  // By the value's pointer. The elements of these maps do not move.
  llvm::DenseSet<Operation *> bytes; ///< Linears whose input is rounded to bytes.
  std::unordered_map<const void *, Tensor> tensors;
  std::unordered_map<const void *, int64_t> uses;
  std::unordered_map<Operation *, std::vector<float>> vectors;
  std::unordered_map<Operation *, std::shared_ptr<StoredWeight>> matrices;
};

} // namespace llmc

#endif // LLMC_LIB_IMPORT_REFERENCEMODEL_H
