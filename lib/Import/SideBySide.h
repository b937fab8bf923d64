//===- SideBySide.h - Original and import, one step at a time -------------===//
//
// Both are evaluated together. Each value of the original that a node of the import equals is
// compared as soon as it is there, and the import goes on from the original's value: differences do
// not add up, so the first node that differs is the one at fault, and tolerances can be tight.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_LIB_IMPORT_SIDEBYSIDE_H
#define LLMC_LIB_IMPORT_SIDEBYSIDE_H

#include "RaisedGraph.h"
#include "ReferenceModel.h"
#include "llmc/Import/Evaluator.h"

namespace llmc {

/// What both run on: ids [batch, length] behind `past` positions.
struct CheckStep {
  int64_t batch = 1, past = 0, length = 1;
  /// Hidden positions [begin, end) of each row of the batch; empty for none.
  std::vector<std::pair<int64_t, int64_t>> padding;
};

class SideBySide {
public:
  /// `values` is what each node of the graph became in the module.
  SideBySide(ModuleOp module, const onnx::RaisedGraph &graph, const std::vector<Value> &values,
             const onnx::OnnxModel &model, bool floatActivations);

  /// The whole model, behind the step before it (past > 0; behind arbitrary keys and values where
  /// there was none) or at the beginning. Computes at most
  /// about `products` multiply-adds of linears on each side. Throws onnx::ImportError that names
  /// the node where they part.
  void run(const CheckStep &step, double products);
  /// One attention alone, on arbitrary queries, keys, values and cache, which stand out at both
  /// sides of each window. False if it cannot be looked at alone. After run.
  bool runAttention(int number, const CheckStep &step);
  /// One node alone, on given ids of `input` if there are any: an embedding, or what it became.
  bool runEmbedding(int number, const CheckStep &step, const std::string &input,
                    const std::vector<int64_t> &ids);

  /// Multiply-adds of all linears for one position.
  double productsPerRow() const { return linearSize; }

private:
  struct Watched {
    int node;
    std::string value, product; ///< The product with a constant that the value is made of, or "".
  };
  /// A cache input of the original and whose it is.
  struct Past {
    int attention;
    bool isKey;
  };
  void findProducts();
  void chooseIds(const CheckStep &step);
  onnx::ValueMap originalInputs(const CheckStep &step) const;
  ReferenceModel::Step referenceStep(const CheckStep &step) const;
  void visit(const onnx::NodeProto &node, const std::string &name, onnx::OnnxTensor &tensor);
  void compare(const Watched &watched, onnx::OnnxTensor &tensor, int grain);
  void comparePresent(const std::string &past, const onnx::OnnxTensor &present);
  void compareSampled(const Watched &watched, LinearOp op, onnx::OnnxTensor &tensor,
                      double tolerance);
  void takeOver(const Watched &watched, const onnx::OnnxTensor &tensor);
  double toleranceOf(const onnx::RaisedNode &node, int grain) const;
  bool isHidden(int64_t row) const;
  [[noreturn]] void differ(const onnx::RaisedNode &node, double apart) const;
  bool feed(int number, const CheckStep &step, const onnx::RaisedNode &attention,
            onnx::ValueMap &inputs, std::vector<std::pair<Value, ReferenceModel::Tensor>> &given,
            bool isValue);
  bool fillCache(int number, const CheckStep &step, onnx::ValueMap &inputs);
  double arbitrary();
  double boost(const onnx::RaisedNode &attention, int64_t position) const;

  const onnx::RaisedGraph &graph;
  const std::vector<Value> &values;
  const onnx::OnnxModel &model;
  ReferenceModel reference;
  onnx::SampledProducts sampled, everything;
  onnx::EvaluatorOptions options;
  std::map<std::string, Past> pasts;
  std::unordered_map<std::string, std::vector<Watched>> watched;
  std::unordered_map<std::string, std::string> products; ///< Value to the product it is made of.
  std::unordered_map<std::string, onnx::Shape> shapes;   ///< Of watched values in `firstStep`.
  std::unordered_map<std::string, onnx::ElementType> types;
  std::unordered_map<std::string, int> grains; ///< 0: f32, 1: f16, 2: bf16 arithmetic in it.
  std::unordered_set<std::string> weightNames;
  std::map<std::string, std::vector<int64_t>> ids;
  std::map<std::string, int64_t> vocabularies;
  onnx::ValueMap kept; ///< Caches of the original after the last step.
  CheckStep now, firstStep;
  double linearSize = 0;
  uint64_t seed = 1;
};

} // namespace llmc

#endif // LLMC_LIB_IMPORT_SIDEBYSIDE_H
