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
  OnnxTensor out(ElementType::Bool, shape);
  BroadcastIndex ia(a.shape(), shape), ib(b.shape(), shape);
  int64_t *z = out.mutableInts();
  // Unsigned 64-bit values keep their order when the top bit is flipped.
  int64_t flip = a.type() == ElementType::U64 ? INT64_MIN : 0;
  for (int64_t i = 0; i < out.size(); ++i)
    z[i] = a.isInteger() ? intFn(a.ints()[ia[i]] ^ flip, b.ints()[ib[i]] ^ flip)
                         : floatFn(a.at(ia[i]), b.at(ib[i]));
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
  OnnxTensor out(a.type(), shape);
  BroadcastIndex ic(condition.shape(), shape), ia(a.shape(), shape), ib(b.shape(), shape);
  const int64_t *chosen = condition.ints();
  for (int64_t i = 0; i < out.size(); ++i) {
    const OnnxTensor &source = chosen[ic[i]] ? a : b;
    int64_t at = chosen[ic[i]] ? ia[i] : ib[i];
    if (out.isInteger())
      out.mutableInts()[i] = source.ints()[at];
    else
      out.set(i, source.at(at));
  }
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
