// A model ready to be called: its arena, one cache, and the threads it borrows.
#ifndef LLMC_RUNTIME_SESSION_H
#define LLMC_RUNTIME_SESSION_H

#include "llmc/Runtime/Artifact.h"

#include <memory>

namespace llmc {

/// Threads for any number of sessions, used by one at a time. One thread means serial: get() is
/// NULL then.
class ThreadPool {
public:
  /// Throws Failure (Limit) when the system gives no threads.
  /// `exactly`: also more than there are processors, see llmcrt.h.
  explicit ThreadPool(int32_t count, bool exactly = false);
  const llmc_threads *get() const { return pool ? &threads : nullptr; }
  int32_t count() const { return pool ? threads.count : 1; }

private:
  struct Destroy {
    void operator()(llmcrt_pool *pool) const { llmcrt_pool_destroy(pool); }
  };
  llmc_threads threads = {};
  std::unique_ptr<llmcrt_pool, Destroy> pool;
};

/// Zeroed pages from the system, of which only the touched ones take memory.
class PageBuffer {
public:
  /// Throws Failure (Limit) that says how much was wanted and what for.
  PageBuffer(uint64_t bytes, const std::string &purpose);
  ~PageBuffer();
  PageBuffer(const PageBuffer &) = delete;
  PageBuffer &operator=(const PageBuffer &) = delete;
  void *data() const { return pages; }
  uint64_t bytes() const { return size; }

private:
  void *pages = nullptr;
  uint64_t size = 0;
};

/// All functions turn the result codes of the C ABI into Failure. Artifact and threads must outlive
/// the session.
class Session {
public:
  /// For role `step`, `context` is the number of positions that each of the sequences holds, at
  /// most the artifact's. For role `run` both are ignored. `weights` take the place of the
  /// artifact's own: as many bytes, laid out alike, at a multiple of 64; they must outlive the
  /// session.
  Session(const Artifact &artifact, const ThreadPool &threads, int64_t context,
          int64_t sequences = 1, const void *weights = nullptr);

  const ArtifactInfo &info() const { return artifact.info(); }
  const Artifact &source() const { return artifact; }
  uint64_t arenaBytes() const { return arena->bytes(); }
  /// Where observed values are found after a call.
  const void *arenaData() const { return arena->data(); }
  uint64_t cacheBytes() const { return cache ? cache->bytes() : 0; }

  /// Forgets the sequences.
  void reset();
  /// How many ids the next calls bring, which are one prompt in pieces.
  void announce(int64_t ids, int64_t sequence = 0);
  /// Appends n ids, at most a chunk; `logits` gets [vocab] of the last position, or with `all` [n,
  /// vocab].
  void prefill(const int32_t *ids, int64_t n, float *logits, bool all, int64_t sequence = 0);
  /// The same for a step over rows of floats, [n, width], whose output takes the place of logits.
  void prefillRows(const float *rows, int64_t n, float *output);
  /// Appends one id; `logits` gets [vocab].
  void decode(int32_t id, float *logits);
  /// Appends an id to each sequence in one step; `logits` gets [sequences, vocab].
  void decodeEach(const int32_t *ids, float *logits);
  /// P_run: tensors in the order of the JSON.
  void run(const std::vector<llmc_tensor> &inputs, std::vector<llmc_tensor> &outputs);

private:
  void check(int32_t code, const char *function) const;
  /// That the step takes ids, or else rows of floats.
  void requireInput(bool rows) const;
  /// What the first check that does not hold has to say.
  std::string failedCheck() const;

  const Artifact &artifact;
  std::unique_ptr<PageBuffer> arena;
  std::unique_ptr<PageBuffer> cache;
  llmc_model model = {};
  std::vector<llmc_state> states;
};

} // namespace llmc

#endif // LLMC_RUNTIME_SESSION_H
