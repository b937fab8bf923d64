//===- Result.h - a value or the reason there is none ---------------------------------------===//
//
// The error channel of code that knows no MLIR: a message a user can act on, lower-case, which the
// calling pass completes with the name of the layer.
//
//===----------------------------------------------------------------------------------------===//
#ifndef LLMC_NUMERICS_RESULT_H
#define LLMC_NUMERICS_RESULT_H

#include <optional>
#include <string>
#include <utility>

namespace llmc {

/// Why something failed; converts to any Result.
struct Failure {
  std::string message;
};

/// Holds a T or a Failure. Test it before use: `if (!r) return r.failure();`.
template <typename T> class [[nodiscard]] Result {
public:
  Result(T value) : stored(std::move(value)) {}
  Result(Failure failure) : why(std::move(failure)) {}

  explicit operator bool() const { return stored.has_value(); }
  T &operator*() { return *stored; }
  const T &operator*() const { return *stored; }
  T *operator->() { return &*stored; }
  const T *operator->() const { return &*stored; }
  const Failure &failure() const { return why; }
  const std::string &message() const { return why.message; }

private:
  std::optional<T> stored;
  Failure why;
};

/// The result of a function that returns nothing: true on success.
class [[nodiscard]] Status {
public:
  Status() = default;
  Status(Failure failure) : why(std::move(failure)) {}

  explicit operator bool() const { return !why; }
  const Failure &failure() const { return *why; }
  const std::string &message() const { return why->message; }

private:
  std::optional<Failure> why;
};

} // namespace llmc

#endif // LLMC_NUMERICS_RESULT_H
