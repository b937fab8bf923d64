// How well a model predicts a text, and how far it is from a baseline. All arithmetic is in double,
// from f32 logits. KL and same-top-1 follow the statistics of llama.cpp's perplexity tool; the
// uncertainty of the ratio comes from paired differences, which are far less noisy than either
// perplexity.
#ifndef LLMC_RUNTIME_PERPLEXITY_H
#define LLMC_RUNTIME_PERPLEXITY_H

#include "llmc/Runtime/Npy.h"
#include "llmc/Runtime/Session.h"

#include <optional>

namespace llmc {

/// Rows of ids, each a sequence of its own; the first id of a row is not scored.
struct Windows {
  std::vector<int32_t> ids;
  int64_t rows = 0;
  int64_t length = 0; ///< ids of a row, at least 2
};

/// [n] is cut into rows of `window` ids and the remainder dropped; of [rows, n] each row is taken
/// as it is. Throws Failure (BadInput), naming `path`, for another shape or type, ids outside the
/// vocabulary, or when nothing is to be scored.
Windows cutWindows(const Array &array, int64_t window, int64_t vocab, const std::string &path);

struct Comparison {
  double ratio = 0;         ///< exp(mean difference of nll)
  double ratioStderr = 0;   ///< ratio x standard error of the mean difference
  double klMean = 0;        ///< KL(baseline || model) in nats
  double klQuantile999 = 0; ///< 99.9 % quantile, linear between neighbours as numpy's
  double sameTop1 = 0;      ///< 0..1
};

struct PerplexityResult {
  int64_t tokens = 0; ///< scored ids
  double nll = 0;     ///< mean per scored id, in nats
  double ppl = 0;     ///< exp(nll)
  std::optional<Comparison> comparison;
};

/// Collects scored ids one by one.
class Score {
public:
  explicit Score(int64_t vocab) : vocab(vocab) {}
  /// `logits` is [vocab]; `baseline` too, or NULL (then for all). Returns false, and counts
  /// nothing, when a log-probability that enters the result is not finite.
  bool add(const float *logits, const float *baseline, int32_t target);
  PerplexityResult result() const;

private:
  int64_t vocab;
  std::vector<double> nll;
  std::vector<double> difference; ///< model minus baseline
  std::vector<double> divergence;
  int64_t sameTop1 = 0;
};

/// Runs every row through P_prefill_all from an empty state. `baseline` may be NULL; it must have
/// the same vocabulary.
PerplexityResult perplexity(Session &model, Session *baseline, const Windows &windows);

} // namespace llmc

#endif // LLMC_RUNTIME_PERPLEXITY_H
