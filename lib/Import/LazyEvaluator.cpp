//===- LazyEvaluator.cpp - From a graph to lazy values --------------------===//
//
// Makes the node of a value from those of its inputs, by an explicit stack (graphs may be deep).
// What cannot be made is remembered with its reason, which is thrown when the value is asked for:
// most values of a model depend on data, and only few of those matter.
//
//===----------------------------------------------------------------------===//

#include "LazyNode.h"

#include <algorithm>
#include <set>

using namespace llmc::onnx;

namespace {
/// Most operators between an element and the leaves: each is a frame on the stack.
constexpr int deepest = 1000;

struct Entry {
  LazyTensor value; // without a node where `problem` says why there is none
  std::shared_ptr<const std::string> problem;
  ImportError::Kind kind = ImportError::Kind::BadInput;
};

/// The main graph, or a branch of an If that was taken.
struct Scope {
  Scope *outer = nullptr;
  const GraphProto *graph = nullptr; // of a branch
  std::unordered_map<std::string, const NodeProto *> producers;
  std::unordered_map<std::string, Entry> entries;
  std::unordered_map<const NodeProto *, std::unique_ptr<Scope>> branches;
};

const LazyTable &lazyTable() {
  static const LazyTable table = [] {
    LazyTable t;
    registerLazyElementwise(t);
    registerLazyShape(t);
    registerLazyFill(t);
    registerLazyIndexing(t);
    registerLazyScatter(t);
    registerLazyReductions(t);
    return t;
  }();
  return table;
}

bool isStandard(const NodeProto &node) {
  return node.domain().empty() || node.domain() == "ai.onnx";
}

/// The first output has type and shape of the first input.
bool keepsShape(const NodeProto &node) {
  static const std::set<std::string> names = {"Tanh",
                                              "Sigmoid",
                                              "Erf",
                                              "Relu",
                                              "LeakyRelu",
                                              "Gelu",
                                              "Swish",
                                              "Softplus",
                                              "HardSwish",
                                              "Softmax",
                                              "LogSoftmax",
                                              "LayerNormalization",
                                              "SimplifiedLayerNormalization",
                                              "SkipLayerNormalization",
                                              "SkipSimplifiedLayerNormalization",
                                              "RMSNormalization",
                                              "RotaryEmbedding",
                                              "FastGelu",
                                              "QuickGelu",
                                              "BiasGelu"};
  return names.count(node.op_type()) != 0;
}
} // namespace

struct LazyEvaluator::Impl {
  const OnnxModel &model;
  Evaluator reference;
  std::function<bool(const std::string &, ElementType &, Shape &)> shapeOf;
  Scope top;

  explicit Impl(const OnnxModel &model) : model(model), reference(model) {}

  static Entry made(LazyPtr node) { return {LazyTensor(std::move(node)), nullptr}; }
  static Entry failed(std::string problem, ImportError::Kind kind = ImportError::Kind::BadInput) {
    return {LazyTensor(), std::make_shared<std::string>(std::move(problem)), kind};
  }

  const NodeProto *producerIn(const Scope &scope, const std::string &name) const {
    if (!scope.graph)
      return model.producer(name);
    auto found = scope.producers.find(name);
    return found == scope.producers.end() ? nullptr : found->second;
  }

  /// The scope that a name which is read in `scope` belongs to; its entry may be there already.
  Scope &ownerOf(Scope &scope, const std::string &name) const {
    Scope *s = &scope;
    while (s->outer && !s->entries.count(name) && !producerIn(*s, name))
      s = s->outer;
    return *s;
  }

  Entry *find(Scope &scope, const std::string &name) const {
    Scope &owner = ownerOf(scope, name);
    auto found = owner.entries.find(name);
    return found == owner.entries.end() ? nullptr : &found->second;
  }

  bool shapeOfData(const std::string &name, LazyPtr &node,
                   std::shared_ptr<const std::string> reason) const {
    ElementType type = ElementType::F32;
    Shape shape;
    if (!shapeOf || !shapeOf(name, type, shape))
      return false;
    node = lazyUnknown(type, shape, std::move(reason));
    return true;
  }

  /// The branch of an If whose condition is known; a problem otherwise.
  Scope *branchOf(Scope &scope, const NodeProto &node, Entry &problem) {
    auto taken = scope.branches.find(&node);
    if (taken != scope.branches.end())
      return taken->second.get();
    std::string where = describeNode(node) + ": ";
    Entry *condition = node.input_size() ? find(scope, node.input(0)) : nullptr;
    if (!condition) {
      problem = failed(where + "expected one condition");
      return nullptr;
    }
    if (condition->problem) {
      problem = *condition;
      return nullptr;
    }
    const LazyNode &value = *condition->value.get();
    if (value.unknown || value.size != 1) {
      problem = failed(where + (value.unknown ? "its condition: " + *value.unknown
                                              : std::string("expected one condition")));
      return nullptr;
    }
    const AttributeProto *branch = nullptr;
    try {
      branch = Attributes(node).find(condition->value.at(0) != 0 ? "then_branch" : "else_branch");
    } catch (const ImportError &error) {
      problem = failed(where + "its condition: " + error.what(), error.kind());
      return nullptr;
    }
    if (!branch) {
      problem = failed(where + "a branch is missing");
      return nullptr;
    }
    auto inner = std::make_unique<Scope>();
    inner->outer = &scope;
    inner->graph = &branch->g();
    for (const NodeProto &made : branch->g().node())
      for (const std::string &output : made.output())
        if (!output.empty())
          inner->producers.emplace(output, &made);
    for (const TensorProto &tensor : branch->g().initializer())
      inner->entries.emplace(
          tensor.name(), made(lazyHeld(model.decode(tensor, "tensor '" + tensor.name() + "'"))));
    return (scope.branches[&node] = std::move(inner)).get();
  }

  /// What a node needs before it can be made; empty when all is there.
  void pushMissing(Scope &scope, const NodeProto &node,
                   std::vector<std::pair<Scope *, std::string>> &stack) {
    size_t before = stack.size();
    bool asksShape = isStandard(node) && (node.op_type() == "Shape" || node.op_type() == "Size");
    LazyPtr ignored;
    for (const std::string &name : node.input())
      if (!name.empty() && !find(scope, name) &&
          !(asksShape && shapeOfData(name, ignored, nullptr)))
        stack.emplace_back(&scope, name);
    if (stack.size() != before || !isStandard(node) || node.op_type() != "If")
      return;
    Entry problem;
    if (Scope *branch = branchOf(scope, node, problem))
      for (const ValueInfoProto &output : branch->graph->output())
        if (!find(*branch, output.name()))
          stack.emplace_back(branch, output.name());
  }

  /// Nodes that are cheap and shallow enough to read, and nothing behind what is not known.
  static LazyPtr settled(LazyPtr node) {
    if (node->unknown)
      return node->inputs.empty() ? node : lazyUnknown(node->type, node->shape, node->unknown);
    node = lazyCached(std::move(node));
    if (node->depth > deepest)
      node = lazyHeld(lazyMaterialize(*node, lazyWholeSize));
    return node;
  }

  static bool isSmallWhole(const LazyPtr &node) {
    return !node || (node->held() && node->size <= lazySmallSize);
  }

  /// The reference evaluator's results for whole inputs.
  std::vector<LazyPtr> runWhole(const NodeProto &node, const std::vector<LazyPtr> &inputs) const {
    std::vector<OnnxTensor> tensors(inputs.size());
    std::vector<const OnnxTensor *> operands;
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (inputs[i] && inputs[i]->size > lazyWholeSize && !inputs[i]->held())
        failLimit(describeNode(node), ": the operator is not followed by elements, and input ", i,
                  " of shape ", shapeString(inputs[i]->shape), " has more than ", lazyWholeSize,
                  " elements");
      if (inputs[i])
        tensors[i] = lazyMaterialize(*inputs[i], lazyWholeSize);
      operands.push_back(inputs[i] ? &tensors[i] : nullptr);
    }
    std::vector<LazyPtr> outputs;
    for (OnnxTensor &tensor : reference.runNode(node, operands))
      outputs.push_back(lazyHeld(std::move(tensor)));
    return outputs;
  }

  std::vector<LazyPtr> makeNode(const NodeProto &node, const std::vector<LazyPtr> &inputs) const {
    std::shared_ptr<const std::string> unknown;
    bool small = true;
    for (const LazyPtr &input : inputs) {
      if (input && input->unknown && !unknown)
        unknown = input->unknown;
      small &= isSmallWhole(input);
    }
    auto follow = isStandard(node) ? lazyTable().find(node.op_type()) : lazyTable().end();
    if (follow == lazyTable().end()) {
      if (!unknown)
        return runWhole(node, inputs);
      if (keepsShape(node) && !inputs.empty() && inputs[0])
        return {lazyUnknown(inputs[0]->type, inputs[0]->shape, unknown)};
      fail(describeNode(node), ": the shape of its result is not known");
    }
    LazyCall call{node, Attributes(node), model, inputs, {}};
    call.outputs.resize(node.output_size());
    try {
      follow->second(call);
    } catch (const ImportError &error) {
      if (small && !unknown)
        return runWhole(node, inputs);
      throw ImportError(describeNode(node) + ": " + error.what(), error.kind());
    }
    for (const LazyPtr &output : call.outputs)
      small &= !output || output->size <= lazySmallSize;
    if (small && !unknown && Evaluator::supports(node))
      return runWhole(node, inputs);
    return std::move(call.outputs);
  }

  void setOutputs(Scope &scope, const NodeProto &node) {
    std::vector<Entry> results(node.output_size());
    bool asksShape = isStandard(node) && (node.op_type() == "Shape" || node.op_type() == "Size");
    std::vector<LazyPtr> inputs;
    Entry problem;
    for (const std::string &name : node.input()) {
      LazyPtr known;
      if (!name.empty() && asksShape && !find(scope, name)) {
        shapeOfData(name, known, std::make_shared<std::string>("it is data"));
      } else if (!name.empty()) {
        const Entry &entry = *find(scope, name);
        if (entry.problem && !problem.problem)
          problem = entry;
        known = entry.value.get();
      }
      inputs.push_back(known);
    }
    if (!problem.problem && isStandard(node) && node.op_type() == "If") {
      if (Scope *branch = branchOf(scope, node, problem))
        for (int i = 0; i < node.output_size() && i < branch->graph->output_size(); ++i)
          results[i] = *find(*branch, branch->graph->output(i).name());
    } else if (!problem.problem) {
      try {
        std::vector<LazyPtr> outputs = makeNode(node, inputs);
        for (int i = 0; i < node.output_size() && i < static_cast<int>(outputs.size()); ++i)
          if (outputs[i])
            results[i] = made(settled(outputs[i]));
      } catch (const ImportError &error) {
        problem = failed(error.what(), error.kind());
      }
    }
    for (int i = 0; i < node.output_size(); ++i) {
      const std::string &name = node.output(i);
      if (name.empty())
        continue;
      Entry &entry = results[i];
      if (!entry.value.get() && !entry.problem)
        entry = problem.problem
                    ? problem
                    : failed(describeNode(node) + ": output '" + name + "' is not followed");
      LazyPtr data;
      if (entry.problem && shapeOfData(name, data, entry.problem))
        entry = made(data);
      scope.entries.emplace(name, std::move(entry));
    }
  }

  void resolve(Scope &start, const std::string &wanted) {
    std::vector<std::pair<Scope *, std::string>> stack = {{&start, wanted}};
    while (!stack.empty()) {
      auto [scope, name] = stack.back();
      Scope &owner = ownerOf(*scope, name);
      if (owner.entries.count(name)) {
        stack.pop_back();
        continue;
      }
      const NodeProto *node = producerIn(owner, name);
      if (!node) {
        owner.entries.emplace(name, model.isInitializer(name)
                                        ? made(lazyHeld(model.initializer(name)))
                                        : failed("'" + name + "' was not given"));
        stack.pop_back();
        continue;
      }
      size_t before = stack.size();
      pushMissing(owner, *node, stack);
      if (stack.size() != before)
        continue;
      setOutputs(owner, *node);
      stack.pop_back();
    }
  }

  /// The scope of a name that only a branch knows.
  static Scope *branchWith(Scope &scope, const std::string &name) {
    for (auto &entry : scope.branches) {
      if (entry.second->producers.count(name))
        return entry.second.get();
      if (Scope *inner = branchWith(*entry.second, name))
        return inner;
    }
    return nullptr;
  }
};

LazyEvaluator::LazyEvaluator(
    const OnnxModel &model, const std::map<std::string, LazyTensor> &inputs,
    const std::map<std::string, std::pair<ElementType, Shape>> &shapes,
    std::function<bool(const std::string &, ElementType &, Shape &)> shapeOf)
    : impl(std::make_unique<Impl>(model)) {
  impl->shapeOf = std::move(shapeOf);
  for (auto &entry : inputs)
    impl->top.entries.emplace(entry.first, Impl::made(entry.second.get()));
  for (auto &entry : shapes) {
    auto reason =
        std::make_shared<std::string>("it depends on the contents of '" + entry.first + "'");
    impl->top.entries.emplace(
        entry.first, Impl::made(lazyUnknown(entry.second.first, entry.second.second, reason)));
  }
}

LazyEvaluator::~LazyEvaluator() = default;

const LazyTensor &LazyEvaluator::value(const std::string &name) {
  Scope *scope = &impl->top;
  if (!impl->find(*scope, name) && !impl->model.producer(name) && !impl->model.isInitializer(name))
    if (Scope *branch = Impl::branchWith(*scope, name))
      scope = branch;
  impl->resolve(*scope, name);
  const Entry &entry = *impl->find(*scope, name);
  if (entry.problem)
    throw ImportError(*entry.problem, entry.kind);
  if (const std::shared_ptr<const std::string> &reason = entry.value.get()->unknown) {
    const NodeProto *node = impl->producerIn(*scope, name);
    fail(node ? describeNode(*node) : "value '" + name + "'", ": ", *reason);
  }
  return entry.value;
}
