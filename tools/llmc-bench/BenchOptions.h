//===- BenchOptions.h - the command line of llmc-bench ----------------------------------===//
//
// A subcommand, then --name=value options, each once and only those that belong to it.
//
#ifndef LLMC_TOOLS_BENCH_BENCHOPTIONS_H
#define LLMC_TOOLS_BENCH_BENCHOPTIONS_H

#include "KernelModel.h"

#include <cstdint>
#include <string>
#include <vector>

namespace llmc::bench {

/// One measurement of a model: `count` ids of prefill, or decoded one by one, behind `depth`, in
/// each of so many sequences at once; or one call of a graph without cache with `count` ids; or
/// opening the artifact.
struct ModelTest {
  enum class Kind { Load, Prefill, Decode, Run };
  Kind kind = Kind::Load;
  int64_t count = 0;
  int64_t depth = 0;
  int64_t sequences = 1;
  std::string name; ///< pp512, tg128, tg128x8, tg128@1024, run512, load
};

struct BenchOptions {
  enum class Command { Help, Version, Machine, Kernels, Model };

  Command command = Command::Help;
  std::vector<int32_t> threads; ///< at least one
  double minTime = 0.5;         ///< seconds of each repetition
  int64_t repetitions = 5;
  uint64_t readBytes = 0; ///< buffer of the read bandwidth; 0: by the cache
  bool json = false;

  std::vector<std::string> formats; ///< kernels
  std::vector<KernelShape> shapes;
  std::vector<int64_t> rows;
  std::string cpu = "native";
  uint64_t weightBytes = 0; ///< of a chain, at least; 0: by the cache

  std::string base; ///< model: the artifact
  std::vector<ModelTest> tests;
  bool testsGiven = false;        ///< then one that does not fit is an error
  std::vector<std::string> peers; ///< model: engine:file
};

/// Throws Failure (Usage) that names the option at fault.
BenchOptions parseBenchOptions(int argc, const char *const *argv);

/// What --help prints.
extern const char benchHelp[];

} // namespace llmc::bench

#endif // LLMC_TOOLS_BENCH_BENCHOPTIONS_H
