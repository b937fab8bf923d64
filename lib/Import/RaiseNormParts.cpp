//===- RaiseNormParts.cpp - Norms whose scale comes first -----------------===//
//
// TensorFlow writes x * (gamma / std) + (beta - mean * (gamma / std)), JAX (x - mean) * (gamma /
// std), with the variance as E[x^2] - E[x]^2: the scale meets the statistic before the data does.
//
//===----------------------------------------------------------------------===//

#include "Raiser.h"

#include <cmath>

using namespace llmc::onnx;

/// A statistic times data or a mean, where the statistic may have met its scale.
bool Raiser::scaleRows(const NodeProto &node, const Value &stat, const Value &other) {
  using Kind = Value::Kind;
  Value result = stat;
  int64_t width = stat.view.shape.back();
  bool scaled = stat.kind == Kind::RowScale;
  if (other.kind == Kind::Known && !scaled) {
    if (!other.constant || width == 1 || other.tensor.size() != width ||
        other.tensor.shape().back() != width || !fitsRows(stat, stat.view))
      return false;
    result.kind = Kind::RowScale;
    result.tensor = other.tensor.reshaped({width});
    result.origin = other.origin;
    result.derived = other.origin.empty() ? "scale" : other.derived;
    result.constant = true;
    result.shape = stat.view.shape;
    set(node, 0, std::move(result));
    return true;
  }
  if (!scaled && !stat.centered)
    return false;
  bool ofMean = isMean(other);
  if (stat.centered && (ofMean || other.kind == Kind::Data) &&
      sameElements(other.view, stat.view) && fitsRows(stat, stat.view) &&
      (!ofMean || fitsRows(other, stat.view))) {
    result.kind = Kind::NormPart;
    result.ofMean = ofMean;
    result.shape = ofMean && !scaled ? stat.shape : stat.view.shape;
    set(node, 0, std::move(result));
    return true;
  }
  if (!scaled)
    return false;
  std::optional<View> view = normalized(other, stat, false);
  View attached;
  if (!view || !attachToNorm(*view, stat, false, attached))
    return false;
  result = Value();
  result.kind = Kind::Data;
  result.shape = attached.shape;
  result.view = std::move(attached);
  set(node, 0, std::move(result));
  return true;
}

/// x * t and -mean * t + beta are a layer norm.
bool Raiser::joinParts(const NodeProto &node, const Value &whole, const Value &mean) {
  if (!sameElements(whole.view, mean.view) || whole.samples != mean.samples ||
      whole.tensor.size() != mean.tensor.size())
    return false;
  for (int64_t i = 0; i < whole.tensor.size(); ++i)
    if (whole.tensor.at(i) != mean.tensor.at(i))
      return false;
  Value stat = whole, data = whole;
  stat.shape = whole.view.shape;
  data.kind = Value::Kind::Pointwise;
  data.centered = true;
  data.samples = pointwiseGrid();
  std::optional<View> view = normalized(data, stat, false);
  if (!view)
    return false;
  Value result;
  result.kind = Value::Kind::Data;
  result.view = *view;
  if (whole.tensor.size() && !attachToNorm(*view, whole, false, result.view))
    return false;
  result.shape = result.view.shape;
  if (mean.hasBias) {
    Value bias;
    bias.kind = Value::Kind::Known;
    bias.constant = true;
    bias.tensor = mean.bias;
    bias.origin = mean.origin; // Of the bias: see normParts.
    bias.derived = mean.derived;
    result = plusKnown(result, bias, 1);
  }
  set(node, 0, std::move(result));
  return true;
}

/// Takes statistics, scales and data of one norm together; false where it is something else.
bool Raiser::normParts(const NodeProto &node, const Value &a, const Value &b) {
  using Kind = Value::Kind;
  const std::string &op = node.op_type();
  auto isStat = [](const Value &value) {
    return (value.kind == Kind::RowStat && !value.plainMean) || value.kind == Kind::RowScale;
  };
  if (op == "Mul") {
    if (isStat(a) && !isStat(b) && scaleRows(node, a, b))
      return true;
    if (isStat(b) && !isStat(a) && scaleRows(node, b, a))
      return true;
    if (isMean(a) && isMean(b) && sameElements(a.view, b.view) && a.shape == b.shape) {
      Value square = a;
      for (double &sample : square.samples)
        sample *= sample;
      set(node, 0, std::move(square));
      return true;
    }
    return false;
  }
  // E[x^2] - E[x]^2 is the variance.
  if (op == "Sub" && a.kind == Kind::RowStat && b.kind == Kind::RowStat && !a.plainMean &&
      !a.centered && b.plainMean && a.shape == b.shape && sameElements(a.view, b.view)) {
    const std::vector<double> &grid = statGrid();
    for (size_t i = 0; i < grid.size(); ++i)
      if (!(std::fabs(a.samples[i] - grid[i]) <= 1e-9 * grid[i]) ||
          !(std::fabs(b.samples[i] - grid[i] * grid[i]) <= 1e-9 * grid[i] * grid[i]))
        return false;
    Value variance = a;
    variance.centered = true;
    variance.samples = grid;
    set(node, 0, std::move(variance));
    return true;
  }
  if (op != "Add" && op != "Sub")
    return false;
  bool known = a.kind == Kind::Known || b.kind == Kind::Known;
  const Value &part = b.kind == Kind::NormPart && (a.kind != Kind::NormPart || b.ofMean) ? b : a;
  const Value &other = &part == &b ? a : b;
  if (part.kind != Kind::NormPart)
    return false;
  if (known) {
    // beta - mean * t, or beta + (-(mean * t)).
    bool negative = op == "Sub" ? &part == &b && !part.negative : part.negative;
    int64_t width = part.view.shape.back();
    if (!part.ofMean || part.hasBias || !negative || !other.constant ||
        other.tensor.size() != width || other.tensor.shape().back() != width)
      return false;
    Value result = part;
    result.negative = result.hasBias = true;
    result.bias = other.tensor.reshaped({width});
    result.origin = other.origin;
    result.derived = other.derived;
    result.shape = part.view.shape;
    set(node, 0, std::move(result));
    return true;
  }
  if (other.kind != Kind::NormPart || other.ofMean || !part.ofMean)
    return false;
  bool fits = op == "Add" ? part.negative : !part.negative && &part == &b;
  return fits && joinParts(node, other, part);
}
