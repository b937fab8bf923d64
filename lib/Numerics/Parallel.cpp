//===- Parallel.cpp - run independent items on several threads -----------------------------===//
//
// Plain threads with a fixed partition: the items are long enough that starting threads is cheap.
//
//===----------------------------------------------------------------------------------------===//
#include "llmc/Numerics/Parallel.h"
#include <algorithm>
#include <thread>
#include <vector>

void llmc::parallelFor(int64_t n, int threads, const std::function<void(int64_t)> &fn) {
  int64_t workers = std::min<int64_t>(std::max(threads, 1), n);
  auto range = [&](int64_t t) {
    for (int64_t i = n * t / workers, end = n * (t + 1) / workers; i < end; ++i)
      fn(i);
  };
  std::vector<std::thread> pool;
  for (int64_t t = 1; t < workers; ++t)
    pool.emplace_back(range, t);
  if (workers > 0)
    range(0);
  for (std::thread &thread : pool)
    thread.join();
}
