//===- EvaluatorLogic.cpp - Comparisons and selection ---------------------===//
//
// Comparisons, boolean algebra, NaN tests and Where. Integers are compared as integers.
//
//===----------------------------------------------------------------------===//

#include "EvaluatorOps.h"

#include <cmath>

using namespace llmc::onnx;

template <typename FloatFn, typename IntFn>
static void compare(OpCall &call, FloatFn floatFn, IntFn intFn) {
  const OnnxTensor &a = call.input(0), &b = call.input(1);
  if (a.type() != b.type())
    fail("operand types ", elementTypeName(a.type()), " and ", elementTypeName(b.type()),
         " differ");
  Shape shape = broadcastShapes(a.shape(), b.shape());
  OnnxTensor out = OnnxTensor::unset(ElementType::Bool, shape);
  int64_t *z = out.mutableInts();
  auto rows = [&](auto each) {
    walkRows<2>(shape, {broadcastStrides(a.shape(), shape), broadcastStrides(b.shape(), shape)},
                [&](int64_t first, const auto &at, const auto &step, int64_t count) {
                  for (int64_t k = 0; k < count; ++k)
                    z[first + k] = each(at[0] + k * step[0], at[1] + k * step[1]);
                });
  };
  if (a.isInteger()) {
    // Unsigned 64-bit values keep their order when the top bit is flipped.
    int64_t flip = a.type() == ElementType::U64 ? INT64_MIN : 0;
    const int64_t *x = a.ints(), *y = b.ints();
    rows([&](int64_t i, int64_t j) { return intFn(x[i] ^ flip, y[j] ^ flip); });
  } else {
    rows([&](int64_t i, int64_t j) { return floatFn(a.at(i), b.at(j)); });
  }
  call.set(0, out);
}

static void equal(OpCall &call) {
  compare(
      call, [](double x, double y) { return x == y; }, [](int64_t x, int64_t y) { return x == y; });
}
static void less(OpCall &call) {
  compare(
      call, [](double x, double y) { return x < y; }, [](int64_t x, int64_t y) { return x < y; });
}
static void lessOrEqual(OpCall &call) {
  compare(
      call, [](double x, double y) { return x <= y; }, [](int64_t x, int64_t y) { return x <= y; });
}
static void greater(OpCall &call) {
  compare(
      call, [](double x, double y) { return x > y; }, [](int64_t x, int64_t y) { return x > y; });
}
static void greaterOrEqual(OpCall &call) {
  compare(
      call, [](double x, double y) { return x >= y; }, [](int64_t x, int64_t y) { return x >= y; });
}

template <typename F> static void logical(OpCall &call, F f) {
  if (call.input(0).type() != ElementType::Bool)
    fail("expected bool, got ", elementTypeName(call.input(0).type()));
  compare(call, [](double, double) { return false; }, f);
}
static void andOp(OpCall &call) {
  logical(call, [](int64_t x, int64_t y) { return x && y; });
}
static void orOp(OpCall &call) {
  logical(call, [](int64_t x, int64_t y) { return x || y; });
}
static void xorOp(OpCall &call) {
  logical(call, [](int64_t x, int64_t y) { return !x != !y; });
}

template <typename F> static void classify(OpCall &call, F f) {
  const OnnxTensor &x = call.input(0);
  OnnxTensor y(ElementType::Bool, x.shape());
  for (int64_t i = 0; i < x.size(); ++i)
    y.mutableInts()[i] = f(x.at(i));
  call.set(0, y);
}

static void notOp(OpCall &call) {
  classify(call, [](double x) { return x == 0; });
}
static void isNaN(OpCall &call) {
  classify(call, [](double x) { return std::isnan(x); });
}
static void isInf(OpCall &call) {
  bool positive = call.attributes.getInt("detect_positive", 1) != 0;
  bool negative = call.attributes.getInt("detect_negative", 1) != 0;
  classify(call, [&](double x) { return std::isinf(x) && (x > 0 ? positive : negative); });
}

static void where(OpCall &call) {
  const OnnxTensor &condition = call.input(0), &a = call.input(1), &b = call.input(2);
  if (a.type() != b.type())
    fail("operand types ", elementTypeName(a.type()), " and ", elementTypeName(b.type()),
         " differ");
  Shape shape = broadcastShapes(broadcastShapes(condition.shape(), a.shape()), b.shape());
  OnnxTensor out = OnnxTensor::unset(a.type(), shape);
  const int64_t *chosen = condition.ints();
  auto choose = [&](const auto *x, const auto *y, auto *z) {
    walkRows<3>(shape,
                {broadcastStrides(condition.shape(), shape), broadcastStrides(a.shape(), shape),
                 broadcastStrides(b.shape(), shape)},
                [&](int64_t first, const auto &at, const auto &step, int64_t count) {
                  for (int64_t k = 0; k < count; ++k)
                    z[first + k] = chosen[at[0] + k * step[0]] ? x[at[1] + k * step[1]]
                                                               : y[at[2] + k * step[2]];
                });
  };
  if (out.isInteger())
    choose(a.ints(), b.ints(), out.mutableInts());
  else if (out.isDouble())
    choose(a.doubles(), b.doubles(), out.mutableDoubles());
  else
    choose(a.floats(), b.floats(), out.mutableFloats());
  call.set(0, out);
}

void llmc::onnx::registerLogic(OpTable &table) {
  table[{"", "Equal"}] = equal;
  table[{"", "Less"}] = less;
  table[{"", "LessOrEqual"}] = lessOrEqual;
  table[{"", "Greater"}] = greater;
  table[{"", "GreaterOrEqual"}] = greaterOrEqual;
  table[{"", "And"}] = andOp;
  table[{"", "Or"}] = orOp;
  table[{"", "Xor"}] = xorOp;
  table[{"", "Not"}] = notOp;
  table[{"", "IsNaN"}] = isNaN;
  table[{"", "IsInf"}] = isInf;
  table[{"", "Where"}] = where;
}
