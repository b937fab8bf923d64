//===- llmc-bench.cpp - how close compiled models come to the machine -------------------===//
//
// Chooses the subcommand and turns failures into exit codes.
//
#include "Commands.h"

#include "llmc/Pipeline/FileKind.h"
#include "llmc/Pipeline/Version.h"
#include "llmc/Runtime/Failure.h"

#include <cstdio>
#include <new>

using namespace llmc;
using namespace llmc::bench;

static int run(int argc, char **argv) {
  const BenchOptions options = parseBenchOptions(argc, argv);
  switch (options.command) {
  case BenchOptions::Command::Help:
    std::fputs(benchHelp, stdout);
    break;
  case BenchOptions::Command::Version:
    std::fputs(versionText("llmc-bench").c_str(), stdout);
    break;
  case BenchOptions::Command::Machine:
    benchMachine(options);
    break;
  case BenchOptions::Command::Kernels:
    benchKernels(options);
    break;
  case BenchOptions::Command::Model:
    if (const std::string why = misplacedBase(options.base); !why.empty())
      failInput(why);
    if (options.peers.empty())
      benchModel(options);
    else
      benchPeers(options);
  }
  if (std::fflush(stdout) || std::ferror(stdout))
    failLimit("cannot write to standard output");
  return 0;
}

int main(int argc, char **argv) {
  try {
    return run(argc, argv);
  } catch (const Failure &failure) {
    std::fprintf(stderr, "llmc-bench: error: %s\n", failure.what());
    return static_cast<int>(failure.code);
  } catch (const std::bad_alloc &) {
    std::fprintf(stderr, "llmc-bench: error: not enough memory\n");
    return static_cast<int>(ExitCode::Limit);
  } catch (const std::exception &error) {
    std::fprintf(stderr, "llmc-bench: error: internal: %s\n", error.what());
    return static_cast<int>(ExitCode::Internal);
  }
}
