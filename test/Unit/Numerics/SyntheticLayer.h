//===- SyntheticLayer.h - seeded weights and activations
//------------------------------------------===//
//
// A layer with the traits that activation-aware methods exploit: log-normal channel scales, a few
// outlier channels ten times larger, and activations correlated along channels.
//
//===----------------------------------------------------------------------------------------===//
#ifndef LLMC_TEST_UNIT_NUMERICS_SYNTHETICLAYER_H
#define LLMC_TEST_UNIT_NUMERICS_SYNTHETICLAYER_H

#include "llmc/Numerics/Statistics.h"
#include <cmath>
#include <random>
#include <vector>

namespace llmc {

/// Standard normal numbers by Box and Muller, the same with every standard library.
class Normal {
public:
  explicit Normal(uint64_t seed) : engine(seed) {}
  double operator()() {
    double u = uniform(), v = uniform();
    return std::sqrt(-2 * std::log(1 - u)) * std::cos(6.283185307179586 * v);
  }
  double uniform() { return static_cast<double>(engine() >> 11) * 0x1p-53; }
  uint64_t bits() { return engine(); }

private:
  std::mt19937_64 engine;
};

inline std::vector<float> normalValues(int64_t n, uint64_t seed, double sigma = 1.0) {
  Normal normal(seed);
  std::vector<float> values(n);
  for (float &v : values)
    v = static_cast<float>(sigma * normal());
  return values;
}

struct SyntheticLayer {
  int64_t rows, cols;
  std::vector<float> weight;
  ChannelStatistics statistics;

  /// `correlation` is that of neighbouring channels.
  SyntheticLayer(uint64_t seed, double correlation, int64_t rows = 64, int64_t cols = 256,
                 int64_t tokens = 1024)
      : rows(rows), cols(cols), weight(normalValues(rows * cols, seed, 0.02)) {
    Normal normal(seed + 1000);
    std::vector<double> scale(cols);
    for (int64_t j = 0; j < cols; ++j)
      scale[j] = std::exp(0.5 * normal()) * (j % 64 == 7 ? 10 : 1);
    std::vector<float> x(tokens * cols);
    for (int64_t t = 0; t < tokens; ++t) {
      double state = normal();
      for (int64_t j = 0; j < cols; ++j) {
        x[t * cols + j] = static_cast<float>(state * scale[j]);
        state = correlation * state + std::sqrt(1 - correlation * correlation) * normal();
      }
    }
    StatisticsAccumulator accumulator(cols, true);
    if (Status ok = accumulator.add(x, tokens); ok)
      statistics = std::move(accumulator).finish();
  }
};

} // namespace llmc

#endif // LLMC_TEST_UNIT_NUMERICS_SYNTHETICLAYER_H
