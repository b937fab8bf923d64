//===- MachineProbe.h - the limits of the machine, per number of threads ----------------===//
//
// Read bandwidth from memory, peaks of the arithmetic, cost of the runtime's barrier. All are the
// best of several passes: a limit is what was reached once.
//
#ifndef LLMC_TOOLS_BENCH_MACHINEPROBE_H
#define LLMC_TOOLS_BENCH_MACHINEPROBE_H

#include "llmc/Runtime/Session.h"

#include <algorithm>

namespace llmc::bench {

/// Memory far larger than the last level of cache, in huge pages where the system gives them.
class ReadBuffer {
public:
  /// `wanted` bytes, rounded up to a huge page; 0: eight times the last level of cache, from 256
  /// MiB to 1 GiB. Throws Failure (Limit).
  explicit ReadBuffer(uint64_t wanted);
  const char *data() const { return static_cast<const char *>(pages->data()) + shift; }
  uint64_t bytes() const { return size; }

private:
  uint64_t size;
  uint64_t shift = 0;
  std::unique_ptr<PageBuffer> pages;
};

/// What a ReadBuffer takes when its size is not given.
uint64_t defaultReadBytes();

/// Seconds since an arbitrary point.
double now();

/// The least seconds that calls of `run` return, called for at least `seconds` and once.
template <typename Run> double bestTime(double seconds, Run run) {
  const double begin = now();
  double best = run();
  while (now() - begin < seconds)
    best = std::min(best, run());
  return best;
}

/// How long each limit is measured beside a result, at most.
constexpr double kProbeSeconds = 0.05;

/// Bytes per second that `threads` read together, each its part, over at least `seconds`: pieces of
/// `streams` equal parts of that in turn.
double streamBandwidth(const ThreadPool &threads, const ReadBuffer &buffer, double seconds,
                       int streams);

/// The most of that: a core has more reads under way when its prefetchers see several streams, or
/// is faster with one.
double readBandwidth(const ThreadPool &threads, const ReadBuffer &buffer, double seconds);

/// Operations per second of the loops of MachineLoops.h; 0 where the machine has none.
enum class Peak { Fma, Dot, NarrowDot };
double peakRate(const ThreadPool &threads, Peak peak, double seconds);

/// Seconds of one barrier, and of handing a stage to the pool and back. 0 for one thread.
double barrierSeconds(const ThreadPool &threads, double seconds);
double dispatchSeconds(const ThreadPool &threads, double seconds);

/// Clock of this core in Hz.
double clockRate();

/// The limits a result is compared with, measured in a few tens of milliseconds.
struct Limits {
  double bytesPerSecond = 0;
  double fma = 0;
  double dot = 0;
  double narrowDot = 0;

  static Limits measure(const ThreadPool &threads, uint64_t readBytes, double seconds);
  /// What the machine gave around a run, from before and after it.
  static Limits between(const Limits &before, const Limits &after);
};

} // namespace llmc::bench

#endif // LLMC_TOOLS_BENCH_MACHINEPROBE_H
