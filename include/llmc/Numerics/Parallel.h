//===- Parallel.h - run independent items on several threads --------------------------------===//
//
// The only source of threads in this room. Items are rows, groups or layers that do not share an
// accumulator, so results never depend on the number of threads.
//
//===----------------------------------------------------------------------------------------===//
#ifndef LLMC_NUMERICS_PARALLEL_H
#define LLMC_NUMERICS_PARALLEL_H

#include <cstdint>
#include <functional>

namespace llmc {

/// Calls fn(i) once for every i in [0, n). Thread t takes the contiguous range
/// [n*t/threads, n*(t+1)/threads). Returns when all are done. threads <= 1 runs on the caller.
/// fn must not throw and must write only what belongs to its item.
void parallelFor(int64_t n, int threads, const std::function<void(int64_t)> &fn);

} // namespace llmc

#endif // LLMC_NUMERICS_PARALLEL_H
