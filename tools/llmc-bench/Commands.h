//===- Commands.h - the subcommands of llmc-bench ---------------------------------------===//
//
// Each adds its measurements and runs them.
//
#ifndef LLMC_TOOLS_BENCH_COMMANDS_H
#define LLMC_TOOLS_BENCH_COMMANDS_H

#include "BenchOptions.h"

namespace llmc::bench {

/// All throw Failure.
void benchMachine(const BenchOptions &options);
void benchKernels(const BenchOptions &options);
void benchModel(const BenchOptions &options);
/// Becomes python/bench/peers.py; returns only by exception.
void benchPeers(const BenchOptions &options);

} // namespace llmc::bench

#endif // LLMC_TOOLS_BENCH_COMMANDS_H
