//===- Peers.cpp - llmc-bench model --peers ---------------------------------------------===//
//
// Other engines are Python packages: the script that drives them, and this tool between them, takes
// over the process.
//
#include "Commands.h"

#include "llmc/Runtime/Failure.h"

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <unistd.h>

using namespace llmc;
using namespace llmc::bench;

namespace {

std::string ownPath() {
  char path[PATH_MAX];
  const ssize_t size = readlink("/proc/self/exe", path, sizeof(path));
  if (size <= 0 || size == static_cast<ssize_t>(sizeof(path)))
    failInternal("cannot tell where this program lies");
  return {path, static_cast<size_t>(size)};
}

/// The script in the source tree whose build folder holds this program, or what $LLMC_PEERS names.
std::string scriptPath(const std::string &program) {
  std::string path;
  if (const char *given = std::getenv("LLMC_PEERS")) {
    path = given;
  } else {
    path = program;
    for (int up = 0; up < 3; ++up) // SOURCE/build/bin/llmc-bench
      path.resize(path.find_last_of('/') == std::string::npos ? 0 : path.find_last_of('/'));
    path += "/python/bench/peers.py";
  }
  if (access(path.c_str(), R_OK))
    failInput("--peers: " + path + ": " + std::strerror(errno) +
              " (LLMC_PEERS names python/bench/peers.py of the source tree)");
  return path;
}

template <typename Value, typename Text>
std::string joined(const std::vector<Value> &values, Text text) {
  std::string result;
  for (const Value &value : values)
    result += (result.empty() ? "" : ",") + text(value);
  return result;
}

} // namespace

void llmc::bench::benchPeers(const BenchOptions &options) {
  const std::string program = ownPath();
  const char *python = std::getenv("LLMC_PYTHON");
  std::string tests = joined(options.tests, [](const ModelTest &test) { return test.name; });
  if (!options.testsGiven)
    tests = "pp512,tg128";
  std::vector<std::string> words = {
      python ? python : "python3",
      scriptPath(program),
      "--bench=" + program,
      "--tests=" + tests,
      "--threads=" + joined(options.threads, [](int32_t count) { return std::to_string(count); }),
      "--rounds=" + std::to_string(options.repetitions),
      "--seconds=" + std::to_string(options.minTime)};
  for (const std::string &peer : options.peers)
    words.push_back("--peer=" + peer);
  if (options.readBytes)
    words.push_back("--read-size=" + std::to_string(options.readBytes >> 20));
  if (options.json)
    words.push_back("--json");
  words.push_back(options.base);
  std::vector<char *> arguments;
  for (std::string &word : words)
    arguments.push_back(word.data());
  arguments.push_back(nullptr);
  execvp(arguments[0], arguments.data());
  failInput("--peers: " + words[0] + ": " + std::strerror(errno));
}
