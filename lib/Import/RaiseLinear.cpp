//===- RaiseLinear.cpp - Products with weights, and embeddings ------------===//
//
// A matrix product of data with a constant is a linear; a gather of constant rows by token ids an
// embedding.
//
//===----------------------------------------------------------------------===//

#include "Raiser.h"

#include <cmath>
#include <cstring>

using namespace llmc::onnx;

/// Whatever their shapes: a tied table of codes may be reshaped on the way.
static bool sameValues(const OnnxTensor &a, const OnnxTensor &b) {
  if (a.type() != b.type() || a.size() != b.size())
    return false;
  if (a.source().data && a.source().data == b.source().data &&
      a.source().swapped == b.source().swapped)
    return true;
  auto same = [&](const auto *x, const auto *y) {
    return x == y || std::memcmp(x, y, a.size() * sizeof(*x)) == 0;
  };
  return a.isInteger()  ? same(a.ints(), b.ints())
         : a.isDouble() ? same(a.doubles(), b.doubles())
                        : same(a.floats(), b.floats());
}

/// The number of the weight; one that is there already is taken again.
int Raiser::weightIndex(RaisedWeight weight) {
  auto known = weightKeys.find(weight.key);
  for (; known != weightKeys.end(); known = weightKeys.find(weight.key)) {
    const RaisedWeight &old = graph.weights[known->second];
    if (old.rows == weight.rows && old.columns == weight.columns && old.bits == weight.bits &&
        old.block == weight.block && old.transposed == weight.transposed &&
        old.hasZeros == weight.hasZeros && sameValues(old.values, weight.values) &&
        sameValues(old.codes, weight.codes) && sameValues(old.scales, weight.scales) &&
        sameValues(old.zeros, weight.zeros))
      return known->second;
    ++weight.key.copy;
  }
  weightKeys[weight.key] = static_cast<int>(graph.weights.size());
  graph.weights.push_back(std::move(weight));
  return static_cast<int>(graph.weights.size()) - 1;
}

/// The initializer that the value is, or else the value itself.
WeightKey Raiser::weightKey(const Value &value) const {
  WeightKey key;
  key.derived = value.derived;
  key.name = value.origin;
  if (!value.origin.empty())
    return key;
  key.name = !value.name.empty() ? value.name : current ? current->output(0) : "output";
  if (key.derived.empty())
    key.derived = value.name.empty() ? "operand" : "value";
  return key;
}

int Raiser::vectorWeight(const Value &value) {
  RaisedWeight weight;
  weight.key = weightKey(value);
  weight.values = value.tensor.isDouble() ? castTo(value.tensor, ElementType::F32) : value.tensor;
  weight.values = weight.values.reshaped({value.tensor.size()});
  weight.rows = value.tensor.size();
  return weightIndex(std::move(weight));
}

/// `transposed`: the tensor is [columns, rows].
int Raiser::denseWeight(const Value &value, bool transposed) {
  if (value.tensor.rank() != 2 || !isFloat(value.tensor.type()))
    notUnderstood("its weight is no float matrix");
  RaisedWeight weight;
  // The same initializer may be used both ways round; then it is two weights.
  weight.key = weightKey(value);
  weight.key.transposed = value.transposed != transposed;
  weight.values = value.tensor.isDouble() ? castTo(value.tensor, ElementType::F32) : value.tensor;
  weight.transposed = transposed;
  weight.rows = value.tensor.shape()[transposed ? 1 : 0];
  weight.columns = value.tensor.shape()[transposed ? 0 : 1];
  return weightIndex(std::move(weight));
}

Value Raiser::linear(const View &input, const Shape &shape, int weight, int bias, int64_t block) {
  int source = materialize(input);
  const RaisedWeight &matrix = graph.weights[weight];
  if (graph.nodes[source].width != matrix.columns)
    notUnderstood("a weight of " + std::to_string(matrix.columns) + " columns for " +
                  std::to_string(graph.nodes[source].width) + " features");
  RaisedNode node = makeNode(RaisedKind::Linear, {source}, matrix.rows);
  node.weight = weight;
  node.bias = bias;
  node.integer = block;
  return dataValue(addNode(std::move(node)), shape);
}

/// The operand of a FusedMatMul as MatMul takes it: the first dimension moved behind the batch, the
/// last two exchanged.
View Raiser::fusedOperand(const View &view, bool batchMoved, bool swapped) const {
  View result = view;
  if (batchMoved) {
    std::vector<int64_t> perm;
    int64_t rank = static_cast<int64_t>(view.shape.size());
    for (int64_t d = 1; d + 1 < rank; ++d)
      perm.push_back(d);
    perm.push_back(0);
    perm.push_back(rank - 1);
    for (Term &term : result.terms) {
      term.index = transpose(term.index, perm);
      if (term.factor)
        term.factor = transpose(*term.factor, perm);
      result.shape = term.index.shape();
    }
  }
  return swapped ? swapLast(result) : result;
}

/// MatMul and FusedMatMul: a linear, scores or what attention reads.
void Raiser::matMul(const NodeProto &node, const Values &in) {
  using Kind = Value::Kind;
  const Value &a = *in[0], &b = *in[1];
  Attributes attributes(node);
  double alpha = attributes.getFloat("alpha", 1);
  bool swapA = attributes.getInt("transA", 0) != 0, swapB = attributes.getInt("transB", 0) != 0,
       moveA = attributes.getInt("transBatchA", 0) != 0,
       moveB = attributes.getInt("transBatchB", 0) != 0;
  auto operand = [&](const Value &value, bool moved, bool swapped) {
    View view = fusedOperand(dataOf(value), moved, swapped);
    view.grain = value.grain;
    return view;
  };
  if (a.kind == Kind::Probs) {
    if (swapA || moveA)
      notUnderstood("probabilities are transposed");
    View view = operand(b, moveB, swapB);
    for (Term &term : view.terms)
      term.uniform *= alpha;
    return scoresTimesValue(node, a, view);
  }
  if (b.kind == Kind::Known) {
    if (!b.constant || b.tensor.rank() != 2 || moveB)
      notUnderstood("its right operand is no constant matrix");
    View view = operand(a, moveA, swapA);
    Shape shape = view.shape;
    shape.back() = b.tensor.shape()[swapB ? 0 : 1];
    Value result = linear(view, shape, denseWeight(b, !swapB), -1, 0);
    result.view.terms[0].uniform = alpha;
    return set(node, 0, std::move(result));
  }
  if (a.kind == Kind::Known) {
    // W x is the transpose of x' W'.
    if (!a.constant || a.tensor.rank() != 2 || moveA)
      notUnderstood("its left operand is no constant matrix");
    View view = swapLast(operand(b, moveB, swapB));
    Shape shape = view.shape;
    shape.back() = a.tensor.shape()[swapA ? 1 : 0];
    Value result = linear(view, shape, denseWeight(a, swapA), -1, 0);
    result.view.terms[0].uniform = alpha;
    result.view = swapLast(result.view);
    result.shape = result.view.shape;
    return set(node, 0, std::move(result));
  }
  Value scores;
  scores.kind = Kind::Scores;
  scores.view = operand(a, moveA, swapA);
  scores.key = operand(b, moveB, !swapB);
  for (double x : pointwiseGrid())
    scores.samples.push_back(alpha * x);
  if (scores.view.shape.size() < 3 || scores.view.shape.size() != scores.key.shape.size())
    notUnderstood("a product of data with data that is no attention");
  scores.shape = scores.view.shape;
  scores.shape.back() = scores.key.shape[scores.key.shape.size() - 2];
  set(node, 0, std::move(scores));
}

void Raiser::gemm(const NodeProto &node, const Values &in) {
  Attributes attributes(node);
  const Value &a = *in[0], &b = *in[1];
  const Value *c = in.size() > 2 ? in[2] : nullptr;
  bool transposed = attributes.getInt("transB", 0) == 0;
  double alpha = attributes.getFloat("alpha", 1), beta = attributes.getFloat("beta", 1);
  if (b.kind != Value::Kind::Known || !b.constant || b.tensor.rank() != 2)
    notUnderstood("its right operand is no constant matrix");
  View view = dataOf(a);
  if (attributes.getInt("transA", 0) != 0)
    view = swapLast(view);
  // The numbers of the file stay as they are: alpha multiplies the input.
  for (Term &term : view.terms)
    term.uniform *= alpha;
  Shape shape = {view.shape[0], b.tensor.shape()[transposed ? 1 : 0]};
  int bias = -1;
  if (c && beta != 0) {
    bool fits = c->kind == Value::Kind::Known && c->constant &&
                (c->tensor.size() == 1 ||
                 (c->tensor.size() == shape[1] && c->tensor.shape().back() == shape[1]));
    if (!fits)
      notUnderstood("its addend is no constant vector");
    Value vector = *c;
    if (beta != 1 || c->tensor.size() != shape[1]) {
      vector.tensor = OnnxTensor(ElementType::F32, {shape[1]});
      for (int64_t i = 0; i < shape[1]; ++i)
        vector.tensor.set(i, beta * c->tensor.at(c->tensor.size() == 1 ? 0 : i));
      vector.derived = "times beta";
    }
    bias = vectorWeight(vector);
  }
  set(node, 0, linear(view, shape, denseWeight(b, transposed), bias, 0));
}

bool Raiser::embedding(const NodeProto &node, const Values &in) {
  if (in[0]->kind != Value::Kind::Known || !in[0]->constant || in[1]->kind != Value::Kind::Data ||
      in[0]->tensor.rank() != 2 || !isFloat(in[0]->tensor.type()) ||
      Attributes(node).getInt("axis", 0) != 0)
    return false;
  int source = materialize(in[1]->view);
  if (graph.nodes[source].kind != RaisedKind::Input)
    return false;
  RaisedNode rows = makeNode(RaisedKind::Embedding, {source}, in[0]->tensor.shape()[1]);
  rows.weight = denseWeight(*in[0], false);
  Shape shape = in[1]->shape;
  shape.push_back(rows.width);
  set(node, 0, dataValue(addNode(std::move(rows)), shape));
  return true;
}
