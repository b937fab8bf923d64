//===- EvaluatorActivations.cpp - Activation functions --------------------===//
//
// Elementwise nonlinearities of ai.onnx and com.microsoft, and the softmaxes.
//
//===----------------------------------------------------------------------===//

#include "EvaluatorOps.h"

#include <cmath>
#include <limits>

using namespace llmc::onnx;

static double sigmoidOf(double x) {
  return x >= 0 ? 1 / (1 + std::exp(-x)) : std::exp(x) / (1 + std::exp(x));
}
static double geluErf(double x) { return 0.5 * x * (1 + std::erf(x * 0.70710678118654752440)); }
static double geluTanh(double x) {
  return 0.5 * x * (1 + std::tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x)));
}
static double tanhOf(double x) { return std::tanh(x); }
static double erfOf(double x) { return std::erf(x); }
static double softplusOf(double x) { return x > 30 ? x : std::log1p(std::exp(x)); }
static double hardSwishOf(double x) { return x * std::fmin(1, std::fmax(0, x / 6 + 0.5)); }

template <double (*F)(double)> static void unary(OpCall &call) {
  if (call.input(0).isInteger())
    fail("expected a float tensor, got ", elementTypeName(call.input(0).type()));
  call.set(0, mapFloat(call.input(0), F));
}

static void relu(OpCall &call) {
  const OnnxTensor &x = call.input(0);
  if (!x.isInteger())
    return call.set(0, mapFloat(x, [](double v) { return v < 0 ? 0 : v; }));
  OnnxTensor y(x.type(), x.shape());
  for (int64_t i = 0; i < x.size(); ++i)
    y.mutableInts()[i] = std::max<int64_t>(0, x.ints()[i]);
  call.set(0, y);
}

static void gelu(OpCall &call) {
  std::string approximate = call.attributes.getString("approximate", "none");
  if (approximate != "none" && approximate != "tanh")
    fail("unknown approximation '", approximate, "'");
  call.set(0, mapFloat(call.input(0), approximate == "tanh" ? geluTanh : geluErf));
}

static OnnxTensor withBias(OpCall &call) {
  const OnnxTensor &x = call.input(0), *bias = call.optional(1);
  if (!bias)
    return x;
  BroadcastIndex index(bias->shape(), broadcastShapes(x.shape(), bias->shape()));
  OnnxTensor y(x.type(), x.shape());
  for (int64_t i = 0; i < x.size(); ++i)
    y.set(i, x.at(i) + bias->at(index[i]));
  return y;
}

static void biasGelu(OpCall &call) { call.set(0, mapFloat(withBias(call), geluErf)); }
static void fastGelu(OpCall &call) { call.set(0, mapFloat(withBias(call), geluTanh)); }

static void quickGelu(OpCall &call) {
  double alpha = call.attributes.getFloat("alpha", 1.702f);
  call.set(0, mapFloat(call.input(0), [&](double x) { return x * sigmoidOf(alpha * x); }));
}

static void swish(OpCall &call) {
  double alpha = call.attributes.getFloat("alpha", 1.0f);
  call.set(0, mapFloat(call.input(0), [&](double x) { return x * sigmoidOf(alpha * x); }));
}

static void leakyRelu(OpCall &call) {
  double alpha = call.attributes.getFloat("alpha", 0.01f);
  call.set(0, mapFloat(call.input(0), [&](double x) { return x < 0 ? alpha * x : x; }));
}

/// Softmax or its logarithm along one axis; before opset 13 along all axes from `axis` on.
static void softmaxFamily(OpCall &call, bool logarithm) {
  const OnnxTensor &x = call.input(0);
  bool flatten = call.opset < 13;
  int64_t rank = x.rank();
  int64_t axis =
      normalizeAxis(call.attributes.getInt("axis", flatten ? 1 : -1), std::max<int64_t>(rank, 1));
  int64_t outer = 1, length = rank ? x.shape()[axis] : 1, inner = 1;
  for (int64_t d = 0; d < axis; ++d)
    outer *= x.shape()[d];
  for (int64_t d = axis + 1; d < rank; ++d)
    (flatten ? length : inner) *= x.shape()[d];
  OnnxTensor y(x.type(), x.shape());
  for (int64_t o = 0; o < outer; ++o)
    for (int64_t i = 0; i < inner; ++i) {
      int64_t base = o * length * inner + i;
      double top = -std::numeric_limits<double>::infinity(), sum = 0;
      for (int64_t k = 0; k < length; ++k)
        top = std::fmax(top, x.at(base + k * inner));
      for (int64_t k = 0; k < length; ++k)
        sum += std::exp(x.at(base + k * inner) - top);
      for (int64_t k = 0; k < length; ++k) {
        double shifted = x.at(base + k * inner) - top;
        y.set(base + k * inner, logarithm ? shifted - std::log(sum) : std::exp(shifted) / sum);
      }
    }
  call.set(0, y);
}

static void softmax(OpCall &call) { softmaxFamily(call, false); }
static void logSoftmax(OpCall &call) { softmaxFamily(call, true); }

void llmc::onnx::registerActivations(OpTable &table) {
  table[{"", "Sigmoid"}] = unary<sigmoidOf>;
  table[{"", "Tanh"}] = unary<tanhOf>;
  table[{"", "Erf"}] = unary<erfOf>;
  table[{"", "Softplus"}] = unary<softplusOf>;
  table[{"", "HardSwish"}] = unary<hardSwishOf>;
  table[{"", "Relu"}] = relu;
  table[{"", "LeakyRelu"}] = leakyRelu;
  table[{"", "Gelu"}] = gelu;
  table[{"", "Swish"}] = swish;
  table[{"", "Softmax"}] = softmax;
  table[{"", "LogSoftmax"}] = logSoftmax;
  table[{"com.microsoft", "Gelu"}] = unary<geluErf>;
  table[{"com.microsoft", "BiasGelu"}] = biasGelu;
  table[{"com.microsoft", "FastGelu"}] = fastGelu;
  table[{"com.microsoft", "QuickGelu"}] = quickGelu;
}
