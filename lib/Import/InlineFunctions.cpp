//===- InlineFunctions.cpp - Model-local functions in place of their calls ----===//
//
// Exporters write modules, and operators that a runtime may lack, as functions of the model. What
// they mean is their body: it takes the place of each call, with names of its own.
//
//===----------------------------------------------------------------------===//

#include "Onnx.pb.h"
#include "llmc/Import/ImportError.h"
#include "llmc/Import/OnnxModel.h"

#include <algorithm>
#include <map>

using namespace llmc::onnx;

using Names = std::unordered_map<std::string, std::string>;

void llmc::onnx::renameValues(NodeProto &node, const Names &names) {
  auto change = [&](std::string *name) {
    auto found = names.find(*name);
    if (found != names.end())
      *name = found->second;
  };
  for (std::string &input : *node.mutable_input())
    change(&input);
  for (std::string &output : *node.mutable_output())
    change(&output);
  auto inside = [&](GraphProto &graph) {
    for (TensorProto &tensor : *graph.mutable_initializer())
      change(tensor.mutable_name());
    for (ValueInfoProto &input : *graph.mutable_input())
      change(input.mutable_name());
    for (NodeProto &inner : *graph.mutable_node())
      renameValues(inner, names);
    for (ValueInfoProto &output : *graph.mutable_output())
      change(output.mutable_name());
  };
  for (AttributeProto &attribute : *node.mutable_attribute()) {
    if (attribute.has_g())
      inside(*attribute.mutable_g());
    for (GraphProto &inner : *attribute.mutable_graphs())
      inside(inner);
  }
}

namespace {
using Nodes = google::protobuf::RepeatedPtrField<NodeProto>;

/// Calls of calls multiply: what a file of a few kilobytes may become.
constexpr int64_t kMostNodes = 500000;
constexpr int kMostDepth = 64;

class FunctionInliner {
public:
  FunctionInliner(ModelProto &model, const std::string &where);
  void run() {
    inlineIn(*model.mutable_graph()->mutable_node(), 0);
    for (const auto &[domain, version] : imported) {
      OperatorSetIdProto *entry = model.add_opset_import();
      entry->set_domain(domain);
      entry->set_version(version);
    }
    model.clear_functions();
  }

private:
  static std::string keyOf(const std::string &domain, const std::string &name,
                           const std::string &overload) {
    return (domain == "ai.onnx" ? "" : domain) + '\0' + name + '\0' + overload;
  }
  void take(const GraphProto &graph, int depth);
  void inlineIn(Nodes &nodes, int depth);
  void place(NodeProto node, Nodes &into, int depth);
  void inlineCall(const NodeProto &call, const FunctionProto &function, Nodes &into, int depth);
  Names bindNames(const NodeProto &call, const FunctionProto &function, Nodes &copies);
  void bindAttributes(NodeProto &node, const NodeProto &call, const FunctionProto &function,
                      int depth);
  void requireOpsets(const FunctionProto &function);
  std::string fresh(const std::string &name);

  ModelProto &model;
  const std::string &where;
  std::map<std::string, const FunctionProto *> functions;
  std::unordered_set<std::string> taken;
  std::unordered_map<std::string, int64_t> copies; ///< How often a name was made anew.
  std::vector<const FunctionProto *> open;
  std::map<std::string, int64_t> imported; ///< Domains that only functions import.
  int64_t made = 0;
};
} // namespace

FunctionInliner::FunctionInliner(ModelProto &model, const std::string &where)
    : model(model), where(where) {
  for (const FunctionProto &function : model.functions())
    if (!functions
             .emplace(keyOf(function.domain(), function.name(), function.overload()), &function)
             .second)
      fail(where, ": function '", function.domain(), ".", function.name(), "' is defined twice");
  take(model.graph(), 0);
}

/// Notes every name of the graph, so that names made here are none of them.
void FunctionInliner::take(const GraphProto &graph, int depth) {
  if (depth > kMostDepth)
    fail(where, ": subgraphs are nested more than ", kMostDepth, " deep");
  for (const TensorProto &tensor : graph.initializer())
    taken.insert(tensor.name());
  for (const ValueInfoProto &input : graph.input())
    taken.insert(input.name());
  for (const NodeProto &node : graph.node()) {
    taken.insert(node.output().begin(), node.output().end());
    for (const AttributeProto &attribute : node.attribute()) {
      if (attribute.has_g())
        take(attribute.g(), depth + 1);
      for (const GraphProto &inner : attribute.graphs())
        take(inner, depth + 1);
    }
  }
}

std::string FunctionInliner::fresh(const std::string &name) {
  // Deeply nested names end as they are, without what they lie in.
  constexpr size_t kLongest = 400;
  std::string stem = name.size() > kLongest ? name.substr(name.size() - kLongest) : name;
  std::string result = stem;
  for (int64_t &n = copies[stem]; !taken.insert(result).second;)
    result = stem + " (" + std::to_string(++n + 1) + ")";
  return result;
}

/// Operators mean what the function's operator sets say, which must be the model's.
void FunctionInliner::requireOpsets(const FunctionProto &function) {
  for (const OperatorSetIdProto &own : function.opset_import()) {
    std::string domain = own.domain() == "ai.onnx" ? "" : own.domain();
    bool used =
        std::any_of(function.node().begin(), function.node().end(), [&](const NodeProto &n) {
          return (n.domain() == "ai.onnx" ? "" : n.domain()) == domain;
        });
    bool known = false;
    for (const OperatorSetIdProto &entry : model.opset_import()) {
      if ((entry.domain() == "ai.onnx" ? "" : entry.domain()) != domain)
        continue;
      known = true;
      if (used && entry.version() != own.version())
        fail(where, ": function '", function.name(), "' uses opset ", own.version(), " of ",
             domain.empty() ? "ai.onnx" : domain, ", the model ", entry.version(),
             "; expected the same");
    }
    if (known || !used)
      continue;
    auto added = imported.emplace(domain, own.version());
    if (added.first->second != own.version())
      fail(where, ": functions use opsets ", added.first->second, " and ", own.version(), " of ",
           domain, "; expected the same");
  }
}

static void collectMade(const NodeProto &node, std::vector<std::string> &names) {
  names.insert(names.end(), node.output().begin(), node.output().end());
  auto inside = [&](const GraphProto &graph) {
    for (const TensorProto &tensor : graph.initializer())
      names.push_back(tensor.name());
    for (const ValueInfoProto &input : graph.input())
      names.push_back(input.name());
    for (const NodeProto &inner : graph.node())
      collectMade(inner, names);
  };
  for (const AttributeProto &attribute : node.attribute()) {
    if (attribute.has_g())
      inside(attribute.g());
    for (const GraphProto &inner : attribute.graphs())
      inside(inner);
  }
}

/// What the values of the body are called in the graph. An output that no node of the body makes,
/// or that is given out twice, is a copy.
Names FunctionInliner::bindNames(const NodeProto &call, const FunctionProto &function,
                                 Nodes &copies) {
  Names names;
  for (int i = 0; i < function.input_size(); ++i)
    names[function.input(i)] = i < call.input_size() ? call.input(i) : "";
  std::vector<std::string> inner;
  for (const NodeProto &node : function.node())
    collectMade(node, inner);
  std::unordered_set<std::string> unnamed;
  for (const std::string &name : inner)
    if (!name.empty() && !names.count(name))
      unnamed.insert(name);
  std::vector<std::pair<std::string, std::string>> doubles;
  for (int i = 0; i < call.output_size(); ++i) {
    const std::string &name = function.output(i);
    if (call.output(i).empty())
      continue;
    if (unnamed.erase(name))
      names[name] = call.output(i);
    else
      doubles.push_back({name, call.output(i)});
  }
  std::string prefix = (call.name().empty() ? call.output(0) : call.name()) + "/";
  for (const std::string &name : inner)
    if (unnamed.erase(name))
      names[name] = fresh(prefix + name);
  for (const auto &[name, output] : doubles) {
    auto found = names.find(name);
    if (found == names.end())
      fail(where, ": function '", function.name(), "': its output '", name, "' is made by nothing");
    NodeProto *copy = copies.Add();
    copy->set_op_type("Identity");
    copy->set_name(call.name());
    copy->add_input(found->second);
    copy->add_output(output);
  }
  return names;
}

/// Attributes that stand for one of the call take its value, else the function's own, else go.
void FunctionInliner::bindAttributes(NodeProto &node, const NodeProto &call,
                                     const FunctionProto &function, int depth) {
  if (depth > kMostDepth)
    fail(where, ": subgraphs are nested more than ", kMostDepth, " deep");
  google::protobuf::RepeatedPtrField<AttributeProto> given;
  given.Swap(node.mutable_attribute());
  for (AttributeProto &attribute : given) {
    auto inside = [&](GraphProto &graph) {
      for (NodeProto &inner : *graph.mutable_node())
        bindAttributes(inner, call, function, depth + 1);
    };
    if (attribute.has_g())
      inside(*attribute.mutable_g());
    for (GraphProto &inner : *attribute.mutable_graphs())
      inside(inner);
    if (attribute.ref_attr_name().empty()) {
      *node.add_attribute() = std::move(attribute);
      continue;
    }
    const AttributeProto *value = nullptr;
    for (const AttributeProto &other : function.attribute_proto())
      if (other.name() == attribute.ref_attr_name())
        value = &other;
    for (const AttributeProto &other : call.attribute())
      if (other.name() == attribute.ref_attr_name())
        value = &other;
    if (!value)
      continue;
    AttributeProto *bound = node.add_attribute();
    *bound = *value;
    bound->set_name(attribute.name());
  }
}

void FunctionInliner::inlineCall(const NodeProto &call, const FunctionProto &function, Nodes &into,
                                 int depth) {
  auto name = [&] {
    return where + ": " + describeNode(call) + ": function '" + function.name() + "'";
  };
  if (std::find(open.begin(), open.end(), &function) != open.end())
    fail(name(), " calls itself");
  if (call.input_size() > function.input_size() || call.output_size() > function.output_size() ||
      call.output_size() == 0)
    fail(name(), " has ", function.input_size(), " inputs and ", function.output_size(),
         " outputs, the call ", call.input_size(), " and ", call.output_size());
  for (const AttributeProto &attribute : call.attribute()) {
    bool declared =
        std::count(function.attribute().begin(), function.attribute().end(), attribute.name()) > 0;
    for (const AttributeProto &own : function.attribute_proto())
      declared |= own.name() == attribute.name();
    if (!declared)
      fail(name(), " has no attribute '", attribute.name(), "'");
  }
  requireOpsets(function);
  Nodes copies;
  Names names = bindNames(call, function, copies);
  std::string prefix = (call.name().empty() ? call.output(0) : call.name()) + "/";
  open.push_back(&function);
  for (NodeProto inner : function.node()) {
    bindAttributes(inner, call, function, 0);
    renameValues(inner, names);
    inner.set_name(fresh(prefix + (inner.name().empty() ? inner.op_type() : inner.name())));
    place(std::move(inner), into, depth + 1);
  }
  open.pop_back();
  for (NodeProto &copy : copies)
    *into.Add() = std::move(copy);
}

void FunctionInliner::place(NodeProto node, Nodes &into, int depth) {
  if (depth > kMostDepth)
    fail(where, ": ", describeNode(node), ": calls are nested more than ", kMostDepth, " deep");
  if (++made > kMostNodes)
    failLimit(where, ": with its functions in place the graph has more than ", kMostNodes,
              " nodes");
  for (AttributeProto &attribute : *node.mutable_attribute()) {
    if (attribute.has_g())
      inlineIn(*attribute.mutable_g()->mutable_node(), depth + 1);
    for (GraphProto &inner : *attribute.mutable_graphs())
      inlineIn(*inner.mutable_node(), depth + 1);
  }
  auto found = functions.find(keyOf(node.domain(), node.op_type(), node.overload()));
  if (found != functions.end())
    inlineCall(node, *found->second, into, depth);
  else
    *into.Add() = std::move(node);
}

void FunctionInliner::inlineIn(Nodes &nodes, int depth) {
  Nodes before;
  before.Swap(&nodes);
  for (NodeProto &node : before)
    place(std::move(node), nodes, depth);
}

void llmc::onnx::inlineFunctions(ModelProto &model, const std::string &where) {
  if (model.functions_size())
    FunctionInliner(model, where).run();
}
