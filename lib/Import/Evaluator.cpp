//===- Evaluator.cpp - ONNX operators on the host -------------------------===//
//
// Runs a graph by its topological order, only what is asked for, and frees values early.
//
//===----------------------------------------------------------------------===//

#include "llmc/Import/Evaluator.h"
#include "EvaluatorOps.h"

#include <algorithm>
#include <unordered_set>

using namespace llmc::onnx;

const AttributeProto *Attributes::find(const char *name) const {
  ReadRecord::attributeRead(node, name);
  for (const AttributeProto &attribute : node.attribute())
    if (attribute.name() == name)
      return &attribute;
  return nullptr;
}

const AttributeProto *Attributes::find(const char *name, AttributeProto::AttributeType type) const {
  const AttributeProto *attribute = find(name);
  if (!attribute)
    return nullptr;
  if (!attribute->ref_attr_name().empty())
    fail("attribute '", name, "' refers to '", attribute->ref_attr_name(),
         "' of a function; expected a value");
  // Old writers leave the type out.
  bool present = type == AttributeProto::INT     ? attribute->has_i()
                 : type == AttributeProto::FLOAT ? attribute->has_f()
                                                 : true;
  if (attribute->type() == AttributeProto::UNDEFINED ? !present : attribute->type() != type)
    fail("attribute '", name, "' is of type ",
         AttributeProto::AttributeType_Name(attribute->type()), ", expected ",
         AttributeProto::AttributeType_Name(type));
  return attribute;
}

int64_t Attributes::getInt(const char *name, int64_t otherwise) const {
  const AttributeProto *attribute = find(name, AttributeProto::INT);
  return attribute ? attribute->i() : otherwise;
}

int64_t Attributes::requireInt(const char *name) const {
  if (const AttributeProto *attribute = find(name, AttributeProto::INT))
    return attribute->i();
  fail("attribute '", name, "' is missing");
}

float Attributes::getFloat(const char *name, float otherwise) const {
  const AttributeProto *attribute = find(name, AttributeProto::FLOAT);
  return attribute ? attribute->f() : otherwise;
}

std::string Attributes::getString(const char *name, const std::string &otherwise) const {
  const AttributeProto *attribute = find(name, AttributeProto::STRING);
  return attribute ? attribute->s() : otherwise;
}

std::vector<int64_t> Attributes::getInts(const char *name) const {
  const AttributeProto *attribute = find(name, AttributeProto::INTS);
  if (!attribute)
    return {};
  return std::vector<int64_t>(attribute->ints().begin(), attribute->ints().end());
}

bool OpCall::intsFrom(size_t i, const char *attribute, std::vector<int64_t> &values) const {
  if (const OnnxTensor *tensor = optional(i)) {
    values = tensor->toInts();
    return true;
  }
  values = attributes.getInts(attribute);
  return attributes.has(attribute);
}

int64_t llmc::onnx::normalizeAxis(int64_t axis, int64_t rank) {
  if (axis < -rank || axis >= rank)
    fail("axis ", axis, " is outside the ", rank, " dimensions");
  return axis < 0 ? axis + rank : axis;
}

Shape llmc::onnx::broadcastShapes(const Shape &a, const Shape &b) {
  Shape out(std::max(a.size(), b.size()));
  for (size_t i = 0; i < out.size(); ++i) {
    int64_t x = i < a.size() ? a[a.size() - 1 - i] : 1, y = i < b.size() ? b[b.size() - 1 - i] : 1;
    if (x != y && x != 1 && y != 1)
      fail("shapes ", shapeString(a), " and ", shapeString(b), " do not broadcast");
    out[out.size() - 1 - i] = x == 1 ? y : x;
  }
  return out;
}

std::vector<int64_t> llmc::onnx::broadcastStrides(const Shape &in, const Shape &out) {
  if (in.size() > out.size())
    fail("shape ", shapeString(in), " does not broadcast to ", shapeString(out));
  std::vector<int64_t> own = rowMajorStrides(in), strides(out.size(), 0);
  size_t lead = out.size() - in.size();
  for (size_t i = 0; i < in.size(); ++i) {
    if (in[i] != 1 && in[i] != out[lead + i])
      fail("shape ", shapeString(in), " does not broadcast to ", shapeString(out));
    strides[lead + i] = in[i] == 1 ? 0 : own[i];
  }
  return strides;
}

BroadcastIndex::BroadcastIndex(const Shape &in, const Shape &out) {
  if (in == out) {
    identity = true;
    return;
  }
  if (elementCount(in) == 1) {
    scalar = true;
    return;
  }
  size_t ones = 0;
  while (ones < in.size() && in[ones] == 1)
    ++ones;
  size_t rest = in.size() - ones;
  if (rest <= out.size() && std::equal(in.begin() + ones, in.end(), out.end() - rest)) {
    period = elementCount(in);
    return;
  }
  offsets.resize(elementCount(out));
  walkRows<1>(out, {broadcastStrides(in, out)},
              [&](int64_t first, const auto &at, const auto &step, int64_t count) {
                for (int64_t k = 0; k < count; ++k)
                  offsets[first + k] = at[0] + k * step[0];
              });
}

std::vector<double> llmc::onnx::toDoubles(const OnnxTensor &tensor) {
  std::vector<double> values(tensor.size());
  for (int64_t i = 0; i < tensor.size(); ++i)
    values[i] = tensor.at(i);
  return values;
}

OnnxTensor llmc::onnx::fromDoubles(const std::vector<double> &values, Shape shape,
                                   ElementType type) {
  OnnxTensor tensor = OnnxTensor::unset(type, std::move(shape));
  if (tensor.size() != static_cast<int64_t>(values.size()))
    fail("internal: ", values.size(), " values for shape ", shapeString(tensor.shape()));
  for (int64_t i = 0; i < tensor.size(); ++i)
    tensor.set(i, values[i]);
  return tensor;
}

static const OpTable &opTable() {
  static const OpTable table = [] {
    OpTable t;
    registerElementwise(t);
    registerActivations(t);
    registerLogic(t);
    registerShape(t);
    registerIndexing(t);
    registerReductions(t);
    registerNorms(t);
    registerEinsum(t);
    registerMatMul(t);
    registerAttention(t);
    registerRotary(t);
    registerQuantized(t);
    return t;
  }();
  return table;
}

static std::string domainOf(const NodeProto &node) {
  return node.domain() == "ai.onnx" ? "" : node.domain();
}

bool Evaluator::supports(const NodeProto &node) {
  std::string domain = domainOf(node);
  return opTable().count({domain, node.op_type()}) || (domain.empty() && node.op_type() == "If");
}

std::vector<OnnxTensor>
Evaluator::runNode(const NodeProto &node, const std::vector<const OnnxTensor *> &inputs,
                   const std::function<const OnnxTensor *(const std::string &)> &lookup) const {
  std::string domain = domainOf(node);
  ReadRecord record(node);
  auto requireRead = [&] {
    std::vector<bool> given;
    for (const OnnxTensor *input : inputs)
      given.push_back(input != nullptr);
    std::string unread = record.unread(given);
    if (!unread.empty())
      fail(unread);
  };
  try {
    if (domain.empty() && node.op_type() == "If") {
      if (inputs.empty() || !inputs[0] || inputs[0]->size() != 1 || !lookup)
        fail("expected one condition");
      ReadRecord::inputRead(0);
      const AttributeProto *yes = Attributes(node).find("then_branch"),
                           *no = Attributes(node).find("else_branch");
      if (!yes || !no)
        fail("a branch is missing");
      requireRead();
      return runSubgraph((inputs[0]->at(0) != 0 ? yes : no)->g(), lookup);
    }
    auto found = opTable().find({domain, node.op_type()});
    if (found == opTable().end())
      fail("the operator is not supported");
    // A weight that is stored in f32 and cast once is a 16-bit weight.
    bool storedCast = false;
    if (options.exactHalf && node.op_type() == "Cast" && node.input_size() == 1) {
      const NodeProto *maker = model.producer(node.input(0));
      storedCast = model.isInitializer(node.input(0)) || (maker && maker->op_type() == "Constant");
    }
    ExactHalf exact(options.exactHalf && !storedCast);
    OpCall call{node, Attributes(node), model, options, model.opset(domain), inputs, {}};
    call.outputs.resize(node.output_size());
    found->second(call);
    requireRead();
    call.written.resize(call.outputs.size(), false);
    for (int i = 0; i < node.output_size(); ++i)
      if (call.wants(i) && !call.written[i] && isUsed(model, node.output(i)))
        fail("output ", i, " ('", node.output(i), "') is not supported");
    return std::move(call.outputs);
  } catch (const ImportError &error) {
    throw ImportError(describeNode(node) + ": " + error.what(), error.kind());
  }
}

std::vector<OnnxTensor>
Evaluator::runSubgraph(const GraphProto &graph,
                       const std::function<const OnnxTensor *(const std::string &)> &lookup) const {
  ValueMap local;
  std::function<const OnnxTensor *(const std::string &)> find =
      [&](const std::string &name) -> const OnnxTensor * {
    auto found = local.find(name);
    return found != local.end() ? &found->second : lookup(name);
  };
  for (const TensorProto &tensor : graph.initializer())
    local.emplace(tensor.name(), model.decode(tensor, "tensor '" + tensor.name() + "'"));
  for (const NodeProto &node : graph.node()) {
    std::vector<const OnnxTensor *> inputs;
    for (const std::string &name : node.input()) {
      inputs.push_back(name.empty() ? nullptr : find(name));
      if (!name.empty() && !inputs.back())
        fail(describeNode(node), ": '", name, "' has no value");
    }
    std::vector<OnnxTensor> outputs = runNode(node, inputs, find);
    for (int i = 0; i < node.output_size() && i < static_cast<int>(outputs.size()); ++i)
      local[node.output(i)] = std::move(outputs[i]);
  }
  std::vector<OnnxTensor> results;
  for (const ValueInfoProto &output : graph.output()) {
    const OnnxTensor *value = find(output.name());
    if (!value)
      fail("subgraph output '", output.name(), "' has no value");
    results.push_back(*value);
  }
  return results;
}

ValueMap Evaluator::run(const ValueMap &inputs, const std::vector<std::string> &wanted,
                        const std::vector<std::string> &watched, const Visitor &visit) const {
  const std::vector<const NodeProto *> &nodes = model.nodes();
  std::unordered_set<std::string> needed(wanted.begin(), wanted.end());
  needed.insert(watched.begin(), watched.end());
  std::vector<bool> active(nodes.size(), false);
  std::unordered_map<std::string, size_t> lastUse;
  for (size_t i = nodes.size(); i-- > 0;) {
    for (const std::string &output : nodes[i]->output())
      active[i] = active[i] || (!output.empty() && needed.count(output) && !inputs.count(output));
    if (!active[i])
      continue;
    for (const std::string &name : valuesRead(*nodes[i])) {
      needed.insert(name);
      lastUse.emplace(name, i);
    }
  }
  ValueMap values;
  auto find = [&](const std::string &name) -> const OnnxTensor * {
    auto given = inputs.find(name);
    if (given != inputs.end())
      return &given->second;
    auto made = values.find(name);
    if (made != values.end())
      return &made->second;
    return model.isInitializer(name) ? &model.initializer(name) : nullptr;
  };
  std::unordered_set<std::string> keep(wanted.begin(), wanted.end());
  for (size_t i = 0; i < nodes.size(); ++i) {
    if (!active[i])
      continue;
    const NodeProto &node = *nodes[i];
    std::vector<const OnnxTensor *> operands;
    for (const std::string &name : node.input()) {
      operands.push_back(name.empty() ? nullptr : find(name));
      if (!name.empty() && !operands.back())
        fail(model.path(), ": ", describeNode(node), ": input '", name, "' was not given");
    }
    std::vector<OnnxTensor> results = runNode(node, operands, find);
    for (int k = 0; k < node.output_size() && k < static_cast<int>(results.size()); ++k)
      if (!node.output(k).empty()) {
        if (visit)
          visit(node, node.output(k), results[k]);
        // What nothing reads is not kept.
        if (!visit || lastUse.count(node.output(k)) || keep.count(node.output(k)))
          values[node.output(k)] = std::move(results[k]);
      }
    for (const std::string &name : valuesRead(node)) {
      auto last = lastUse.find(name);
      if (last != lastUse.end() && last->second == i && !keep.count(name))
        values.erase(name);
    }
  }
  ValueMap result;
  for (const std::string &name : wanted) {
    const OnnxTensor *value = find(name);
    if (!value)
      fail(model.path(), ": value '", name, "' was not given and nothing makes it");
    result.emplace(name, *value);
  }
  return result;
}

ValueMap Evaluator::runAll(const ValueMap &inputs) const {
  std::vector<std::string> names;
  for (const DeclaredValue &output : model.outputs())
    names.push_back(output.name);
  return run(inputs, names);
}
