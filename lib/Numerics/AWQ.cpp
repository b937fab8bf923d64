//===- AWQ.cpp - activation-aware scale and clip search -----------------------------------===//
//
// Both searches try a fixed list of candidates and keep the first with the least error; the
// identity is always on the list, so the result is never worse than rounding under the measure
// used. Strengths are ranked on some of the rows, the winner is compared with rounding on all.
//
//===----------------------------------------------------------------------------------------===//
#include "llmc/Numerics/AWQ.h"
#include "llmc/Numerics/ErrorMetrics.h"
#include "llmc/Numerics/Parallel.h"
#include <algorithm>
#include <cmath>
#include <limits>

namespace llmc {

static Status verifyHeads(size_t found, int64_t expected) {
  if (found == static_cast<size_t>(expected))
    return {};
  return Failure{"expected " + std::to_string(expected) + " channels of attention heads, found " +
                 std::to_string(found)};
}

Result<std::vector<double>> reduceHeads(Span<const double> expanded, const HeadSharing &heads) {
  if (Status ok = verifyHeads(expanded.size(), heads.expandedSize()); !ok)
    return ok.failure();
  std::vector<double> reduced(heads.reducedSize());
  for (int64_t h = 0; h < heads.kvHeads; ++h)
    for (int64_t d = 0; d < heads.headDim; ++d) {
      double sum = 0;
      for (int64_t r = 0; r < heads.repeat; ++r)
        sum += expanded[(h * heads.repeat + r) * heads.headDim + d];
      reduced[h * heads.headDim + d] = sum / static_cast<double>(heads.repeat);
    }
  return reduced;
}

Result<std::vector<float>> expandHeads(Span<const float> reduced, const HeadSharing &heads) {
  if (Status ok = verifyHeads(reduced.size(), heads.reducedSize()); !ok)
    return ok.failure();
  std::vector<float> expanded(heads.expandedSize());
  for (int64_t h = 0; h < heads.kvHeads * heads.repeat; ++h)
    for (int64_t d = 0; d < heads.headDim; ++d)
      expanded[h * heads.headDim + d] = reduced[h / heads.repeat * heads.headDim + d];
  return expanded;
}

Result<std::vector<float>> compactHeads(Span<const float> expanded, const HeadSharing &heads) {
  if (Status ok = verifyHeads(expanded.size(), heads.expandedSize()); !ok)
    return ok.failure();
  std::vector<float> compact(heads.reducedSize());
  for (int64_t h = 0; h < heads.kvHeads; ++h)
    for (int64_t d = 0; d < heads.headDim; ++d)
      compact[h * heads.headDim + d] = expanded[h * heads.repeat * heads.headDim + d];
  return compact;
}

void scaleColumns(Span<float> weight, int64_t rows, Span<const float> factors) {
  auto cols = static_cast<int64_t>(factors.size());
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < cols; ++j)
      weight[i * cols + j] *= factors[j];
}

/// The candidate of one exponent, before heads are expanded.
static std::vector<float> candidateScales(Span<const double> meanAbs, double ratio) {
  std::vector<float> scales(meanAbs.size());
  double lo = std::numeric_limits<double>::infinity(), hi = 0;
  std::vector<double> powers(meanAbs.size());
  for (size_t j = 0; j < scales.size(); ++j) {
    powers[j] = std::max(std::pow(meanAbs[j], ratio), 1e-4);
    lo = std::min(lo, powers[j]);
    hi = std::max(hi, powers[j]);
  }
  double middle = std::sqrt(lo * hi);
  for (size_t j = 0; j < scales.size(); ++j)
    scales[j] = static_cast<float>(powers[j] / middle);
  return scales;
}

/// tr((W - W') H (W - W')^T) with W' = Q(W diag(s)) diag(1/s).
static Result<double> scaledLoss(const LinearWeight &linear, int64_t cols, Span<const float> scales,
                                 Span<const float> hessian, const AwqOptions &options) {
  std::vector<float> scaled(linear.weight.begin(), linear.weight.end());
  scaleColumns(scaled, linear.rows, scales);
  QuantizeOptions quantize;
  quantize.threads = options.threads;
  Result<IntWeight> codes = quantizeRtn(scaled, linear.rows, cols, options.format, quantize);
  if (!codes)
    return codes.failure();
  std::vector<float> rounded = dequantize(*codes, options.threads);
  for (int64_t i = 0; i < linear.rows; ++i)
    for (int64_t j = 0; j < cols; ++j)
      rounded[i * cols + j] /= scales[j];
  return hessianError(linear.weight, rounded, linear.rows, cols, hessian, options.threads);
}

/// The sum over linears; the first failure.
static Result<double> scaledLosses(Span<const LinearWeight> linears, int64_t cols,
                                   Span<const float> scales, Span<const float> hessian,
                                   const AwqOptions &options) {
  double loss = 0;
  for (const LinearWeight &linear : linears) {
    Result<double> part = scaledLoss(linear, cols, scales, hessian, options);
    if (!part)
      return part.failure();
    loss += *part;
  }
  return loss;
}

/// At most `most` rows of a weight, evenly spread; none where that is all of them.
static std::vector<float> sampleRows(const LinearWeight &linear, int64_t cols, int64_t most) {
  std::vector<float> sample;
  if (linear.rows <= most)
    return sample;
  sample.reserve(most * cols);
  for (int64_t i = 0; i < most; ++i) {
    const float *row = linear.weight.data() + i * linear.rows / most * cols;
    sample.insert(sample.end(), row, row + cols);
  }
  return sample;
}

static Status verifyStatistics(const ChannelStatistics &statistics, int64_t cols) {
  if (Status ok = statistics.verify(); !ok)
    return ok;
  if (statistics.channels() != cols)
    return Failure{"expected statistics of " + std::to_string(cols) + " channels, found " +
                   std::to_string(statistics.channels())};
  if (!statistics.hasHessian())
    return Failure{"expected statistics with a Hessian, found none"};
  return {};
}

Result<AwqScales> searchAwqScales(Span<const LinearWeight> linears, int64_t cols,
                                  const ChannelStatistics &statistics, const AwqOptions &options) {
  if (Status ok = verifyStatistics(statistics, cols); !ok)
    return ok.failure();
  if (options.ratios < 1)
    return Failure{"expected at least 1 ratio, found " + std::to_string(options.ratios)};
  std::vector<double> importance = statistics.meanAbs;
  bool shared = options.heads.repeat > 1;
  if (shared) {
    Result<std::vector<double>> reduced = reduceHeads(importance, options.heads);
    if (!reduced)
      return reduced.failure();
    importance = std::move(*reduced);
  }

  std::vector<std::vector<float>> samples;
  std::vector<LinearWeight> ranked(linears.begin(), linears.end());
  bool isSampled = false;
  for (LinearWeight &linear : ranked) {
    samples.push_back(sampleRows(linear, cols, options.rows));
    if (samples.back().empty())
      continue;
    linear = {samples.back(), options.rows};
    isSampled = true;
  }

  AwqScales best;
  std::vector<float> ones;
  for (int step = 0; step < options.ratios; ++step) {
    double ratio = static_cast<double>(step) / options.ratios;
    std::vector<float> scales = candidateScales(importance, ratio);
    if (shared)
      scales = *expandHeads(scales, options.heads);
    Result<double> found = scaledLosses(ranked, cols, scales, statistics.hessian, options);
    if (!found && step == 0)
      return found.failure();
    double loss = found ? *found : std::numeric_limits<double>::infinity();
    best.losses.push_back(loss);
    if (step == 0) {
      best.rtnLoss = loss;
      ones = scales;
    }
    if (step == 0 || loss < best.loss) {
      best.loss = loss;
      best.ratio = ratio;
      best.scales = std::move(scales);
    }
  }
  if (!isSampled)
    return best;
  Result<double> rtnLoss = scaledLosses(linears, cols, ones, statistics.hessian, options);
  if (!rtnLoss)
    return rtnLoss.failure();
  best.loss = best.rtnLoss = *rtnLoss;
  if (best.ratio == 0)
    return best;
  Result<double> loss = scaledLosses(linears, cols, best.scales, statistics.hessian, options);
  best.loss = loss ? *loss : std::numeric_limits<double>::infinity();
  if (best.loss > best.rtnLoss) { // What the sample promised does not hold.
    best.loss = best.rtnLoss;
    best.ratio = 0;
    best.scales = ones;
  }
  return best;
}

Result<AwqClip> searchClip(Span<const float> weight, int64_t rows, int64_t cols,
                           const ChannelStatistics &statistics, const IntFormat &format,
                           int threads) {
  constexpr int steps = 10, grid = 20;
  constexpr int64_t block = 128; // rows per work item
  if (Status ok = format.verify(); !ok)
    return ok.failure();
  if (Status ok = verifyFinite(weight, rows, cols); !ok)
    return ok.failure();
  if (Status ok = verifyStatistics(statistics, cols); !ok)
    return ok.failure();
  int64_t size = format.groupSize(cols), groups = format.groupCount(cols);
  int64_t blocks = (rows + block - 1) / block;
  AwqClip clip;
  clip.limits.resize(rows * groups);
  std::vector<double> least(rows * groups), unclipped(rows * groups);

  parallelFor(blocks * groups, threads, [&](int64_t item) {
    int64_t firstRow = item / groups * block, count = std::min(block, rows - firstRow);
    int64_t g = item % groups, begin = g * size, n = std::min(size, cols - begin);
    const float *hessian = statistics.hessian.data() + begin * cols + begin;
    std::vector<float> difference(count * n);
    std::vector<double> errors(count);
    for (int step = 0; step < steps; ++step) {
      std::vector<float> limits(count);
      for (int64_t i = 0; i < count; ++i) {
        const float *w = weight.data() + (firstRow + i) * cols + begin;
        float largest = 0;
        for (int64_t j = 0; j < n; ++j)
          largest = std::max(largest, std::fabs(w[j]));
        limits[i] = static_cast<float>((1.0 - static_cast<double>(step) / grid) * largest);
        GroupGrid fitted = fitGroup(w, n, format, limits[i]);
        for (int64_t j = 0; j < n; ++j) {
          float limited = std::min(std::max(w[j], -limits[i]), limits[i]);
          int code = encodeValue(limited, fitted, format.maxCode());
          difference[i * n + j] = w[j] - decodeValue(code, fitted);
        }
      }
      quadraticForms(difference, count, n, hessian, cols, errors);
      for (int64_t i = 0; i < count; ++i) {
        int64_t at = (firstRow + i) * groups + g;
        if (step == 0)
          unclipped[at] = errors[i];
        if (step == 0 || errors[i] < least[at]) {
          least[at] = errors[i];
          clip.limits[at] = limits[i];
        }
      }
    }
  });
  for (int64_t i = 0; i < rows * groups; ++i) {
    clip.loss += least[i];
    clip.unclippedLoss += unclipped[i];
  }
  return clip;
}

} // namespace llmc
