//===- RaiseEinsum.cpp - Products of data written by labels ---------------===//
//
// An Einsum of data with a constant is a linear; of data with data it is scores, or what attention
// reads. Labels say which dimensions are which, and so how each operand would be transposed.
//
//===----------------------------------------------------------------------===//

#include "Einsum.h"
#include "Raiser.h"

#include <algorithm>

using namespace llmc::onnx;

namespace {
using Labels = std::vector<int>;

struct Roles {
  Labels shared, left, right, summed; ///< In both and the output, of one operand, in both only.
};
} // namespace

static bool has(const Labels &labels, int label) {
  return std::find(labels.begin(), labels.end(), label) != labels.end();
}

static Labels joined(std::initializer_list<Labels> parts) {
  Labels all;
  for (const Labels &part : parts)
    all.insert(all.end(), part.begin(), part.end());
  return all;
}

/// perm[i]: the dimension of `from` that is dimension i of `to`.
static std::vector<int64_t> permutation(const Labels &from, const Labels &to) {
  std::vector<int64_t> perm;
  for (int label : to)
    perm.push_back(std::find(from.begin(), from.end(), label) - from.begin());
  return perm;
}

static bool isSorted(const std::vector<int64_t> &perm) {
  return std::is_sorted(perm.begin(), perm.end());
}

/// What becomes of each label of a product of two; false where a label is of no such kind.
static bool findRoles(const EinsumPlan &plan, Roles &roles) {
  const Labels &a = plan.operands[0], &b = plan.operands[1];
  for (const Labels *labels : {&a, &b})
    for (int label : *labels)
      if (std::count(labels->begin(), labels->end(), label) != 1)
        return false;
  for (int label : a) {
    bool other = has(b, label), kept = has(plan.output, label);
    if (!other && !kept)
      return false;
    (!other ? roles.left : kept ? roles.shared : roles.summed).push_back(label);
  }
  for (int label : b)
    if (!has(a, label)) {
      if (!has(plan.output, label))
        return false;
      roles.right.push_back(label);
    }
  return !roles.summed.empty();
}

View Raiser::permuted(const View &view, const std::vector<int64_t> &perm) const {
  View result = view;
  for (Term &term : result.terms) {
    term.index = transpose(term.index, perm);
    if (term.factor)
      term.factor = transpose(*term.factor, perm);
    result.shape = term.index.shape();
  }
  return result;
}

View Raiser::reshaped(const View &view, const Shape &shape) const {
  View result = view;
  result.shape = shape;
  for (Term &term : result.terms) {
    term.index = term.index.reshaped(shape);
    if (term.factor)
      term.factor = term.factor->reshaped(shape);
  }
  return result;
}

/// The constant as a matrix: as it lies where its labels are sorted by role, else transposed.
static Value asMatrix(const Value &value, const Labels &labels, const Labels &outputs,
                      const Labels &inputs, int64_t rows, int64_t columns, bool &transposed) {
  Value matrix = value;
  transposed = isSorted(permutation(labels, joined({inputs, outputs})));
  if (!transposed && !isSorted(permutation(labels, joined({outputs, inputs})))) {
    matrix.tensor = transpose(value.tensor, permutation(labels, joined({outputs, inputs})));
    matrix.derived = "reordered";
  }
  matrix.tensor = matrix.tensor.reshaped(transposed ? Shape{columns, rows} : Shape{rows, columns});
  return matrix;
}

void Raiser::einsum(const NodeProto &node, const Values &in) {
  using Kind = Value::Kind;
  std::string equation = Attributes(node).getString("equation", "");
  std::vector<Shape> shapes;
  for (size_t i = 0; i < in.size(); ++i) {
    if (!in[i])
      notUnderstood("an operand is missing");
    shapes.push_back(in[i]->kind == Kind::Known ? in[i]->tensor.shape() : in[i]->shape);
  }
  EinsumPlan plan = planEinsum(equation, shapes);
  if (in.size() == 1) {
    std::vector<int64_t> perm = permutation(plan.operands[0], plan.output);
    if (plan.output.size() != shapes[0].size())
      notUnderstood("equation '" + equation + "' sums over data");
    Value result;
    result.kind = Kind::Data;
    result.view = permuted(dataOf(*in[0]), perm);
    result.shape = result.view.shape;
    return set(node, 0, std::move(result));
  }
  Roles roles;
  if (in.size() != 2 || !findRoles(plan, roles))
    notUnderstood("equation '" + equation + "' is no product of two operands");
  for (size_t i = 0; i < 2; ++i)
    for (size_t d = 0; d < shapes[i].size(); ++d)
      if (shapes[i][d] != plan.sizes[plan.operands[i][d]])
        notUnderstood("equation '" + equation + "' broadcasts");
  auto size = [&](const Labels &labels) {
    int64_t count = 1;
    for (int label : labels)
      count *= plan.sizes[label];
    return count;
  };
  auto shapeOf = [&](const Labels &labels) {
    Shape shape;
    for (int label : labels)
      shape.push_back(plan.sizes[label]);
    return shape;
  };

  bool known = in[0]->kind == Kind::Known || in[1]->kind == Kind::Known;
  if (known) {
    size_t w = in[0]->kind == Kind::Known ? 0 : 1;
    const Value &weight = *in[w];
    const Labels &outputs = w ? roles.right : roles.left, &rows = w ? roles.left : roles.right;
    if (!weight.constant || !roles.shared.empty())
      notUnderstood("equation '" + equation + "' is no product with a constant matrix");
    View view = permuted(dataOf(*in[1 - w]),
                         permutation(plan.operands[1 - w], joined({rows, roles.summed})));
    view = reshaped(view, {size(rows), size(roles.summed)});
    bool transposed;
    Value matrix = asMatrix(weight, plan.operands[w], outputs, roles.summed, size(outputs),
                            size(roles.summed), transposed);
    Value result =
        linear(view, {size(rows), size(outputs)}, denseWeight(matrix, transposed), -1, 0);
    Labels made = joined({rows, outputs});
    result.view = permuted(reshaped(result.view, shapeOf(made)), permutation(made, plan.output));
    result.shape = result.view.shape;
    return set(node, 0, std::move(result));
  }
  // Probabilities may stand on either side; scores are rows of the first operand.
  size_t p = in[1]->kind == Kind::Probs ? 1 : 0;
  const Labels &own = p ? roles.right : roles.left, &other = p ? roles.left : roles.right;
  if (own.size() != 1 || other.size() != 1 || roles.summed.size() != 1 || roles.shared.size() > 2)
    notUnderstood("equation '" + equation + "' is no product as in attention");
  if (in[p]->kind == Kind::Probs) {
    Labels wanted = joined({roles.shared, own, roles.summed});
    if (!isSorted(permutation(plan.operands[p], wanted)))
      notUnderstood("equation '" + equation + "' transposes probabilities");
    Labels order = joined({roles.shared, roles.summed, other}),
           made = joined({roles.shared, own, other});
    View view = permuted(dataOf(*in[1 - p]), permutation(plan.operands[1 - p], order));
    scoresTimesValue(node, *in[p], view);
    Value result = *find(node.output(0));
    result.view = permuted(result.view, permutation(made, plan.output));
    result.shape = result.view.shape;
    return set(node, 0, std::move(result));
  }
  // The output says whose rows come first, and in which order batch and heads are.
  Labels shared(plan.output.begin(), plan.output.end() - 2);
  bool queryFirst = has(roles.left, plan.output[plan.output.size() - 2]);
  size_t q = queryFirst ? 0 : 1;
  if (shared.size() != roles.shared.size() ||
      !std::is_permutation(shared.begin(), shared.end(), roles.shared.begin()))
    notUnderstood("equation '" + equation + "' is no product as in attention");
  Value scores;
  scores.kind = Kind::Scores;
  const Labels &queries = q ? roles.right : roles.left, &keys = q ? roles.left : roles.right;
  scores.view = permuted(dataOf(*in[q]),
                         permutation(plan.operands[q], joined({shared, queries, roles.summed})));
  scores.key = permuted(dataOf(*in[1 - q]),
                        permutation(plan.operands[1 - q], joined({shared, keys, roles.summed})));
  scores.samples = pointwiseGrid();
  scores.shape = shapeOf(plan.output);
  if (scores.shape.size() < 3)
    notUnderstood("a product of data with data that is no attention");
  set(node, 0, std::move(scores));
}
