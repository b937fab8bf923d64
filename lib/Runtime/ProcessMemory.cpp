// The memory this program holds, from /proc/self (man 5 proc).
#include "llmc/Runtime/ProcessMemory.h"

#include <fstream>
#include <string>

static int64_t statusField(const std::string &name) {
  std::ifstream status("/proc/self/status");
  int64_t kibibytes = 0;
  for (std::string word; status >> word;)
    if (word == name && status >> kibibytes)
      break;
  return kibibytes * 1024;
}

int64_t llmc::peakResident() { return statusField("VmHWM:"); }

int64_t llmc::currentResident() { return statusField("VmRSS:"); }

void llmc::resetPeakResident() {
  std::ofstream file("/proc/self/clear_refs");
  file << "5" << std::flush;
}
