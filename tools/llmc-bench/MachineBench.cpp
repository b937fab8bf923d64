//===- MachineBench.cpp - llmc-bench machine --------------------------------------------===//
//
// The limits of MachineProbe.h, one row for each number of threads.
//
#include "Commands.h"
#include "MachineLoops.h"
#include "MachineProbe.h"
#include "Report.h"

#include <functional>
#include <memory>

using namespace llmc;
using namespace llmc::bench;

namespace {

using Pool = std::shared_ptr<ThreadPool>;

void addPeak(const BenchOptions &options, const std::string &name, const Pool &pool, Peak peak) {
  addMeasurement(options, name, [=](benchmark::UserCounters &counters) {
    const double rate = peakRate(*pool, peak, options.minTime);
    counters["operations_per_s"] = rate;
    return 1e9 / rate;
  });
}

void addRead(const BenchOptions &options, const std::string &name,
             std::function<double(const ReadBuffer &)> measure) {
  addMeasurement(options, name, [=](benchmark::UserCounters &counters) {
    const ReadBuffer buffer(options.readBytes);
    const double rate = measure(buffer);
    counters["bytes_per_s"] = rate;
    return static_cast<double>(buffer.bytes()) / rate;
  });
}

void addSeconds(const BenchOptions &options, const std::string &name, const Pool &pool,
                double (*measure)(const ThreadPool &, double)) {
  addMeasurement(options, name, [=](benchmark::UserCounters &counters) {
    const double seconds = measure(*pool, options.minTime);
    counters["seconds"] = seconds;
    return seconds;
  });
}

} // namespace

void llmc::bench::benchMachine(const BenchOptions &options) {
  benchmark::AddCustomContext("llmc_instruction_set", machineLoops().name);
  if (!options.json)
    std::printf("instruction set %s\n", machineLoops().name);
  addMeasurement(options, "machine/clock", [](benchmark::UserCounters &counters) {
    const double rate = clockRate();
    counters["hertz"] = rate;
    return 1 / rate;
  });
  for (const int32_t count : options.threads) {
    const auto pool = std::make_shared<ThreadPool>(count, /*exactly=*/true);
    const std::string suffix = "/threads:" + std::to_string(count);
    addRead(options, "machine/read" + suffix, [=](const ReadBuffer &buffer) {
      return readBandwidth(*pool, buffer, options.minTime);
    });
    addRead(options, "machine/stream" + suffix, [=](const ReadBuffer &buffer) {
      return streamBandwidth(*pool, buffer, options.minTime, 1);
    });
    if (machineLoops().fma)
      addPeak(options, "machine/fma" + suffix, pool, Peak::Fma);
    if (machineLoops().dot) {
      addPeak(options, "machine/dot" + suffix, pool, Peak::Dot);
      addPeak(options, "machine/dot4" + suffix, pool, Peak::NarrowDot);
    }
    if (count > 1) {
      addSeconds(options, "machine/barrier" + suffix, pool, barrierSeconds);
      addSeconds(options, "machine/stage" + suffix, pool, dispatchSeconds);
    }
  }
  runMeasurements(options, {{"bytes_per_s", "GB/s", 1e-9, 1, true},
                            {"operations_per_s", "GOPS", 1e-9, 0, true},
                            {"seconds", "ns", 1e9, 0, true},
                            {"hertz", "GHz", 1e-9, 2, true}});
}
