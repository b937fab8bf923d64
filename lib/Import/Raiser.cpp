//===- Raiser.cpp - Interpreting an ONNX graph at one size ----------------===//
//
// Binds inputs, walks the nodes, and sends each to the evaluator (what is known), to the views
// (what moves elements) or to the family that understands it.
//
//===----------------------------------------------------------------------===//

#include "Raiser.h"

#include <algorithm>
#include <cmath>
#include <set>

using namespace llmc::onnx;

namespace {
/// Thrown by notUnderstood and caught by visit.
struct NotUnderstood {
  std::string reason;
};
} // namespace

void Raiser::notUnderstood(const std::string &reason) const { throw NotUnderstood{reason}; }

Raiser::Raiser(const OnnxModel &model, const Sizes &sizes, ConstantPool &pool,
               bool floatActivations, FarLook *far)
    : model(model), evaluator(model), sizes(sizes), pool(pool), floatActivations(floatActivations),
      far(far) {}

static bool contains(const std::string &text, const char *part) {
  return text.find(part) != std::string::npos;
}

bool Raiser::isPast(const DeclaredValue &input) {
  return isFloat(input.type) && input.dims.size() == 4;
}

bool Raiser::hasPast(const OnnxModel &model) {
  return std::any_of(model.inputs().begin(), model.inputs().end(), isPast);
}

/// [batch, heads, past, size]; a size that is left open is only read by operators that know it
/// themselves.
Shape Raiser::pastShape(const DeclaredValue &input, const Sizes &sizes) {
  Shape shape = {sizes.batch, std::max<int64_t>(input.dims[1].value, 1), sizes.past,
                 std::max<int64_t>(input.dims[3].value, 1)};
  return shape;
}

ValueMap Raiser::knownInputs(const OnnxModel &model, const Sizes &sizes) {
  ValueMap known;
  for (const DeclaredValue &input : model.inputs()) {
    if (input.role == InputRole::Positions) {
      Shape shape = input.dims.size() == 2 ? Shape{sizes.batch, sizes.length} : Shape{sizes.length};
      OnnxTensor positions(input.type, input.dims.empty() ? Shape{} : shape);
      for (int64_t i = 0; i < positions.size(); ++i)
        positions.mutableInts()[i] = sizes.past + i % sizes.length;
      known.emplace(input.name, positions);
    } else if (input.role == InputRole::Mask || input.role == InputRole::AdditiveMask) {
      OnnxTensor mask(input.type, {sizes.batch, sizes.total()});
      for (int64_t i = 0; i < mask.size(); ++i) {
        bool visible = i < mask.size() - sizes.padding;
        mask.set(i, input.role == InputRole::Mask ? visible : visible ? 0.0 : -60000.0);
      }
      known.emplace(input.name, mask);
    }
  }
  return known;
}

void Raiser::lazyInputs(const OnnxModel &model, const Sizes &sizes,
                        std::map<std::string, LazyTensor> &known,
                        std::map<std::string, std::pair<ElementType, Shape>> &shapes) {
  // What an input is at sizes that no other dimension has says what it is at all sizes.
  Sizes near = {sizes.batch, hasPast(model) ? 1013 : 0, 11, 0};
  ValueMap nearInputs = knownInputs(model, near);
  auto farDim = [&](int64_t dim) {
    return dim == near.length                  ? sizes.length
           : dim == near.total()               ? sizes.total()
           : dim == near.past && near.past > 0 ? sizes.past
                                               : dim;
  };
  for (const DeclaredValue &input : model.inputs()) {
    auto found = nearInputs.find(input.name);
    if (found == nearInputs.end()) {
      Shape shape;
      for (const DeclaredDim &dim : input.dims)
        shape.push_back(std::max<int64_t>(dim.value, 1));
      if (isPast(input))
        shape = pastShape(input, sizes);
      else if (input.dims.size() == 2)
        shape = {sizes.batch, sizes.length};
      shapes[input.name] = {input.type, shape};
      continue;
    }
    const OnnxTensor &values = found->second;
    Shape shape = values.shape();
    for (int64_t &dim : shape)
      dim = farDim(dim);
    bool same = true, positions = true;
    for (int64_t i = 0; i < values.size(); ++i) {
      same &= values.at(i) == values.at(0);
      positions &= values.at(i) == static_cast<double>(near.past + i % near.length);
    }
    if (!same && !positions)
      fail("graph input '", input.name, "' is neither the same everywhere nor positions");
    int64_t past = sizes.past, length = sizes.length;
    double constant = values.size() ? values.at(0) : 0;
    known.emplace(input.name, lazyRange(values.type(), shape, [=](int64_t i) {
                    return positions ? static_cast<double>(past + i % length) : constant;
                  }));
  }
}

const Value *Raiser::find(const std::string &name) const {
  auto found = values.find(name);
  if (found != values.end())
    return &found->second;
  auto pooled = pool.values.find(name);
  return pooled != pool.values.end() ? &pooled->second : nullptr;
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

/// What each input was taken for.
static std::string describeRoles(const OnnxModel &model) {
  static const char *roles[] = {"token ids", "a mask",  "a mask that is added",
                                "positions", "a cache", "unknown"};
  std::string text;
  for (const DeclaredValue &input : model.inputs())
    text += (text.empty() ? "; '" : ", '") + input.name + "' is taken for " +
            roles[static_cast<int>(input.role)];
  return text;
}

void Raiser::bindInputs() {
  for (const std::string &name : model.initializerNames()) {
    if (pool.values.count(name))
      continue;
    Value value;
    value.kind = Value::Kind::Known;
    value.tensor = model.initializer(name);
    value.shape = value.tensor.shape();
    value.type = value.tensor.type();
    value.grain = grainOf(value.type);
    value.constant = true;
    value.origin = value.name = name;
    pool.values.emplace(name, std::move(value));
  }
  ValueMap known = knownInputs(model, sizes);
  for (const DeclaredValue &input : model.inputs()) {
    Value value;
    auto found = known.find(input.name);
    if (found != known.end()) {
      value.kind = Value::Kind::Known;
      value.tensor = found->second;
      value.shape = value.tensor.shape();
      if (input.role != InputRole::Positions)
        graph.maskInput = input.name;
    } else if (isPast(input)) {
      pastNames.push_back(input.name);
      pastShapes.push_back(pastShape(input, sizes));
      int node = pastBase + static_cast<int>(pastNames.size()) - 1;
      value = dataValue(node, pastShapes.back());
      value.type = input.type;
      value.grain = value.view.grain = grainOf(input.type);
    } else if (input.role == InputRole::Ids) {
      RaisedNode node = makeNode(RaisedKind::Input, {}, 1);
      node.location = node.output = input.name;
      node.text = input.name;
      graph.nodes.push_back(std::move(node));
      if (graph.idsInput.empty()) {
        graph.idsInput = input.name;
        fixedLength = std::max<int64_t>(input.dims[1].value, 0);
      }
      value = dataValue(static_cast<int>(graph.nodes.size()) - 1, {sizes.batch, sizes.length});
    } else {
      fail(model.path(), ": graph input '", input.name, "' of type ", elementTypeName(input.type),
           " with ", input.dims.size(),
           " dimensions is neither token ids, a mask, positions nor a cache, by its name or by "
           "what ",
           "reads it");
    }
    values[input.name] = std::move(value);
  }
  if (graph.idsInput.empty())
    fail(model.path(), ": no graph input holds token ids (integers of two dimensions)",
         describeRoles(model));
}

/// Rows [1, .., rows, width] of a constant, sliced: which rows, the same slice of their numbers
/// says.
void Raiser::sliceRows(const NodeProto &node, std::vector<const OnnxTensor *> inputs,
                       const Value &table, Value &result) const {
  Shape shape = table.tensor.shape();
  if (shape.size() < 2 || shape.back() < 1 || !isFloat(table.tensor.type()))
    return;
  int64_t width = shape.back(), count = shape[shape.size() - 2];
  if (table.tensor.size() != count * width)
    return;
  shape.back() = 1;
  OnnxTensor numbers(ElementType::I64, shape);
  for (int64_t i = 0; i < count; ++i)
    numbers.mutableInts()[i] = i;
  inputs[0] = &numbers;
  OnnxTensor rows = evaluator.runNode(node, inputs)[0];
  if (rows.size() == 0 || rows.shape().back() != 1)
    return;
  result.table = table.origin;
  result.rows = rows.reshaped({rows.size()});
  result.tableValues = table.tensor.reshaped({count, width});
}

/// The rows of a table that these values are, where no value says their numbers.
static OnnxTensor findRows(const OnnxTensor &values, const OnnxTensor &table, int64_t count) {
  int64_t width = table.shape()[1];
  OnnxTensor rows(ElementType::I64, {count});
  for (int64_t r = 0; r < count && values.size() == count * width; ++r) {
    int64_t &row = rows.mutableInts()[r];
    auto differs = [&] {
      for (int64_t f = 0; f < width; ++f)
        if (values.at(r * width + f) != table.at(row * width + f))
          return true;
      return false;
    };
    for (row = 0; row < table.shape()[0] && differs();)
      ++row;
  }
  return rows;
}

bool Raiser::evaluateKnown(const NodeProto &node, const Values &in) {
  const std::string &op = node.op_type();
  bool standard = node.domain().empty() || node.domain() == "ai.onnx";
  Value result;
  result.kind = Value::Kind::Known;
  if (standard && (op == "Shape" || op == "Size") && in[0]->kind != Value::Kind::Known) {
    OnnxTensor probe = OnnxTensor::borrow(nullptr, in[0]->shape, ElementType::F32, nullptr);
    result.tensor = evaluator.runNode(node, {&probe})[0];
    set(node, 0, std::move(result));
    return true;
  }
  std::vector<const OnnxTensor *> inputs;
  result.constant = true;
  for (const Value *value : in) {
    if (value && value->kind != Value::Kind::Known)
      return false;
    inputs.push_back(value ? &value->tensor : nullptr);
    result.constant &= !value || value->constant;
    if (!value)
      continue;
    result.grain = std::max(result.grain, value->grain);
    result.angleGrain = std::max(result.angleGrain, value->angleGrain);
    result.positionGrain = std::max(result.positionGrain, value->positionGrain);
  }
  if (result.constant && pool.values.count(node.output(0)))
    return true;
  auto lookup = [&](const std::string &name) -> const OnnxTensor * {
    const Value *value = find(name);
    return value && value->kind == Value::Kind::Known ? &value->tensor : nullptr;
  };
  std::vector<OnnxTensor> outputs = evaluator.runNode(node, inputs, lookup);

  static const std::set<std::string> keepsOrigin = {"Identity", "Cast", "Reshape", "Unsqueeze",
                                                    "Squeeze"};
  if (standard && in.size() && in[0]) {
    const Value &first = *in[0];
    bool sameKind = isFloat(first.tensor.type()) == isFloat(outputs[0].type());
    if (sameKind && (keepsOrigin.count(op) || (op == "Transpose" && first.tensor.rank() == 2))) {
      result.origin = first.origin;
      result.transposed = first.transposed != (op == "Transpose");
    }
    bool keepsRows = keepsOrigin.count(op) || op == "Expand";
    if (keepsRows && !first.table.empty() &&
        outputs[0].shape().back() == first.tableValues.shape()[1] &&
        outputs[0].size() == first.tensor.size()) {
      result.table = first.table;
      result.rows = first.rows;
      result.rowsName = first.rowsName;
      result.tableValues = first.tableValues;
    }
    if (op == "Gather" && first.constant && !first.origin.empty() && first.tensor.rank() == 2 &&
        !in[1]->constant && Attributes(node).getInt("axis", 0) == 0) {
      result.table = first.origin;
      result.rows = in[1]->tensor;
      result.rowsName = node.input(1);
      result.tableValues = first.tensor;
    }
    if (op == "Slice" && first.constant && !first.origin.empty() && !result.constant)
      sliceRows(node, inputs, first, result);
  }
  for (int i = 0; i < node.output_size() && i < static_cast<int>(outputs.size()); ++i) {
    Value value = result;
    value.tensor = outputs[i];
    value.shape = value.tensor.shape();
    value.type = value.tensor.type();
    value.grain = std::max(value.grain, grainOf(value.type));
    if (op == "Cos" || op == "Sin")
      value.angleGrain = value.positionGrain;
    if (!result.constant)
      value.positionGrain = std::max(value.positionGrain, grainOf(value.type));
    value.name = node.output(i);
    if (result.constant)
      pool.values[node.output(i)] = std::move(value);
    else
      set(node, i, std::move(value));
  }
  return true;
}

void Raiser::limitContext(int64_t positions, const std::string &reason) {
  if (graph.context > 0 && graph.context <= positions)
    return;
  graph.context = positions;
  graph.contextReason = describeNode(*current) + ": " + reason;
}

/// Known values that meet data become those of the far look, but for what moves data about (it
/// follows a law that is checked apart) and masks (which are scanned apart).
void Raiser::lookFar(const NodeProto &node, Values &in) {
  using Kind = Value::Kind;
  auto anyOf = [&](Kind kind) {
    return std::any_of(in.begin(), in.end(),
                       [&](const Value *value) { return value && value->kind == kind; });
  };
  bool scores = anyOf(Kind::Scores), attention = node.op_type() == "Attention";
  bool moves = movesElements(node.op_type()) && node.op_type() != "CastLike";
  for (size_t i = 0; i < in.size(); ++i) {
    if (!in.peek(i) || in.peek(i)->kind != Kind::Known || in.peek(i)->constant ||
        (moves && i > 0) || (scores && in.peek(i)->tensor.size() != 1) || (attention && i == 3))
      continue;
    Value value = *in.peek(i);
    value.tensor = far->sample(node.input(static_cast<int>(i)), value.tensor);
    if (!value.table.empty())
      value.rows = value.rowsName.empty()
                       ? findRows(value.tensor, value.tableValues, value.rows.size())
                       : far->sample(value.rowsName, value.rows);
    farValues.push_back(std::move(value));
    in.replace(i, &farValues.back());
  }
}

void Raiser::noteShapes(const NodeProto &node, const Values &in) {
  for (size_t i = 1; i < in.size() && node.op_type() != "Concat"; ++i)
    if (in.peek(i) && in.peek(i)->kind == Value::Kind::Known && !in.peek(i)->constant &&
        in.peek(i)->tensor.isInteger())
      shapeValues[node.input(static_cast<int>(i))] = in.peek(i)->tensor.toInts();
}

SizeLaws::Point Raiser::point() const {
  SizeLaws::Point result;
  result.sizes = sizes;
  result.shapeValues = shapeValues;
  for (const auto &entry : values)
    if (entry.second.kind != Value::Kind::Known && entry.second.kind != Value::Kind::Unknown)
      result.dataShapes[entry.first] = entry.second.shape;
  return result;
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

/// A scaled tensor becomes one of its own before its mean of squares is taken (epsilon is not
/// scaled with it).
void Raiser::makeWhole(const NodeProto &node, Values &in) {
  bool square = node.op_type() == "Pow" || (node.op_type() == "Mul" && node.input_size() == 2 &&
                                            node.input(0) == node.input(1));
  if (!square && node.op_type() != "ReduceMean")
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
  if (standard && op == "Gather" && embedding(node, in))
    return;
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
  makeWhole(node, in);
  if (standard && op == "ReduceMean")
    return reduceMean(node, in);
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

/// A cache after this step: new rows must be multiplied as attention multiplies them, but for what
/// it does to all rows alike.
void Raiser::checkPresent(const std::string &past, const std::string &output, const View &view) {
  graph.presents[past] = output;
  auto wanted = presentFactors.find(past);
  if (wanted == presentFactors.end() || view.size() == 0)
    return;
  double square = 0;
  for (const Term &term : view.terms)
    square += term.at(view.size() - 1) * term.at(view.size() - 1);
  if (std::fabs(std::sqrt(square) - std::fabs(wanted->second)) >
      std::max(1e-5, 4 * view.grain) * std::fabs(wanted->second))
    fail(model.path(), ": graph output '", output, "' keeps rows times ", std::sqrt(square),
         ", where attention to earlier positions expects ", std::fabs(wanted->second));
}

/// A cache's name without what says that it goes in or comes out.
static std::string cacheName(std::string name) {
  for (const char *part : {"past_key_values", "present_key_values", "past", "present"}) {
    size_t at = name.find(part);
    if (at != std::string::npos)
      return name.erase(at, std::string(part).size());
  }
  return name;
}

/// Whoever feeds caches by their names must mean what the graph computes.
void Raiser::checkCacheNames() const {
  std::map<std::string, std::string> pasts;
  for (const DeclaredValue &input : model.inputs())
    if (isPast(input))
      pasts[cacheName(input.name)] = input.name;
  for (const auto &entry : graph.presents) {
    auto named = pasts.find(cacheName(entry.second));
    if (named != pasts.end() && named->second != entry.first)
      fail(model.path(), ": graph output '", entry.second, "' continues the cache '", entry.first,
           "', but by its name it would be fed as '", named->second, "'");
  }
}

void Raiser::finishOutputs() {
  bool anyPast = hasPast(model), allCausal = true, anyAttention = false;
  for (const RaisedNode &node : graph.nodes)
    if (node.kind == RaisedKind::Attention) {
      anyAttention = true;
      // One query sees the same with a causal mask and without.
      allCausal &= node.mask.hidesFuture || (!node.mask.seesFuture && sizes.length == 1);
    }
  graph.hasCache = anyAttention && (anyPast || allCausal);
  for (const DeclaredValue &output : model.outputs()) {
    const Value *value = find(output.name);
    if (value && value->kind == Value::Kind::Present) {
      if (!value->origin.empty())
        graph.presents[value->origin] = output.name;
      continue;
    }
    bool isData =
        value && (value->kind == Value::Kind::Data || value->kind == Value::Kind::Pointwise);
    if (!isData)
      fail(model.path(), ": graph output '", output.name, "' does not depend on the token ids");
    if (output.dims.size() == 4 && value->kind == Value::Kind::Data && graph.hasCache) {
      // What a cache holds after this step: attention has shown where it comes from.
      std::string past;
      for (const Term &term : value->view.terms)
        for (int64_t i = 0; i < value->view.size(); ++i)
          if (sourceOf(term.index.ints()[i]) >= pastBase && term.at(i) != 0)
            past = pastNames[sourceOf(term.index.ints()[i]) - pastBase];
      if (!past.empty())
        checkPresent(past, output.name, value->view);
      continue;
    }
    try {
      graph.outputs.push_back({output.name, materialize(dataOf(*value))});
    } catch (const NotUnderstood &problem) {
      fail(model.path(), ": graph output '", output.name, "': ", problem.reason);
    }
  }
  checkCacheNames();
  if (graph.outputs.empty())
    fail(model.path(), ": no graph output is left once the caches are taken out");
  if (!graph.hasCache || graph.outputs.size() == 1)
    return;
  // A step has one result: what is called logits, or else what is computed last.
  auto logits = std::find_if(graph.outputs.begin(), graph.outputs.end(),
                             [](const RaisedOutput &output) { return output.name == "logits"; });
  if (logits == graph.outputs.end())
    logits = std::max_element(
        graph.outputs.begin(), graph.outputs.end(),
        [](const RaisedOutput &a, const RaisedOutput &b) { return a.node < b.node; });
  RaisedOutput kept = *logits;
  for (const RaisedOutput &output : graph.outputs)
    if (output.name != kept.name)
      graph.remarks.push_back("graph output '" + output.name + "' is left out; a model with a " +
                              "cache gives one, '" + kept.name + "'");
  graph.outputs = {kept};
}
