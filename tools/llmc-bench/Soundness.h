//===- Soundness.h - whether a measurement can be trusted -------------------------------===//
//
// A figure from a busy machine, a changing clock or repetitions that differ widely says little.
//
#ifndef LLMC_TOOLS_BENCH_SOUNDNESS_H
#define LLMC_TOOLS_BENCH_SOUNDNESS_H

#include <string>
#include <vector>

namespace llmc::bench {

/// What other processes did since the watch began, and the clock at both ends.
class Watch {
public:
  Watch();
  /// Processors that other processes kept busy on average, 0 where the system does not tell.
  double othersBusy() const;
  double clockBefore() const { return clock; }

private:
  double wall, own, busy, clock;
};

/// Collects complaints; each kind is made once for each measurement.
class Soundness {
public:
  /// Beyond these a figure is not to be trusted.
  static constexpr double kOthersBusy = 0.1; ///< processors
  static constexpr double kSpread = 0.10;    ///< (largest - least) / median
  static constexpr double kClock = 0.03;     ///< relative change

  void checkOthers(const std::string &what, double busy);
  void checkSpread(const std::string &what, double spread);
  void checkClock(const std::string &what, double before, double after);
  /// One line each on stderr.
  void print() const;

private:
  std::vector<std::string> warnings;
};

} // namespace llmc::bench

#endif // LLMC_TOOLS_BENCH_SOUNDNESS_H
