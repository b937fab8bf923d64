// Asks the model how much memory it wants, reserves that, and calls it.
#include "llmc/Runtime/Session.h"

#include "llmc/Runtime/Failure.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <sys/mman.h>

using namespace llmc;

ThreadPool::ThreadPool(int32_t count, bool exactly) {
  if (count == 1)
    return;
  pool.reset((exactly ? llmcrt_pool_create_exactly : llmcrt_pool_create)(count, &threads));
  if (!pool)
    failLimit("cannot start " + std::to_string(count) + " threads");
}

PageBuffer::PageBuffer(uint64_t bytes, const std::string &purpose) : size(bytes) {
  // The model wants a valid address even where it needs nothing.
  const size_t wanted = bytes ? bytes : 1;
  pages = mmap(nullptr, wanted, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
               -1, 0);
  if (pages == MAP_FAILED)
    failLimit("cannot reserve " + std::to_string(bytes) + " bytes for " + purpose + ": " +
              std::strerror(errno));
}

PageBuffer::~PageBuffer() { munmap(pages, size ? size : 1); }

void Session::check(int32_t code, const char *function) const {
  const std::string what = artifact.base() + ": " + info().prefix + "_" + function;
  switch (code) {
  case LLMC_OK:
    return;
  case LLMC_BAD_TOKEN:
    failInput(what + ": a token id outside the vocabulary");
  case LLMC_CONTEXT_FULL:
    failInput(what + ": more ids than the context holds");
  case LLMC_UNSUPPORTED:
    failInput(what + ": not supported by this artifact");
  case LLMC_CHECK_FAILED:
    failInput(what + ": " + failedCheck());
  case LLMC_BAD_CPU:
    failInput(what + ": this machine lacks what the code was compiled for");
  case LLMC_BAD_ARGUMENT:
    failInput(what + ": refused its arguments (sizes over what was compiled?)");
  default:
    failInternal(what + ": unknown result code " + std::to_string(code));
  }
}

std::string Session::failedCheck() const {
  for (const CheckInfo &check : info().checks) {
    // The JSON is not trusted to know the arena.
    struct {
      int32_t place;
      float actual, expected;
    } found;
    if (arenaBytes() < sizeof(found) || uint64_t(check.offset) > arenaBytes() - sizeof(found))
      failInput(artifact.base() + ".json: a check lies outside the arena");
    std::memcpy(&found, static_cast<const char *>(arenaData()) + check.offset, sizeof(found));
    if (found.place <= 0)
      continue;
    char text[160];
    std::snprintf(text, sizeof(text),
                  " does not hold: row %lld, column %lld: expected %.9g, found %.9g",
                  static_cast<long long>((found.place - 1) / check.width),
                  static_cast<long long>((found.place - 1) % check.width),
                  static_cast<double>(found.expected), static_cast<double>(found.actual));
    return (check.source.empty() ? "" : check.source + ": ") + check.kind +
           (check.expected.empty() ? "" : " of '" + check.expected + "'") + text;
  }
  return "a check in the model does not hold";
}

/// Caches of several sequences lie behind each other, each on pages of its own.
static constexpr uint64_t kCacheAlignment = 4096;

Session::Session(const Artifact &artifact, const ThreadPool &threads, int64_t context,
                 int64_t sequences, const void *weights)
    : artifact(artifact) {
  const ArtifactInfo &about = artifact.info();
  const ModelFunctions &call = artifact.functions();
  uint64_t arenaBytes = 0, cacheBytes = 0;
  check(call.sizes(about.isStep ? context : 0, about.isStep ? about.chunk : about.maxTokens,
                   threads.count(), &arenaBytes, &cacheBytes),
        "sizes");
  arena = std::make_unique<PageBuffer>(arenaBytes, "the arena of " + artifact.base());
  if (!weights)
    weights = artifact.weights();
  check(call.init(&model, arena->data(), weights, threads.get()), "init");
  if (!about.isStep)
    return;
  const auto count = static_cast<uint64_t>(sequences);
  const uint64_t step = count > 1 ? kCacheAlignment : 1;
  const uint64_t each = (cacheBytes + step - 1) / step * step;
  if (each > UINT64_MAX / count)
    failLimit(std::to_string(sequences) + " caches of " + artifact.base() + " are too large");
  cache = std::make_unique<PageBuffer>(each * count, "the cache of " + artifact.base());
  states.resize(count);
  for (uint64_t i = 0; i < count; ++i) {
    check(call.stateInit(&states[i], static_cast<char *>(cache->data()) + i * each), "state_init");
    states[i].context = context;
  }
}

void Session::reset() {
  for (llmc_state &state : states)
    state.length = state.announced = 0;
}

void Session::announce(int64_t ids, int64_t sequence) {
  llmc_state &state = states[static_cast<size_t>(sequence)];
  state.announced = state.length + ids;
}

void Session::requireInput(bool rows) const {
  if (info().takesRows() != rows)
    failInput(artifact.base() +
              (rows ? ": takes ids, not rows of floats" : ": takes rows of floats, not ids"));
}

void Session::prefillRows(const float *rows, int64_t n, float *output) {
  requireInput(/*rows=*/true);
  // In C the argument has the type that the header of the artifact says.
  check(artifact.functions().prefillAll(&model, &states.front(),
                                        reinterpret_cast<const int32_t *>(rows), n, output),
        "prefill_all");
}

void Session::prefill(const int32_t *ids, int64_t n, float *logits, bool all, int64_t sequence) {
  requireInput(/*rows=*/false);
  const auto function = all ? artifact.functions().prefillAll : artifact.functions().prefill;
  check(function(&model, &states[static_cast<size_t>(sequence)], ids, n, logits),
        all ? "prefill_all" : "prefill");
}

void Session::decode(int32_t id, float *logits) {
  requireInput(/*rows=*/false);
  llmc_state *one[] = {&states.front()};
  check(artifact.functions().decode(&model, one, &id, 1, logits), "decode");
}

void Session::decodeEach(const int32_t *ids, float *logits) {
  requireInput(/*rows=*/false);
  std::vector<llmc_state *> all;
  for (llmc_state &state : states)
    all.push_back(&state);
  check(artifact.functions().decode(&model, all.data(), ids, static_cast<int64_t>(all.size()),
                                    logits),
        "decode");
}

void Session::run(const std::vector<llmc_tensor> &inputs, std::vector<llmc_tensor> &outputs) {
  check(artifact.functions().run(&model, inputs.data(), outputs.data()), "run");
}
