//===- ImportCheck.cpp - Original and import, side by side ----------------===//
//
// A few tokens through both: a prefill, then single tokens behind it. Where the outputs differ, the
// values of every node are compared to name the first that does.
//
//===----------------------------------------------------------------------===//

#include "ImportCheck.h"
#include "Raiser.h"
#include "ReferenceModel.h"
#include "llmc/Import/ImportError.h"

#include <cmath>

using namespace llmc;
using onnx::OnnxTensor;
using onnx::RaisedNode;
using onnx::Sizes;
using onnx::ValueMap;

namespace {
/// The original, fed step by step through its own cache where it has one.
class Original {
public:
  Original(const onnx::OnnxModel &model, const onnx::RaisedGraph &graph, bool floatActivations)
      : model(model), graph(graph), evaluator(model, {floatActivations}) {}

  /// Evaluates `wanted` for ids [batch, length] behind what came before.
  ValueMap run(const std::vector<int64_t> &ids, const Sizes &sizes,
               std::vector<std::string> wanted) {
    ValueMap inputs = onnx::Raiser::knownInputs(model, sizes);
    for (const onnx::DeclaredValue &input : model.inputs()) {
      if (onnx::Raiser::isPast(input)) {
        auto kept = past.find(input.name);
        inputs.emplace(input.name,
                       kept != past.end()
                           ? kept->second
                           : OnnxTensor(input.type, onnx::Raiser::pastShape(input, sizes)));
      } else if (!inputs.count(input.name)) {
        OnnxTensor tensor(input.type, {sizes.batch, sizes.length});
        for (int64_t i = 0; i < tensor.size() && input.name == graph.idsInput; ++i)
          tensor.mutableInts()[i] = ids[i];
        inputs.emplace(input.name, std::move(tensor));
      }
    }
    for (const auto &entry : graph.presents)
      wanted.push_back(entry.second);
    ValueMap values = evaluator.run(inputs, wanted);
    for (const auto &entry : graph.presents)
      past[entry.first] = values.at(entry.second);
    return values;
  }

private:
  const onnx::OnnxModel &model;
  const onnx::RaisedGraph &graph;
  onnx::Evaluator evaluator;
  ValueMap past;
};
} // namespace

/// The largest difference relative to the largest value; infinite where sizes or NaNs differ.
/// Padded rows of the last batch entry do not count.
static double difference(const OnnxTensor &expected, const ReferenceModel::Tensor &got,
                         const Sizes &sizes) {
  if (expected.size() != static_cast<int64_t>(got.data.size()))
    return INFINITY;
  int64_t last = expected.size() - sizes.padding * got.width;
  double largest = 0, worst = 0;
  for (int64_t i = 0; i < last; ++i) {
    double e = expected.at(i);
    largest = std::max(largest, std::fabs(e));
    double apart = std::fabs(e - got.data[i]);
    worst = std::isnan(apart) ? INFINITY : std::max(worst, apart);
  }
  return largest > 0 ? worst / largest : worst;
}

void llmc::checkImport(ModuleOp module, const onnx::RaisedGraph &graph,
                       const onnx::OnnxModel &model, bool floatActivations) {
  ReferenceModel reference(module);
  Original original(model, graph, floatActivations);
  int64_t vocabulary = 2;
  bool quantized = false;
  for (const RaisedNode &node : graph.nodes) {
    if (node.kind == onnx::RaisedKind::Embedding && node.inputs[0] >= 0 &&
        graph.nodes[node.inputs[0]].text == graph.idsInput)
      vocabulary = graph.weights[node.weight].rows;
    quantized |= node.kind == onnx::RaisedKind::Linear && node.integer > 0;
  }
  // Where activations are rounded, a last bit decides between two codes.
  double tolerance = quantized ? 3e-2 : 1e-4;

  bool hasPast = onnx::Raiser::hasPast(model);
  std::vector<Sizes> steps;
  if (graph.hasCache && hasPast)
    steps = {{1, 0, 6, 0}, {1, 6, 1, 0}, {1, 7, 2, 0}};
  else if (graph.hasCache)
    steps = {{1, 0, 6, 0}};
  else
    steps = {{2, 0, 7, graph.maskInput.empty() ? 0 : 2}};
  for (const onnx::DeclaredValue &input : model.inputs())
    if (input.name == graph.idsInput) {
      if (input.dims[0].value > 0)
        for (Sizes &sizes : steps)
          sizes.batch = input.dims[0].value;
      if (input.dims[1].value > 0)
        steps = {{steps[0].batch, 0, input.dims[1].value, 0}};
    }

  uint64_t seed = 0;
  for (const Sizes &sizes : steps) {
    std::vector<int64_t> ids(sizes.batch * sizes.length), mask(sizes.batch * sizes.length, 1),
        zeros(sizes.batch * sizes.length, 0);
    for (int64_t &id : ids) {
      seed = seed * 6364136223846793005u + 1442695040888963407u;
      id = static_cast<int64_t>((seed >> 33) % static_cast<uint64_t>(vocabulary));
    }
    std::fill(mask.end() - sizes.padding, mask.end(), 0);
    std::map<std::string, std::vector<int64_t>> inputs;
    for (const onnx::DeclaredValue &input : model.inputs())
      if (!onnx::Raiser::isPast(input))
        inputs[input.name] = input.name == graph.idsInput    ? ids
                             : input.name == graph.maskInput ? mask
                                                             : zeros;
    std::vector<ReferenceModel::Tensor> got = reference.run(inputs, sizes.batch, sizes.length);
    std::vector<std::string> wanted;
    for (const onnx::RaisedOutput &output : graph.outputs)
      wanted.push_back(output.name);
    for (const RaisedNode &node : graph.nodes)
      if (!node.output.empty() && node.kind != onnx::RaisedKind::Input)
        wanted.push_back(node.output);
    ValueMap values = original.run(ids, sizes, wanted);
    double worst = 0;
    for (size_t i = 0; i < got.size(); ++i)
      worst = std::max(worst, difference(values.at(graph.outputs[i].name), got[i], sizes));
    if (worst <= tolerance)
      continue;
    for (const RaisedNode &node : graph.nodes) {
      auto made = reference.byLocation().find(node.location);
      if (node.output.empty() || made == reference.byLocation().end())
        continue;
      double apart = difference(values.at(node.output), made->second, sizes);
      if (apart > tolerance)
        onnx::fail(model.path(), ": original and import part at node '", node.location, "' by ",
                   apart, " of the largest value (past ", sizes.past, ", ", sizes.length,
                   " tokens)");
    }
    onnx::fail(model.path(), ": original and import part in output '", graph.outputs[0].name,
               "' by ", worst, " of the largest value (past ", sizes.past, ", ", sizes.length,
               " tokens)");
  }
}
