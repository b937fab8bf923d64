// Numbers on the command lines of the runner and the benchmark.
#ifndef LLMC_RUNTIME_WHOLENUMBER_H
#define LLMC_RUNTIME_WHOLENUMBER_H

#include "llmc/Runtime/Failure.h"

#include <charconv>
#include <cstdint>

namespace llmc {

/// `text` as a number in [low, high]. Throws Failure (Usage) that names `option` otherwise.
inline int64_t wholeNumber(const std::string &option, const std::string &text, int64_t low,
                           int64_t high) {
  int64_t result = 0;
  const char *end = text.data() + text.size();
  const auto [next, error] = std::from_chars(text.data(), end, result);
  if (error != std::errc() || next != end || result < low || result > high)
    failUsage(option + ": expected a whole number from " + std::to_string(low) + " to " +
              std::to_string(high) + ", found '" + text + "'");
  return result;
}

} // namespace llmc

#endif // LLMC_RUNTIME_WHOLENUMBER_H
