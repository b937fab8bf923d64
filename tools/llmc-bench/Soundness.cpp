//===- Soundness.cpp - whether a measurement can be trusted -----------------------------===//
//
// Time of other processes: that of all processors in /proc/stat, less our own.
//
#include "Soundness.h"

#include "MachineProbe.h"

#include <cmath>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <unistd.h>

using namespace llmc::bench;

namespace {

double ownSeconds() {
  timespec time = {};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

/// Seconds that all processors together were busy since boot: user nice system, not idle iowait,
/// irq softirq steal.
double busySeconds() {
  std::ifstream file("/proc/stat");
  std::string word;
  double fields[8] = {};
  if (!(file >> word))
    return 0;
  for (double &field : fields)
    if (!(file >> field))
      return 0;
  const double ticks = fields[0] + fields[1] + fields[2] + fields[5] + fields[6] + fields[7];
  return ticks / static_cast<double>(sysconf(_SC_CLK_TCK));
}

std::string text(const char *format, double a, double b = 0) {
  char buffer[200];
  std::snprintf(buffer, sizeof(buffer), format, a, b);
  return buffer;
}

} // namespace

Watch::Watch() : wall(now()), own(ownSeconds()), busy(busySeconds()), clock(clockRate()) {}

double Watch::othersBusy() const {
  const double elapsed = now() - wall;
  // A tick is a hundredth of a second: shorter runs cannot be judged.
  if (busy == 0 || elapsed < 0.2)
    return 0;
  return std::fmax(0, ((busySeconds() - busy) - (ownSeconds() - own)) / elapsed);
}

void Soundness::checkOthers(const std::string &what, double others) {
  if (others > kOthersBusy)
    warnings.push_back(what + text(": other processes kept %.2f processors busy", others));
}

void Soundness::checkSpread(const std::string &what, double spread) {
  if (spread > kSpread)
    warnings.push_back(what +
                       text(": repetitions spread over %.0f %% of their median", 100 * spread));
}

void Soundness::checkClock(const std::string &what, double before, double after) {
  if (std::fabs(before - after) > kClock * before)
    warnings.push_back(what +
                       text(": the clock went from %.2f to %.2f GHz", before / 1e9, after / 1e9));
}

void Soundness::print() const {
  for (const std::string &warning : warnings)
    std::fprintf(stderr, "llmc-bench: warning: %s\n", warning.c_str());
}
