//===- BenchOptions.cpp - the command line of llmc-bench --------------------------------===//
//
// Help and parsing.
//
#include "BenchOptions.h"

#include "llmc/Runtime/Failure.h"
#include "llmc/Runtime/WholeNumber.h"
#include "llmc/Runtime/llmcrt.h"

#include <cstring>
#include <set>

using namespace llmc;
using namespace llmc::bench;

const char llmc::bench::benchHelp[] = R"(llmc-bench: how close compiled models come to the machine

usage: llmc-bench machine [options]
       llmc-bench kernels [options]
       llmc-bench model BASE [options]

machine: the limits
  read      bytes per second that the threads read from memory, each its part of a large buffer,
            as one stream or as four, whichever is faster
  stream    the same as one
  fma       f32 multiply-adds in registers, two operations each
  dot       8-bit products summed exactly in 32 bits, with the instructions at hand
  dot4      4-bit by 8-bit; more than dot where 8 products can be summed in 16 bits first (avx2)
  barrier   one barrier of the runtime's pool; stage: work handed to the pool and back
  clock     of one core, by a chain of additions

kernels: what linears alone make of them, format by format
  A chain of matrices [N, K] and [K, N] with random weights is compiled and run as a model is. GB/s
  are of packed weights, GOPS two for each weight and row.

model: what a compiled model makes of them
  BASE is what was given to llmc-compile -o. Ids are pseudo-random, the same each time.
  load      opening the artifact (weights are hashed), memory, one id through prefill
  pp512     prefill of 512 ids from an empty cache; logits of the last one only
  tg128     128 ids decoded one by one from an empty cache
  tg128@1024  the same behind 1024 ids; likewise any number
  tg128x8   128 ids in each of eight sequences, all eight in one step (and tg128x8@1024)
  run512    models without a cache: one call with 512 ids
  model MB is the most memory that was resident while a test ran, without this tool's own.

Shares compare with read bandwidth and peaks measured just before and just after each repetition,
with the same threads. The peak is that of the arithmetic that was compiled to: multiply-adds
for float activations, dot products for quantized ones. What fits into the cache may read faster
than memory.

Options
  --threads=1,2         numbers of threads, one row each. Default: 1 and all processors. Models
                        and kernels run on at most as many as processors, as with llmc-run
  --tests=pp512,tg128   model: default load,pp128,pp512,tg128,tg128@1024,tg128@4096, without those
                        that the context does not hold; without a cache: run1,run512
  --formats=NAME,...    kernels: as llmc-compile --explain names them: f32, int4-g32, int4-g128,
                        int4-g128-i8token, int8-row-sym-i8token, nf4-g64, bnbfp4-g64,
                        ternary-i8token, ternary-b3-i8token, nm2x4-int4-g128; i8group: activations per group.
                        Default: f32,int8-row-i8token,int4-g128,int4-g128-i8token
  --shapes=KxN,...      kernels: inputs x outputs of the first matrix. Default: 2048x5632
  --rows=1,512          kernels: rows of activations. Default: 1,512
  --cpu=NAME            kernels: what to compile for, as llmc-compile. Default: native
  --weights=MIB         kernels: packed weights of a chain, at least. Default: for up to 8 rows half
                        of --read-size, as reading them is the work; else one pair of matrices
  --peers=ENGINE:FILE,...
                        model: the same tests through other engines, interleaved with llmc, and the
                        ratios. ENGINE is llama.cpp or llama.cpp-q8cache, whose cache is q8_0
                        instead of f16 (FILE.gguf), onnxruntime or openvino (FILE.onnx); llmc is
                        another compiled model (llmc:BASE).
                        Runs python/bench/peers.py of the source tree with $LLMC_PYTHON or python3;
                        an engine that is not installed is named and left out
  --repetitions=N       default: 5. The table has the median and the spread, (largest - least) /
                        median
  --min-time=SECONDS    a repetition runs the test so long, at least twice, and counts the fastest.
                        Default: 0.5
  --read-size=MIB       buffer that the read bandwidth is measured with. Default: eight times the
                        last level of cache, from 256 to 1024
  --json                Google Benchmark's JSON, each column a counter; times in seconds
  --version             of llmc, of the LLVM it was built with, and what it compiles for
  --help                this text

Warnings on stderr say when a figure cannot be trusted: other processes took processor time, the
repetitions spread too far, the clock changed.

Examples
  llmc-bench machine
  llmc-bench machine --threads=1,2 --json
  llmc-bench kernels --formats=int4-g32,int4-g128-i8token --shapes=2048x5632 --rows=1,4,512
  llmc-bench model build/small --threads=1,2
  llmc-bench model build/small --tests=pp512,tg128 --repetitions=10 --json
  llmc-bench model build/small --peers=llama.cpp:small-q4_0.gguf,onnxruntime:model.onnx

Exit codes
  0  done
  1  wrong usage
  2  bad input: an artifact that is missing, malformed, or made for another machine
  3  not enough memory or threads
  4  a fault in llmc itself
)";

namespace {

class OptionParser {
public:
  BenchOptions parse(int argc, const char *const *argv) {
    std::vector<std::string> words;
    for (int i = 1; i < argc; ++i) {
      const std::string argument = argv[i];
      if (argument == "--help" || argument == "-h")
        return {};
      if (argument == "--version") {
        BenchOptions version;
        version.command = BenchOptions::Command::Version;
        return version;
      }
      if (argument.empty() || argument[0] != '-') {
        words.push_back(argument);
        continue;
      }
      const size_t equals = argument.find('=');
      name = argument.substr(0, equals);
      hasValue = equals != std::string::npos;
      value = hasValue ? argument.substr(equals + 1) : "";
      if (!seen.insert(name).second)
        failUsage(name + " is given twice");
      takeOption();
    }
    finish(words);
    return std::move(options);
  }

private:
  /// The parts of the value between commas.
  std::vector<std::string> list() const {
    std::vector<std::string> parts;
    size_t at = 0;
    while (true) {
      const size_t comma = value.find(',', at);
      parts.push_back(value.substr(at, comma - at));
      if (parts.back().empty())
        failUsage(name + ": expected " + name + "=A,B,..., found '" + value + "'");
      if (comma == std::string::npos)
        return parts;
      at = comma + 1;
    }
  }

  int64_t number(const std::string &text, int64_t low, int64_t high) const {
    return wholeNumber(name, text, low, high);
  }

  double seconds() const {
    char *end = nullptr;
    const double result = std::strtod(value.c_str(), &end);
    if (value.empty() || *end || !(result > 0 && result <= 3600))
      failUsage(name + ": expected seconds, above 0 and up to 3600, found '" + value + "'");
    return result;
  }

  KernelShape shape(const std::string &text) const {
    const size_t times = text.find('x');
    if (times == std::string::npos)
      failUsage(name + ": expected KxN, found '" + text + "'");
    KernelShape result;
    result.name = text;
    result.k = number(text.substr(0, times), 1, 1 << 20);
    result.n = number(text.substr(times + 1), 1, 1 << 20);
    return result;
  }

  ModelTest test(const std::string &text) const {
    constexpr int64_t most = int64_t(1) << 40;
    ModelTest result;
    result.name = text;
    if (text == "load")
      return result;
    static const std::pair<const char *, ModelTest::Kind> kinds[] = {
        {"pp", ModelTest::Kind::Prefill},
        {"tg", ModelTest::Kind::Decode},
        {"run", ModelTest::Kind::Run}};
    for (const auto &[prefix, kind] : kinds)
      if (text.rfind(prefix, 0) == 0) {
        result.kind = kind;
        const size_t from = std::strlen(prefix), at = text.find('@');
        const bool decodes = kind == ModelTest::Kind::Decode;
        const bool deep = decodes && at != std::string::npos;
        if (deep)
          result.depth = number(text.substr(at + 1), 1, most);
        std::string counts = text.substr(from, deep ? at - from : text.npos);
        const size_t times = counts.find('x');
        if (decodes && times != std::string::npos) {
          result.sequences = number(counts.substr(times + 1), 1, 1 << 16);
          counts.resize(times);
        }
        result.count = number(counts, 1, most);
        return result;
      }
    failUsage(name + ": expected load, ppN, tgN, tgNxM, tgN@DEPTH or runN, found '" + text + "'");
  }

  void takeOption() {
    if (name == "--threads") {
      for (const std::string &part : list())
        options.threads.push_back(static_cast<int32_t>(number(part, 1, LLMCRT_MAX_THREADS)));
    } else if (name == "--formats") {
      options.formats = list();
    } else if (name == "--shapes") {
      for (const std::string &part : list())
        options.shapes.push_back(shape(part));
    } else if (name == "--rows") {
      for (const std::string &part : list())
        options.rows.push_back(number(part, 1, 1 << 20));
    } else if (name == "--cpu") {
      options.cpu = value;
    } else if (name == "--weights") {
      options.weightBytes = static_cast<uint64_t>(number(value, 1, 1 << 20)) << 20;
    } else if (name == "--tests") {
      for (const std::string &part : list())
        options.tests.push_back(test(part));
      options.testsGiven = true;
    } else if (name == "--peers") {
      options.peers = list();
    } else if (name == "--repetitions") {
      options.repetitions = number(value, 1, 10000);
    } else if (name == "--min-time") {
      options.minTime = seconds();
    } else if (name == "--read-size") {
      options.readBytes = static_cast<uint64_t>(number(value, 1, 1 << 20)) << 20;
    } else if (name == "--json") {
      if (hasValue)
        failUsage(name + " takes no value");
      options.json = true;
    } else {
      failUsage("unknown option '" + name + "'; see --help");
    }
  }

  void allow(const std::set<std::string> &more) const {
    static const std::set<std::string> always = {"--threads", "--repetitions", "--min-time",
                                                 "--read-size", "--json"};
    for (const std::string &option : seen)
      if (!always.count(option) && !more.count(option))
        failUsage(option + " does not belong to this command; see --help");
  }

  void checkPeers() const {
    static const std::set<std::string> engines = {"llama.cpp", "llama.cpp-q8cache", "onnxruntime",
                                                  "openvino", "llmc"};
    for (const std::string &peer : options.peers) {
      const size_t colon = peer.find(':');
      if (colon == std::string::npos || colon + 1 == peer.size() ||
          !engines.count(peer.substr(0, colon)))
        failUsage("--peers: expected llama.cpp:FILE, onnxruntime:FILE, openvino:FILE or llmc:BASE, "
                  "found '" +
                  peer + "'");
    }
  }

  void finish(const std::vector<std::string> &words) {
    if (words.empty())
      failUsage("expected a command: machine, kernels or model; see --help");
    const bool wantsBase = words[0] == "model";
    if (words.size() > (wantsBase ? 2 : 1))
      failUsage("unexpected argument '" + words.back() + "'");
    if (words[0] == "machine") {
      options.command = BenchOptions::Command::Machine;
      allow({});
    } else if (words[0] == "kernels") {
      options.command = BenchOptions::Command::Kernels;
      allow({"--formats", "--shapes", "--rows", "--cpu", "--weights"});
    } else if (words[0] == "model") {
      options.command = BenchOptions::Command::Model;
      allow({"--tests", "--peers"});
      if (words.size() < 2)
        failUsage("model: expected the base name of a compiled model; see --help");
      options.base = words[1];
      checkPeers();
    } else {
      failUsage("unknown command '" + words[0] + "': expected machine, kernels or model");
    }
    if (!options.peers.empty())
      for (const ModelTest &given : options.tests)
        if (given.kind == ModelTest::Kind::Load)
          failUsage("--tests: load cannot be combined with --peers");
    if (options.threads.empty()) {
      options.threads = {1};
      if (llmcrt_cpu_count() > 1)
        options.threads.push_back(llmcrt_cpu_count());
    }
    if (options.formats.empty())
      options.formats = {"f32", "int8-row-i8token", "int4-g128", "int4-g128-i8token"};
    if (options.shapes.empty())
      options.shapes = {shape("2048x5632")};
    if (options.rows.empty())
      options.rows = {1, 512};
    if (options.tests.empty())
      for (const char *text :
           {"load", "pp128", "pp512", "tg128", "tg128@1024", "tg128@4096", "run1", "run512"})
        options.tests.push_back(test(text));
  }

  BenchOptions options;
  std::set<std::string> seen;
  std::string name;
  std::string value;
  bool hasValue = false;
};

} // namespace

BenchOptions llmc::bench::parseBenchOptions(int argc, const char *const *argv) {
  return OptionParser().parse(argc, argv);
}
