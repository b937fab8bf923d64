//===- ModelBench.cpp - llmc-bench model ------------------------------------------------===//
//
// Prefill and decode of an artifact over the C ABI, beside the limits of the machine around each
// repetition.
//
#include "Commands.h"
#include "GraphRunner.h"
#include "ModelWork.h"
#include "Report.h"

#include "llmc/Runtime/Failure.h"
#include "llmc/Runtime/ProcessMemory.h"

#include <memory>

using namespace llmc;
using namespace llmc::bench;

namespace {

/// The same ids each time, none of them twice in a row.
std::vector<int32_t> makeIds(int64_t count, int64_t vocab) {
  std::vector<int32_t> ids(static_cast<size_t>(count));
  uint64_t state = 1;
  for (int32_t &id : ids) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    id = static_cast<int32_t>((state >> 33) % static_cast<uint64_t>(vocab));
  }
  return ids;
}

class ModelRunner {
public:
  ModelRunner(const Artifact &artifact, const ThreadPool &threads, int64_t positions,
              int64_t sequences)
      : session(artifact, threads, positions, sequences), sequences(sequences),
        ids(makeIds(positions + sequences, artifact.info().vocab)),
        logits(static_cast<size_t>(artifact.info().vocab * sequences)) {}

  /// Seconds of one test. Sequences are fed shifted ids.
  double run(const ModelTest &test) {
    session.reset();
    if (test.kind == ModelTest::Kind::Prefill)
      return prefill(test.count);
    for (int64_t s = 0; s < (test.depth ? sequences : 0); ++s)
      prefill(test.depth, s);
    const double begin = now();
    for (int64_t i = 0; i < test.count; ++i)
      session.decodeEach(ids.data() + test.depth + i, logits.data());
    return now() - begin;
  }

private:
  double prefill(int64_t count, int64_t sequence = 0) {
    const double begin = now();
    session.announce(count, sequence);
    for (int64_t at = 0, chunk = session.info().chunk; at < count; at += chunk)
      session.prefill(ids.data() + at, std::min(chunk, count - at), logits.data(), /*all=*/false,
                      sequence);
    return now() - begin;
  }

  Session session;
  int64_t sequences;
  std::vector<int32_t> ids;
  std::vector<float> logits;
};

/// What the measurements of one number of threads share; the artifact is mapped once for all, or
/// its pages would count several times as resident.
struct Setup {
  Setup(std::shared_ptr<const Artifact> opened, int32_t count)
      : shared(std::move(opened)), artifact(*shared), threads(count),
        work(readModelWork(artifact)) {}
  std::shared_ptr<const Artifact> shared;
  const Artifact &artifact;
  ThreadPool threads;
  ModelWork work;
};

int64_t positionsOf(const ModelTest &test) { return test.depth + test.count; }

/// Products of the whole test: prefill computes the logits of each chunk's last position, a graph
/// without cache all of them.
Products productsOf(const ModelTest &test, const ModelWork &work, int64_t chunk) {
  const double count = static_cast<double>(test.count * test.sequences);
  const bool prefill = test.kind == ModelTest::Kind::Prefill;
  double logits = count;
  if (prefill) { // Those of the last row of each chunk.
    const int64_t chunks = (test.count + chunk - 1) / chunk;
    logits = static_cast<double>(chunks);
  }
  return work.body.times(count).plus(work.logits.times(logits));
}

void fillCounters(benchmark::UserCounters &counters, const ModelTest &test, const Setup &setup,
                  const Limits &limits, double seconds) {
  const double count = static_cast<double>(test.count),
               sequences = static_cast<double>(test.sequences);
  counters["tokens_per_s"] = count * sequences / seconds;
  counters["read_limit_bytes_per_s"] = limits.bytesPerSecond;
  // Weights that are linked into the code have no file that says what is read.
  if (test.kind == ModelTest::Kind::Decode && setup.work.weightBytes > 0) {
    // Each cache grows by one position in a step, which reads the weights once for all.
    const double positions = (static_cast<double>(test.depth) + count / 2) * sequences;
    const double bytes = setup.work.bytesPerToken(positions);
    counters["bytes_per_token"] = bytes / sequences;
    counters["bytes_per_s"] = bytes * count / seconds;
    counters["share_of_read"] = bytes * count / seconds / limits.bytesPerSecond;
  }
  const Products products = productsOf(test, setup.work, setup.artifact.info().chunk);
  if (products.operations() == 0)
    return;
  counters["operations_per_s"] = products.operations() / seconds;
  if (const double ideal = products.seconds(limits))
    counters["share_of_peak"] = ideal / seconds;
}

/// The fastest run within `limit` seconds, as with the limits: what disturbs only ever slows down.
/// The very first touches the memory and does not count.
double fastestRun(const Setup &setup, const ModelTest &test, double limit) {
  if (test.kind == ModelTest::Kind::Run) {
    GraphRunner runner(setup.artifact, setup.threads, test.count);
    static_cast<void>(runner.run());
    return bestTime(limit, [&] { return runner.run(); });
  }
  ModelRunner runner(setup.artifact, setup.threads, positionsOf(test), test.sequences);
  static_cast<void>(runner.run(test));
  return bestTime(limit, [&] { return runner.run(test); });
}

/// Why the artifact cannot run a test, or nothing.
std::string unfit(const Artifact &artifact, const ModelTest &test) {
  const ArtifactInfo &info = artifact.info();
  const bool isRun = test.kind == ModelTest::Kind::Run;
  if (info.isStep == isRun)
    return test.name + ": " + artifact.base() +
           (isRun ? " has a cache (role 'step')" : " has no cache (role 'run')");
  const int64_t most = isRun ? info.maxTokens : info.context;
  if (positionsOf(test) <= most)
    return "";
  return test.name + " needs " + std::to_string(positionsOf(test)) +
         " positions, but the context of " + artifact.base() + " has " + std::to_string(most);
}

void addTest(const BenchOptions &options, const std::shared_ptr<Setup> &setup,
             const ModelTest &test, int64_t ownResident) {
  const std::string name =
      "model/" + test.name + "/threads:" + std::to_string(setup->threads.count());
  addMeasurement(options, name, [=](benchmark::UserCounters &counters) {
    const double probe = std::min(kProbeSeconds, options.minTime);
    const Limits before = Limits::measure(setup->threads, options.readBytes, probe);
    resetPeakResident();
    const double seconds = fastestRun(*setup, test, options.minTime);
    counters["peak_resident_bytes"] = static_cast<double>(peakResident() - ownResident);
    const Limits after = Limits::measure(setup->threads, options.readBytes, probe);
    fillCounters(counters, test, *setup, Limits::between(before, after), seconds);
    return seconds;
  });
}

void addLoad(const BenchOptions &options, int32_t count) {
  addMeasurement(options, "model/load/threads:" + std::to_string(count),
                 [=](benchmark::UserCounters &counters) {
                   const double begin = now();
                   const Artifact artifact(options.base);
                   const ThreadPool threads(count);
                   if (!artifact.info().isStep) {
                     GraphRunner(artifact, threads, 1).run();
                     const double seconds = now() - begin;
                     counters["load_seconds"] = seconds;
                     return seconds;
                   }
                   Session session(artifact, threads, artifact.info().context);
                   std::vector<float> logits(static_cast<size_t>(artifact.info().vocab));
                   const int32_t id = 0;
                   session.prefill(&id, 1, logits.data(), /*all=*/false);
                   const double seconds = now() - begin;
                   counters["load_seconds"] = seconds;
                   return seconds;
                 });
}

} // namespace

void llmc::bench::benchModel(const BenchOptions &options) {
  // This tool, with the compiler in it, is not what a model costs.
  const int64_t ownResident = currentResident();
  const auto artifact = std::make_shared<Artifact>(options.base);
  artifact->waitForWeights();
  for (const int32_t count : options.threads) {
    const auto setup = std::make_shared<Setup>(artifact, count);
    for (const ModelTest &test : options.tests) {
      if (test.kind == ModelTest::Kind::Load) {
        addLoad(options, count);
        continue;
      }
      const std::string why = unfit(setup->artifact, test);
      if (why.empty()) {
        addTest(options, setup, test, ownResident);
        continue;
      }
      if (options.testsGiven)
        failInput(why + " (llmc-compile --context=, --max-tokens=)");
      // Of the default tests half are always for the other role.
      const bool sameRole = setup->artifact.info().isStep == (test.kind != ModelTest::Kind::Run);
      if (sameRole && count == options.threads.front())
        std::fprintf(stderr, "llmc-bench: note: %s: left out\n", why.c_str());
    }
  }
  runMeasurements(options, {{"tokens_per_s", "tokens/s", 1, 1, true},
                            {"bytes_per_token", "MB/token", 1e-6, 2},
                            {"bytes_per_s", "GB/s", 1e-9, 1},
                            {"share_of_read", "% of read", 100, 1},
                            {"operations_per_s", "GOPS", 1e-9, 1},
                            {"share_of_peak", "% of peak", 100, 1},
                            {"peak_resident_bytes", "model MB", 1e-6, 1},
                            {"load_seconds", "load ms", 1e3, 1}});
}
