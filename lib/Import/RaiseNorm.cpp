//===- RaiseNorm.cpp - Normalisations, fused or spelled out ---------------===//
//
// The mean of squares (or of squared distances from the mean) of a row is followed as a function of
// one number; where data is divided by sqrt(m + eps), epsilon is read off that function.
//
//===----------------------------------------------------------------------===//

#include "Raiser.h"

#include <cmath>

using namespace llmc::onnx;

void Raiser::reduceMean(const NodeProto &node, const Values &in) {
  const Value &x = *in[0];
  Attributes attributes(node);
  std::vector<int64_t> axes = attributes.getInts("axes");
  if (in.size() > 1 && in[1])
    axes = in[1]->tensor.toInts();
  int64_t rank = static_cast<int64_t>(x.shape.size());
  if (axes.size() != 1 || normalizeAxis(axes[0], rank) != rank - 1 ||
      attributes.getInt("keepdims", 1) == 0)
    notUnderstood("a mean over other than the last dimension");
  Value result;
  result.kind = Value::Kind::RowStat;
  result.view = x.view;
  result.samples = statGrid();
  result.shape = x.shape;
  result.shape.back() = 1;
  if (x.kind == Value::Kind::Data) {
    result.plainMean = true;
    if (!isUniform(x.view) || x.view.terms[0].at(0) != 1)
      notUnderstood("a mean of something other than a tensor");
    return set(node, 0, std::move(result));
  }
  if (x.kind != Value::Kind::Pointwise)
    notUnderstood("a mean of something other than a tensor");
  const std::vector<double> &grid = pointwiseGrid();
  for (size_t i = 0; i < grid.size(); ++i)
    if (std::fabs(x.samples[i] - grid[i] * grid[i]) > 1e-9 * grid[i] * grid[i])
      notUnderstood("a mean of a function other than the square");
  result.centered = x.centered;
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

bool Raiser::normalize(const NodeProto &node, const Value &data, const Value &stat, bool divide) {
  if (stat.plainMean || !sameElements(data.view, stat.view) ||
      stat.samples.size() != statGrid().size())
    return false;
  if (stat.centered
          ? data.kind != Value::Kind::Pointwise || !data.centered || data.samples != pointwiseGrid()
          : data.kind != Value::Kind::Data)
    return false;
  // At 0 the function is sqrt(eps), or its reciprocal.
  double root = divide ? stat.samples[0] : 1 / stat.samples[0], epsilon = root * root;
  if (!(root >= 0))
    return false;
  for (size_t i = 0; i < stat.samples.size(); ++i) {
    double expected = std::sqrt(statGrid()[i] + epsilon);
    double got = divide ? stat.samples[i] : 1 / stat.samples[i];
    if (!(std::fabs(got - expected) <= 1e-6 * expected))
      return false;
  }
  Value result;
  result.kind = Value::Kind::Data;
  result.view = normNode(data.view, unrounded(epsilon, stat.grain), stat.centered);
  result.shape = result.view.shape;
  set(node, 0, std::move(result));
  return true;
}

/// Takes a constant vector into the norm that the view is the whole result of, as its scale or
/// bias.
bool Raiser::attachToNorm(const View &view, const Value &known, bool bias, View &result) {
  if (!isUniform(view) || view.size() == 0 || view.terms[0].at(0) != 1)
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
  RaisedNode attached = norm;
  (bias ? attached.bias : attached.weight) = vectorWeight(vector);
  int made = addNode(std::move(attached));
  result = renamed(view, made);
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
