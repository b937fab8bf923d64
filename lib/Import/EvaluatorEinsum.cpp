//===- EvaluatorEinsum.cpp - Sums of products by labels -------------------===//
//
// Every combination of labels in turn, sums in f64. Slower than a matrix product, and right for
// diagonals and broadcasting too.
//
//===----------------------------------------------------------------------===//

#include "Einsum.h"
#include "EvaluatorOps.h"

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
  std::string equation = call.attributes.getString("equation", "");
  EinsumLoops loops = einsumLoops(planEinsum(equation, shapes), shapes);
  const std::vector<int64_t> &extents = loops.extents;
  const auto &strides = loops.strides;

  OnnxTensor out(call.input(0).type(), loops.shape);
  std::vector<int64_t> at(extents.size(), 0), offset(operands.size(), 0);
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
  for (int64_t o = 0; o < out.size(); ++o) {
    double sum = 0;
    for (int64_t t = 0; t < loops.terms; ++t) {
      double product = operands[0][offset[0]];
      for (size_t i = 1; i < operands.size(); ++i)
        product *= operands[i][offset[i]];
      sum += product;
      advance(loops.outer, extents.size());
    }
    out.set(o, sum);
    advance(0, loops.outer);
  }
  call.set(0, std::move(out));
}

void llmc::onnx::registerEinsum(OpTable &table) { table[{"", "Einsum"}] = einsum; }
