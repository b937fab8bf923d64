//===- Progress.h - one line that says how far a long step is -----------------------------===//
//
// On a terminal only: where standard error goes to a file or a pipe nothing is written. Whoever
// prints something else on standard error calls clearProgressLine() first.
//
//===----------------------------------------------------------------------------------------===//
#ifndef LLMC_NUMERICS_PROGRESS_H
#define LLMC_NUMERICS_PROGRESS_H

#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>

namespace llmc {

/// Whether there is a terminal to show progress on.
bool showsProgress();
/// Replaces the line. Lines that are wider than the terminal are cut.
void showProgressLine(const std::string &text);
/// Removes the line, if there is one.
void clearProgressLine();

/// "about 2 min 10 s left" from the share done, 0 to 1, in so many seconds; empty as long as that
/// says little.
std::string timeLeft(double share, double seconds);

/// Counts items that are done, from any thread, and shows "awq-quantize: 12 of 96 layers, 11 %,
/// about 40 s left". The line is gone with the counter.
class Progress {
public:
  /// `work` is the sum of what add() will be told, where items do not cost the same.
  Progress(std::string what, std::string unit, int64_t items, double work = 0);
  ~Progress();
  Progress(const Progress &) = delete;
  Progress &operator=(const Progress &) = delete;

  void add(int64_t items, double work = 0);

private:
  using Clock = std::chrono::steady_clock;
  std::string what, unit;
  int64_t items, done = 0;
  double work, workDone = 0;
  bool shown;
  Clock::time_point begin, last;
  std::mutex mutex;
};

/// The same for texts that come from elsewhere: a text with "(12 of 96)" gets the time that is
/// left, counted from the first text that differs from it in numbers only.
class ProgressText {
public:
  void show(const std::string &text);

private:
  using Clock = std::chrono::steady_clock;
  std::string step;
  double firstShare = 0;
  Clock::time_point begin;
};

} // namespace llmc

#endif // LLMC_NUMERICS_PROGRESS_H
