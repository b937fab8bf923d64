//===- EvaluatorReductions.cpp - Reductions over axes ---------------------===//
//
// ReduceMean and its relatives. Axes come from the attribute or, in later opsets, from an input.
//
//===----------------------------------------------------------------------===//

#include "OperatorMath.h"
#include "OperatorShapes.h"

#include <algorithm>
#include <cmath>
#include <limits>

using namespace llmc::onnx;

namespace {
/// A reduction as: start value, step, and a last function of the result and the number of elements.
struct Reduction {
  double start;
  double (*step)(double, double);
  double (*finish)(double, double);
};
} // namespace

static void reduce(OpCall &call, const Reduction &reduction) {
  const OnnxTensor &x = call.input(0);
  std::vector<int64_t> axes;
  call.intsFrom(1, "axes", axes);
  bool keep = call.attributes.getInt("keepdims", 1) != 0;
  bool noop = call.attributes.getInt("noop_with_empty_axes", 0) != 0;
  if (axes.empty() && noop) {
    OnnxTensor y(x.type(), x.shape());
    for (int64_t i = 0; i < x.size(); ++i)
      y.set(i, reduction.finish(reduction.step(reduction.start, x.at(i)), 1));
    return call.set(0, y);
  }
  std::vector<bool> gone = reducedAxes(axes, x.rank());
  Shape kept, shape;
  int64_t reduced = 1;
  for (int64_t d = 0; d < x.rank(); ++d) {
    kept.push_back(gone[d] ? 1 : x.shape()[d]);
    if (gone[d])
      reduced *= x.shape()[d];
    if (!gone[d] || keep)
      shape.push_back(kept.back());
  }
  std::vector<double> values(elementCount(kept), reduction.start);
  walkRows<1>(x.shape(), {broadcastStrides(kept, x.shape())},
              [&](int64_t first, const auto &at, const auto &step, int64_t count) {
                for (int64_t k = 0; k < count; ++k) {
                  double &value = values[at[0] + k * step[0]];
                  value = reduction.step(value, x.at(first + k));
                }
              });
  for (double &value : values)
    value = reduction.finish(value, static_cast<double>(reduced));
  call.set(0, fromDoubles(values, shape, x.type()));
}

static constexpr double infinity = std::numeric_limits<double>::infinity();

static void reduceMean(OpCall &call) { reduce(call, {0, plus, average}); }
static void reduceSum(OpCall &call) { reduce(call, {0, plus, same}); }
static void reduceProd(OpCall &call) { reduce(call, {1, times, same}); }
static void reduceL1(OpCall &call) { reduce(call, {0, plusAbsolute, same}); }
static void reduceL2(OpCall &call) { reduce(call, {0, plusSquare, root}); }
static void reduceSumSquare(OpCall &call) { reduce(call, {0, plusSquare, same}); }
static void reduceLogSum(OpCall &call) { reduce(call, {0, plus, logOf}); }
static void reduceLogSumExp(OpCall &call) { reduce(call, {0, plusExp, logOf}); }

/// The extreme of nothing is the least or greatest value of the type.
static void reduceExtreme(OpCall &call, bool largest) {
  const OnnxTensor &x = call.input(0);
  double start = largest ? -infinity : infinity;
  if (x.isInteger() && x.size() == 0) {
    unsigned bits = elementBits(x.type());
    bool isSigned = x.type() == ElementType::I64 || x.type() == ElementType::I32 ||
                    x.type() == ElementType::I16 || x.type() == ElementType::I8;
    if (x.type() == ElementType::Bool)
      start = largest ? 0 : 1;
    else if (isSigned)
      start = largest ? -std::ldexp(1.0, int(bits) - 1) : std::ldexp(1.0, int(bits) - 1) - 1;
    else
      start = largest ? 0 : std::ldexp(1.0, int(bits)) - 1;
  }
  reduce(call, {start, largest ? larger : smaller, same});
}
static void reduceMax(OpCall &call) { reduceExtreme(call, true); }
static void reduceMin(OpCall &call) { reduceExtreme(call, false); }

void llmc::onnx::registerReductions(OpTable &table) {
  table[{"", "ReduceMean"}] = reduceMean;
  table[{"", "ReduceSum"}] = reduceSum;
  table[{"", "ReduceProd"}] = reduceProd;
  table[{"", "ReduceMax"}] = reduceMax;
  table[{"", "ReduceMin"}] = reduceMin;
  table[{"", "ReduceL1"}] = reduceL1;
  table[{"", "ReduceL2"}] = reduceL2;
  table[{"", "ReduceSumSquare"}] = reduceSumSquare;
  table[{"", "ReduceLogSum"}] = reduceLogSum;
  table[{"", "ReduceLogSumExp"}] = reduceLogSumExp;
}
