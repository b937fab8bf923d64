//===- HostCpu.cpp - what this machine's processor is called ----------------------------===//
//
// LLVM goes by family and model, which a hypervisor may state as it likes: a Granite Rapids was met
// as model 167, Rocket Lake. Features are what the processor does and caches what it has, so they
// decide where they contradict the name.
//
#include "llmc/Target/Features.h"

#include "llmc/Runtime/llmcrt.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/TargetParser/Host.h"

#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#include <cstring>
#endif

using namespace llvm;
using namespace llmc;

namespace {

/// A class of processors, told by a feature that its forerunners lack.
struct HostClass {
  StringRef vendor, feature, name;
};

} // namespace

// Newest first: the first whose feature is there is the class.
static constexpr HostClass kClasses[] = {
    {"GenuineIntel", "amx-fp16", "graniterapids"},
    {"GenuineIntel", "avx512fp16", "sapphirerapids"},
    {"GenuineIntel", "amx-int8", "sapphirerapids"},
    {"GenuineIntel", "avx512bf16", "cooperlake"},
    {"GenuineIntel", "avx512vbmi2", "icelake-server"},
    {"GenuineIntel", "avx512vnni", "cascadelake"},
    {"GenuineIntel", "avx512bw", "skylake-avx512"},
    {"GenuineIntel", "avxvnniint8", "arrowlake"},
    {"GenuineIntel", "avxvnni", "alderlake"},
    {"GenuineIntel", "avx2", "haswell"},
    {"GenuineIntel", "f16c", "ivybridge"},
    {"GenuineIntel", "avx", "sandybridge"},
    {"AuthenticAMD", "avx512vp2intersect", "znver5"},
    {"AuthenticAMD", "avx512bw", "znver4"},
    {"AuthenticAMD", "vaes", "znver3"},
    {"AuthenticAMD", "avx2", "znver2"},
};

// Each marks a generation, and LLVM's table is right about all for all processors.
static constexpr StringRef kTelling[] = {
    "avx",         "f16c",       "fma",      "avx2",       "avxvnni",
    "avxvnniint8", "avx512f",    "avx512bw", "avx512vnni", "avx512vbmi2",
    "avx512bf16",  "avx512fp16", "amx-tile", "amx-int8",   "amx-fp16",
};

HostFacts llmc::readHostFacts() {
  HostFacts facts;
  facts.name = sys::getHostCPUName().str();
  Triple::ArchType arch = Triple(sys::getProcessTriple()).getArch();
  std::vector<StringRef> names = curatedFeatures(arch);
  if (arch == Triple::x86_64) {
    llvm::append_range(names, kTelling);
    for (const HostClass &c : kClasses)
      names.push_back(c.feature);
  }
  for (StringRef name : names)
    if (llmcrt_cpu_has(name.str().c_str()) == 1)
      facts.features.insert(name.str());
  facts.instructionCache = std::max(0L, sysconf(_SC_LEVEL1_ICACHE_SIZE));
  facts.lastCache = std::max(0L, sysconf(_SC_LEVEL3_CACHE_SIZE));
#if defined(__x86_64__)
  uint32_t a = 0, parts[3] = {0};
  char text[sizeof(parts) + 1] = "";
  if (__get_cpuid(0, &a, &parts[0], &parts[2], &parts[1]))
    std::memcpy(text, parts, sizeof(parts));
  facts.vendor = text;
#endif
  return facts;
}

std::string llmc::nameHostCpu(const HostFacts &facts, const MCSubtargetInfo &named) {
  auto contradicts = [&](StringRef feature) {
    return facts.features.count(feature.str()) && !named.checkFeatures(("+" + feature).str());
  };
  if (!llvm::any_of(kTelling, contradicts))
    return facts.name;
  const HostClass *found = llvm::find_if(kClasses, [&](const HostClass &c) {
    return c.vendor == facts.vendor && facts.features.count(c.feature.str());
  });
  if (found == std::end(kClasses))
    return facts.name;
  // Three generations with the same instructions, when the hypervisor hides those of the last.
  constexpr int64_t kTwice = 64 * 1024, kLarge = 128LL * 1024 * 1024;
  if (found->name == "sapphirerapids" && facts.instructionCache >= kTwice)
    return "graniterapids";
  if (found->name == "sapphirerapids" && facts.lastCache >= kLarge)
    return "emeraldrapids";
  if (found->name == "znver2" && facts.instructionCache >= kTwice)
    return "znver1";
  return found->name.str();
}
