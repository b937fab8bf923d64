// The memory this program holds, from /proc/self (man 5 proc).
#include "llmc/Runtime/ProcessMemory.h"

#include <fstream>
#include <string>

int64_t llmc::peakResident() {
  std::ifstream status("/proc/self/status");
  int64_t kibibytes = 0;
  for (std::string word; status >> word;)
    if (word == "VmHWM:" && status >> kibibytes)
      break;
  return kibibytes * 1024;
}

void llmc::resetPeakResident() {
  std::ofstream file("/proc/self/clear_refs");
  file << "5" << std::flush;
}
