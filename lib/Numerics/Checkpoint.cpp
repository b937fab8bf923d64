//===- Checkpoint.cpp - work that outlives a run that was ended ---------------------------===//
//
// One file for each piece, named by its key, that gets its name when it is complete. The hash at
// its end tells a file that a crash of the system cut short.
//
#include "llmc/Numerics/Checkpoint.h"

#include "llmc/Numerics/Hash.h"

#include <atomic>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <unistd.h>

using namespace llmc;
namespace fs = std::filesystem;

namespace {
struct Folder {
  std::mutex mutex;
  bool active = false;
  std::atomic<size_t> found{0};
  std::string path;
  double seconds = 0;
  uint64_t seed = 0;
};
} // namespace

static Folder &folder() {
  static Folder one;
  return one;
}

static std::string pathOf(uint64_t key) {
  const Folder &kept = folder();
  return kept.path + "/" + hashText(hashBytes(&key, sizeof key, kept.seed));
}

void llmc::beginCheckpoint(const std::string &path, double seconds, uint64_t seed) {
  Folder &kept = folder();
  std::lock_guard<std::mutex> lock(kept.mutex);
  kept.active = true;
  kept.found = 0;
  kept.path = path;
  kept.seconds = seconds;
  kept.seed = seed;
}

size_t llmc::endCheckpoint(bool done) {
  Folder &kept = folder();
  std::lock_guard<std::mutex> lock(kept.mutex);
  std::error_code ignored; // What cannot be removed is no reason to fail: the output is complete.
  if (kept.active && done)
    fs::remove_all(kept.path, ignored);
  kept.active = false;
  return kept.found;
}

bool llmc::hasCheckpoint() { return folder().active; }

std::optional<RecordReader> llmc::findCheckpoint(uint64_t key) {
  if (!hasCheckpoint())
    return std::nullopt;
  std::ifstream file(pathOf(key), std::ios::binary | std::ios::ate);
  if (!file)
    return std::nullopt;
  const auto size = static_cast<size_t>(file.tellg());
  if (size < sizeof(uint64_t))
    return std::nullopt;
  std::vector<char> bytes(size - sizeof(uint64_t));
  uint64_t hash = 0;
  file.seekg(0);
  file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  file.read(reinterpret_cast<char *>(&hash), sizeof hash);
  if (!file || hash != hashBytes(bytes.data(), bytes.size(), key))
    return std::nullopt;
  ++folder().found;
  return RecordReader(std::move(bytes));
}

void llmc::keepCheckpoint(uint64_t key, double seconds, const RecordWriter &record) {
  const Folder &kept = folder();
  if (!hasCheckpoint() || seconds < kept.seconds)
    return;
  static std::atomic<unsigned> number{0};
  std::error_code error;
  fs::create_directory(kept.path, error);
  const std::string path = pathOf(key);
  const std::string temporary =
      path + "." + std::to_string(getpid()) + "-" + std::to_string(number++);
  const std::vector<char> &bytes = record.bytes();
  const uint64_t hash = hashBytes(bytes.data(), bytes.size(), key);
  {
    std::ofstream file(temporary, std::ios::binary);
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    file.write(reinterpret_cast<const char *>(&hash), sizeof hash);
    if (!file.flush())
      error = std::make_error_code(std::errc::io_error);
  }
  if (!error)
    fs::rename(temporary, path, error);
  if (error)
    fs::remove(temporary, error);
}
