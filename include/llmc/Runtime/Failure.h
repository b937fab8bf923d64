// Errors of the runner: one exception with the exit code it asks for. The message is one lower-case
// line that names the thing at fault, what was expected and what was found.
#ifndef LLMC_RUNTIME_FAILURE_H
#define LLMC_RUNTIME_FAILURE_H

#include <stdexcept>
#include <string>

namespace llmc {
// A name of its own for the linker: Numerics has a Failure too, and tools link both.
inline namespace runner {

/// Exit codes, the same for all tools.
enum class ExitCode { Ok = 0, Usage = 1, BadInput = 2, Limit = 3, Internal = 4 };

class Failure : public std::runtime_error {
public:
  Failure(ExitCode code, const std::string &message) : std::runtime_error(message), code(code) {}
  const ExitCode code;
};

[[noreturn]] inline void failUsage(const std::string &message) {
  throw Failure(ExitCode::Usage, message);
}
[[noreturn]] inline void failInput(const std::string &message) {
  throw Failure(ExitCode::BadInput, message);
}
[[noreturn]] inline void failLimit(const std::string &message) {
  throw Failure(ExitCode::Limit, message);
}
[[noreturn]] inline void failInternal(const std::string &message) {
  throw Failure(ExitCode::Internal, message);
}

} // namespace runner
} // namespace llmc

#endif // LLMC_RUNTIME_FAILURE_H
