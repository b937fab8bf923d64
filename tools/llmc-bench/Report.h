//===- Report.h - measurements through Google Benchmark, as a table or JSON -------------===//
//
// A measurement is a function that is called once for each repetition and fills counters; Google
// Benchmark repeats it, and its reporters write.
//
#ifndef LLMC_TOOLS_BENCH_REPORT_H
#define LLMC_TOOLS_BENCH_REPORT_H

#include "BenchOptions.h"

#include <benchmark/benchmark.h>
#include <functional>

namespace llmc::bench {

/// Fills counters and returns the seconds of one unit of work.
using Measurement = std::function<double(benchmark::UserCounters &counters)>;

/// Registers `measure` under `name`; each repetition calls it once.
void addMeasurement(const BenchOptions &options, const std::string &name, Measurement measure);

/// A column of the table: the median of a counter times `scale`, where the counter is there.
struct Column {
  const char *counter;
  const char *heading;
  double scale = 1;
  int digits = 1;
  bool spread = false; ///< Followed by a column with the spread.
};

/// Runs everything that was added and prints a table with these columns, or JSON; warnings go to
/// stderr. Failures of a measurement are thrown once all is written.
void runMeasurements(const BenchOptions &options, const std::vector<Column> &columns);

} // namespace llmc::bench

#endif // LLMC_TOOLS_BENCH_REPORT_H
