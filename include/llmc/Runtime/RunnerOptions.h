// The command line of llmc-run.
#ifndef LLMC_RUNTIME_RUNNEROPTIONS_H
#define LLMC_RUNTIME_RUNNEROPTIONS_H

#include "llmc/Runtime/Artifact.h"

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace llmc {

struct RunnerOptions {
  enum class Mode { Help, Version, Prompt, Graph, Perplexity };

  Mode mode = Mode::Help;
  std::string base;
  std::string prompt;              ///< "1,2,3" or "@ids.npy"
  std::optional<int64_t> generate; ///< new ids
  std::optional<int64_t> prefill;  ///< ids that go through prefill; all when not given
  std::string logits;              ///< file, or empty
  /// Ids that end a text, instead of those of the artifact.
  std::optional<std::vector<int64_t>> stopIds;
  std::vector<std::pair<std::string, std::string>> inputs;  ///< name, file
  std::vector<std::pair<std::string, std::string>> outputs; ///< name, file
  std::string perplexity;                                   ///< file
  std::string baseline;                                     ///< another artifact, or empty
  int64_t window = 256;
  int64_t repeat = 1;
  int32_t threads = 1;
  bool json = false;
  bool timing = false;
  WeightPages weightPages = WeightPages::Own;
};

/// Throws Failure (Usage) that names the argument.
RunnerOptions parseRunnerOptions(int argc, const char *const *argv);

/// What --help prints.
extern const char runnerHelp[];

} // namespace llmc

#endif // LLMC_RUNTIME_RUNNEROPTIONS_H
