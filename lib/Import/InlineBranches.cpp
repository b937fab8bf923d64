//===- InlineBranches.cpp - The branch that a model takes -----------------===//
//
// optimum merges the decoder without a cache and the one with it into one `If`, whose condition is
// an input. A cache may be empty, so the branch that reads it is the whole model. Branches of
// constant conditions take their place likewise.
//
//===----------------------------------------------------------------------===//

#include "Onnx.pb.h"
#include "llmc/Import/Evaluator.h"
#include "llmc/Import/ImportError.h"
#include "llmc/Import/OnnxModel.h"

#include <algorithm>
#include <optional>

using namespace llmc::onnx;

namespace {
class Inliner {
public:
  Inliner(GraphProto &graph, const std::string &where) : graph(graph), where(where) {
    for (const TensorProto &tensor : graph.initializer())
      constants[tensor.name()] = &tensor;
    for (const NodeProto &node : graph.node())
      for (const AttributeProto &attribute : node.attribute())
        if (node.op_type() == "Constant" && node.output_size() == 1 && attribute.has_t())
          constants[node.output(0)] = &attribute.t();
    auto take = [&](const std::string &name) { taken.insert(name); };
    for (const ValueInfoProto &input : graph.input())
      take(input.name());
    for (const TensorProto &tensor : graph.initializer())
      take(tensor.name());
    for (const NodeProto &node : graph.node())
      std::for_each(node.output().begin(), node.output().end(), take);
  }

  void run() {
    google::protobuf::RepeatedPtrField<NodeProto> nodes;
    nodes.Swap(graph.mutable_node());
    for (NodeProto &node : nodes)
      place(std::move(node), 0);
  }

private:
  void place(NodeProto node, int depth);
  const GraphProto *branchOf(const NodeProto &node) const;
  int cachesRead(const GraphProto &branch) const;
  void inlineBranch(const NodeProto &node, const GraphProto &branch, int depth);

  GraphProto &graph;
  const std::string &where;
  std::unordered_map<std::string, const TensorProto *> constants;
  std::unordered_set<std::string> taken;
};
} // namespace

static const GraphProto *attributeGraph(const NodeProto &node, const char *name) {
  for (const AttributeProto &attribute : node.attribute())
    if (attribute.name() == name && attribute.has_g())
      return &attribute.g();
  return nullptr;
}

/// A single bool; none where the tensor is something else.
static std::optional<bool> boolOf(const TensorProto &tensor) {
  constexpr int kBool = 9;
  int64_t count = 1;
  for (int64_t dim : tensor.dims())
    count *= dim == 1 ? 1 : 0;
  if (tensor.data_type() != kBool || count != 1)
    return std::nullopt;
  if (tensor.int32_data_size() == 1)
    return tensor.int32_data(0) != 0;
  if (tensor.raw_data().size() == 1)
    return tensor.raw_data()[0] != 0;
  return std::nullopt;
}

int Inliner::cachesRead(const GraphProto &branch) const {
  std::unordered_set<std::string> read;
  for (const NodeProto &node : branch.node())
    for (const std::string &name : valuesRead(node))
      read.insert(name);
  int count = 0;
  for (const ValueInfoProto &input : graph.input())
    count += read.count(input.name()) && input.type().tensor_type().shape().dim_size() == 4;
  return count;
}

/// The branch that is taken, or none where that is not known here.
const GraphProto *Inliner::branchOf(const NodeProto &node) const {
  const GraphProto *yes = attributeGraph(node, "then_branch"),
                   *no = attributeGraph(node, "else_branch");
  if (node.op_type() != "If" || node.input_size() != 1 || !yes || !no ||
      !(node.domain().empty() || node.domain() == "ai.onnx"))
    return nullptr;
  auto constant = constants.find(node.input(0));
  if (constant != constants.end()) {
    std::optional<bool> value = boolOf(*constant->second);
    return !value ? nullptr : *value ? yes : no;
  }
  bool isInput =
      std::any_of(graph.input().begin(), graph.input().end(),
                  [&](const ValueInfoProto &input) { return input.name() == node.input(0); });
  int withYes = isInput ? cachesRead(*yes) : 0, withNo = isInput ? cachesRead(*no) : 0;
  // Where both read it, the name says that true is the branch for a cache.
  if (withYes == withNo)
    return withYes > 0 && node.input(0).find("use_cache") != std::string::npos ? yes : nullptr;
  return withYes > withNo ? yes : no;
}

void Inliner::inlineBranch(const NodeProto &node, const GraphProto &branch, int depth) {
  if (branch.output_size() != node.output_size())
    fail(where, ": ", describeNode(node), ": a branch has ", branch.output_size(),
         " outputs, expected ", node.output_size());
  std::unordered_set<std::string> made;
  for (const TensorProto &tensor : branch.initializer())
    made.insert(tensor.name());
  for (const NodeProto &inner : branch.node())
    made.insert(inner.output().begin(), inner.output().end());
  made.erase("");
  std::unordered_map<std::string, std::string> names;
  std::vector<std::pair<std::string, std::string>> copies; // what an output is a copy of
  for (int i = 0; i < node.output_size(); ++i) {
    const std::string &inner = branch.output(i).name(), &outer = node.output(i);
    if (outer.empty())
      continue;
    if (made.count(inner) && !names.count(inner))
      names[inner] = outer;
    else
      copies.push_back({inner, outer});
  }
  std::vector<std::string> ordered(made.begin(), made.end());
  std::sort(ordered.begin(), ordered.end());
  for (const std::string &name : ordered) {
    if (names.count(name))
      continue;
    std::string fresh = name;
    for (int n = 2; taken.count(fresh); ++n)
      fresh = name + " (" + std::to_string(n) + ")";
    taken.insert(fresh);
    if (fresh != name)
      names[name] = fresh;
  }
  for (const TensorProto &tensor : branch.initializer()) {
    TensorProto *moved = graph.add_initializer();
    *moved = tensor;
    auto found = names.find(tensor.name());
    if (found != names.end())
      moved->set_name(found->second);
    constants[moved->name()] = moved;
  }
  for (NodeProto inner : branch.node()) {
    renameValues(inner, names);
    place(std::move(inner), depth + 1);
  }
  for (auto &[inner, outer] : copies) {
    NodeProto *copy = graph.add_node();
    copy->set_op_type("Identity");
    copy->set_name(node.name());
    auto found = names.find(inner);
    copy->add_input(found == names.end() ? inner : found->second);
    copy->add_output(outer);
  }
}

void Inliner::place(NodeProto node, int depth) {
  if (depth > 16)
    fail(where, ": ", describeNode(node), ": subgraphs are nested more than 16 deep");
  if (const GraphProto *branch = branchOf(node))
    inlineBranch(node, *branch, depth);
  else
    *graph.add_node() = std::move(node);
  if (!graph.node_size() || graph.node(graph.node_size() - 1).op_type() != "Constant")
    return;
  const NodeProto &constant = graph.node(graph.node_size() - 1);
  for (const AttributeProto &attribute : constant.attribute())
    if (constant.output_size() == 1 && attribute.has_t())
      constants[constant.output(0)] = &attribute.t();
}

void llmc::onnx::inlineBranches(GraphProto &graph, const std::string &where) {
  bool any = std::any_of(graph.node().begin(), graph.node().end(),
                         [](const NodeProto &node) { return node.op_type() == "If"; });
  if (any)
    Inliner(graph, where).run();
}
