//===- Checkpoint.h - work that outlives a run that was ended -----------------------------===//
//
// A long pass keeps what it has computed, each piece under a hash of all that it was computed from,
// in a folder beside the output. The same command, begun again, finds the pieces: what is the same
// need not be done again, and cannot become anything else. The folder goes when the output is
// complete.
//
//===----------------------------------------------------------------------------------------===//
#ifndef LLMC_NUMERICS_CHECKPOINT_H
#define LLMC_NUMERICS_CHECKPOINT_H

#include "llmc/Numerics/Span.h"

#include <cstdint>
#include <cstring>
#include <optional>
#include <string>

namespace llmc {

/// From now on, work that takes at least `seconds` is kept in `folder`, which is made when there is
/// something. `seed` says what else the work depends on (the version of the tool).
void beginCheckpoint(const std::string &folder, double seconds, uint64_t seed);
/// Ends it: how many pieces were found. With `done`, the folder and what is in it are removed.
size_t endCheckpoint(bool done);

/// Numbers and arrays, one after another.
class RecordWriter {
public:
  template <typename T> RecordWriter &add(const T &number) {
    static_assert(std::is_arithmetic_v<T>);
    const char *begin = reinterpret_cast<const char *>(&number);
    all.insert(all.end(), begin, begin + sizeof(T));
    return *this;
  }
  template <typename T> RecordWriter &addArray(Span<const T> values) {
    add<uint64_t>(values.size());
    const char *begin = reinterpret_cast<const char *>(values.data());
    all.insert(all.end(), begin, begin + values.size() * sizeof(T));
    return *this;
  }
  RecordWriter &addText(const std::string &text) {
    return addArray(Span<const char>(text.data(), text.size()));
  }
  const std::vector<char> &bytes() const { return all; }

private:
  std::vector<char> all;
};

/// Reads them in the same order. Past the end everything is 0 or empty.
class RecordReader {
public:
  explicit RecordReader(std::vector<char> bytes) : all(std::move(bytes)) {}

  template <typename T> T number() {
    T value = {};
    if (sizeof(T) <= all.size() - at) {
      std::memcpy(&value, all.data() + at, sizeof(T));
      at += sizeof(T);
    }
    return value;
  }
  template <typename T> std::vector<T> array() {
    uint64_t count = number<uint64_t>();
    if (count > (all.size() - at) / sizeof(T))
      count = 0;
    std::vector<T> values(count);
    if (count)
      std::memcpy(values.data(), all.data() + at, count * sizeof(T));
    at += count * sizeof(T);
    return values;
  }
  std::string text() {
    std::vector<char> chars = array<char>();
    return std::string(chars.begin(), chars.end());
  }

private:
  std::vector<char> all;
  size_t at = 0;
};

/// Whether work is kept at all.
bool hasCheckpoint();
/// What was kept under `key`, whole and as it was written; nothing where there is none.
std::optional<RecordReader> findCheckpoint(uint64_t key);
/// Keeps a record of work that took `seconds`, where that is enough. Any thread. Where the folder
/// cannot be written, the work is not kept.
void keepCheckpoint(uint64_t key, double seconds, const RecordWriter &record);

} // namespace llmc

#endif // LLMC_NUMERICS_CHECKPOINT_H
