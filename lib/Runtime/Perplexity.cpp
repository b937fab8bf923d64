// Perplexity, its ratio to a baseline's, and the Kullback-Leibler divergence from it.
#include "llmc/Runtime/Perplexity.h"

#include "llmc/Runtime/Failure.h"
#include "llmc/Runtime/Generate.h"

#include <algorithm>
#include <cmath>

using namespace llmc;

namespace {

/// Logits of one position as log-probabilities. The largest is taken out first, so that nothing
/// overflows, and again from each logit, so that nothing is lost beside it.
class LogProbabilities {
public:
  LogProbabilities(const float *logits, int64_t n)
      : logits(logits), largest(*std::max_element(logits, logits + n)) {
    double sum = 0;
    for (int64_t i = 0; i < n; ++i)
      sum += std::exp(logits[i] - largest);
    logSum = std::log(sum);
  }
  double operator[](int64_t i) const { return (logits[i] - largest) - logSum; }

private:
  const float *logits;
  double largest;
  double logSum;
};

double meanOf(const std::vector<double> &values) {
  double sum = 0;
  for (const double value : values)
    sum += value;
  return sum / static_cast<double>(values.size());
}

/// Standard error of the mean; 0 for a single value.
double standardError(const std::vector<double> &values, double mean) {
  if (values.size() < 2)
    return 0;
  double sum = 0;
  for (const double value : values)
    sum += (value - mean) * (value - mean);
  const double n = static_cast<double>(values.size());
  return std::sqrt(sum / (n - 1) / n);
}

/// Linear between neighbours.
double quantile(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  const double place = q * static_cast<double>(values.size() - 1);
  const size_t below = static_cast<size_t>(place);
  const size_t above = std::min(below + 1, values.size() - 1);
  return values[below] + (place - static_cast<double>(below)) * (values[above] - values[below]);
}

/// Logits [length, vocab] of one row of ids, from an empty state.
void allLogits(Session &session, const int32_t *ids, int64_t length, std::vector<float> &logits) {
  const int64_t vocab = session.info().vocab, chunk = session.info().chunk;
  session.reset();
  session.announce(length);
  for (int64_t at = 0; at < length; at += chunk)
    session.prefill(ids + at, std::min(chunk, length - at), logits.data() + at * vocab,
                    /*all=*/true);
}

} // namespace

Windows llmc::cutWindows(const Array &array, int64_t window, int64_t vocab,
                         const std::string &path) {
  if (array.shape.size() != 1 && array.shape.size() != 2)
    failInput(path + ": expected ids of shape [n] or [rows, n], found " + shapeText(array.shape));
  std::vector<int64_t> ids = integers(array, path);
  Windows windows;
  windows.length = array.shape.size() == 2 ? array.shape[1] : window;
  if (windows.length < 2)
    failInput(path + ": expected windows of at least 2 ids, found " +
              std::to_string(windows.length));
  windows.rows = static_cast<int64_t>(ids.size()) / windows.length;
  if (windows.rows == 0)
    failInput(path + ": expected at least one window of " + std::to_string(windows.length) +
              " ids, found " + std::to_string(ids.size()) + " ids");
  ids.resize(static_cast<size_t>(windows.rows * windows.length));
  windows.ids = checkedIds(ids, vocab, path);
  return windows;
}

bool Score::add(const float *logits, const float *baseline, int32_t target) {
  const LogProbabilities model(logits, vocab);
  const double loss = -model[target];
  if (!std::isfinite(loss))
    return false;
  if (!baseline) {
    nll.push_back(loss);
    return true;
  }
  const LogProbabilities expected(baseline, vocab);
  double kl = 0;
  for (int64_t i = 0; i < vocab; ++i) {
    const double logProbability = expected[i], probability = std::exp(logProbability);
    if (probability > 0)
      kl += probability * (logProbability - model[i]);
  }
  const double baselineLoss = -expected[target];
  if (!std::isfinite(baselineLoss) || !std::isfinite(kl))
    return false;
  nll.push_back(loss);
  difference.push_back(loss - baselineLoss);
  // Never below zero in exact arithmetic.
  divergence.push_back(std::max(kl, 0.0));
  sameTop1 += largestIndex(logits, vocab) == largestIndex(baseline, vocab);
  return true;
}

PerplexityResult Score::result() const {
  PerplexityResult result;
  result.tokens = static_cast<int64_t>(nll.size());
  if (nll.empty())
    return result;
  result.nll = meanOf(nll);
  result.ppl = std::exp(result.nll);
  if (difference.empty())
    return result;
  Comparison comparison;
  const double mean = meanOf(difference);
  comparison.ratio = std::exp(mean);
  comparison.ratioStderr = comparison.ratio * standardError(difference, mean);
  comparison.klMean = meanOf(divergence);
  comparison.klQuantile999 = quantile(divergence, 0.999);
  comparison.sameTop1 = static_cast<double>(sameTop1) / static_cast<double>(result.tokens);
  result.comparison = comparison;
  return result;
}

PerplexityResult llmc::perplexity(Session &model, Session *baseline, const Windows &windows) {
  const int64_t vocab = model.info().vocab;
  if (baseline && baseline->info().vocab != vocab)
    failInput(baseline->source().base() + ": has a vocabulary of " +
              std::to_string(baseline->info().vocab) + " ids, but " + model.source().base() +
              " has " + std::to_string(vocab));
  // The last id of a row is only predicted.
  const int64_t fed = windows.length - 1;
  std::vector<float> logits(static_cast<size_t>(fed * vocab));
  std::vector<float> reference(baseline ? logits.size() : 0);
  Score score(vocab);
  for (int64_t row = 0; row < windows.rows; ++row) {
    const int32_t *ids = windows.ids.data() + row * windows.length;
    allLogits(model, ids, fed, logits);
    if (baseline)
      allLogits(*baseline, ids, fed, reference);
    for (int64_t at = 0; at < fed; ++at) {
      const float *expected = baseline ? reference.data() + at * vocab : nullptr;
      if (!score.add(logits.data() + at * vocab, expected, ids[at + 1]))
        failInput(model.source().base() + ": logits that are not finite in window " +
                  std::to_string(row) + " at position " + std::to_string(at));
    }
  }
  return score.result();
}
