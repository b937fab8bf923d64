//===- MappedPages.cpp - pages of mapped files that may leave memory ----------------------===//
//
// A list of the mappings, as dropping a page of any other memory would lose it.
//
#include "llmc/Numerics/MappedPages.h"

#include <cstdint>
#include <map>
#include <mutex>
#include <sys/mman.h>
#include <unistd.h>

using namespace llmc;

namespace {
struct Mappings {
  std::mutex mutex;
  std::map<uintptr_t, uintptr_t> ends; ///< By start.
};
} // namespace

static Mappings &mappings() {
  static auto *all = new Mappings; // Blobs may go after static objects.
  return *all;
}

void llmc::registerMapping(const void *data, size_t bytes) {
  Mappings &all = mappings();
  std::lock_guard<std::mutex> lock(all.mutex);
  uintptr_t begin = reinterpret_cast<uintptr_t>(data);
  all.ends[begin] = begin + bytes;
}

void llmc::unregisterMapping(const void *data) {
  Mappings &all = mappings();
  std::lock_guard<std::mutex> lock(all.mutex);
  all.ends.erase(reinterpret_cast<uintptr_t>(data));
}

void llmc::dropPages(const void *data, size_t bytes) {
  static const uintptr_t page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  uintptr_t begin = reinterpret_cast<uintptr_t>(data), end = begin + bytes;
  uintptr_t first = (begin + page - 1) / page * page, last = end / page * page;
  if (first >= last)
    return;
  Mappings &all = mappings();
  std::lock_guard<std::mutex> lock(all.mutex); // The mapping stays until the pages are dropped.
  auto after = all.ends.upper_bound(begin);
  if (after == all.ends.begin() || std::prev(after)->second < end)
    return;
  // Advice: where the kernel refuses it, memory stays as it is.
  char *start = const_cast<char *>(static_cast<const char *>(data)) + (first - begin);
  static_cast<void>(madvise(start, last - first, MADV_DONTNEED));
}
