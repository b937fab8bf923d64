//===- Raiser.cpp - Interpreting an ONNX graph at one size ----------------===//
//
// Walks the nodes, and sends each to the evaluator (what is known), to the views
// (what moves elements) or to the family that understands it.
//
//===----------------------------------------------------------------------===//

#include "Raiser.h"

#include <algorithm>
#include <cmath>
#include <set>

using namespace llmc::onnx;

void Raiser::notUnderstood(const std::string &reason) const { throw NotUnderstood{reason}; }

Raiser::Raiser(const OnnxModel &model, const Sizes &sizes, ConstantPool &pool,
               bool floatActivations, FarLook *far)
    : model(model), evaluator(model), sizes(sizes), pool(pool), floatActivations(floatActivations),
      far(far) {}

const Value *Raiser::find(const std::string &name) const {
  auto found = values.find(name);
  if (found != values.end())
    return &found->second;
  auto pooled = pool.values.find(name);
  return pooled != pool.values.end() ? &pooled->second : nullptr;
}

static bool contains(const std::string &text, const char *part) {
  return text.find(part) != std::string::npos;
}

/// Operators with weights: what was rounded before them says nothing about the numbers behind.
static bool startsAnew(const NodeProto &node) {
  const std::string &op = node.op_type();
  return contains(op, "MatMul") || op == "Gemm" || contains(op, "Normalization") ||
         contains(op, "Attention") || contains(op, "Gather");
}

/// The type that the outputs of the node have, and the coarsest arithmetic among its inputs.
void Raiser::followTypes(const NodeProto &node, const Values &in) {
  nodeType = ElementType::F32;
  nodeGrain = nodeAngleGrain = 0;
  bool first = true;
  for (const Value *value : in) {
    if (!value || value->kind == Value::Kind::Unknown || !isFloat(value->type))
      continue;
    if (first)
      nodeType = value->type;
    first = false;
    nodeAngleGrain = std::max(nodeAngleGrain, value->angleGrain);
    bool weight = value->kind == Value::Kind::Known && value->tensor.rank() > 1 && value->constant;
    if (!weight || !startsAnew(node) || contains(node.op_type(), "Attention"))
      nodeGrain = std::max(nodeGrain, value->grain);
  }
  if (node.op_type() == "Cast")
    fromOnnxType(static_cast<int>(Attributes(node).requireInt("to")), nodeType);
  else if (node.op_type() == "CastLike" && in.size() > 1 && in[1])
    nodeType = in[1]->type;
}

void Raiser::set(const NodeProto &node, int output, Value value) {
  if (output >= node.output_size() || node.output(output).empty())
    return;
  if (value.kind == Value::Kind::Known) {
    value.shape = value.tensor.shape();
    value.type = value.tensor.type();
    value.grain = std::max(value.grain, grainOf(value.type));
  } else {
    value.type = nodeType;
    value.grain = value.kind == Value::Kind::Data && startsAnew(node)
                      ? grainOf(nodeType)
                      : std::max(nodeGrain, grainOf(nodeType));
    value.view.grain = value.key.grain = value.grain;
    value.angleGrain = value.kind == Value::Kind::Data && startsAnew(node) ? 0 : nodeAngleGrain;
  }
  if (value.kind == Value::Kind::Pointwise)
    value.maker = current;
  // A node that was made for this operator and equals its result can be compared with the original.
  int made;
  double factor;
  if (value.kind == Value::Kind::Data && isIdentity(value.view, made, factor) && factor == 1 &&
      made < pastBase && graph.nodes[made].output.empty())
    graph.nodes[made].output = node.output(output);
  value.name = node.output(output);
  values[node.output(output)] = std::move(value);
}

std::string Raiser::scopeOf(const NodeProto &node) const {
  for (const StringStringEntryProto &entry : node.metadata_props()) {
    if (entry.key() != "pkg.torch.onnx.name_scopes")
      continue;
    // "['', 'm', 'm.model', 'm.model.layers.0.mlp', 'linear_4']": the last but one is the module.
    std::vector<std::string> scopes;
    const std::string &text = entry.value();
    for (size_t begin = text.find('\''); begin != std::string::npos;) {
      size_t end = text.find('\'', begin + 1);
      if (end == std::string::npos)
        break;
      scopes.push_back(text.substr(begin + 1, end - begin - 1));
      begin = text.find('\'', end + 1);
    }
    if (scopes.size() >= 2)
      return scopes[scopes.size() - 2];
  }
  return "";
}

static const std::set<std::string> binaries = {"Add", "Sub", "Mul", "Div", "Pow", "Max", "Min"};
static const std::set<std::string> unaries = {
    "Neg",     "Abs",       "Sqrt", "Reciprocal", "Exp",      "Log",       "Tanh",
    "Sigmoid", "Erf",       "Relu", "Gelu",       "Swish",    "Softplus",  "HardSwish",
    "Clip",    "LeakyRelu", "Cos",  "Sin",        "FastGelu", "QuickGelu", "Sign"};

/// Operators that are understood on data, at least in some use, or that shape arithmetic is made
/// of: behind something that was not understood they say nothing.
static bool raisesData(const NodeProto &node) {
  static const std::set<std::string> others = {"Reshape",
                                               "Transpose",
                                               "Squeeze",
                                               "Unsqueeze",
                                               "Expand",
                                               "Slice",
                                               "Split",
                                               "Flatten",
                                               "Identity",
                                               "Tile",
                                               "Cast",
                                               "Dropout",
                                               "Gather",
                                               "CastLike",
                                               "Concat",
                                               "Shape",
                                               "Size",
                                               "LayerNormalization",
                                               "MatMul",
                                               "Gemm",
                                               "Softmax",
                                               "IsNaN",
                                               "Where",
                                               "RMSNormalization",
                                               "Attention",
                                               "BiasGelu",
                                               "ReduceMean",
                                               "ReduceSum",
                                               "ReduceSumSquare",
                                               "ReduceL2",
                                               "ReduceMax",
                                               "Einsum",
                                               "DequantizeLinear",
                                               "DynamicQuantizeLinear",
                                               "MatMulInteger",
                                               "RotaryEmbedding",
                                               "SimplifiedLayerNormalization",
                                               "Constant",
                                               "ConstantOfShape",
                                               "Range",
                                               "Equal",
                                               "Less",
                                               "LessOrEqual",
                                               "Greater",
                                               "GreaterOrEqual",
                                               "And",
                                               "Or",
                                               "Not",
                                               "Trilu",
                                               "ScatterND",
                                               "GatherND"};
  const std::string &op = node.op_type();
  return node.domain() == "com.microsoft" || others.count(op) || binaries.count(op) ||
         unaries.count(op);
}

/// Reductions that say the mean of a row or of its squares.
static bool reducesMoments(const NodeProto &node) {
  const std::string &op = node.op_type();
  return op == "ReduceMean" || op == "ReduceSum" || op == "ReduceL2" || op == "ReduceSumSquare";
}

/// A scaled tensor becomes one of its own before its mean of squares is taken (epsilon is not
/// scaled with it).
void Raiser::makeWhole(const NodeProto &node, Values &in) {
  bool square = node.op_type() == "Pow" || (node.op_type() == "Mul" && node.input_size() == 2 &&
                                            node.input(0) == node.input(1));
  if (!square && !reducesMoments(node))
    return; // Fused norms do it themselves.
  for (size_t i = 0; i < in.size(); ++i) {
    int source;
    double factor;
    if (!in[i] || in[i]->kind != Value::Kind::Data || !isIdentity(in[i]->view, source, factor) ||
        factor == 1 || source >= pastBase)
      continue;
    Value &value = values[node.input(static_cast<int>(i))];
    value = dataValue(materialize(value.view), value.shape);
    in.replace(i, &value);
  }
}

void Raiser::visit(const NodeProto &node) {
  using Kind = Value::Kind;
  farValues.clear();
  Values in;
  for (const std::string &name : node.input())
    in.push_back(name.empty() ? nullptr : find(name));
  for (size_t i = 0; i < in.size(); ++i)
    if (!in.peek(i) && !node.input(static_cast<int>(i)).empty())
      notUnderstood("input '" + node.input(static_cast<int>(i)) + "' has no value");
  // Nothing can be said about what follows from something that was not understood.
  for (const Value *value : in)
    if (value && value->kind == Kind::Unknown) {
      if (!raisesData(node))
        notUnderstood("the operator is not supported on data");
      for (int i = 0; i < node.output_size(); ++i)
        set(node, i, Value());
      return;
    }
  if (evaluateKnown(node, in))
    return;
  followTypes(node, in);
  if (far)
    lookFar(node, in);

  const std::string &op = node.op_type(), &domain = node.domain();
  bool microsoft = domain == "com.microsoft";
  bool standard = domain.empty() || domain == "ai.onnx";
  auto isKind = [&](size_t i, Kind kind) { return i < in.size() && in[i] && in[i]->kind == kind; };
  if (standard && op == "Gather" && (embedding(node, in) || gatherCodes(node, in)))
    return;
  if (standard && op == "DequantizeLinear")
    return dequantize(node, in);
  if (applyStructural(node, in))
    return noteShapes(node, in);
  if (op == "SimplifiedLayerNormalization" || (standard && op == "RMSNormalization"))
    return normOp(node, in, false, false);
  if (standard && op == "LayerNormalization")
    return normOp(node, in, true, false);
  if (microsoft && op == "SkipSimplifiedLayerNormalization")
    return normOp(node, in, false, true);
  if (microsoft && op == "SkipLayerNormalization")
    return normOp(node, in, true, true);
  if (op == "RotaryEmbedding")
    return rotaryOp(node, in);
  if (microsoft && op == "GroupQueryAttention")
    return groupQueryAttention(node, in);
  if (microsoft && op == "MatMulNBits")
    return matMulNBits(node, in);
  if (microsoft && op == "GatherBlockQuantized")
    return gatherBlockQuantized(node, in);
  if (standard && op == "Attention")
    return attentionOp(node, in);
  if ((standard && op == "MatMul") || (microsoft && op == "FusedMatMul"))
    return matMul(node, in);
  if (standard && op == "Gemm")
    return gemm(node, in);
  if (standard && op == "Softmax" && isKind(0, Kind::Scores)) {
    int64_t rank = static_cast<int64_t>(in[0]->shape.size());
    int64_t usual = model.opset("") < 13 ? 1 : -1;
    if (normalizeAxis(Attributes(node).getInt("axis", usual), rank) != rank - 1)
      notUnderstood("softmax over other than the last dimension");
    Value probs = *in[0];
    probs.kind = Kind::Probs;
    return set(node, 0, std::move(probs));
  }
  // A row that is masked whole gives NaN, which exporters turn to zero; ours has no such rows.
  if (standard && op == "IsNaN" && isKind(0, Kind::Probs)) {
    Value test = *in[0];
    test.kind = Kind::NaNTest;
    return set(node, 0, std::move(test));
  }
  if (standard && op == "Where" && isKind(0, Kind::NaNTest) && isKind(1, Kind::Known) &&
      isKind(2, Kind::Probs))
    return set(node, 0, *in[2]);
  if (standard && op == "Where" && isKind(0, Kind::Known) &&
      in[0]->tensor.type() == ElementType::Bool) {
    // Where(visible, scores, -big) or Where(hidden, -big, scores).
    bool scoresFirst = isKind(1, Kind::Scores) && isKind(2, Kind::Known);
    bool scoresLast = isKind(2, Kind::Scores) && isKind(1, Kind::Known);
    const Value *other = scoresFirst ? in[2] : in[1];
    if ((scoresFirst || scoresLast) && other->tensor.size() == 1 && other->tensor.at(0) < -9000) {
      Value masked = scoresFirst ? *in[1] : *in[2];
      OnnxTensor visible(ElementType::Bool, in[0]->tensor.shape());
      for (int64_t i = 0; i < visible.size(); ++i)
        visible.mutableInts()[i] = (in[0]->tensor.ints()[i] != 0) == scoresFirst;
      addMask(masked, visible, node.input(0), /*hides=*/!scoresFirst);
      return set(node, 0, std::move(masked));
    }
  }
  if (standard && softmaxStep(node, in))
    return;
  if (standard && op == "Einsum")
    return einsum(node, in);
  if (standard && op == "DynamicQuantizeLinear")
    return dynamicQuantize(node, in);
  if (standard && op == "MatMulInteger")
    return matMulInteger(node, in);
  makeWhole(node, in);
  if (standard && reducesMoments(node))
    return reduceRows(node, in);
  if (standard && binaries.count(op) && in.size() == 2 && in[0] && in[1])
    return binary(node, *in[0], *in[1]);
  if (microsoft && (op == "BiasGelu" || op == "FastGelu") && isKind(0, Kind::Data)) {
    NodeProto gelu = node;
    gelu.clear_input();
    gelu.add_input(node.input(0));
    if (op == "BiasGelu") {
      gelu.set_domain("");
      gelu.set_op_type("Gelu");
    }
    if (!isKind(1, Kind::Known))
      return unary(node, in);
    Value sum = plusKnown(*in[0], *in[1], 1);
    sum.grain = sum.view.grain = nodeGrain;
    return unary(gelu, {&sum});
  }
  if ((standard || microsoft) && unaries.count(op) && in.size() && in[0] &&
      Evaluator::supports(node)) {
    for (size_t i = 1; i < in.size(); ++i)
      if (in[i] && in[i]->tensor.size() != 1)
        notUnderstood("an operand is no single number");
    if (op == "Clip" && in[0]->kind == Kind::Scores && in[0]->masked) {
      Value scores = *in[0];
      auto bound = [&](size_t i, double none) {
        return i < in.size() && in[i] ? in[i]->tensor.at(0) : none;
      };
      if (afterMask("Max", bound(1, -INFINITY), true, scores) &&
          afterMask("Min", bound(2, INFINITY), true, scores))
        return set(node, 0, std::move(scores));
    }
    return unary(node, in);
  }
  notUnderstood(Evaluator::supports(node) ? "data reaches it in an unknown way"
                                          : "the operator is not supported");
}

/// What of a data node nobody looked at is not understood; the evaluator sees to the others.
void Raiser::requireRead(const NodeProto &node, const ReadRecord &record) const {
  std::string missing;
  for (int i = 0; i < node.output_size(); ++i) {
    const Value *value = node.output(i).empty() ? nullptr : find(node.output(i));
    if (value && (value->kind == Value::Kind::Unknown || value->kind == Value::Kind::Known))
      return;
    if (!value && !node.output(i).empty() && isUsed(model, node.output(i)))
      missing += (missing.empty() ? "" : "; ") + ("output " + std::to_string(i)) + " ('" +
                 node.output(i) + "') is not supported";
  }
  std::vector<bool> given;
  for (const std::string &name : node.input())
    given.push_back(!name.empty());
  std::string unread = record.unread(given);
  if (!unread.empty() || !missing.empty())
    notUnderstood(unread + (unread.empty() || missing.empty() ? "" : "; ") + missing);
}

RaisedGraph Raiser::run(std::vector<Misunderstood> &problems) {
  bindInputs();
  for (const NodeProto *node : model.nodes()) {
    current = node;
    std::string reason;
    try {
      ReadRecord record(*node);
      visit(*node);
      requireRead(*node, record);
      continue;
    } catch (const NotUnderstood &problem) {
      reason = problem.reason;
    } catch (const ImportError &error) {
      if (error.kind() != ImportError::Kind::BadInput)
        throw;
      reason = error.what();
    }
    problems.push_back({node->domain(), node->op_type(), model.opset(node->domain()),
                        node->name().empty() ? node->output(0) : node->name(), reason});
    for (int i = 0; i < node->output_size(); ++i)
      set(*node, i, Value());
  }
  current = nullptr;
  if (problems.empty())
    finishOutputs();
  return std::move(graph);
}
