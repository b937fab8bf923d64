//===- KernelBench.cpp - llmc-bench kernels ---------------------------------------------===//
//
// Linears alone, format by format, beside the limits of the machine around each repetition.
//
#include "Commands.h"
#include "GraphRunner.h"
#include "KernelModel.h"
#include "ModelWork.h"
#include "Report.h"

#include "llmc/Runtime/Failure.h"

#include <algorithm>
#include <map>
#include <memory>

using namespace llmc;
using namespace llmc::bench;

namespace {

constexpr int64_t kFewRows = 8; ///< Up to here time goes into reading weights.

/// A chain that is compiled when its first measurement runs; what was compiled for the one before
/// is let go, so that memory holds one at a time.
class KernelCache {
public:
  const CompiledKernel &get(const KernelOptions &options) {
    const std::string key =
        options.format + "/" + options.shape.name + "/" + std::to_string(options.leastBytes);
    if (key != current) {
      kernel = {};
      kernel = compileKernel(options);
      current = key;
    }
    return kernel;
  }

private:
  std::string current;
  CompiledKernel kernel;
};

double measure(const BenchOptions &options, const KernelOptions &kernel, int64_t rows,
               const ThreadPool &threads, KernelCache &cache, benchmark::UserCounters &counters) {
  const CompiledKernel &compiled = cache.get(kernel);
  const ModelWork &work = compiled.work;
  const double probe = std::min(kProbeSeconds, options.minTime);
  const Limits before = Limits::measure(threads, options.readBytes, probe);
  GraphRunner runner(*compiled.artifact, threads, rows);
  static_cast<void>(runner.run());
  const double seconds = bestTime(options.minTime, [&] { return runner.run(); });
  const Limits after = Limits::measure(threads, options.readBytes, probe);
  const Limits limits = Limits::between(before, after);
  // All of a plain graph's linears are in front of its result, the last one among them.
  const Products products = work.body.plus(work.logits).times(static_cast<double>(rows));
  counters["weight_bytes"] = work.weightBytes;
  counters["bits_per_weight"] =
      8 * work.weightBytes * static_cast<double>(rows) / (products.operations() / 2);
  counters["bytes_per_s"] = work.weightBytes / seconds;
  counters["operations_per_s"] = products.operations() / seconds;
  counters["share_of_read"] = work.weightBytes / seconds / limits.bytesPerSecond;
  if (const double ideal = products.seconds(limits))
    counters["share_of_peak"] = ideal / seconds;
  return seconds;
}

} // namespace

void llmc::bench::benchKernels(const BenchOptions &options) {
  const auto cache = std::make_shared<KernelCache>();
  const uint64_t readSize = options.readBytes ? options.readBytes : defaultReadBytes();
  std::map<int32_t, std::shared_ptr<ThreadPool>> pools;
  for (const int32_t count : options.threads)
    pools[count] = std::make_shared<ThreadPool>(count);
  for (const std::string &format : options.formats) {
    static_cast<void>(formatPipeline(format)); // An unknown one fails before anything runs.
    for (const KernelShape &shape : options.shapes) {
      KernelOptions kernel;
      kernel.format = format;
      kernel.shape = shape;
      kernel.cpu = options.cpu;
      kernel.rows = *std::max_element(options.rows.begin(), options.rows.end());
      for (const int64_t rows : options.rows) {
        // Many rows read each weight once for all of them: one pair is enough.
        const uint64_t bytes = rows <= kFewRows ? readSize / 2 : 1;
        kernel.leastBytes = options.weightBytes ? options.weightBytes : bytes;
        for (const int32_t count : options.threads) {
          const std::shared_ptr<ThreadPool> pool = pools[count];
          addMeasurement(options,
                         format + "/" + shape.name + "/rows:" + std::to_string(rows) +
                             "/threads:" + std::to_string(count),
                         [=](benchmark::UserCounters &counters) {
                           return measure(options, kernel, rows, *pool, *cache, counters);
                         });
        }
      }
    }
  }
  runMeasurements(options, {{"operations_per_s", "GOPS", 1e-9, 1, true},
                            {"share_of_peak", "% of peak", 100, 1},
                            {"bytes_per_s", "GB/s", 1e-9, 1},
                            {"share_of_read", "% of read", 100, 1},
                            {"bits_per_weight", "bits/weight", 1, 3}});
}
