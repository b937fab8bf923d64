//===- Report.cpp - measurements through Google Benchmark, as a table or JSON -----------===//
//
// Each repetition is one iteration with a time of our own: calibration would repeat loads and
// prefills that are not measured.
//
#include "Report.h"

#include "MachineProbe.h"
#include "Soundness.h"

#include "llmc/Runtime/Failure.h"

#include <algorithm>
#include <cstdio>
#include <map>

using namespace llmc;
using namespace llmc::bench;

namespace {

/// The first exception of a measurement: Google Benchmark must not see one.
std::exception_ptr firstFailure;

std::vector<double> values(const std::vector<benchmark::BenchmarkReporter::Run> &runs,
                           const std::string &counter) {
  std::vector<double> result;
  for (const auto &run : runs) {
    const auto found = run.counters.find(counter);
    if (!run.error_occurred && found != run.counters.end())
      result.push_back(found->second.value);
  }
  std::sort(result.begin(), result.end());
  return result;
}

double medianOf(const std::vector<double> &sorted) {
  const size_t half = sorted.size() / 2;
  return sorted.size() % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

double spreadOf(const std::vector<double> &sorted) {
  const double median = medianOf(sorted);
  return median > 0 ? (sorted.back() - sorted.front()) / median : 0;
}

/// Prints rows as they come; without columns, only judges them.
class TableReporter : public benchmark::BenchmarkReporter {
public:
  TableReporter(std::vector<Column> columns, BenchmarkReporter *json)
      : columns(std::move(columns)), json(json) {}

  bool ReportContext(const Context &context) override {
    return json ? json->ReportContext(context) : true;
  }

  void ReportRuns(const std::vector<Run> &runs) override {
    if (json)
      json->ReportRuns(runs);
    std::vector<Run> repetitions;
    for (const Run &run : runs)
      if (run.run_type == Run::RT_Iteration && !run.error_occurred)
        repetitions.push_back(run);
    if (repetitions.empty())
      return;
    const std::string name = repetitions.front().run_name.function_name;
    judge(name, repetitions);
    if (!json)
      printRow(name, repetitions);
  }

  void Finalize() override {
    if (json)
      json->Finalize();
  }

  Soundness soundness;

private:
  void judge(const std::string &name, const std::vector<Run> &runs) {
    std::vector<double> rates;
    for (const Run &run : runs)
      rates.push_back(1 / run.real_accumulated_time);
    std::sort(rates.begin(), rates.end());
    soundness.checkSpread(name, spreadOf(rates));
    if (const auto others = values(runs, "others_busy"); !others.empty())
      soundness.checkOthers(name, others.back());
    if (const auto clock = values(runs, "clock_hz"); !clock.empty())
      soundness.checkClock(name, clock.back(), clock.front());
  }

  void printRow(const std::string &name, const std::vector<Run> &runs) {
    if (!headed) {
      std::printf("%-26s", "");
      for (const Column &column : columns)
        std::printf(" %12s%s", column.heading, column.spread ? "  spread" : "");
      std::printf("\n");
      headed = true;
    }
    std::printf("%-26s", name.c_str());
    for (const Column &column : columns) {
      const std::vector<double> found = values(runs, column.counter);
      if (found.empty())
        std::printf(" %12s%s", "-", column.spread ? "        " : "");
      else
        std::printf(" %12.*f", column.digits, medianOf(found) * column.scale);
      if (!found.empty() && column.spread)
        std::printf(" %5.1f %%", 100 * spreadOf(found));
    }
    std::printf("\n");
    std::fflush(stdout);
  }

  std::vector<Column> columns;
  BenchmarkReporter *json;
  bool headed = false;
};

} // namespace

void llmc::bench::addMeasurement(const BenchOptions &options, const std::string &name,
                                 Measurement measure) {
  const auto body = [measure = std::move(measure)](benchmark::State &state) {
    for (auto _ : state) {
      if (firstFailure) {
        state.SkipWithError("not run");
        break;
      }
      try {
        const Watch watch;
        state.SetIterationTime(measure(state.counters));
        state.counters["others_busy"] = watch.othersBusy();
        state.counters["clock_hz"] = std::min(watch.clockBefore(), clockRate());
      } catch (const std::exception &error) {
        firstFailure = std::current_exception();
        state.SkipWithError(error.what());
        break;
      }
    }
  };
  benchmark::RegisterBenchmark(name.c_str(), body)
      ->Iterations(1)
      ->Repetitions(static_cast<int>(options.repetitions))
      ->UseManualTime()
      ->Unit(benchmark::kSecond);
}

void llmc::bench::runMeasurements(const BenchOptions &options, const std::vector<Column> &columns) {
  benchmark::JSONReporter json;
  TableReporter reporter(columns, options.json ? &json : nullptr);
  benchmark::RunSpecifiedBenchmarks(&reporter);
  reporter.soundness.print();
  if (firstFailure)
    std::rethrow_exception(firstFailure);
}
