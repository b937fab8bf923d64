//===- Ternary.cpp - weights of three values
//-------------------------------------------------------===//
//
// The absmean rule, with the test that keeps an already ternary weight as it is.
//
//===----------------------------------------------------------------------------------------===//
#include "llmc/Numerics/Ternary.h"
#include "llmc/Numerics/Quantize.h"
#include <algorithm>
#include <cmath>

namespace llmc {

Result<TernaryWeight> quantizeTernary(Span<const float> weight, int64_t rows, int64_t cols) {
  if (Status ok = verifyFinite(weight, rows, cols); !ok)
    return ok.failure();
  double sum = 0;
  float magnitude = 0; // the first that is not 0
  bool ternary = true;
  for (float w : weight) {
    float a = std::fabs(w);
    sum += a;
    if (magnitude == 0)
      magnitude = a;
    ternary &= a == 0 || a == magnitude;
  }
  TernaryWeight result;
  result.alreadyTernary = ternary && magnitude > 0;
  double mean = weight.empty() ? 0 : sum / static_cast<double>(weight.size());
  result.scale = result.alreadyTernary ? magnitude : std::max(static_cast<float>(mean), 1e-5f);
  result.codes.resize(weight.size());
  for (size_t i = 0; i < weight.size(); ++i)
    result.codes[i] = static_cast<int8_t>(
        std::min(std::max(std::nearbyint(weight[i] / result.scale), -1.0f), 1.0f));
  return result;
}

std::vector<float> dequantize(const TernaryWeight &weight) {
  std::vector<float> values(weight.codes.size());
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<float>(weight.codes[i]) * weight.scale;
  return values;
}

} // namespace llmc
