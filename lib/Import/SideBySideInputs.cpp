//===- SideBySideInputs.cpp - What original and import run on -------------===//

#include "Onnx.pb.h"
#include "Raiser.h"
#include "SideBySide.h"

#include <set>

using namespace llmc;
using mlir::Value;
using onnx::NodeProto;
using onnx::OnnxTensor;
using onnx::RaisedKind;
using onnx::RaisedNode;
using onnx::Shape;
using onnx::Sizes;
using onnx::ValueMap;

SideBySide::SideBySide(ModuleOp module, const onnx::RaisedGraph &graph,
                       const std::vector<Value> &values, const onnx::OnnxModel &model,
                       bool floatActivations)
    : graph(graph), values(values), model(model), reference(module) {
  options.floatActivations = floatActivations;
  options.exactHalf = true;
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    const RaisedNode &node = graph.nodes[i];
    int number = static_cast<int>(i);
    if (node.roundsInput && values[i])
      if (auto linear = values[i].getDefiningOp<LinearOp>())
        reference.roundInput(linear);
    if (node.kind == RaisedKind::Attention) {
      if (!node.pastKey.empty())
        pasts[node.pastKey] = {number, true};
      if (!node.pastValue.empty())
        pasts[node.pastValue] = {number, false};
    }
    if (node.kind == RaisedKind::Embedding && node.inputs[0] >= 0) {
      int64_t &most = vocabularies[graph.nodes[node.inputs[0]].text];
      int64_t rows = graph.weights[node.weight].rows;
      most = most ? std::min(most, rows) : rows;
    }
    if (node.kind == RaisedKind::Linear)
      linearSize += static_cast<double>(graph.weights[node.weight].rows) *
                    static_cast<double>(graph.weights[node.weight].columns);
    if (node.kind != RaisedKind::Input && values[i] && !node.output.empty())
      watched[node.output].push_back({number, node.output, ""});
  }
  for (const onnx::RaisedOutput &output : graph.outputs)
    if (values[output.node] && graph.nodes[output.node].output != output.name)
      watched[output.name].push_back({output.node, output.name, ""});
  for (const onnx::RaisedWeight &weight : graph.weights)
    if (weight.key.derived.empty())
      weightNames.insert(weight.key.name);
  findProducts();
}

/// Finds, for each linear, the one product with a constant that its value in the original is made
/// of by operators that move nothing between columns; then some columns can stand for all.
void SideBySide::findProducts() {
  std::unordered_map<std::string, int> readers;
  for (const NodeProto *node : model.nodes())
    for (const std::string &name : onnx::valuesRead(*node))
      ++readers[name];
  for (const onnx::DeclaredValue &output : model.outputs())
    ++readers[output.name];
  static const std::set<std::string> between = {"Add",      "Reshape", "Cast",
                                                "Identity", "Squeeze", "Unsqueeze"};
  std::function<std::string(const std::string &, int)> find = [&](const std::string &name,
                                                                  int depth) -> std::string {
    const NodeProto *node = model.producer(name);
    if (!node || depth > 5 || (depth && readers[name] != 1))
      return "";
    const std::string &op = node->op_type();
    if (op == "MatMul" || op == "Gemm" || op == "MatMulNBits")
      return name;
    std::string found;
    if (between.count(op))
      for (const std::string &input : node->input())
        if (found.empty())
          found = find(input, depth + 1);
    return found;
  };
  for (auto &entry : watched)
    for (Watched &one : entry.second) {
      Value value = values[one.node];
      if (graph.nodes[one.node].kind != RaisedKind::Linear || !value.getDefiningOp<LinearOp>() ||
          entry.second.size() != 1)
        continue;
      one.product = find(entry.first, 0);
      if (!one.product.empty())
        sampled.outputs.insert(one.product);
    }
}

double SideBySide::arbitrary() {
  seed = seed * 6364136223846793005u + 1442695040888963407u;
  // A few bits, so that every float type holds it.
  return static_cast<double>(static_cast<int64_t>((seed >> 33) % 127) - 63) / 64;
}

void SideBySide::chooseIds(const CheckStep &step) {
  ids.clear();
  for (const RaisedNode &node : graph.nodes) {
    if (node.kind != RaisedKind::Input)
      continue;
    uint64_t count = std::max<int64_t>(vocabularies[node.text], 1);
    std::vector<int64_t> &chosen = ids[node.text];
    for (int64_t i = 0; i < step.batch * step.length; ++i) {
      seed = seed * 6364136223846793005u + 1442695040888963407u;
      chosen.push_back(static_cast<int64_t>((seed >> 33) % count));
    }
  }
}

ValueMap SideBySide::originalInputs(const CheckStep &step) const {
  Sizes sizes;
  sizes.batch = step.batch;
  sizes.past = step.past;
  sizes.length = step.length;
  ValueMap inputs = onnx::Raiser::knownInputs(model, sizes);
  auto mask = inputs.find(graph.maskInput);
  if (mask != inputs.end() && !step.padding.empty()) {
    // What hides a position is what hides the last one.
    sizes.padding = 1;
    OnnxTensor padded = onnx::Raiser::knownInputs(model, sizes).at(graph.maskInput);
    double hides = padded.at(padded.size() - 1);
    int64_t total = padded.size() / step.batch;
    for (int64_t b = 0; b < step.batch; ++b)
      for (int64_t t = step.padding[b].first; t < step.padding[b].second; ++t)
        mask->second.set(b * total + t, hides);
  }
  for (const onnx::DeclaredValue &input : model.inputs()) {
    if (inputs.count(input.name))
      continue;
    if (onnx::Raiser::isPast(input)) {
      Shape shape = onnx::Raiser::pastShape(input, sizes);
      auto owner = pasts.find(input.name);
      if (owner != pasts.end()) {
        const RaisedNode &node = graph.nodes[owner->second.attention];
        shape[1] = node.kvHeads;
        shape[3] = graph.nodes[node.inputs[owner->second.isKey ? 1 : 2]].width / node.kvHeads;
      }
      inputs.emplace(input.name, OnnxTensor(input.type, shape));
      continue;
    }
    OnnxTensor tensor(input.type, {step.batch, step.length});
    auto chosen = ids.find(input.name);
    for (int64_t i = 0; i < tensor.size() && chosen != ids.end(); ++i)
      tensor.set(i, static_cast<double>(chosen->second[i]));
    inputs.emplace(input.name, std::move(tensor));
  }
  return inputs;
}

ReferenceModel::Step SideBySide::referenceStep(const CheckStep &step) const {
  ReferenceModel::Step next;
  next.batch = step.batch;
  next.past = graph.hasCache ? step.past : 0;
  next.length = step.length;
  next.inputs = ids;
  int64_t total = step.past + step.length;
  std::vector<int64_t> &mask = next.inputs[graph.maskInput];
  mask.assign(step.batch * total, 1);
  for (size_t b = 0; b < step.padding.size(); ++b)
    for (int64_t t = step.padding[b].first; t < step.padding[b].second; ++t)
      mask[b * total + t] = 0;
  return next;
}
