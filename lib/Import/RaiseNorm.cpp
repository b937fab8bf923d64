//===- RaiseNorm.cpp - Normalisations, fused or spelled out ---------------===//
//
// The mean of squares (or of squared distances from the mean) of a row is followed as a function of
// one number; where data is divided by sqrt(m + eps), epsilon is read off that function.
//
//===----------------------------------------------------------------------===//

#include "Raiser.h"

#include <cmath>

using namespace llmc::onnx;

static bool isClose(const std::vector<double> &a, double (*f)(double, double), double factor) {
  const std::vector<double> &grid = statGrid();
  for (size_t i = 0; i < grid.size(); ++i)
    if (!(std::fabs(a[i] - f(grid[i], factor)) <= 1e-9 * std::fabs(f(grid[i], factor))))
      return false;
  return a.size() == grid.size();
}

/// Whether the value is the mean of a row itself, and no function of it.
bool Raiser::isMean(const Value &value) const {
  return value.kind == Value::Kind::RowStat && value.plainMean &&
         isClose(value.samples, [](double m, double) { return m; }, 1);
}

/// Whether a statistic of the view's rows is broadcast to them.
bool Raiser::fitsRows(const Value &stat, const View &view) const {
  Shape rows = view.shape;
  if (stat.shape == rows)
    return true;
  rows.back() = 1;
  return stat.shape == rows;
}

/// ReduceMean, ReduceSum, ReduceL2 and ReduceSumSquare over the last dimension, as functions of the
/// mean, or of the mean of squares.
void Raiser::reduceRows(const NodeProto &node, const Values &in) {
  const Value &x = *in[0];
  const std::string &op = node.op_type();
  bool kept, squares = op == "ReduceL2" || op == "ReduceSumSquare";
  if (!reducesRows(node, in, kept))
    notUnderstood(std::string(op == "ReduceMean" ? "a mean" : "a sum") +
                  " over other than the last dimension");
  double width = static_cast<double>(x.shape.back());
  Value result;
  result.kind = Value::Kind::RowStat;
  result.view = x.view;
  result.centered = x.centered;
  result.shape = x.shape;
  if (kept)
    result.shape.back() = 1;
  else
    result.shape.pop_back();
  double factor = op == "ReduceMean" ? 1 : width;
  const std::vector<double> &grid = pointwiseGrid();
  bool plain = x.kind == Value::Kind::Data;
  if (plain && (!isUniform(x.view) || x.view.size() == 0 || x.view.terms[0].at(0) != 1))
    notUnderstood("a mean of something other than a tensor");
  if (!plain && x.kind != Value::Kind::Pointwise)
    notUnderstood("a mean of something other than a tensor");
  result.plainMean = plain && !squares;
  if (!plain && squares && x.samples != grid)
    notUnderstood("a mean of a function other than the square");
  if (!plain && !squares) {
    // The square, perhaps times a number.
    factor *= x.samples.back() / (grid.back() * grid.back());
    double ratio = x.samples.back() / (grid.back() * grid.back());
    for (size_t i = 0; i < grid.size(); ++i)
      if (!(std::fabs(x.samples[i] - ratio * grid[i] * grid[i]) <=
            1e-9 * std::fabs(ratio) * grid[i] * grid[i]))
        notUnderstood("a mean of a function other than the square");
  }
  for (double m : statGrid())
    result.samples.push_back(op == "ReduceL2" ? std::sqrt(factor * m) : factor * m);
  set(node, 0, std::move(result));
}

/// A norm node over the rows (last dimension) of the view, without scale; the view of its result.
View Raiser::normNode(const View &view, double epsilon, bool center) {
  int64_t width = view.shape.back();
  if (view.size() == 0 || width == 0)
    notUnderstood("it normalises something other than a tensor");
  // Epsilon is not scaled with what it is added to.
  if (!isUniform(view) || view.terms[0].at(0) != 1)
    return normNode(viewOf(materialize(view), view.shape), epsilon, center);
  const int64_t *index = view.terms[0].index.ints();
  int source = sourceOf(index[0]);
  bool whole = source >= 0 && source < pastBase && view.size() == nodeSize(source);
  for (int64_t i = 0; i < view.size() && whole; ++i)
    whole = index[i] == index[i - i % width] + i % width &&
            elementOf(index[i - i % width]) % width == 0;
  View input = view;
  if (!whole) {
    source = materialize(view);
    input = viewOf(source, view.shape);
  }
  int64_t features = graph.nodes[source].width;
  if (features % width != 0 || (center && features != width))
    notUnderstood("it normalises " + std::to_string(width) + " of " + std::to_string(features) +
                  " features");
  RaisedNode norm =
      makeNode(center ? RaisedKind::LayerNorm : RaisedKind::RMSNorm, {source}, features);
  norm.integer = features / width;
  norm.number = epsilon;
  int made = addNode(std::move(norm));
  OnnxTensor renamed(ElementType::I64, input.shape);
  for (int64_t i = 0; i < input.size(); ++i)
    renamed.mutableInts()[i] = makeIndex(made, elementOf(input.terms[0].index.ints()[i]));
  input.terms[0].index = renamed;
  return input;
}

/// Data over factor * sqrt(statistic + epsilon), or times one over it: a norm; none where the
/// statistic is something else.
std::optional<View> Raiser::normalized(const Value &data, const Value &stat, bool divide) {
  if (stat.plainMean || !sameElements(data.view, stat.view) || !fitsRows(stat, data.view) ||
      stat.samples.size() != statGrid().size())
    return std::nullopt;
  if (stat.centered
          ? data.kind != Value::Kind::Pointwise || !data.centered || data.samples != pointwiseGrid()
          : data.kind != Value::Kind::Data)
    return std::nullopt;
  auto root = [&](size_t i) { return divide ? stat.samples[i] : 1 / stat.samples[i]; };
  // Squared it is a line; at 0 it is the epsilon.
  size_t last = statGrid().size() - 1;
  double square = (root(last) * root(last) - root(0) * root(0)) / statGrid()[last];
  if (!(square > 0) || !(root(0) >= 0))
    return std::nullopt;
  if (std::fabs(square - 1) <= 1e-9)
    square = 1;
  double epsilon = root(0) * root(0) / square, factor = std::sqrt(square);
  for (size_t i = 0; i <= last; ++i) {
    double expected = factor * std::sqrt(statGrid()[i] + epsilon);
    if (!(std::fabs(root(i) - expected) <= 1e-6 * expected))
      return std::nullopt;
  }
  View view = normNode(data.view, unrounded(epsilon, stat.grain), stat.centered);
  if (factor != 1)
    view.terms[0].uniform /= factor;
  return view;
}

bool Raiser::normalize(const NodeProto &node, const Value &data, const Value &stat, bool divide) {
  std::optional<View> view = normalized(data, stat, divide);
  if (!view)
    return false;
  Value result;
  result.kind = Value::Kind::Data;
  result.shape = view->shape;
  result.view = std::move(*view);
  set(node, 0, std::move(result));
  return true;
}

/// Takes a constant vector into the norm that the view is the whole result of, as its scale or
/// bias.
bool Raiser::attachToNorm(const View &view, const Value &known, bool bias, View &result) {
  if (!isUniform(view) || view.size() == 0)
    return false;
  // A factor goes into the scale; one that rounding left of 1 is none.
  double factor = view.terms[0].at(0);
  if (std::fabs(factor - 1) <= 1e-6)
    factor = 1;
  if (bias && factor != 1)
    return false;
  int source = sourceOf(view.terms[0].index.ints()[0]);
  if (source < 0 || source >= pastBase || view.size() != nodeSize(source))
    return false;
  const RaisedNode &norm = graph.nodes[source];
  bool isNorm = norm.kind == RaisedKind::RMSNorm || norm.kind == RaisedKind::LayerNorm;
  if (!isNorm || (bias ? norm.weight < 0 || norm.bias >= 0 || norm.kind == RaisedKind::RMSNorm
                       : norm.weight >= 0))
    return false;
  int64_t width = norm.width / norm.integer;
  if (known.tensor.size() != width || known.tensor.rank() < 1 ||
      known.tensor.shape().back() != width || view.shape.back() != width)
    return false;
  Value vector = known;
  vector.tensor = known.tensor.reshaped({width});
  if (factor != 1) {
    vector.tensor = OnnxTensor(ElementType::F32, {width});
    for (int64_t i = 0; i < width; ++i)
      vector.tensor.set(i, factor * known.tensor.at(i));
    vector.derived = "scaled";
  }
  RaisedNode attached = norm;
  (bias ? attached.bias : attached.weight) = vectorWeight(vector);
  int made = addNode(std::move(attached));
  result = renamed(view, made);
  result.terms[0].uniform = 1;
  result.terms[0].factor.reset();
  return true;
}

void Raiser::normOp(const NodeProto &node, const Values &in, bool center, bool skip) {
  Attributes attributes(node);
  double epsilon = attributes.getFloat("epsilon", skip ? 1e-12f : 1e-5f);
  View view = dataOf(*in[0]);
  size_t next = 1;
  if (skip) {
    View other = dataOf(*in[1]);
    int x = materialize(view), y = materialize(other);
    size_t biasAt = center ? 4 : 3;
    if (in.size() > biasAt && in[biasAt])
      x = materialize(plusKnown(*in[0], *in[biasAt], 1).view);
    RaisedNode sum = makeNode(RaisedKind::Add, {x, y}, graph.nodes[x].width);
    int made = addNode(std::move(sum));
    view = viewOf(made, view.shape);
    if (node.output_size() > 3 && !node.output(3).empty())
      set(node, 3, dataValue(made, view.shape));
    next = 2;
  }
  int64_t rank = static_cast<int64_t>(view.shape.size());
  if (normalizeAxis(attributes.getInt("axis", -1), rank) != rank - 1)
    notUnderstood("normalisation over more than the last dimension");
  const Value *scale = in[next], *bias = center && in.size() > next + 1 ? in[next + 1] : nullptr;
  View normed = normNode(view, epsilon, center), result;
  if (!scale || scale->kind != Value::Kind::Known || !attachToNorm(normed, *scale, false, result))
    notUnderstood("its scale is no constant vector");
  if (center && bias) {
    View withBias;
    if (bias->kind != Value::Kind::Known || !attachToNorm(result, *bias, true, withBias))
      notUnderstood("its bias is no constant vector");
    result = withBias;
  }
  Value value;
  value.kind = Value::Kind::Data;
  value.shape = result.shape;
  value.view = std::move(result);
  set(node, 0, std::move(value));
}
