//===- MachineProbe.cpp - the limits of the machine, per number of threads --------------===//
//
// Every probe runs on libllmcrt's pool, so that its threads are those a model gets.
//
#include "MachineProbe.h"

#include "MachineLoops.h"

#include <algorithm>
#include <chrono>
#include <sys/mman.h>
#include <unistd.h>

using namespace llmc;
using namespace llmc::bench;

namespace {

constexpr uint64_t kHugePage = uint64_t(2) << 20;
constexpr uint64_t kReadBlock = 2048; ///< What MachineLoops::read wants to divide.

uint64_t lastLevelCache() {
  const long third = sysconf(_SC_LEVEL3_CACHE_SIZE), second = sysconf(_SC_LEVEL2_CACHE_SIZE);
  return static_cast<uint64_t>(std::max({third, second, 0L}));
}

/// Calls body(thread, threads) on every thread.
template <typename Body> void onAll(const ThreadPool &threads, Body &body) {
  const llmc_threads *pool = threads.get();
  if (!pool) {
    body(0, 1);
    return;
  }
  pool->parallel(
      pool->context,
      [](void *argument, int32_t index, int32_t count) {
        (*static_cast<Body *>(argument))(index, count);
      },
      &body);
}

/// The least seconds of one call of `body`, called for at least `seconds` and three times.
template <typename Body> double bestOf(double seconds, Body body) {
  const auto timed = [&] {
    const double begin = now();
    body();
    return now() - begin;
  };
  return std::min({timed(), timed(), bestTime(seconds, timed)});
}

} // namespace

uint64_t llmc::bench::defaultReadBytes() {
  return std::clamp(8 * lastLevelCache(), uint64_t(256) << 20, uint64_t(1) << 30);
}

double llmc::bench::now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

ReadBuffer::ReadBuffer(uint64_t wanted)
    : size(((wanted ? wanted : defaultReadBytes()) + kHugePage - 1) / kHugePage * kHugePage),
      pages(std::make_unique<PageBuffer>(size + kHugePage, "measuring the read bandwidth")) {
  const uint64_t begin = reinterpret_cast<uint64_t>(pages->data());
  shift = (kHugePage - begin % kHugePage) % kHugePage;
  char *bytes = static_cast<char *>(pages->data()) + shift;
  // Only a wish: small pages cost some percent, no correctness.
  static_cast<void>(madvise(bytes, size, MADV_HUGEPAGE));
  for (uint64_t at = 0; at < size; at += 4096)
    bytes[at] = 1;
}

double llmc::bench::streamBandwidth(const ThreadPool &threads, const ReadBuffer &buffer,
                                    double seconds, int streams) {
  const auto read = machineLoops().read;
  const uint64_t blocks = buffer.bytes() / kReadBlock;
  volatile uint64_t sink = 0;
  auto body = [&](int32_t index, int32_t count) {
    const uint64_t first = blocks * index / count, last = blocks * (index + 1) / count;
    sink = read(buffer.data() + first * kReadBlock, (last - first) * kReadBlock, streams);
  };
  const double best = bestOf(seconds, [&] { onAll(threads, body); });
  return static_cast<double>(buffer.bytes()) / best;
}

double llmc::bench::readBandwidth(const ThreadPool &threads, const ReadBuffer &buffer,
                                  double seconds) {
  return std::max(streamBandwidth(threads, buffer, seconds / 2, 1),
                  streamBandwidth(threads, buffer, seconds / 2, 4));
}

double llmc::bench::peakRate(const ThreadPool &threads, Peak peak, double seconds) {
  const MachineLoops &loops = machineLoops();
  const PeakLoop loop = peak == Peak::Fma   ? loops.fma
                        : peak == Peak::Dot ? loops.dot
                                            : loops.narrowDot;
  if (!loop)
    return 0;
  constexpr int64_t iterations = 50000; // about a millisecond
  double operations = 0;
  auto body = [&](int32_t index, int32_t) {
    const double own = loop(iterations);
    if (index == 0)
      operations = own;
  };
  const double best = bestOf(seconds, [&] { onAll(threads, body); });
  return operations * threads.count() / best;
}

double llmc::bench::barrierSeconds(const ThreadPool &threads, double seconds) {
  const llmc_threads *pool = threads.get();
  if (!pool)
    return 0;
  constexpr int repetitions = 1000;
  auto body = [&](int32_t index, int32_t) {
    for (int i = 0; i < repetitions; ++i)
      pool->barrier(pool->context, index);
  };
  return bestOf(seconds, [&] { onAll(threads, body); }) / repetitions;
}

double llmc::bench::dispatchSeconds(const ThreadPool &threads, double seconds) {
  if (!threads.get())
    return 0;
  constexpr int repetitions = 100;
  auto body = [](int32_t, int32_t) {};
  return bestOf(seconds,
                [&] {
                  for (int i = 0; i < repetitions; ++i)
                    onAll(threads, body);
                }) /
         repetitions;
}

double llmc::bench::clockRate() {
  constexpr int64_t additions = 1 << 20;
  return additions / bestOf(0, [] { dependentAdditions(additions); });
}

Limits Limits::measure(const ThreadPool &threads, uint64_t readBytes, double seconds) {
  Limits limits;
  {
    const ReadBuffer buffer(readBytes);
    limits.bytesPerSecond = readBandwidth(threads, buffer, seconds);
  }
  limits.fma = peakRate(threads, Peak::Fma, seconds / 2);
  limits.dot = peakRate(threads, Peak::Dot, seconds / 2);
  limits.narrowDot = peakRate(threads, Peak::NarrowDot, seconds / 2);
  return limits;
}

Limits Limits::between(const Limits &before, const Limits &after) {
  Limits limits;
  limits.bytesPerSecond = (before.bytesPerSecond + after.bytesPerSecond) / 2;
  limits.fma = (before.fma + after.fma) / 2;
  limits.dot = (before.dot + after.dot) / 2;
  limits.narrowDot = (before.narrowDot + after.narrowDot) / 2;
  return limits;
}
