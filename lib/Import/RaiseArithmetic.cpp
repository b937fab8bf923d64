//===- RaiseArithmetic.cpp - Elementwise operators on data ----------------===//
//
// Sums of different data become residual additions, sums of the same data (rotations) stay views. A
// nonlinear function of one value is followed on a grid of numbers, whatever operators spell it,
// and recognised by its values when data is needed again.
//
//===----------------------------------------------------------------------===//

#include "Raiser.h"

#include <algorithm>
#include <cmath>
#include <set>

using namespace llmc::onnx;

const std::vector<double> &llmc::onnx::pointwiseGrid() {
  static const std::vector<double> grid = [] {
    std::vector<double> g = {0, 1e-3, -1e-3, 1e4, -1e4, 120, -120};
    for (int i = -80; i <= 80; ++i)
      g.push_back(i * 0.1037 + 0.011);
    return g;
  }();
  return grid;
}

const std::vector<double> &llmc::onnx::statGrid() {
  static const std::vector<double> grid = {0, 1e-8, 1e-6, 1e-5, 1e-3, 0.02, 0.5, 1, 3, 17, 1e3};
  return grid;
}

namespace {
struct Activation {
  const char *name;
  double (*function)(double);
};
double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
const Activation activations[] = {
    {"relu", [](double x) { return x > 0 ? x : 0; }},
    {"gelu", [](double x) { return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0))); }},
    {"gelu_tanh",
     [](double x) {
       return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
     }},
    {"silu", [](double x) { return x * sigmoid(x); }},
    {"quick_gelu", [](double x) { return x * sigmoid(1.702 * x); }},
    {"sigmoid", sigmoid},
    {"tanh", [](double x) { return std::tanh(x); }},
    {"relu2", [](double x) { return x > 0 ? x * x : 0; }},
};
} // namespace

/// The activation with these values on the grid, or nullptr. The tolerance is that of constants in
/// f32.
static const char *recognizeActivation(const std::vector<double> &samples) {
  for (const Activation &activation : activations) {
    bool same = true;
    for (size_t i = 0; i < samples.size() && same; ++i) {
      double expected = activation.function(pointwiseGrid()[i]);
      same = std::fabs(samples[i] - expected) <= 1e-6 * (1 + std::fabs(expected));
    }
    if (same)
      return activation.name;
  }
  return nullptr;
}

/// True when the function is softcap * tanh(x / softcap).
static bool recognizeSoftcap(const std::vector<double> &samples, double &softcap) {
  softcap = samples[3]; // at 1e4
  if (!(softcap > 0.5) || softcap > 9e3)
    return false;
  for (size_t i = 0; i < samples.size(); ++i)
    if (std::fabs(samples[i] - softcap * std::tanh(pointwiseGrid()[i] / softcap)) >
        1e-6 * (1 + softcap))
      return false;
  return true;
}

View Raiser::dataOf(const Value &value) {
  if (value.kind == Value::Kind::Data)
    return value.view;
  if (value.kind != Value::Kind::Pointwise || value.centered)
    notUnderstood("its input is neither a tensor nor an activation of one");
  // The node is the one that computes the function, not the one that uses it.
  const NodeProto *user = current;
  current = value.maker ? value.maker : user;
  View view = activationOf(value);
  current = user;
  return view;
}

View Raiser::activationOf(const Value &value) {
  int input = materialize(value.view);
  double softcap;
  if (const char *name = recognizeActivation(value.samples)) {
    std::string key = std::string("activation ") + name + " " + std::to_string(input);
    auto known = nodeKeys.find(key);
    if (known != nodeKeys.end())
      return viewOf(known->second, value.view.shape);
    RaisedNode node = makeNode(RaisedKind::Activation, {input}, graph.nodes[input].width);
    node.text = name;
    return viewOf(nodeKeys[key] = addNode(std::move(node)), value.view.shape);
  }
  if (recognizeSoftcap(value.samples, softcap)) {
    int64_t width = graph.nodes[input].width;
    RaisedNode down = makeNode(RaisedKind::Scale, {input}, width);
    down.number = 1 / softcap;
    RaisedNode tanh = makeNode(RaisedKind::Activation, {addNode(std::move(down))}, width);
    tanh.text = "tanh";
    RaisedNode up = makeNode(RaisedKind::Scale, {addNode(std::move(tanh))}, width);
    up.number = softcap;
    return viewOf(addNode(std::move(up)), value.view.shape);
  }
  notUnderstood("its input is a function of one number that is no known activation");
}

Value Raiser::asPointwise(const Value &value) const {
  if (value.kind == Value::Kind::Pointwise)
    return value;
  if (value.kind != Value::Kind::Data || !isUniform(value.view) || value.view.size() == 0)
    notUnderstood("it is applied to a mixture of elements");
  Value result = value;
  result.kind = Value::Kind::Pointwise;
  double factor = value.view.terms[0].at(0);
  for (double x : pointwiseGrid())
    result.samples.push_back(factor * x);
  result.view.terms[0].uniform = 1;
  result.view.terms[0].factor.reset();
  return result;
}

/// Runs the operator on the samples of one operand; the others must be single numbers.
std::vector<double> Raiser::runSamples(const NodeProto &node, const Values &in, size_t operand,
                                       const std::vector<double> &samples) const {
  OnnxTensor data = fromDoubles(samples, {static_cast<int64_t>(samples.size())}, ElementType::F64);
  std::vector<OnnxTensor> others(in.size());
  std::vector<const OnnxTensor *> inputs(in.size(), nullptr);
  for (size_t i = 0; i < in.size(); ++i) {
    if (i == operand) {
      inputs[i] = &data;
    } else if (in[i]) {
      if (in[i]->kind != Value::Kind::Known || in[i]->tensor.size() != 1)
        notUnderstood("an operand is no single number");
      others[i] = castTo(in[i]->tensor, ElementType::F64).reshaped({1});
      inputs[i] = &others[i];
    }
  }
  OnnxTensor result = evaluator.runNode(node, inputs)[0];
  return toDoubles(result);
}

void Raiser::unary(const NodeProto &node, const Values &in) {
  const Value &x = *in[0];
  Value result = x;
  if (x.kind == Value::Kind::RowStat || (x.kind == Value::Kind::Scores && !x.masked)) {
    result.samples = runSamples(node, in, 0, x.samples);
  } else if (x.kind == Value::Kind::Data && node.op_type() == "Neg") {
    for (Term &term : result.view.terms)
      term.uniform = -term.uniform;
  } else {
    result = asPointwise(x);
    result.samples = runSamples(node, in, 0, result.samples);
  }
  set(node, 0, std::move(result));
}

void Raiser::addKnown(const NodeProto &node, const Value &data, const Value &known, double sign) {
  View view = dataOf(data);
  OnnxTensor addend = known.tensor;
  Shape shape = broadcastShapes(view.shape, addend.shape());
  int source;
  double factor;
  if (shape != view.shape || !isIdentity(view, source, factor) || factor != 1 || sign != 1)
    notUnderstood("a constant is added to something other than a whole tensor");
  int64_t width = graph.nodes[source].width, rows = sizes.batch * sizes.length;
  BroadcastIndex at(addend.shape(), shape);
  bool perFeature = true;
  for (int64_t i = width; i < rows * width && perFeature; ++i)
    perFeature = addend.at(at[i]) == addend.at(at[i % width]);

  if (perFeature && known.constant && addend.size() == width) {
    View result;
    if (attachToNorm(view, known, true, result)) {
      Value value;
      value.kind = Value::Kind::Data;
      value.shape = result.shape;
      value.view = std::move(result);
      return set(node, 0, std::move(value));
    }
    const RaisedNode &maker = graph.nodes[source];
    if (maker.kind == RaisedKind::Linear && maker.bias < 0) {
      RaisedNode biased = maker;
      biased.bias = vectorWeight(known);
      std::string location = maker.location, scope = maker.scope;
      int made = addNode(std::move(biased));
      graph.nodes[made].location = location;
      graph.nodes[made].scope = scope;
      return set(node, 0, dataValue(made, shape));
    }
  }
  if (!known.table.empty() && known.rows.size() * width == addend.size()) {
    // Rows of a table: the positions are those of this step, from some row on.
    BroadcastIndex rowAt(known.rows.shape(), {sizes.batch, sizes.length});
    int64_t offset = known.rows.size() ? known.rows.ints()[0] - position(0) : 0;
    bool counts = offset >= 0;
    for (int64_t r = 0; r < rows; ++r)
      counts &= known.rows.ints()[rowAt[r]] == position(r % sizes.length) + offset;
    if (counts && (sizes.length > 1 || sizes.past > 0)) {
      RaisedWeight weight;
      weight.key = known.table;
      weight.values = known.tableValues;
      weight.rows = known.tableValues.shape()[0];
      weight.columns = width;
      RaisedNode table = makeNode(RaisedKind::PositionEmbedding, {}, width);
      table.inputs = {0};
      table.integer = offset;
      table.weight = weightIndex(std::move(weight));
      int positions = addNode(std::move(table));
      RaisedNode sum = makeNode(RaisedKind::Add, {source, positions}, width);
      return set(node, 0, dataValue(addNode(std::move(sum)), shape));
    }
  }
  if (!perFeature)
    notUnderstood("what is added differs between positions and is no table of positions");
  RaisedNode plus = makeNode(RaisedKind::AddVector, {source}, width);
  Value vector = known;
  std::vector<double> row(width);
  for (int64_t f = 0; f < width; ++f)
    row[f] = addend.at(at[f]);
  vector.tensor = fromDoubles(row, {width}, ElementType::F32);
  if (vector.origin.empty() || !vector.table.empty())
    vector.origin = node.output(0) + ".addend";
  plus.weight = vectorWeight(vector);
  set(node, 0, dataValue(addNode(std::move(plus)), shape));
}

void Raiser::multiplyKnown(const NodeProto &node, const Value &data, const Value &known,
                           bool reciprocal) {
  View view = dataOf(data);
  Value result;
  result.kind = Value::Kind::Data;
  if (reciprocal || !known.constant || !attachToNorm(view, known, false, result.view))
    result.view =
        scaled(view, known.tensor, broadcastShapes(view.shape, known.tensor.shape()), reciprocal);
  result.shape = result.view.shape;
  set(node, 0, std::move(result));
}

void Raiser::binary(const NodeProto &node, const Value &a, const Value &b) {
  using Kind = Value::Kind;
  const std::string &op = node.op_type();
  bool additive = op == "Add" || op == "Sub";
  bool knownA = a.kind == Kind::Known, knownB = b.kind == Kind::Known;
  if (knownA || knownB) {
    const Value &known = knownA ? a : b, &data = knownA ? b : a;
    bool scalar = known.tensor.size() == 1;
    bool tracked = data.kind == Kind::RowStat || data.kind == Kind::Pointwise ||
                   (data.kind == Kind::Scores && !data.masked);
    bool isMask = !scalar || known.tensor.at(0) == 0 || known.tensor.at(0) < -9000;
    if (op == "Add" && data.kind == Kind::Scores && isMask) {
      Value result = data;
      addMask(result, known.tensor, node.input(knownA ? 0 : 1));
      return set(node, 0, std::move(result));
    }
    // Products of data with a number stay views; everything else makes it a function.
    bool function = data.kind == Kind::Data && op != "Mul" && !(op == "Div" && knownB);
    if (scalar && (tracked || function)) {
      Value result = tracked ? data : asPointwise(data);
      result.samples = runSamples(node, {&a, &b}, knownA ? 1 : 0, result.samples);
      return set(node, 0, std::move(result));
    }
    if (op == "Add")
      return addKnown(node, data, known, 1);
    if (op == "Mul" || (op == "Div" && knownB))
      return multiplyKnown(node, data, known, op == "Div");
    notUnderstood("data and a constant meet in an unknown way");
  }
  // A function of the same elements on both sides is again one.
  bool elementwise = (a.kind == Kind::Pointwise || a.kind == Kind::Data) &&
                     (b.kind == Kind::Pointwise || b.kind == Kind::Data);
  if (elementwise && (a.kind == Kind::Pointwise || b.kind == Kind::Pointwise || op != "Add") &&
      sameElements(a.view, b.view) && isUniform(a.view) && isUniform(b.view)) {
    Value left = asPointwise(a), right = asPointwise(b);
    if (left.centered != right.centered)
      notUnderstood("a tensor meets its centred self");
    int64_t n = static_cast<int64_t>(left.samples.size());
    OnnxTensor x = fromDoubles(left.samples, {n}, ElementType::F64);
    OnnxTensor y = fromDoubles(right.samples, {n}, ElementType::F64);
    left.samples = toDoubles(evaluator.runNode(node, {&x, &y})[0]);
    return set(node, 0, std::move(left));
  }
  if (a.kind == Kind::RowStat || b.kind == Kind::RowStat) {
    const Value &stat = a.kind == Kind::RowStat ? a : b, &data = a.kind == Kind::RowStat ? b : a;
    if (op == "Sub" && &stat == &b && stat.plainMean && stat.samples == statGrid() &&
        data.kind == Kind::Data && sameElements(data.view, stat.view)) {
      Value result = asPointwise(data);
      result.centered = true;
      return set(node, 0, std::move(result));
    }
    if ((op == "Mul" || (op == "Div" && &stat == &b)) && normalize(node, data, stat, op == "Div"))
      return;
    notUnderstood("statistics of a row are used in an unknown way");
  }
  if (!elementwise)
    notUnderstood("data meets data in an unknown way");

  if (op == "Mul" && a.kind != b.kind) {
    const Value &function = a.kind == Kind::Pointwise ? a : b,
                &up = a.kind == Kind::Pointwise ? b : a;
    if (const char *name = recognizeActivation(function.samples)) {
      int gate = materialize(function.view), value = materialize(up.view);
      RaisedNode gated = makeNode(RaisedKind::Gated, {gate, value}, graph.nodes[gate].width);
      gated.text = name;
      return set(node, 0, dataValue(addNode(std::move(gated)), up.shape));
    }
  }
  View left = dataOf(a), right = dataOf(b);
  std::set<int> sources;
  for (const View *view : {&left, &right})
    for (const Term &term : view->terms)
      for (int64_t i = 0; i < view->size(); ++i)
        sources.insert(sourceOf(term.index.ints()[i]));
  sources.erase(-1);
  if (additive && sources.size() == 1 && left.shape == right.shape && !sameElements(left, right)) {
    for (Term &term : right.terms) {
      if (op == "Sub")
        term.uniform = -term.uniform;
      left.terms.push_back(term);
    }
    Value result;
    result.kind = Kind::Data;
    result.shape = left.shape;
    result.view = std::move(left);
    return set(node, 0, std::move(result));
  }
  if (op != "Add" && op != "Mul")
    notUnderstood("data meets data in an unknown way");
  if (left.shape != right.shape)
    notUnderstood("operands of shapes " + shapeString(left.shape) + " and " +
                  shapeString(right.shape));
  int x = materialize(left), y = materialize(right);
  RaisedNode both =
      makeNode(op == "Add" ? RaisedKind::Add : RaisedKind::Multiply, {x, y}, graph.nodes[x].width);
  if (graph.nodes[y].width != both.width)
    notUnderstood("operands of different widths");
  set(node, 0, dataValue(addNode(std::move(both)), left.shape));
}
