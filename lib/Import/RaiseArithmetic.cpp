//===- RaiseArithmetic.cpp - Elementwise operators on data ----------------===//
//
// Sums of different data become residual additions, sums of the same data (rotations) stay views. A
// nonlinear function of one value is followed on a grid of numbers, whatever operators spell it,
// and recognised by its values when data is needed again.
//
//===----------------------------------------------------------------------===//

#include "Raiser.h"

#include <cmath>
#include <set>

using namespace llmc::onnx;

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

/// Where the views hold the elements of whole nodes in one and the same order that is not the
/// nodes' own, as in a graph of columns: the nodes.
std::optional<std::vector<int>> Raiser::reordered(std::initializer_list<const View *> views) {
  const View &first = **views.begin();
  std::vector<int> nodes;
  for (const View *view : views) {
    if (!isUniform(*view) || view->size() == 0 || view->shape != first.shape)
      return std::nullopt;
    int node = sourceOf(view->terms[0].index.ints()[0]);
    if (node < 0 || node >= pastBase || view->size() != nodeSize(node))
      return std::nullopt;
    const int64_t *order = first.terms[0].index.ints(), *own = view->terms[0].index.ints();
    for (int64_t i = 0; i < first.size(); ++i)
      if (own[i] != makeIndex(node, elementOf(order[i])))
        return std::nullopt;
    nodes.push_back(node);
  }
  int node;
  double factor;
  if (isIdentity(first, node, factor))
    return std::nullopt;
  auto view = views.begin();
  for (int &made : nodes)
    if (double own = (*view++)->terms[0].at(0); own != 1)
      made = scaleNode(made, own);
  return nodes;
}

/// The result of a function of one number, made of nodes.
View Raiser::activationOf(const Value &value) {
  std::optional<ActivationShape> shape = recognizeActivation(value.samples, value.grain);
  if (!shape)
    notUnderstood("its input is a function of one number that is no known activation");
  View view = value.view;
  view.terms[0].uniform *= shape->inner;
  std::optional<std::vector<int>> whole = reordered({&view});
  int input = whole ? whole->front() : materialize(view);
  int64_t width = graph.nodes[input].width;
  if (shape->shift != 0) {
    Value vector;
    vector.tensor =
        fromDoubles(std::vector<double>(width, shape->shift), {width}, ElementType::F32);
    input = addVector(input, vector);
  }
  if (!shape->name)
    return whole ? renamed(view, input) : viewOf(input, view.shape);
  std::string key = std::string("activation ") + shape->name + " " + std::to_string(input);
  auto known = nodeKeys.find(key);
  int made;
  if (known != nodeKeys.end()) {
    made = known->second;
  } else {
    RaisedNode node = makeNode(RaisedKind::Activation, {input}, width);
    node.text = shape->name;
    node.grain = value.grain;
    made = nodeKeys[key] = addNode(std::move(node));
  }
  View result = whole ? renamed(view, made) : viewOf(made, view.shape);
  result.terms[0].uniform = shape->outer;
  return result;
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
  } else if (x.kind == Value::Kind::NormPart && node.op_type() == "Neg" && x.ofMean && !x.hasBias) {
    result.negative = !x.negative;
  } else if (x.kind == Value::Kind::Data && node.op_type() == "Neg") {
    for (Term &term : result.view.terms)
      term.uniform = -term.uniform;
  } else {
    result = asPointwise(x);
    result.samples = runSamples(node, in, 0, result.samples);
  }
  set(node, 0, std::move(result));
}

/// The same view of another node.
View Raiser::renamed(const View &view, int node) const {
  View result = view;
  OnnxTensor index(ElementType::I64, view.shape);
  const int64_t *from = view.terms[0].index.ints();
  int64_t *to = index.mutableInts();
  for (int64_t i = 0; i < view.size(); ++i)
    to[i] = makeIndex(node, elementOf(from[i]));
  result.terms[0].index = index;
  return result;
}

/// Where the view holds every element of one node once: the known tensor as a vector over that
/// node's features, if it is one.
std::optional<OnnxTensor> Raiser::perFeature(const View &view, const OnnxTensor &known,
                                             int &source) {
  source = view.size() ? sourceOf(view.terms[0].index.ints()[0]) : -1;
  if (view.terms.size() != 1 || source < 0 || source >= pastBase ||
      view.size() != nodeSize(source) || broadcastShapes(view.shape, known.shape()) != view.shape)
    return std::nullopt;
  int64_t width = graph.nodes[source].width;
  BroadcastIndex at(known.shape(), view.shape);
  std::vector<double> vector(width);
  std::vector<bool> seen(width, false), once(view.size(), false);
  for (int64_t i = 0; i < view.size(); ++i) {
    int64_t index = view.terms[0].index.ints()[i], feature = elementOf(index) % width;
    double value = known.at(at[i]);
    if (sourceOf(index) != source || once[elementOf(index)] ||
        (seen[feature] && vector[feature] != value))
      return std::nullopt;
    once[elementOf(index)] = seen[feature] = true;
    vector[feature] = value;
  }
  return fromDoubles(vector, {width}, ElementType::F32);
}

/// The node plus a vector: as the bias of a linear that has none, else a node of its own.
int Raiser::addVector(int source, const Value &vector) {
  const RaisedNode &maker = graph.nodes[source];
  if (maker.kind == RaisedKind::Linear && maker.bias < 0) {
    RaisedNode biased = maker;
    biased.bias = vectorWeight(vector);
    std::string location = maker.location, scope = maker.scope;
    int made = addNode(std::move(biased));
    graph.nodes[made].location = location;
    graph.nodes[made].scope = scope;
    return made;
  }
  RaisedNode plus = makeNode(RaisedKind::AddVector, {source}, maker.width);
  plus.weight = vectorWeight(vector);
  return addNode(std::move(plus));
}

/// data + sign * known.
Value Raiser::plusKnown(const Value &data, const Value &known, double sign) {
  View view = dataOf(data);
  OnnxTensor addend = known.tensor;
  Shape shape = broadcastShapes(view.shape, addend.shape());
  if (elementCount(shape) != view.size())
    notUnderstood("a constant of shape " + shapeString(addend.shape()) +
                  " is added to data of shape " + shapeString(view.shape));
  for (Term &term : view.terms) {
    term.index = term.index.reshaped(shape);
    if (term.factor)
      term.factor = term.factor->reshaped(shape);
  }
  view.shape = shape;
  Value value;
  value.kind = Value::Kind::Data;
  value.shape = shape;
  if (sign > 0 && known.constant && attachToNorm(view, known, true, value.view))
    return value;
  int source;
  if (!isUniform(view) || view.terms[0].at(0) != 1 || !perFeature(view, addend, source)) {
    source = materialize(view);
    view = viewOf(source, shape);
  }
  int64_t width = graph.nodes[source].width, rows = sizes.batch * sizes.length;
  bool whole = elementCount(shape) == rows * width;
  if (sign > 0 && !known.table.empty() && known.rows.size() * width == addend.size()) {
    // Rows of a table: the positions are those of this step, from some row on.
    BroadcastIndex rowAt(known.rows.shape(), {sizes.batch, sizes.length});
    int64_t offset = known.rows.size() ? known.rows.ints()[0] - position(0) : 0;
    bool counts = offset >= 0;
    for (int64_t r = 0; r < rows; ++r)
      counts &= known.rows.ints()[rowAt[r]] == position(r % sizes.length) + offset;
    if (counts && (sizes.length > 1 || sizes.past > 0)) {
      RaisedWeight weight;
      weight.key.name = known.table;
      weight.key.derived = !known.derived.empty()             ? known.derived
                           : model.isInitializer(known.table) ? ""
                                                              : "value";
      weight.values = known.tableValues;
      weight.rows = known.tableValues.shape()[0];
      weight.columns = width;
      return withPositions(source, std::move(weight), offset, shape);
    }
  }
  std::optional<OnnxTensor> vector = perFeature(view, addend, source);
  if (!vector) {
    // A graph of fixed length may hold the rows of its positions as they are.
    bool rowsOfPositions = sign > 0 && known.constant && whole && sizes.past == 0 &&
                           fixedLength == sizes.length && addend.size() == sizes.length * width &&
                           isIdentityOf(view, source);
    if (!rowsOfPositions)
      notUnderstood("what is added differs between positions and is no table of positions");
    RaisedWeight weight;
    weight.key = weightKey(known);
    weight.values = addend.reshaped({sizes.length, width});
    weight.rows = sizes.length;
    weight.columns = width;
    return withPositions(source, std::move(weight), 0, shape);
  }
  Value named = known;
  named.tensor = *vector;
  bool asStored = known.constant && addend.size() == width && addend.shape().back() == width;
  if (!asStored)
    named.origin.clear();
  if (sign < 0) {
    for (int64_t f = 0; f < width; ++f)
      named.tensor.set(f, -vector->at(f));
    named.derived = "negated";
  }
  value.view = renamed(view, addVector(source, named));
  return value;
}

/// The node plus rows of a table of positions.
Value Raiser::withPositions(int source, RaisedWeight weight, int64_t offset, const Shape &shape) {
  int64_t width = graph.nodes[source].width;
  RaisedNode table = makeNode(RaisedKind::PositionEmbedding, {0}, width);
  table.integer = offset;
  table.weight = weightIndex(std::move(weight));
  int positions = addNode(std::move(table));
  RaisedNode sum = makeNode(RaisedKind::Add, {source, positions}, width);
  return dataValue(addNode(std::move(sum)), shape);
}

void Raiser::multiplyKnown(const NodeProto &node, const Value &data, const Value &known,
                           bool reciprocal) {
  View view = dataOf(data);
  Value result;
  result.kind = Value::Kind::Data;
  if (reciprocal || !known.constant || !attachToNorm(view, known, false, result.view))
    result.view =
        scaled(view, known.tensor, broadcastShapes(view.shape, known.tensor.shape()), reciprocal);
  // A factor and its inverse, both rounded.
  for (Term &term : result.view.terms)
    if (!term.factor && std::fabs(term.uniform - 1) <= 1.2e-7)
      term.uniform = 1;
  result.shape = result.view.shape;
  set(node, 0, std::move(result));
}

/// A number that meets masked scores: a factor, or a bound far below what is not masked. What is
/// hidden must stay hidden.
bool Raiser::afterMask(const std::string &op, double number, bool numberLast, Value &scores) const {
  if (op == "Max" || op == "Min")
    return op == "Max" ? number < -9000 : number > 9000;
  double factor = op == "Mul" ? number : op == "Div" && numberLast ? 1 / number : 0;
  if (!(factor > 0) || !std::isfinite(factor))
    return false;
  for (int64_t i = 0; i < scores.mask.size(); ++i) {
    double value = scores.mask.doubles()[i];
    if (value != 0 && !(value < -9000 && value * factor < -500))
      return false;
  }
  for (double &sample : scores.samples)
    sample *= factor;
  return true;
}

void Raiser::binary(const NodeProto &node, const Value &a, const Value &b) {
  using Kind = Value::Kind;
  const std::string &op = node.op_type();
  bool additive = op == "Add" || op == "Sub";
  bool knownA = a.kind == Kind::Known, knownB = b.kind == Kind::Known;
  if ((op == "Mul" && scaleIntegers(node, a, b)) || normParts(node, a, b))
    return;
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
    if (scalar && data.kind == Kind::Scores && data.masked) {
      Value result = data;
      if (afterMask(op, known.tensor.at(0), knownB, result))
        return set(node, 0, std::move(result));
    }
    // Products of data with a number stay views; everything else makes it a function.
    bool function = data.kind == Kind::Data && op != "Mul" && !(op == "Div" && knownB);
    if (scalar && (tracked || function)) {
      Value result = tracked ? data : asPointwise(data);
      result.samples = runSamples(node, {&a, &b}, knownA ? 1 : 0, result.samples);
      return set(node, 0, std::move(result));
    }
    if (op == "Add" || (op == "Sub" && knownB))
      return set(node, 0, plusKnown(data, known, op == "Add" ? 1 : -1));
    if (op == "Sub") {
      Value negative = data;
      negative.kind = Kind::Data;
      negative.view = scaled(dataOf(data), OnnxTensor::fromFloats({-1}, {1}), data.shape, false);
      return set(node, 0, plusKnown(negative, known, 1));
    }
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
    if (op == "Sub" && &stat == &b && isMean(stat) && fitsRows(stat, data.view) &&
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
    std::optional<ActivationShape> shape = recognizeActivation(function.samples, function.grain);
    if (shape && shape->name && shape->shift == 0) {
      View gateView = function.view;
      gateView.terms[0].uniform *= shape->inner;
      std::optional<std::vector<int>> whole = reordered({&gateView, &up.view});
      int gate = whole ? whole->at(0) : materialize(gateView),
          value = whole ? whole->at(1) : materialize(up.view);
      RaisedNode gated = makeNode(RaisedKind::Gated, {gate, value}, graph.nodes[gate].width);
      gated.text = shape->name;
      if (graph.nodes[value].width != gated.width)
        notUnderstood("operands of different widths");
      Value result = dataValue(addNode(std::move(gated)), up.shape);
      if (whole)
        result.view = renamed(up.view, static_cast<int>(graph.nodes.size()) - 1);
      result.view.terms[0].factor.reset();
      result.view.terms[0].uniform = shape->outer;
      return set(node, 0, std::move(result));
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
  std::optional<std::vector<int>> whole = reordered({&left, &right});
  int x = whole ? whole->at(0) : materialize(left), y = whole ? whole->at(1) : materialize(right);
  RaisedNode both =
      makeNode(op == "Add" ? RaisedKind::Add : RaisedKind::Multiply, {x, y}, graph.nodes[x].width);
  if (graph.nodes[y].width != both.width)
    notUnderstood("operands of different widths");
  Value result = dataValue(addNode(std::move(both)), left.shape);
  if (whole)
    result.view = renamed(left, static_cast<int>(graph.nodes.size()) - 1);
  result.view.terms[0].factor.reset();
  result.view.terms[0].uniform = 1;
  set(node, 0, std::move(result));
}
