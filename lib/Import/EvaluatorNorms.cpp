//===- EvaluatorNorms.cpp - Normalisations --------------------------------===//
//
// LayerNormalization and RMSNormalization of ai.onnx, and com.microsoft's Simplified and Skip forms
// (ONNX Runtime also writes SimplifiedLayerNormalization into the default domain).
//
//===----------------------------------------------------------------------===//

#include "EvaluatorOps.h"

#include <cmath>

using namespace llmc::onnx;

namespace {
struct NormResult {
  OnnxTensor y;
  std::vector<double> mean, inverse;
  Shape statShape;
};
} // namespace

/// Normalises over dimensions from `axis` on; scale and bias broadcast to x.
static NormResult normalize(const OnnxTensor &x, const OnnxTensor *scale, const OnnxTensor *bias,
                            int64_t axis, double epsilon, bool center) {
  NormResult result;
  result.y = OnnxTensor(x.type(), x.shape());
  int64_t rows = 1, width = 1;
  for (int64_t d = 0; d < x.rank(); ++d) {
    (d < axis ? rows : width) *= x.shape()[d];
    result.statShape.push_back(d < axis ? x.shape()[d] : 1);
  }
  // The extra operand only has to broadcast to x; an index per element keeps that general.
  static const Shape none;
  BroadcastIndex is(scale ? scale->shape() : none, x.shape());
  BroadcastIndex ib(bias ? bias->shape() : none, x.shape());
  for (const OnnxTensor *extra : {scale, bias})
    if (extra && broadcastShapes(extra->shape(), x.shape()) != x.shape())
      fail("scale or bias of shape ", shapeString(extra->shape()), " does not fit ",
           shapeString(x.shape()));
  for (int64_t r = 0; r < rows; ++r) {
    double mean = 0, square = 0;
    for (int64_t k = 0; center && k < width; ++k)
      mean += x.at(r * width + k);
    mean /= static_cast<double>(width);
    for (int64_t k = 0; k < width; ++k) {
      double d = x.at(r * width + k) - mean;
      square += d * d;
    }
    double inverse = 1 / std::sqrt(square / static_cast<double>(width) + epsilon);
    result.mean.push_back(mean);
    result.inverse.push_back(inverse);
    for (int64_t k = 0; k < width; ++k) {
      int64_t i = r * width + k;
      double value = (x.at(i) - mean) * inverse;
      if (scale)
        value *= scale->at(is[i]);
      if (bias)
        value += bias->at(ib[i]);
      result.y.set(i, value);
    }
  }
  return result;
}

static void layerNorm(OpCall &call) {
  const OnnxTensor &x = call.input(0);
  int64_t axis = normalizeAxis(call.attributes.getInt("axis", -1), x.rank());
  NormResult r = normalize(x, &call.input(1), call.optional(2), axis,
                           call.attributes.getFloat("epsilon", 1e-5f), true);
  ElementType stat = x.isDouble() ? ElementType::F64 : ElementType::F32;
  call.set(0, r.y);
  call.set(1, fromDoubles(r.mean, r.statShape, stat));
  call.set(2, fromDoubles(r.inverse, r.statShape, stat));
}

static void rmsNorm(OpCall &call) {
  const OnnxTensor &x = call.input(0);
  int64_t axis = normalizeAxis(call.attributes.getInt("axis", -1), x.rank());
  NormResult r = normalize(x, &call.input(1), nullptr, axis,
                           call.attributes.getFloat("epsilon", 1e-5f), false);
  call.set(0, r.y);
  call.set(1, fromDoubles(r.inverse, r.statShape, ElementType::F32));
}

/// (x, skip, scale[, beta][, bias]) -> y, mean, inverse, sum.
static void skipNorm(OpCall &call, bool center) {
  const OnnxTensor &x = call.input(0), &skip = call.input(1), &scale = call.input(2);
  const OnnxTensor *beta = center ? call.optional(3) : nullptr;
  const OnnxTensor *bias = call.optional(center ? 4 : 3);
  if (broadcastShapes(skip.shape(), x.shape()) != x.shape())
    fail("skip of shape ", shapeString(skip.shape()), " does not fit ", shapeString(x.shape()));
  OnnxTensor sum(x.type(), x.shape());
  static const Shape none;
  BroadcastIndex index(skip.shape(), x.shape()), ib(bias ? bias->shape() : none, x.shape());
  for (int64_t i = 0; i < x.size(); ++i)
    sum.set(i, x.at(i) + skip.at(index[i]) + (bias ? bias->at(ib[i]) : 0));
  float epsilon = call.attributes.getFloat("epsilon", 1e-12f);
  NormResult r = normalize(sum, &scale, beta, x.rank() - 1, epsilon, center);
  call.set(0, r.y);
  call.set(1, fromDoubles(r.mean, r.statShape, ElementType::F32));
  call.set(2, fromDoubles(r.inverse, r.statShape, ElementType::F32));
  call.set(3, sum);
}
static void skipLayerNorm(OpCall &call) { skipNorm(call, true); }
static void skipSimplifiedLayerNorm(OpCall &call) { skipNorm(call, false); }

void llmc::onnx::registerNorms(OpTable &table) {
  table[{"", "LayerNormalization"}] = layerNorm;
  table[{"", "RMSNormalization"}] = rmsNorm;
  table[{"", "SimplifiedLayerNormalization"}] = rmsNorm;
  table[{"com.microsoft", "SimplifiedLayerNormalization"}] = rmsNorm;
  table[{"com.microsoft", "SkipLayerNormalization"}] = skipLayerNorm;
  table[{"com.microsoft", "SkipSimplifiedLayerNormalization"}] = skipSimplifiedLayerNorm;
}
