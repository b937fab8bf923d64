//===- EvaluatorEinsum.cpp - Sums of products by labels -------------------===//
//
// Every combination of labels in turn, sums in f64. Slower than a matrix product, and right for
// diagonals and broadcasting too.
//
//===----------------------------------------------------------------------===//

#include "Einsum.h"
#include "EvaluatorOps.h"

#include <algorithm>

using namespace llmc::onnx;

static void einsum(OpCall &call) {
  std::vector<Shape> shapes;
  std::vector<std::vector<double>> operands;
  for (size_t i = 0; i < call.inputs.size(); ++i) {
    shapes.push_back(call.input(i).shape());
    operands.push_back(toDoubles(call.input(i)));
  }
  if (operands.empty())
    fail("it has no operands");
  EinsumPlan plan = planEinsum(call.attributes.getString("equation", ""), shapes);

  // The output's labels outside, what is summed over inside.
  std::vector<int> order = plan.output;
  for (auto [label, size] : plan.sizes)
    if (std::find(order.begin(), order.end(), label) == order.end())
      order.push_back(label);
  std::vector<int64_t> extents;
  std::vector<std::vector<int64_t>> strides(order.size());
  for (size_t l = 0; l < order.size(); ++l) {
    extents.push_back(plan.sizes[order[l]]);
    for (size_t i = 0; i < operands.size(); ++i)
      strides[l].push_back(einsumStride(order[l], plan.operands[i], shapes[i]));
  }
  Shape shape(extents.begin(), extents.begin() + static_cast<int64_t>(plan.output.size()));
  int64_t outputs = elementCount(shape), terms = 1;
  for (size_t l = plan.output.size(); l < extents.size(); ++l)
    if (__builtin_mul_overflow(terms, extents[l], &terms))
      failLimit("its sums are too long");

  OnnxTensor out(call.input(0).type(), shape);
  std::vector<int64_t> at(order.size(), 0), offset(operands.size(), 0);
  auto advance = [&](size_t first, size_t last) {
    for (size_t l = last; l-- > first;) {
      bool wraps = ++at[l] == extents[l];
      for (size_t i = 0; i < offset.size(); ++i)
        offset[i] += wraps ? strides[l][i] * (1 - extents[l]) : strides[l][i];
      if (!wraps)
        return;
      at[l] = 0;
    }
  };
  for (int64_t o = 0; o < outputs; ++o) {
    double sum = 0;
    for (int64_t t = 0; t < terms; ++t) {
      double product = operands[0][offset[0]];
      for (size_t i = 1; i < operands.size(); ++i)
        product *= operands[i][offset[i]];
      sum += product;
      advance(plan.output.size(), order.size());
    }
    out.set(o, sum);
    advance(0, plan.output.size());
  }
  call.set(0, std::move(out));
}

void llmc::onnx::registerEinsum(OpTable &table) { table[{"", "Einsum"}] = einsum; }
