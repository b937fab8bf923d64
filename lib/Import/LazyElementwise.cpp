//===- LazyElementwise.cpp - Arithmetic, logic and casts, by element ------===//
//
// As EvaluatorElementwise.cpp and EvaluatorLogic.cpp compute them: floats in f64, rounded once to
// their type; integers wrapped to the width of theirs.
//
//===----------------------------------------------------------------------===//

#include "LazyNode.h"
#include "OperatorMath.h"

#include <algorithm>
#include <cmath>

using namespace llmc::onnx;

static void requireSameType(const LazyPtr &a, const LazyPtr &b) {
  if (a->type != b->type)
    fail("operand types ", elementTypeName(a->type), " and ", elementTypeName(b->type), " differ");
}

namespace {
/// An operand under broadcasting.
struct Operand {
  Operand(const LazyPtr &value, const Shape &out)
      : node(value.get()), map(IndexMap::broadcast(value->shape, out)) {}
  double at(int64_t i) const { return node->at(map(i)); }
  int64_t intAt(int64_t i) const { return node->intAt(map(i)); }
  const LazyNode *node;
  IndexMap map;
};
} // namespace

template <typename FloatFn, typename IntFn>
static LazyPtr binary(const LazyPtr &a, const LazyPtr &b, FloatFn floatFn, IntFn intFn) {
  requireSameType(a, b);
  Shape shape = broadcastShapes(a->shape, b->shape);
  Operand x(a, shape), y(b, shape);
  ElementType type = a->type;
  if (a->isInteger())
    return lazyByElement(lazyInteger(type, shape, {a, b}, [=](int64_t i) {
      return wrappedTo(intFn(x.intAt(i), y.intAt(i)), type);
    }));
  return lazyByElement(lazyFloat(
      type, shape, {a, b}, [=](int64_t i) { return roundedTo(floatFn(x.at(i), y.at(i)), type); }));
}

static int64_t wrappingAdd(int64_t x, int64_t y) { return int64_t(uint64_t(x) + uint64_t(y)); }
static int64_t wrappingSub(int64_t x, int64_t y) { return int64_t(uint64_t(x) - uint64_t(y)); }
static int64_t wrappingMul(int64_t x, int64_t y) { return int64_t(uint64_t(x) * uint64_t(y)); }

static void add(LazyCall &call) {
  call.set(0, binary(
                  call.input(0), call.input(1), [](double x, double y) { return x + y; },
                  [](int64_t x, int64_t y) { return wrappingAdd(x, y); }));
}
static void sub(LazyCall &call) {
  call.set(0, binary(
                  call.input(0), call.input(1), [](double x, double y) { return x - y; },
                  [](int64_t x, int64_t y) { return wrappingSub(x, y); }));
}
static void mul(LazyCall &call) {
  call.set(0, binary(
                  call.input(0), call.input(1), [](double x, double y) { return x * y; },
                  [](int64_t x, int64_t y) { return wrappingMul(x, y); }));
}

static void requireDivisor(const NodeProto &node, int64_t y) {
  if (y == 0)
    fail(describeNode(node), ": integer division by zero");
}

static void div(LazyCall &call) {
  const NodeProto *node = &call.node;
  bool isUnsigned = call.input(0)->type == ElementType::U64;
  call.set(0, binary(
                  call.input(0), call.input(1), [](double x, double y) { return x / y; },
                  [=](int64_t x, int64_t y) {
                    requireDivisor(*node, y);
                    if (isUnsigned)
                      return int64_t(uint64_t(x) / uint64_t(y));
                    return y == -1 ? wrappingMul(x, -1) : x / y;
                  }));
}

static void mod(LazyCall &call) {
  const NodeProto *node = &call.node;
  bool fmod = call.attributes.getInt("fmod", 0) != 0;
  bool isUnsigned = call.input(0)->type == ElementType::U64;
  call.set(0, binary(
                  call.input(0), call.input(1),
                  [=](double x, double y) {
                    double r = std::fmod(x, y);
                    return !fmod && r != 0 && (r < 0) != (y < 0) ? r + y : r;
                  },
                  [=](int64_t x, int64_t y) {
                    requireDivisor(*node, y);
                    if (isUnsigned)
                      return int64_t(uint64_t(x) % uint64_t(y));
                    if (y == -1)
                      return int64_t(0);
                    int64_t r = x % y;
                    return !fmod && r != 0 && (r < 0) != (y < 0) ? r + y : r;
                  }));
}

static void power(LazyCall &call) {
  const LazyPtr &a = call.input(0), &b = call.input(1);
  Shape shape = broadcastShapes(a->shape, b->shape);
  Operand x(a, shape), y(b, shape);
  ElementType type = a->type;
  if (a->isInteger())
    return call.set(0, lazyByElement(lazyInteger(type, shape, {a, b}, [=](int64_t i) {
                      return wrappedTo(truncated(std::pow(x.at(i), y.at(i))), type);
                    })));
  call.set(0, lazyByElement(lazyFloat(type, shape, {a, b}, [=](int64_t i) {
             return roundedTo(std::pow(x.at(i), y.at(i)), type);
           })));
}

template <typename FloatFn, typename IntFn>
static LazyPtr fold(LazyCall &call, FloatFn floatFn, IntFn intFn) {
  LazyPtr result = call.input(0);
  for (size_t i = 1; i < call.inputs.size(); ++i)
    result = lazyCached(binary(result, call.input(i), floatFn, intFn));
  return result;
}

static double minimum(double x, double y) { return std::isnan(x) || x < y ? x : y; }
static double maximum(double x, double y) { return std::isnan(x) || x > y ? x : y; }

static void minOp(LazyCall &call) {
  bool isUnsigned = call.input(0)->type == ElementType::U64;
  call.set(0, fold(call, minimum, [=](int64_t x, int64_t y) {
             return isUnsigned ? (uint64_t(x) < uint64_t(y) ? x : y) : std::min(x, y);
           }));
}
static void maxOp(LazyCall &call) {
  bool isUnsigned = call.input(0)->type == ElementType::U64;
  call.set(0, fold(call, maximum, [=](int64_t x, int64_t y) {
             return isUnsigned ? (uint64_t(x) > uint64_t(y) ? x : y) : std::max(x, y);
           }));
}
static void sumOp(LazyCall &call) { call.set(0, fold(call, plus, wrappingAdd)); }

/// A function of one element of a float tensor.
template <typename F> static LazyPtr mapped(const LazyPtr &x, F f) {
  if (x->isInteger())
    fail("expected a float tensor, got ", elementTypeName(x->type));
  const LazyNode *source = x.get();
  ElementType type = x->type;
  return lazyByElement(
      lazyFloat(type, x->shape, {x}, [=](int64_t i) { return roundedTo(f(source->at(i)), type); }));
}

static void meanOp(LazyCall &call) {
  double count = static_cast<double>(call.inputs.size());
  call.set(0, mapped(fold(call, plus, wrappingAdd), [=](double x) { return x / count; }));
}

template <double (*F)(double)> static void unary(LazyCall &call) {
  call.set(0, mapped(call.input(0), [](double x) { return F(x); }));
}

template <double (*F)(double), int64_t (*G)(int64_t)> static void unaryAnyType(LazyCall &call) {
  const LazyPtr &x = call.input(0);
  if (!x->isInteger())
    return call.set(0, mapped(x, [](double value) { return F(value); }));
  const LazyNode *source = x.get();
  ElementType type = x->type;
  call.set(0, lazyByElement(lazyInteger(type, x->shape, {x}, [=](int64_t i) {
             return wrappedTo(G(source->intAt(i)), type);
           })));
}

static void clip(LazyCall &call) {
  const LazyPtr &x = call.input(0), low = call.optional(1), high = call.optional(2);
  if ((low && low->size != 1) || (high && high->size != 1))
    fail("expected scalar bounds");
  std::vector<LazyPtr> inputs = {x};
  for (const LazyPtr &bound : {low, high})
    if (bound)
      inputs.push_back(bound);
  const LazyNode *source = x.get(), *from = low.get(), *to = high.get();
  if (x->isInteger())
    return call.set(0, lazyByElement(lazyInteger(x->type, x->shape, inputs, [=](int64_t i) {
                      int64_t value = source->intAt(i);
                      if (from)
                        value = std::max(value, from->intAt(0));
                      return to ? std::min(value, to->intAt(0)) : value;
                    })));
  ElementType type = x->type;
  call.set(0, lazyByElement(lazyFloat(type, x->shape, inputs, [=](int64_t i) {
             double value = source->at(i);
             if (from)
               value = maximum(value, from->at(0));
             if (to)
               value = minimum(value, to->at(0));
             return roundedTo(value, type);
           })));
}

LazyPtr llmc::onnx::lazyCast(const LazyPtr &x, ElementType type) {
  if (x->type == type)
    return x;
  const LazyNode *source = x.get();
  if (isFloat(type))
    return lazyByElement(
        lazyFloat(type, x->shape, {x}, [=](int64_t i) { return roundedTo(source->at(i), type); }));
  if (!x->isInteger() && type == ElementType::Bool)
    return lazyByElement(
        lazyInteger(type, x->shape, {x}, [=](int64_t i) { return int64_t(source->at(i) != 0); }));
  return lazyByElement(lazyInteger(type, x->shape, {x},
                                   [=](int64_t i) { return wrappedTo(source->intAt(i), type); }));
}

static void cast(LazyCall &call) {
  ElementType type;
  if (!fromOnnxType(static_cast<int>(call.attributes.requireInt("to")), type))
    fail("cast to unsupported element type ", call.attributes.requireInt("to"));
  call.set(0, lazyCast(call.input(0), type));
}
static void castLike(LazyCall &call) { call.set(0, lazyCast(call.input(0), call.input(1)->type)); }

static void identity(LazyCall &call) { call.set(0, call.input(0)); }

static void dropout(LazyCall &call) {
  LazyPtr training = call.optional(2);
  if (training && (training->unknown || training->size != 1 || training->at(0) != 0))
    fail("training mode is not supported");
  call.set(0, call.input(0));
  call.set(1, lazyInteger(ElementType::Bool, call.input(0)->shape, {},
                          [](int64_t) { return int64_t(1); }));
}

template <typename FloatFn, typename IntFn>
static void compare(LazyCall &call, FloatFn floatFn, IntFn intFn) {
  const LazyPtr &a = call.input(0), &b = call.input(1);
  requireSameType(a, b);
  Shape shape = broadcastShapes(a->shape, b->shape);
  Operand x(a, shape), y(b, shape);
  // Unsigned 64-bit values keep their order when the top bit is flipped.
  int64_t flip = a->type == ElementType::U64 ? INT64_MIN : 0;
  if (a->isInteger())
    return call.set(0, lazyByElement(lazyInteger(ElementType::Bool, shape, {a, b}, [=](int64_t i) {
                      return int64_t(intFn(x.intAt(i) ^ flip, y.intAt(i) ^ flip));
                    })));
  call.set(0, lazyByElement(lazyInteger(ElementType::Bool, shape, {a, b}, [=](int64_t i) {
             return int64_t(floatFn(x.at(i), y.at(i)));
           })));
}

static void equal(LazyCall &call) {
  compare(
      call, [](double x, double y) { return x == y; }, [](int64_t x, int64_t y) { return x == y; });
}
static void less(LazyCall &call) {
  compare(
      call, [](double x, double y) { return x < y; }, [](int64_t x, int64_t y) { return x < y; });
}
static void lessOrEqual(LazyCall &call) {
  compare(
      call, [](double x, double y) { return x <= y; }, [](int64_t x, int64_t y) { return x <= y; });
}
static void greater(LazyCall &call) {
  compare(
      call, [](double x, double y) { return x > y; }, [](int64_t x, int64_t y) { return x > y; });
}
static void greaterOrEqual(LazyCall &call) {
  compare(
      call, [](double x, double y) { return x >= y; }, [](int64_t x, int64_t y) { return x >= y; });
}

template <typename F> static void logical(LazyCall &call, F f) {
  if (call.input(0)->type != ElementType::Bool)
    fail("expected bool, got ", elementTypeName(call.input(0)->type));
  compare(call, [](double, double) { return false; }, f);
}
static void andOp(LazyCall &call) {
  logical(call, [](int64_t x, int64_t y) { return x && y; });
}
static void orOp(LazyCall &call) {
  logical(call, [](int64_t x, int64_t y) { return x || y; });
}
static void xorOp(LazyCall &call) {
  logical(call, [](int64_t x, int64_t y) { return !x != !y; });
}

template <typename F> static void classify(LazyCall &call, F f) {
  const LazyPtr &x = call.input(0);
  const LazyNode *source = x.get();
  call.set(0, lazyByElement(lazyInteger(ElementType::Bool, x->shape, {x},
                                        [=](int64_t i) { return int64_t(f(source->at(i))); })));
}
static void notOp(LazyCall &call) {
  classify(call, [](double x) { return x == 0; });
}
static void isNaN(LazyCall &call) {
  classify(call, [](double x) { return std::isnan(x); });
}
static void isInf(LazyCall &call) {
  bool positive = call.attributes.getInt("detect_positive", 1) != 0;
  bool negative = call.attributes.getInt("detect_negative", 1) != 0;
  classify(call, [=](double x) { return std::isinf(x) && (x > 0 ? positive : negative); });
}

static void where(LazyCall &call) {
  const LazyPtr &condition = call.input(0), &a = call.input(1), &b = call.input(2);
  requireSameType(a, b);
  Shape shape = broadcastShapes(broadcastShapes(condition->shape, a->shape), b->shape);
  Operand chosen(condition, shape), x(a, shape), y(b, shape);
  call.set(0, lazyByElement(lazyPick(a->type, shape, {condition, a, b}, [=](int64_t i) {
             const Operand &from = chosen.intAt(i) ? x : y;
             return std::make_pair(from.node, from.map(i));
           })));
}

void llmc::onnx::registerLazyElementwise(LazyTable &table) {
  table["Add"] = add;
  table["Sub"] = sub;
  table["Mul"] = mul;
  table["Div"] = div;
  table["Mod"] = mod;
  table["Pow"] = power;
  table["Min"] = minOp;
  table["Max"] = maxOp;
  table["Sum"] = sumOp;
  table["Mean"] = meanOp;
  table["Neg"] = unaryAnyType<negate, negateInt>;
  table["Abs"] = unaryAnyType<absolute, absoluteInt>;
  table["Sign"] = unaryAnyType<signOf, signOfInt>;
  table["Sqrt"] = unary<squareRoot>;
  table["Reciprocal"] = unary<reciprocal>;
  table["Exp"] = unary<exponential>;
  table["Log"] = unary<logarithm>;
  table["Cos"] = unary<cosine>;
  table["Sin"] = unary<sine>;
  table["Floor"] = unary<floorOf>;
  table["Ceil"] = unary<ceilOf>;
  table["Round"] = unary<roundEven>;
  table["Clip"] = clip;
  table["Cast"] = cast;
  table["CastLike"] = castLike;
  table["Identity"] = identity;
  table["Dropout"] = dropout;
  table["Equal"] = equal;
  table["Less"] = less;
  table["LessOrEqual"] = lessOrEqual;
  table["Greater"] = greater;
  table["GreaterOrEqual"] = greaterOrEqual;
  table["And"] = andOp;
  table["Or"] = orOp;
  table["Xor"] = xorOp;
  table["Not"] = notOp;
  table["IsNaN"] = isNaN;
  table["IsInf"] = isInf;
  table["Where"] = where;
}
