// Prefill in pieces of a chunk, then one id at a time, always the likeliest.
#include "llmc/Runtime/Generate.h"

#include "llmc/Runtime/Failure.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <limits>

using namespace llmc;

namespace {

class Stopwatch {
public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  }

private:
  std::chrono::steady_clock::time_point begin = std::chrono::steady_clock::now();
};

} // namespace

std::vector<int64_t> llmc::readPrompt(const std::string &argument) {
  if (!argument.empty() && argument[0] == '@') {
    const std::string path = argument.substr(1);
    const Array array = readNpy(path);
    const bool isRow = array.shape.size() == 1 || (array.shape.size() == 2 && array.shape[0] == 1);
    if (!isRow)
      failInput(path + ": expected ids of shape [n] or [1, n], found " + shapeText(array.shape));
    if (array.count() == 0)
      failInput(path + ": expected at least one id");
    return integers(array, path);
  }
  return readIds(argument, "--prompt-ids");
}

std::vector<int64_t> llmc::readIds(const std::string &argument, const std::string &option) {
  std::vector<int64_t> ids;
  const char *at = argument.data(), *end = at + argument.size();
  while (true) {
    int64_t id = 0;
    const auto [next, error] = std::from_chars(at, end, id);
    if (error != std::errc() || (next != end && *next != ','))
      failUsage(
          std::string(option).append(": expected whole numbers with commas between, found '") +
          argument + "'");
    ids.push_back(id);
    if (next == end)
      return ids;
    at = next + 1;
  }
}

std::vector<int32_t> llmc::checkedIds(const std::vector<int64_t> &ids, int64_t vocab,
                                      const std::string &what) {
  std::vector<int32_t> result(ids.size());
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] < 0 || ids[i] >= vocab)
      failInput(what + ": id " + std::to_string(ids[i]) + " at position " + std::to_string(i) +
                " is outside the vocabulary of " + std::to_string(vocab) + " ids");
    result[i] = static_cast<int32_t>(ids[i]);
  }
  return result;
}

GenerateRequest llmc::makeRequest(const std::vector<int64_t> &prompt, int64_t newIds,
                                  std::optional<int64_t> prefill, const ArtifactInfo &info) {
  GenerateRequest request;
  request.prompt = checkedIds(prompt, info.idLimit, "--prompt-ids");
  request.newIds = newIds;
  request.stopIds = info.stopIds;
  const int64_t length = static_cast<int64_t>(prompt.size());
  request.prefill = prefill.value_or(length);
  if (request.prefill > length)
    failInput("--prefill: expected at most the " + std::to_string(length) +
              " ids of the prompt, found " + std::to_string(request.prefill));
  const int64_t positions = positionsOf(request);
  if (positions > info.context)
    failInput("the prompt of " + std::to_string(length) + " ids and " + std::to_string(newIds) +
              " new ones need " + std::to_string(positions) + " positions, but the context has " +
              std::to_string(info.context) + " (llmc-compile --context=)");
  return request;
}

// A vocabulary is looked through for every id, so whole blocks go by lanes; the place is looked for
// in one block only.
int64_t llmc::largestIndex(const float *values, int64_t n) {
  constexpr int64_t lanes = 16, block = 256;
  const float lowest = -std::numeric_limits<float>::infinity();
  float best = lowest;
  int64_t at = 0;
  for (int64_t start = 0; start < n; start += block) {
    const int64_t end = std::min(start + block, n);
    float peaks[lanes];
    std::fill_n(peaks, lanes, lowest);
    int64_t i = start;
    for (; i + lanes <= end; i += lanes)
      for (int64_t j = 0; j < lanes; ++j)
        peaks[j] = values[i + j] > peaks[j] ? values[i + j] : peaks[j];
    for (; i < end; ++i)
      peaks[0] = values[i] > peaks[0] ? values[i] : peaks[0];
    const float peak = *std::max_element(peaks, peaks + lanes);
    if (peak > best) {
      best = peak;
      at = std::find(values + start, values + end, peak) - values;
    }
  }
  return at;
}

int64_t llmc::positionsOf(const GenerateRequest &request) {
  return static_cast<int64_t>(request.prompt.size()) + std::max<int64_t>(request.newIds - 1, 0);
}

GenerateResult llmc::generate(Session &session, const GenerateRequest &request,
                              const LogitsSink &sink) {
  const int64_t vocab = session.info().vocab, chunk = session.info().chunk;
  const int64_t prompt = static_cast<int64_t>(request.prompt.size());
  const int64_t piece = std::min(chunk, std::max<int64_t>(request.prefill, 1));
  std::vector<float> logits(static_cast<size_t>(sink ? piece * vocab : vocab));
  const float *last = logits.data();
  session.reset();
  session.announce(request.prefill);

  GenerateResult result;
  const Stopwatch prefillTime;
  for (int64_t at = 0; at < request.prefill; at += chunk) {
    const int64_t n = std::min(chunk, request.prefill - at);
    session.prefill(request.prompt.data() + at, n, logits.data(), /*all=*/bool(sink));
    if (sink)
      sink(logits.data(), n);
    last = sink ? logits.data() + (n - 1) * vocab : logits.data();
  }
  result.prefillIds = request.prefill;
  result.prefillSeconds = prefillTime.seconds();

  const Stopwatch decodeTime;
  const auto step = [&](int32_t id) {
    session.decode(id, logits.data());
    last = logits.data();
    ++result.decodedIds;
    if (sink)
      sink(logits.data(), 1);
  };
  for (int64_t at = request.prefill; at < prompt; ++at)
    step(request.prompt[static_cast<size_t>(at)]);
  result.ids.reserve(static_cast<size_t>(request.newIds));
  for (int64_t i = 0; i < request.newIds; ++i) {
    if (i) {
      const auto &stop = request.stopIds;
      if (std::find(stop.begin(), stop.end(), result.ids.back()) != stop.end())
        break;
      step(result.ids.back());
    }
    const int64_t best = largestIndex(last, vocab);
    if (!std::isfinite(last[best]))
      failInput(session.source().base() + ": logits that are not finite at position " +
                std::to_string(prompt + i - 1));
    result.ids.push_back(static_cast<int32_t>(best));
  }
  result.decodeSeconds = decodeTime.seconds();
  return result;
}
