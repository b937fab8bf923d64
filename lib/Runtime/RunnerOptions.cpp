// Options of llmc-run: --name=value, each once, and only those that belong to what is asked.
#include "llmc/Runtime/RunnerOptions.h"

#include "llmc/Runtime/Failure.h"
#include "llmc/Runtime/Generate.h"
#include "llmc/Runtime/WholeNumber.h"
#include "llmc/Runtime/llmcrt.h"

#include <set>

using namespace llmc;

const char llmc::runnerHelp[] = R"(llmc-run: runs a model that llmc-compile made

usage: llmc-run BASE --prompt-ids=IDS [--generate=N] [--prefill=P] [--logits=FILE] [options]
       llmc-run BASE [--input=NAME=FILE ...] [--output=NAME=FILE ...] [options]
       llmc-run BASE --perplexity=FILE [--window=N] [--baseline=BASE] [options]

BASE is what was given to llmc-compile -o: BASE.json, BASE.so and the weights are opened. Before
any code runs they are checked: against each other (ABI, size and hash of the weights) and against
this machine (processor features).

Text (a model with a cache)
  --prompt-ids=1,42,7     the ids to begin with
  --prompt-ids=@FILE      the same from a .npy file, int32 or int64 of shape [n] or [1, n]
  --generate=N            prints at most N new ids, space-separated, without the prompt. Greedy: the
                          likeliest id each time, the lowest of equals; a stop id is the last
  --stop-ids=2,3          the ids that end a text, instead of those that the model's file names
                          (stop_ids in BASE.json); none: only N ends it
  --prefill=P             the first P ids of the prompt go through prefill, the following one by one
                          through the cache. Default: all
  --logits=FILE           writes .npy, f32 [positions, vocab]: one row for each id that is fed to
                          the model (the prompt, and all new ids but the last)

Plain graphs (encoders and others without a cache)
  --input=NAME=FILE       an input from a .npy file; repeatable. Integers may be int32 or int64.
                          Not given: token_type_ids are 0, attention_mask is 1, position_ids count;
                          anything else must be there
  --output=NAME=FILE      writes an output as .npy; repeatable
  A graph without outputs checks itself (llmc.expect_close, llmc.expect_eq): it says how many checks
  hold, or which one does not.

Quality
  --perplexity=FILE       ids, int32 or int64 .npy: [n] is cut into windows and the remainder
                          dropped; [rows, n] is one window per row. The first id of a window is not
                          scored. Prints tokens (scored ids), nll (mean, in nats) and ppl
  --window=N              ids of a window, for [n]. Default: 256
  --baseline=BASE         another model with the same vocabulary; adds ppl_ratio, ppl_ratio_stderr
                          (from paired differences per id), kl_mean and kl_99_9 (KL(baseline||model)
                          in nats: mean and 99.9 % quantile) and same_top1 (0 to 1)

Options
  --threads=N             default: 1; at most as many as processors. Results do not depend on it
  --json                  prints one JSON object instead of text
  --timing                prefill and decode in tokens per second, and memory: on stderr, or in the
                          object of --json
  --map-weights           leaves weights in the pages of their file, which processes share; else
                          they move into huge pages, where memory is free, while the model runs
  --repeat=N              generates N times over and reports the median time. Default: 1
  --version               of llmc, of the LLVM it was built with, and what it compiles for
  --help                  this text

Files are written whole or not at all.

Examples
  llmc-run build/small --prompt-ids=1,42,7 --generate=64 --threads=2
  llmc-run build/small --prompt-ids=1,42,7 --generate=64 --stop-ids=2,3
  llmc-run build/small --prompt-ids=@ids.npy --prefill=44 --logits=out.npy
  llmc-run build/small --prompt-ids=@ids.npy --generate=128 --timing --repeat=5 --json
  llmc-run build/encoder --input=input_ids=ids.npy --output=last_hidden_state=out.npy
  llmc-run build/small --perplexity=heldout.npy --window=256 --baseline=build/full --json

Exit codes
  0  done
  1  wrong usage
  2  bad input: a file that is missing, malformed or of the wrong type, ids outside the vocabulary,
     a prompt past the context, an artifact of another ABI, machine or processor
  3  not enough memory or threads
  4  a fault in llmc itself
)";

namespace {

class OptionParser {
public:
  RunnerOptions parse(int argc, const char *const *argv) {
    for (int i = 1; i < argc; ++i) {
      const std::string argument = argv[i];
      if (argument == "--help" || argument == "-h")
        return {};
      if (argument == "--version") {
        RunnerOptions version;
        version.mode = RunnerOptions::Mode::Version;
        return version;
      }
      if (argument.empty() || argument[0] != '-') {
        if (!options.base.empty())
          failUsage("unexpected argument '" + argument + "' after '" + options.base + "'");
        options.base = argument;
        continue;
      }
      const size_t equals = argument.find('=');
      name = argument.substr(0, equals);
      hasValue = equals != std::string::npos;
      value = hasValue ? argument.substr(equals + 1) : "";
      if (!seen.insert(name).second && name != "--input" && name != "--output")
        failUsage(name + " is given twice");
      takeOption();
    }
    finish();
    return std::move(options);
  }

private:
  const std::string &text() const {
    if (!hasValue || value.empty())
      failUsage(name + ": expected a value: " + name + "=...");
    return value;
  }

  int64_t number(int64_t low, int64_t high) const { return wholeNumber(name, value, low, high); }

  bool flag() const {
    if (hasValue)
      failUsage(name + " takes no value");
    return true;
  }

  std::pair<std::string, std::string> nameAndFile() const {
    const size_t equals = value.find('=');
    if (equals == 0 || equals == std::string::npos || equals + 1 == value.size())
      failUsage(name + ": expected " + name + "=NAME=FILE, found '" + value + "'");
    return {value.substr(0, equals), value.substr(equals + 1)};
  }

  void takeOption() {
    constexpr int64_t most = int64_t(1) << 40;
    if (name == "--prompt-ids")
      options.prompt = text();
    else if (name == "--generate")
      options.generate = number(0, most);
    else if (name == "--prefill")
      options.prefill = number(0, most);
    else if (name == "--stop-ids")
      options.stopIds = text() == "none" ? std::vector<int64_t>() : readIds(value, name);
    else if (name == "--logits")
      options.logits = text();
    else if (name == "--input")
      options.inputs.push_back(nameAndFile());
    else if (name == "--output")
      options.outputs.push_back(nameAndFile());
    else if (name == "--perplexity")
      options.perplexity = text();
    else if (name == "--window")
      options.window = number(2, most);
    else if (name == "--baseline")
      options.baseline = text();
    else if (name == "--threads")
      options.threads = static_cast<int32_t>(number(1, LLMCRT_MAX_THREADS));
    else if (name == "--repeat")
      options.repeat = number(1, 1000000);
    else if (name == "--json")
      options.json = flag();
    else if (name == "--timing")
      options.timing = flag();
    else if (name == "--map-weights")
      options.weightPages = flag() ? WeightPages::Mapped : WeightPages::Own;
    else
      failUsage("unknown option '" + name + "'; see --help");
  }

  /// Refuses options that the chosen mode would ignore.
  void allow(const std::set<std::string> &more) const {
    static const std::set<std::string> always = {"--threads", "--json", "--timing",
                                                 "--map-weights"};
    for (const std::string &option : seen)
      if (!always.count(option) && !more.count(option))
        failUsage(option + " cannot be combined with " + modeName());
  }

  std::string modeName() const {
    return options.mode == RunnerOptions::Mode::Prompt  ? "--prompt-ids"
           : options.mode == RunnerOptions::Mode::Graph ? "--input and --output"
                                                        : "--perplexity";
  }

  static void allDifferent(const std::vector<std::pair<std::string, std::string>> &pairs,
                           bool byFile) {
    std::set<std::string> known;
    for (const auto &[tensor, file] : pairs)
      if (!known.insert(byFile ? file : tensor).second)
        failUsage("'" + (byFile ? file : tensor) + "' is given twice");
  }

  void finish() {
    if (options.base.empty())
      failUsage("expected the base name of a compiled model; see --help");
    if (!options.prompt.empty()) {
      options.mode = RunnerOptions::Mode::Prompt;
      allow({"--prompt-ids", "--generate", "--prefill", "--logits", "--repeat", "--stop-ids"});
      if (!options.generate && options.logits.empty())
        failUsage("nothing to do: give --generate=N or --logits=FILE");
      if (options.stopIds && !options.generate)
        failUsage("--stop-ids: nothing to stop; give --generate=N");
      if (options.repeat > 1 && !options.logits.empty())
        failUsage("--repeat cannot be combined with --logits");
    } else if (!options.perplexity.empty()) {
      options.mode = RunnerOptions::Mode::Perplexity;
      allow({"--perplexity", "--window", "--baseline"});
    } else {
      // Whether a graph has outputs, one of which must be asked for, is known when it is open.
      options.mode = RunnerOptions::Mode::Graph;
      allow({"--input", "--output", "--repeat"});
      allDifferent(options.inputs, /*byFile=*/false);
      allDifferent(options.outputs, /*byFile=*/false);
      allDifferent(options.outputs, /*byFile=*/true);
    }
  }

  RunnerOptions options;
  std::set<std::string> seen;
  std::string name;
  std::string value;
  bool hasValue = false;
};

} // namespace

RunnerOptions llmc::parseRunnerOptions(int argc, const char *const *argv) {
  return OptionParser().parse(argc, argv);
}
