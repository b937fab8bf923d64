//===- Evaluator.h - ONNX operators on the host ---------------------------===//
//
// A small evaluator of ONNX operators. The importer asks it what masks, rotary tables and shapes
// are, and compares an import with its original. Every operator follows the specification of the
// node's opset (https://onnx.ai/onnx/operators, and com.microsoft's ContribOperators.md) and is
// checked against the ONNX backend node tests (test/Import/test_onnx_node_tests.py).
//
// Sums are accumulated in f64, so results are usually closer to the exact value than those of a
// kernel in f32.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_IMPORT_EVALUATOR_H
#define LLMC_IMPORT_EVALUATOR_H

#include "llmc/Import/OnnxModel.h"
#include "llmc/Import/OnnxTensor.h"

#include <functional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

namespace llmc::onnx {

using ValueMap = std::unordered_map<std::string, OnnxTensor>;

/// Products with constants of which only some rows and columns are computed; the rest stays 0. What
/// is computed follows from sizes and name alone.
struct SampledProducts {
  std::unordered_set<std::string> outputs; ///< Of MatMul, Gemm or MatMulNBits.
  int64_t rows = 0;                        ///< At most.
  double share = 1;                        ///< Of the columns, about; some always.
  bool contains(const std::string &output) const { return outputs.count(output) != 0; }
  /// The rows out of `count`, ascending: the first, the last, and some between.
  std::vector<int64_t> pickRows(int64_t count) const;
  /// [begin, end) ranges out of `count` columns, ascending.
  std::vector<std::pair<int64_t, int64_t>> pickColumns(int64_t count,
                                                       const std::string &output) const;
};

/// Where a graph is computed more exactly than its operators say, and which products are computed.
struct EvaluatorOptions {
  /// Ignore accuracy_level of com.microsoft.MatMulNBits: activations stay float. Otherwise
  /// accuracy_level 4 rounds them to int8 per block.
  bool floatActivations = false;
  /// Null: all products are computed whole.
  const SampledProducts *sampled = nullptr;
  /// Results of 16-bit float types keep the precision of f32, and casts to these types leave values
  /// as they are. What is stored keeps its values: weights, and casts of initializers and
  /// constants.
  bool exactHalf = false;
};

class Evaluator {
public:
  explicit Evaluator(const OnnxModel &model, EvaluatorOptions options = {})
      : model(model), options(options) {}

  /// True when the operator has an implementation (its attributes may still be refused when it
  /// runs).
  static bool supports(const NodeProto &node);

  /// Runs one node; absent optional inputs are nullptr. `lookup` finds values that subgraphs read
  /// from outside. Throws ImportError that names the node.
  std::vector<OnnxTensor>
  runNode(const NodeProto &node, const std::vector<const OnnxTensor *> &inputs,
          const std::function<const OnnxTensor *(const std::string &)> &lookup = nullptr) const;

  /// Evaluates `wanted` values of the main graph from graph inputs; runs only what they need and
  /// frees values after their last use. Values given in `inputs` are taken as they are, also inner
  /// ones.
  ValueMap run(const ValueMap &inputs, const std::vector<std::string> &wanted) const {
    return run(inputs, wanted, {}, nullptr);
  }

  /// Called with each value when it has been made, before anything reads it; may change elements.
  using Visitor = std::function<void(const NodeProto &, const std::string &, OnnxTensor &)>;
  /// Also evaluates `watched` values, which are shown to `visit` and freed after their last use.
  ValueMap run(const ValueMap &inputs, const std::vector<std::string> &wanted,
               const std::vector<std::string> &watched, const Visitor &visit) const;

  /// Runs every graph output.
  ValueMap runAll(const ValueMap &inputs) const;

  const OnnxModel &getModel() const { return model; }

private:
  std::vector<OnnxTensor>
  runSubgraph(const GraphProto &graph,
              const std::function<const OnnxTensor *(const std::string &)> &lookup) const;

  const OnnxModel &model;
  EvaluatorOptions options;
};

/// The names of all values a node reads, including what its subgraphs read from outside.
std::vector<std::string> valuesRead(const NodeProto &node);

} // namespace llmc::onnx

#endif // LLMC_IMPORT_EVALUATOR_H
