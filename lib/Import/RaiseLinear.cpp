//===- RaiseLinear.cpp - Products with weights, and embeddings ------------===//
//
// A matrix product of data with a constant is a linear; a gather of constant rows by token ids an
// embedding. Packed integer weights are taken as they are.
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
  if (a.kind == Kind::Known)
    notUnderstood("a constant times data");
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

void Raiser::matMulNBits(const NodeProto &node, const Values &in) {
  Attributes attributes(node);
  for (size_t i : {1, 2, 3, 5})
    if (i < in.size() && in[i] && (in[i]->kind != Value::Kind::Known || !in[i]->constant))
      notUnderstood("its weight is no constant");
  if (in.size() > 4 && in[4])
    notUnderstood("g_idx is not supported");
  RaisedWeight weight;
  weight.key = weightKey(*in[1]);
  weight.codes = in[1]->tensor;
  weight.scales = in[2]->tensor;
  weight.bits = attributes.getInt("bits", 4);
  weight.block = attributes.requireInt("block_size");
  weight.rows = attributes.requireInt("N");
  weight.columns = attributes.requireInt("K");
  if (in.size() > 3 && in[3]) {
    if (!in[3]->tensor.isInteger())
      notUnderstood("float zero points are not supported");
    weight.zeros = in[3]->tensor;
    weight.hasZeros = true;
  }
  int64_t blocks = weight.block > 0 ? (weight.columns + weight.block - 1) / weight.block : 0, codes,
          scales;
  if ((weight.bits != 2 && weight.bits != 4 && weight.bits != 8) || blocks <= 0 ||
      weight.rows <= 0 || __builtin_mul_overflow(weight.rows, blocks, &scales) ||
      __builtin_mul_overflow(scales, weight.block * weight.bits / 8, &codes) ||
      weight.codes.size() != codes || weight.scales.size() != scales ||
      (weight.hasZeros && weight.zeros.size() != weight.rows * ((blocks * weight.bits + 7) / 8)))
    fail(describeNode(node), ": codes ", shapeString(weight.codes.shape()), " and scales ",
         shapeString(weight.scales.shape()), " do not fit K ", weight.columns, ", N ", weight.rows,
         ", bits ", weight.bits, ", block_size ", weight.block);
  bool rounded = attributes.getInt("accuracy_level", 0) == 4 && !floatActivations;
  int64_t block = weight.block;
  View view = dataOf(*in[0]);
  Shape shape = view.shape;
  shape.back() = weight.rows;
  int bias = in.size() > 5 && in[5] ? vectorWeight(*in[5]) : -1;
  set(node, 0, linear(view, shape, weightIndex(std::move(weight)), bias, rounded ? block : 0));
}

void Raiser::gatherBlockQuantized(const NodeProto &node, const Values &in) {
  Attributes attributes(node);
  const Value &data = *in[0], &scales = *in[2];
  if (data.kind != Value::Kind::Known || !data.constant || scales.kind != Value::Kind::Known ||
      data.tensor.rank() != 2 || data.tensor.type() != ElementType::U8 ||
      scales.tensor.rank() != 2 || attributes.getInt("gather_axis", 0) != 0 ||
      normalizeAxis(attributes.getInt("quantize_axis", 1), 2) != 1 || (in.size() > 3 && in[3]))
    notUnderstood("only symmetric rows of packed bytes are supported");
  RaisedWeight weight;
  weight.key = weightKey(data);
  weight.codes = data.tensor;
  weight.scales = scales.tensor;
  weight.bits = attributes.getInt("bits", 4);
  weight.block = attributes.getInt("block_size", 128);
  weight.rows = data.tensor.shape()[0];
  weight.columns = data.tensor.shape()[1] * 8 / weight.bits;
  if (weight.block <= 0 ||
      scales.tensor.size() != weight.rows * ((weight.columns + weight.block - 1) / weight.block))
    fail(describeNode(node), ": scales ", shapeString(scales.tensor.shape()), " do not fit ",
         weight.rows, " rows of ", weight.columns);
  int source = materialize(dataOf(*in[1]));
  Shape shape = in[1]->shape;
  shape.push_back(weight.columns);
  RaisedNode node2 = makeNode(RaisedKind::Embedding, {source}, weight.columns);
  if (graph.nodes[source].kind != RaisedKind::Input)
    notUnderstood("its indices are no input");
  node2.weight = weightIndex(std::move(weight));
  set(node, 0, dataValue(addNode(std::move(node2)), shape));
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
