//===- RaiseSoftmax.cpp - Softmax spelled out -----------------------------===//
//
// exp(x - max(x)) / sum(exp(x - max(x))): what is subtracted from all scores of a row cancels, so
// it may be left out as well.
//
//===----------------------------------------------------------------------===//

#include "Raiser.h"

using namespace llmc::onnx;

/// The same elements with the same factors.
static bool sameView(const View &a, const View &b) {
  if (a.shape != b.shape || a.terms.size() != b.terms.size())
    return false;
  for (size_t t = 0; t < a.terms.size(); ++t)
    for (int64_t i = 0; i < a.size(); ++i)
      if (a.terms[t].index.ints()[i] != b.terms[t].index.ints()[i] ||
          a.terms[t].at(i) != b.terms[t].at(i))
        return false;
  return true;
}

bool Raiser::sameScores(const Value &a, const Value &b) const {
  if (!sameView(a.view, b.view) || !sameView(a.key, b.key) || a.samples != b.samples ||
      a.masked != b.masked || a.shifted != b.shifted)
    return false;
  return !a.masked || (a.mask.shape() == b.mask.shape() && toDoubles(a.mask) == toDoubles(b.mask));
}

/// Whether the reduction is over the last dimension only, which stays as 1 where `kept`.
bool Raiser::reducesRows(const NodeProto &node, const Values &in, bool &kept) const {
  Attributes attributes(node);
  std::vector<int64_t> axes = attributes.getInts("axes");
  if (in.size() > 1 && in[1]) {
    if (in[1]->kind != Value::Kind::Known)
      return false;
    axes = in[1]->tensor.toInts();
  }
  int64_t rank = static_cast<int64_t>(in[0]->shape.size());
  kept = attributes.getInt("keepdims", 1) != 0;
  attributes.getInt("noop_with_empty_axes", 0); // There are axes, or it is not understood.
  return axes.size() == 1 && normalizeAxis(axes[0], rank) == rank - 1;
}

/// Takes the steps of a softmax over scores; false where the node is none of them.
bool Raiser::softmaxStep(const NodeProto &node, const Values &in) {
  using Kind = Value::Kind;
  const std::string &op = node.op_type();
  if (in.empty() || !in[0])
    return false;
  Value result = *in[0];
  if ((op == "ReduceMax" && in[0]->kind == Kind::Scores) ||
      (op == "ReduceSum" && in[0]->kind == Kind::Exponentials)) {
    bool kept;
    if (!reducesRows(node, in, kept) || !kept)
      notUnderstood("scores are reduced over other than the last dimension");
    result.kind = op == "ReduceMax" ? Kind::ScoresMax : Kind::ExponentialsSum;
    result.shape.back() = 1;
    set(node, 0, std::move(result));
    return true;
  }
  if (op == "Exp" && in[0]->kind == Kind::Scores) {
    result.kind = Kind::Exponentials;
    set(node, 0, std::move(result));
    return true;
  }
  if (op == "Reciprocal" && in[0]->kind == Kind::ExponentialsSum && !in[0]->reciprocal) {
    result.reciprocal = true;
    set(node, 0, std::move(result));
    return true;
  }
  if (in.size() != 2 || !in[1])
    return false;
  if (op == "Sub" && in[0]->kind == Kind::Scores && in[1]->kind == Kind::ScoresMax &&
      !in[0]->shifted && sameScores(*in[0], *in[1])) {
    result.shifted = true;
    set(node, 0, std::move(result));
    return true;
  }
  bool swapped = op == "Mul" && in[1]->kind == Kind::Exponentials;
  const Value &above = *in[swapped ? 1 : 0], &below = *in[swapped ? 0 : 1];
  if ((op == "Div" || op == "Mul") && above.kind == Kind::Exponentials &&
      below.kind == Kind::ExponentialsSum && below.reciprocal == (op == "Mul") &&
      sameScores(above, below)) {
    result = above;
    result.kind = Kind::Probs;
    set(node, 0, std::move(result));
    return true;
  }
  return false;
}
