//===- AtomicOutput.h - a file that appears whole or not at all -------------------------===//
//
// Plain C++ without LLVM, so that every tool can use it (target LLMCAtomicOutput).
//
#ifndef LLMC_PIPELINE_ATOMICOUTPUT_H
#define LLMC_PIPELINE_ATOMICOUTPUT_H

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

namespace llmc {

/// Bytes go to a hidden temporary `.NAME.PID-N.tmp` in the folder of `path`; commit() synchronises
/// it and gives it the name. Destroyed without commit(), it leaves nothing. What a killed run left
/// is removed by the next run that writes the same file: a living writer holds a lock on its
/// temporary, a dead one cannot.
///
/// Where `path` exists and is no regular file (a pipe, /dev/null), bytes go straight to it.
class AtomicOutput {
public:
  /// Null with `error` set (the path and the system's reason) if the file cannot be made.
  static std::unique_ptr<AtomicOutput> create(const std::string &path, std::string &error);
  ~AtomicOutput();
  AtomicOutput(const AtomicOutput &) = delete;
  AtomicOutput &operator=(const AtomicOutput &) = delete;

  /// For writers that want a descriptor; it stays ours.
  int descriptor() const { return file; }
  /// Where the bytes are until commit(): for programs that write by name (a linker). They must
  /// write into the file, not replace it.
  const std::string &temporaryPath() const { return temporary; }
  const std::string &path() const { return final; }

  /// Appends `bytes` bytes. False with `error` set on failure.
  bool write(const void *data, size_t bytes, std::string &error);
  /// Makes the file appear. False with `error` set on failure; nothing is left then.
  bool commit(std::string &error);
  /// Makes several files appear together: none gets its name before all are on disk, and where one
  /// cannot be put in place, those before it go back to what they were. False with `error` set on
  /// failure; the former files are there then.
  static bool commitAll(const std::vector<AtomicOutput *> &outputs, std::string &error);

private:
  AtomicOutput() = default;
  /// Bytes to the disk.
  bool synchronize(std::string &error);
  /// Gives the file its name; with `undoable`, the former file takes the temporary's where the
  /// system can exchange names.
  bool place(bool undoable, std::string &error);
  void undoPlace();
  /// Removes the former file and closes.
  bool finish(std::string &error);

  enum class Placed { No, New, Replaced, Exchanged };
  std::string final, temporary;
  int file = -1;
  bool direct = false;
  Placed placed = Placed::No;
};

/// True if both paths name one existing file, through links too.
bool isSameFile(const std::string &a, const std::string &b);

} // namespace llmc

#endif // LLMC_PIPELINE_ATOMICOUTPUT_H
