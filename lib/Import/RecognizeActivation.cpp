//===- RecognizeActivation.cpp - Functions of one number by their values --===//
//
// A function is compared with each known one up to a factor and a shift of its argument and a
// factor of its result. The constants inside it are solved for and then compared, so that constants
// rounded to 16 bits are told from other functions.
//
//===----------------------------------------------------------------------===//

#include "Raiser.h"

#include <cmath>

using namespace llmc::onnx;

const std::vector<double> &llmc::onnx::pointwiseGrid() {
  static const std::vector<double> grid = [] {
    std::vector<double> g = {0, 1e-3, -1e-3, 1e4, -1e4, 120, -120};
    for (int i = -80; i <= 80; ++i)
      g.push_back(i * 0.1037 + 0.011);
    return g;
  }();
  return grid;
}

const std::vector<double> &llmc::onnx::statGrid() {
  static const std::vector<double> grid = {0, 1e-8, 1e-6, 1e-5, 1e-3, 0.02, 0.5, 1, 3, 17, 1e3};
  return grid;
}

double llmc::onnx::grainOf(ElementType type) {
  return type == ElementType::F16 ? 0x1p-11 : type == ElementType::BF16 ? 0x1p-8 : 0;
}

double llmc::onnx::unrounded(double value, double grain) {
  if (grain == 0)
    return value;
  ElementType type = grain > 0x1p-10 ? ElementType::BF16 : ElementType::F16;
  if (value == 0)
    return 1e-12;
  for (int exponent = 0; exponent >= -12; --exponent)
    for (double digit : {1, 2, 5, 3, 4, 6, 7, 8, 9}) {
      double decimal = digit * std::pow(10.0, exponent);
      if (roundToType(static_cast<float>(decimal), type) == static_cast<float>(value))
        return decimal;
    }
  return value;
}

namespace {
constexpr int kFarRight = 3, kFarLeft = 4, kRight = 5, kLeft = 6, kFirstNear = 7;

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
double logit(double y) { return std::log(y / (1 - y)); }

struct Matcher {
  const std::vector<double> &x = pointwiseGrid(), &y;
  double tolerance; ///< Of a constant that may be rounded.

  bool equals(double (*function)(double), const ActivationShape &shape) const {
    for (size_t i = 0; i < x.size(); ++i) {
      double expected = shape.outer * function(shape.inner * x[i] + shape.shift);
      if (!(std::fabs(y[i] - expected) <=
            1e-6 * (std::fabs(shape.outer) * (1 + std::fabs(shape.shift)) + std::fabs(expected))))
        return false;
    }
    return true;
  }
  bool isOne(double value) const { return std::fabs(value - 1) <= tolerance; }
  double snap(double value) const { return isOne(value) ? 1 : value; }

  std::optional<ActivationShape> affine() const;
  std::optional<ActivationShape> saturating() const;
  std::optional<ActivationShape> gated() const;
};
} // namespace

std::optional<ActivationShape> Matcher::affine() const {
  ActivationShape shape;
  shape.shift = y[0];
  shape.inner = (y[kFarRight] - y[kFarLeft]) / (x[kFarRight] - x[kFarLeft]);
  for (size_t i = 0; i < x.size(); ++i)
    if (!(std::fabs(y[i] - shape.inner * x[i] - shape.shift) <=
          1e-9 * (std::fabs(shape.inner * x[i]) + std::fabs(shape.shift))))
      return std::nullopt;
  return shape;
}

/// sigmoid and tanh.
std::optional<ActivationShape> Matcher::saturating() const {
  double top = y[kFarRight], bottom = y[kFarLeft];
  if (!(std::fabs(top) > 0))
    return std::nullopt;
  bool isTanh = std::fabs(top + bottom) <= 1e-9 * std::fabs(top);
  if (!isTanh && !(std::fabs(bottom) <= 1e-9 * std::fabs(top)))
    return std::nullopt;
  // Two points on the slope give the argument's factor and shift.
  size_t low = 0, high = 0;
  for (size_t i = kFirstNear; i < x.size(); ++i) {
    double share = isTanh ? (y[i] / top + 1) / 2 : y[i] / top;
    if (!(share > 0.02 && share < 0.98))
      continue;
    low = low ? low : i;
    high = i;
  }
  ActivationShape shape;
  shape.name = isTanh ? "tanh" : "sigmoid";
  shape.outer = top;
  auto inverse = [&](size_t i) {
    return isTanh ? logit((y[i] / top + 1) / 2) / 2 : logit(y[i] / top);
  };
  if (low == high) {
    // Wider than the grid: a cap, known by its slope at 0.
    if (!isTanh || low)
      return std::nullopt;
    low = 2;
    high = 1;
  }
  shape.inner = (inverse(high) - inverse(low)) / (x[high] - x[low]);
  shape.shift = inverse(high) - shape.inner * x[high];
  if (std::fabs(shape.shift) <= 1e-7)
    shape.shift = 0;
  auto function = isTanh ? +[](double v) { return std::tanh(v); } : &sigmoid;
  if (!equals(function, shape))
    return std::nullopt;
  shape.outer = snap(shape.outer);
  shape.inner = isOne(shape.inner * shape.outer) ? 1 / shape.outer : snap(shape.inner);
  return shape;
}

/// 0 far to the left and linear far to the right: x times a gate.
std::optional<ActivationShape> Matcher::gated() const {
  double slope = (y[kFarRight] - y[kRight]) / (x[kFarRight] - x[kRight]);
  if (!(std::fabs(y[kLeft]) <= 1e-6 * (1 + std::fabs(slope))))
    return std::nullopt;
  ActivationShape shape;
  double square = y[kFarRight] / (x[kFarRight] * x[kFarRight]);
  shape.outer = square;
  auto squared = [](double v) { return v > 0 ? v * v : 0; };
  if (square > 0 && equals(squared, shape)) {
    shape.name = "relu2";
    shape.outer = snap(square);
    return shape;
  }
  double zero = (y[kRight] - slope * x[kRight]) / slope; // y = slope * (x + zero) far out
  if (!std::isfinite(zero) || slope == 0)
    return std::nullopt;
  if (std::fabs(zero) <= 1e-9)
    zero = 0;
  shape.outer = slope;
  shape.shift = zero;
  if (equals([](double v) { return v > 0 ? v : 0; }, shape)) {
    shape.name = "relu";
    shape.outer = snap(slope);
    return shape;
  }
  // The gate at some u = x + zero, from 0.5 at 0 to 1.
  struct Point {
    double u, gate;
  };
  auto pointNear = [&](double wanted) {
    Point best = {0, 0};
    for (size_t i = kFirstNear; i < x.size(); ++i) {
      double u = x[i] + zero, gate = y[i] / (slope * u);
      if (u > 1e-3 && std::fabs(gate - wanted) < std::fabs(best.gate - wanted))
        best = {u, gate};
    }
    return best;
  };
  Point middle = pointNear(0.8), upper = pointNear(0.95), lower = pointNear(0.65);
  if (!(middle.gate > 0.5 && middle.gate < 1 && upper.gate > 0.5 && upper.gate < 1) ||
      !(lower.gate > 0.5 && lower.u != upper.u))
    return std::nullopt;
  // `constant` is what stands inside the gate; it is that of the function, or the argument was
  // scaled.
  auto finish = [&](const char *name, double (*function)(double), double factor) {
    ActivationShape exact = shape;
    exact.inner = factor;
    exact.outer = slope / factor;
    exact.shift = zero * factor;
    if (!equals(function, exact))
      return false;
    shape = exact;
    shape.name = name;
    if (isOne(factor)) {
      shape.inner = 1;
      shape.shift = zero;
      shape.outer = slope;
    }
    shape.outer = snap(shape.outer);
    return true;
  };
  double silu = logit(middle.gate) / middle.u, quick = silu / 1.702;
  if (isOne(quick)) {
    if (finish("quick_gelu", [](double v) { return v * sigmoid(1.702 * v); }, quick))
      return shape;
  } else if (finish("silu", [](double v) { return v * sigmoid(v); }, silu)) {
    return shape;
  }
  double low = 1e-4, high = 1e3;
  for (int i = 0; i < 200; ++i) {
    double half = (low + high) / 2;
    (std::erf(half * middle.u) < 2 * middle.gate - 1 ? low : high) = half;
  }
  if (finish(
          "gelu", [](double v) { return 0.5 * v * (1 + std::erf(v / std::sqrt(2.0))); },
          low * std::sqrt(2.0)))
    return shape;
  // atanh(2 gate - 1) = a u + b u^3
  double wl = logit(lower.gate) / 2 / lower.u, wu = logit(upper.gate) / 2 / upper.u;
  double b = (wu - wl) / (upper.u * upper.u - lower.u * lower.u), a = wl - b * lower.u * lower.u;
  double inner = a / std::sqrt(2 / M_PI), cubic = b / (a * inner * inner) / 0.044715;
  if (!(std::fabs(cubic - 1) <= 3 * tolerance))
    return std::nullopt;
  for (size_t i = 0; i < x.size(); ++i) {
    double u = x[i] + zero;
    double expected = 0.5 * slope * u * (1 + std::tanh(a * u + b * u * u * u));
    if (!(std::fabs(y[i] - expected) <= 1e-6 * std::fabs(slope) * (1 + std::fabs(x[i]))))
      return std::nullopt;
  }
  shape.name = "gelu_tanh";
  shape.inner = snap(inner);
  shape.shift = zero * shape.inner;
  shape.outer = snap(slope / shape.inner);
  return shape;
}

std::optional<ActivationShape> llmc::onnx::recognizeActivation(const std::vector<double> &samples,
                                                               double grain) {
  if (samples.size() != pointwiseGrid().size())
    return std::nullopt;
  Matcher match{pointwiseGrid(), samples, std::max(2e-6, 3 * grain)};
  if (auto shape = match.affine())
    return shape;
  if (auto shape = match.gated())
    return shape;
  return match.saturating();
}
