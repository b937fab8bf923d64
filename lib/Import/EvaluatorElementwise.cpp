//===- EvaluatorElementwise.cpp - Arithmetic, elementwise -----------------===//
//
// Binary and variadic arithmetic with broadcasting, unary functions, casts. Floats are computed in
// f64 and rounded once to their type; integers wrap at the width of their type.
//
//===----------------------------------------------------------------------===//

#include "EvaluatorOps.h"
#include "OperatorMath.h"

#include <algorithm>
#include <cmath>

using namespace llmc::onnx;

template <typename FloatFn, typename IntFn>
static OnnxTensor binary(const OnnxTensor &a, const OnnxTensor &b, FloatFn floatFn, IntFn intFn) {
  if (a.type() != b.type())
    fail("operand types ", elementTypeName(a.type()), " and ", elementTypeName(b.type()),
         " differ");
  Shape shape = broadcastShapes(a.shape(), b.shape());
  OnnxTensor out = OnnxTensor::unset(a.type(), shape);
  auto rows = [&](auto each) {
    walkRows<2>(shape, {broadcastStrides(a.shape(), shape), broadcastStrides(b.shape(), shape)},
                each);
  };
  if (a.isInteger()) {
    const int64_t *x = a.ints(), *y = b.ints();
    int64_t *z = out.mutableInts();
    ElementType type = a.type();
    rows([&](int64_t first, const auto &at, const auto &step, int64_t count) {
      for (int64_t k = 0; k < count; ++k)
        z[first + k] = wrapToType(intFn(x[at[0] + k * step[0]], y[at[1] + k * step[1]]), type);
    });
  } else if (a.type() == ElementType::F32) {
    const float *x = a.floats(), *y = b.floats();
    float *z = out.mutableFloats();
    rows([&](int64_t first, const auto &at, const auto &step, int64_t count) {
      for (int64_t k = 0; k < count; ++k)
        z[first + k] = static_cast<float>(
            floatFn(double(x[at[0] + k * step[0]]), double(y[at[1] + k * step[1]])));
    });
  } else {
    rows([&](int64_t first, const auto &at, const auto &step, int64_t count) {
      for (int64_t k = 0; k < count; ++k)
        out.set(first + k, floatFn(a.at(at[0] + k * step[0]), b.at(at[1] + k * step[1])));
    });
  }
  return out;
}

static int64_t wrappingAdd(int64_t x, int64_t y) { return int64_t(uint64_t(x) + uint64_t(y)); }
static int64_t wrappingMul(int64_t x, int64_t y) { return int64_t(uint64_t(x) * uint64_t(y)); }
static int64_t checkedDiv(int64_t x, int64_t y) {
  if (y == 0)
    fail("integer division by zero");
  return y == -1 ? wrappingMul(x, -1) : x / y;
}
/// The remainder takes the sign of the divisor, as Python's does.
static int64_t floorMod(int64_t x, int64_t y) {
  if (y == 0)
    fail("integer division by zero");
  if (y == -1)
    return 0;
  int64_t r = x % y;
  return r != 0 && (r < 0) != (y < 0) ? r + y : r;
}

static void add(OpCall &call) {
  call.set(
      0,
      binary(call.input(0), call.input(1), [](double x, double y) { return x + y; }, wrappingAdd));
}
static void sub(OpCall &call) {
  call.set(0, binary(
                  call.input(0), call.input(1), [](double x, double y) { return x - y; },
                  [](int64_t x, int64_t y) { return int64_t(uint64_t(x) - uint64_t(y)); }));
}
static void mul(OpCall &call) {
  call.set(
      0,
      binary(call.input(0), call.input(1), [](double x, double y) { return x * y; }, wrappingMul));
}
static void div(OpCall &call) {
  bool isUnsigned = call.input(0).type() == ElementType::U64;
  call.set(0, binary(
                  call.input(0), call.input(1), [](double x, double y) { return x / y; },
                  [&](int64_t x, int64_t y) {
                    if (isUnsigned && y != 0)
                      return int64_t(uint64_t(x) / uint64_t(y));
                    return checkedDiv(x, y);
                  }));
}

static void mod(OpCall &call) {
  bool fmod = call.attributes.getInt("fmod", 0) != 0;
  bool isUnsigned = call.input(0).type() == ElementType::U64;
  call.set(0, binary(
                  call.input(0), call.input(1),
                  [&](double x, double y) {
                    double r = std::fmod(x, y);
                    return !fmod && r != 0 && (r < 0) != (y < 0) ? r + y : r;
                  },
                  [&](int64_t x, int64_t y) {
                    if (isUnsigned && y != 0)
                      return int64_t(uint64_t(x) % uint64_t(y));
                    return fmod && y != 0 && y != -1 ? x % y : floorMod(x, y);
                  }));
}

static void power(OpCall &call) {
  const OnnxTensor &a = call.input(0), &b = call.input(1);
  Shape shape = broadcastShapes(a.shape(), b.shape());
  OnnxTensor out(a.type(), shape);
  BroadcastIndex ia(a.shape(), shape), ib(b.shape(), shape);
  for (int64_t i = 0; i < out.size(); ++i) {
    double value = std::pow(a.at(ia[i]), b.at(ib[i]));
    if (a.isInteger())
      out.mutableInts()[i] = wrapToType(static_cast<int64_t>(value), a.type());
    else
      out.set(i, value);
  }
  call.set(0, out);
}

template <typename FloatFn, typename IntFn>
static OnnxTensor fold(OpCall &call, FloatFn floatFn, IntFn intFn) {
  OnnxTensor result = call.input(0);
  for (size_t i = 1; i < call.inputs.size(); ++i)
    result = binary(result, call.input(i), floatFn, intFn);
  return result;
}

static double minimum(double x, double y) { return std::isnan(x) || x < y ? x : y; }
static double maximum(double x, double y) { return std::isnan(x) || x > y ? x : y; }

static void minOp(OpCall &call) {
  bool isUnsigned = call.input(0).type() == ElementType::U64;
  call.set(0, fold(call, minimum, [&](int64_t x, int64_t y) {
             return isUnsigned ? (uint64_t(x) < uint64_t(y) ? x : y) : std::min(x, y);
           }));
}
static void maxOp(OpCall &call) {
  bool isUnsigned = call.input(0).type() == ElementType::U64;
  call.set(0, fold(call, maximum, [&](int64_t x, int64_t y) {
             return isUnsigned ? (uint64_t(x) > uint64_t(y) ? x : y) : std::max(x, y);
           }));
}
static void sumOp(OpCall &call) {
  call.set(0, fold(call, [](double x, double y) { return x + y; }, wrappingAdd));
}
static void meanOp(OpCall &call) {
  OnnxTensor sum = fold(call, [](double x, double y) { return x + y; }, wrappingAdd);
  double count = static_cast<double>(call.inputs.size());
  call.set(0, mapFloat(sum, [&](double x) { return x / count; }));
}

template <double (*F)(double)> static void unary(OpCall &call) {
  if (call.input(0).isInteger())
    fail("expected a float tensor, got ", elementTypeName(call.input(0).type()));
  call.set(0, mapFloat(call.input(0), F));
}

template <double (*F)(double), int64_t (*G)(int64_t)> static void unaryAnyType(OpCall &call) {
  const OnnxTensor &x = call.input(0);
  if (!x.isInteger())
    return call.set(0, mapFloat(x, F));
  OnnxTensor y(x.type(), x.shape());
  for (int64_t i = 0; i < x.size(); ++i)
    y.mutableInts()[i] = wrapToType(G(x.ints()[i]), x.type());
  call.set(0, y);
}

static void clip(OpCall &call) {
  const OnnxTensor &x = call.input(0), *low = call.optional(1), *high = call.optional(2);
  if ((low && low->size() != 1) || (high && high->size() != 1))
    fail("expected scalar bounds");
  OnnxTensor y(x.type(), x.shape());
  for (int64_t i = 0; i < x.size(); ++i) {
    if (x.isInteger()) {
      int64_t value = x.ints()[i];
      if (low)
        value = std::max(value, low->ints()[0]);
      if (high)
        value = std::min(value, high->ints()[0]);
      y.mutableInts()[i] = value;
    } else {
      double value = x.at(i);
      if (low)
        value = maximum(value, low->at(0));
      if (high)
        value = minimum(value, high->at(0));
      y.set(i, value);
    }
  }
  call.set(0, y);
}

OnnxTensor llmc::onnx::castTo(const OnnxTensor &x, ElementType type) {
  if (x.type() == type)
    return x;
  if (type == ElementType::F32 && x.isFloat32Like() && x.source().data)
    return x.asF32();
  OnnxTensor y(type, x.shape());
  int64_t n = x.size();
  for (int64_t i = 0; i < n; ++i) {
    if (y.isInteger()) {
      if (x.isInteger()) {
        y.mutableInts()[i] = wrapToType(x.ints()[i], type);
      } else if (type == ElementType::Bool) {
        y.mutableInts()[i] = x.at(i) != 0; // NaN is true
      } else {
        double value = std::trunc(x.at(i));
        // Outside the range of int64 the result is not defined by ONNX; saturate.
        int64_t whole = std::isnan(value)                 ? 0
                        : value >= 9223372036854775807.0  ? INT64_MAX
                        : value <= -9223372036854775808.0 ? INT64_MIN
                                                          : static_cast<int64_t>(value);
        y.mutableInts()[i] = wrapToType(whole, type);
      }
    } else {
      y.set(i, x.at(i));
    }
  }
  return y;
}

static void cast(OpCall &call) {
  ElementType type;
  if (!fromOnnxType(static_cast<int>(call.attributes.requireInt("to")), type))
    fail("cast to unsupported element type ", call.attributes.requireInt("to"));
  call.set(0, castTo(call.input(0), type));
}

static void castLike(OpCall &call) { call.set(0, castTo(call.input(0), call.input(1).type())); }

static void identity(OpCall &call) { call.set(0, call.input(0)); }

static void dropout(OpCall &call) {
  call.optional(1); // The ratio matters in training only.
  const OnnxTensor *training = call.optional(2);
  if (training && training->at(0) != 0)
    fail("training mode is not supported");
  call.set(0, call.input(0));
  OnnxTensor mask(ElementType::Bool, call.input(0).shape());
  std::fill_n(mask.mutableInts(), mask.size(), 1);
  call.set(1, mask);
}

void llmc::onnx::registerElementwise(OpTable &table) {
  table[{"", "Add"}] = add;
  table[{"", "Sub"}] = sub;
  table[{"", "Mul"}] = mul;
  table[{"", "Div"}] = div;
  table[{"", "Mod"}] = mod;
  table[{"", "Pow"}] = power;
  table[{"", "Min"}] = minOp;
  table[{"", "Max"}] = maxOp;
  table[{"", "Sum"}] = sumOp;
  table[{"", "Mean"}] = meanOp;
  table[{"", "Neg"}] = unaryAnyType<negate, negateInt>;
  table[{"", "Abs"}] = unaryAnyType<absolute, absoluteInt>;
  table[{"", "Sign"}] = unaryAnyType<signOf, signOfInt>;
  table[{"", "Sqrt"}] = unary<squareRoot>;
  table[{"", "Reciprocal"}] = unary<reciprocal>;
  table[{"", "Exp"}] = unary<exponential>;
  table[{"", "Log"}] = unary<logarithm>;
  table[{"", "Cos"}] = unary<cosine>;
  table[{"", "Sin"}] = unary<sine>;
  table[{"", "Floor"}] = unary<floorOf>;
  table[{"", "Ceil"}] = unary<ceilOf>;
  table[{"", "Round"}] = unary<roundEven>;
  table[{"", "Clip"}] = clip;
  table[{"", "Cast"}] = cast;
  table[{"", "CastLike"}] = castLike;
  table[{"", "Identity"}] = identity;
  table[{"", "Dropout"}] = dropout;
}
