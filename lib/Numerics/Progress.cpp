//===- Progress.cpp - one line that says how far a long step is ---------------------------===//
//
// The line ends where the cursor stays, so the next one, or a message, can take its place.
//
//===----------------------------------------------------------------------------------------===//
#include "llmc/Numerics/Progress.h"
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sys/ioctl.h>
#include <unistd.h>

namespace llmc {

static std::mutex &lineMutex() {
  static std::mutex mutex;
  return mutex;
}
static bool lineIsThere = false; // guarded by lineMutex

bool showsProgress() {
  static const bool shows = [] {
    const char *terminal = std::getenv("TERM");
    return isatty(STDERR_FILENO) && (!terminal || std::strcmp(terminal, "dumb") != 0);
  }();
  return shows;
}

static void writeAll(const std::string &bytes) {
  // What a terminal does not take is no loss.
  size_t written = std::fwrite(bytes.data(), 1, bytes.size(), stderr);
  (void)written;
  std::fflush(stderr);
}

static const char kErase[] = "\r\x1b[K";

void showProgressLine(const std::string &text) {
  if (!showsProgress())
    return;
  winsize size = {};
  size_t width = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col : 80;
  std::lock_guard<std::mutex> lock(lineMutex());
  writeAll(kErase + text.substr(0, width - 1));
  lineIsThere = true;
}

void clearProgressLine() {
  std::lock_guard<std::mutex> lock(lineMutex());
  if (lineIsThere)
    writeAll(kErase);
  lineIsThere = false;
}

std::string timeLeft(double share, double seconds) {
  if (!(share > 0) || share >= 1 || seconds < 1)
    return "";
  double left = seconds / share - seconds;
  if (!(left < 360000)) // 100 hours: too early to tell
    return "";
  auto whole = static_cast<int64_t>(std::llround(left));
  std::string text;
  if (whole >= 3600)
    text = std::to_string(whole / 3600) + " h " + std::to_string(whole / 60 % 60) + " min";
  else if (whole >= 60)
    text = std::to_string(whole / 60) + " min " + std::to_string(whole % 60) + " s";
  else
    text = std::to_string(std::max<int64_t>(whole, 1)) + " s";
  return "about " + text + " left";
}

static double secondsSince(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

Progress::Progress(std::string what, std::string unit, int64_t items, double work)
    : what(std::move(what)), unit(std::move(unit)), items(items), work(work),
      shown(showsProgress()), begin(Clock::now()), last(begin) {
  if (shown)
    add(0);
}

Progress::~Progress() {
  if (shown)
    clearProgressLine();
}

void Progress::add(int64_t more, double moreWork) {
  if (!shown)
    return;
  std::lock_guard<std::mutex> lock(mutex);
  done += more;
  workDone += moreWork;
  constexpr double kEvery = 0.1; // seconds between lines
  if (more && done < items && secondsSince(last) < kEvery)
    return;
  last = Clock::now();
  double share = work > 0    ? workDone / work
                 : items > 0 ? static_cast<double>(done) / static_cast<double>(items)
                             : 0;
  std::string text = what + ": " + std::to_string(done) + " of " + std::to_string(items) + " " +
                     unit + ", " + std::to_string(static_cast<int>(std::min(share, 1.0) * 100)) +
                     " %";
  std::string left = timeLeft(share, secondsSince(begin));
  showProgressLine(left.empty() ? text : text + ", " + left);
}

void ProgressText::show(const std::string &text) {
  if (!showsProgress())
    return;
  std::string words;
  for (char c : text)
    if (c < '0' || c > '9')
      words += c;
  double share = 0;
  long long done = 0, all = 0;
  size_t open = text.rfind('(');
  if (open != std::string::npos &&
      // NOLINTNEXTLINE(bugprone-unchecked-string-to-number-conversion): printed by us
      std::sscanf(text.c_str() + open, "(%lld of %lld", &done, &all) == 2 && all > 0)
    share = static_cast<double>(done) / static_cast<double>(all);
  if (words != step) {
    step = words;
    firstShare = share;
    begin = Clock::now();
  }
  // What was done before the first text took no time that we saw.
  double since = firstShare < 1 ? (share - firstShare) / (1 - firstShare) : 0;
  std::string left = timeLeft(since, secondsSince(begin));
  showProgressLine(left.empty() ? text : text + ", " + left);
}

} // namespace llmc
