// A file that appears whole or not at all: written beside its place, synchronised, then renamed.
#ifndef LLMC_RUNTIME_ATOMICFILE_H
#define LLMC_RUNTIME_ATOMICFILE_H

#include "llmc/Runtime/Failure.h"

#include <cstddef>
#include <string>

namespace llmc {

/// Bytes go to a temporary file in the folder of `path`; commit() gives it the name. Without
/// commit() nothing is left. Every member function throws Failure with the path and the system's
/// reason: BadInput where there can be no such file, Limit where it cannot be written.
class AtomicFile {
public:
  explicit AtomicFile(std::string path);
  ~AtomicFile();
  AtomicFile(const AtomicFile &) = delete;
  AtomicFile &operator=(const AtomicFile &) = delete;

  void append(const void *data, size_t bytes);
  /// Writes over the first bytes, which must have been appended.
  void overwrite(const void *data, size_t bytes);
  void commit();
  const std::string &path() const { return finalPath; }

private:
  [[noreturn]] void fail(runner::ExitCode code, const char *what) const;

  std::string finalPath;
  std::string temporaryPath;
  int descriptor = -1;
};

} // namespace llmc

#endif // LLMC_RUNTIME_ATOMICFILE_H
