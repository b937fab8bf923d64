// Greedy generation, and the logits of a prompt, over the C ABI.
#ifndef LLMC_RUNTIME_GENERATE_H
#define LLMC_RUNTIME_GENERATE_H

#include "llmc/Runtime/Npy.h"
#include "llmc/Runtime/Session.h"

#include <functional>
#include <optional>

namespace llmc {

/// Ids of a prompt, from "1,42,7" or "@file.npy" (i32 or i64 of shape [n] or [1, n]). Throws
/// Failure (BadInput), also when there is none.
std::vector<int64_t> readPrompt(const std::string &argument);

/// The same ids as the C ABI takes them; throws Failure (BadInput) that names position, id and
/// vocabulary.
std::vector<int32_t> checkedIds(const std::vector<int64_t> &ids, int64_t vocab,
                                const std::string &what);

/// Index of the largest of n values, the lowest of equals.
int64_t largestIndex(const float *values, int64_t n);

struct GenerateRequest {
  std::vector<int32_t> prompt; ///< at least one
  int64_t prefill = 0;         ///< the first so many go through prefill, the rest one by one
  int64_t newIds = 0;
  std::vector<int32_t> stopIds; ///< behind the first of these among the new ones, no more come
};

/// Ids that are fed to the model, if no stop id comes: the last generated one is not.
int64_t positionsOf(const GenerateRequest &request);

/// Ids of "2,3". Throws Failure (Usage) that names `option`.
std::vector<int64_t> readIds(const std::string &argument, const std::string &option);

/// `prefill` without a value: the whole prompt. It stops at the artifact's stop ids. Throws Failure
/// (BadInput) when an id is outside the vocabulary, `prefill` is longer than the prompt, or the
/// context does not hold all positions.
GenerateRequest makeRequest(const std::vector<int64_t> &prompt, int64_t newIds,
                            std::optional<int64_t> prefill, const ArtifactInfo &info);

struct GenerateResult {
  std::vector<int32_t> ids; ///< the new ones only, a stop id the last of them
  int64_t prefillIds = 0;
  int64_t decodedIds = 0;
  double prefillSeconds = 0;
  double decodeSeconds = 0;
};

/// Receives [rows, vocab], position after position.
using LogitsSink = std::function<void(const float *logits, int64_t rows)>;

/// Runs one sequence from the start. `sink` may be empty; otherwise it gets the logits of each
/// position that is fed, and prefill computes all of them.
GenerateResult generate(Session &session, const GenerateRequest &request, const LogitsSink &sink);

} // namespace llmc

#endif // LLMC_RUNTIME_GENERATE_H
