//===- Features.cpp - which instruction sets code may use -------------------------------===//
//
// The lists hold what the kernels' intrinsics need, and what LLVM's instruction selection gains by
// (the assembly of all execution tests was looked through: of bit manipulation mulx and shifts
// without flags, of the older vector sets all; never GFNI, VBMI, F16 arithmetic, SVE).
//
#include "llmc/Target/Features.h"

#include "llmc/Runtime/CpuFeatures.h"

#include "llvm/ADT/STLExtras.h"

#include <algorithm>

using namespace llvm;
using namespace llmc;

namespace {

/// A strategy has the instruction sets of the one it extends, and more.
struct Strategy {
  StringRef name, extends, features;
};

} // namespace

// Every x86-64 processor has cmov and sse2. AVX without AVX2, FMA and F16C each came alone.
static constexpr Strategy kStrategies[] = {
    {"sse", "", "cmov sse sse2 sse3 ssse3 sse4.1 sse4.2 avx f16c fma"},
    {"avx2", "sse", "avx2 bmi bmi2"},
    {"avxvnni", "avx2", "avxvnni"},
    {"avx512", "avx2", "avx512f avx512bw avx512dq avx512vl"},
    {"avx512vnni", "avx512", "avx512vnni"},
    {"amx-int8", "avx512vnni", "amx-tile amx-int8"},
    {"neon", "", "fp-armv8 neon"},
    {"neon-dotprod", "neon", "dotprod"},
};

// The mode of 64 bits is no instruction set and cannot be turned off.
static bool isMode(StringRef name) { return name == "64bit" || name == "64bit-mode"; }

std::string llmc::chooseStrategy(const MCSubtargetInfo &subtarget) {
  auto has = [&](StringRef name) { return subtarget.checkFeatures(("+" + name).str()); };
  if (!subtarget.getTargetTriple().isX86())
    return has("dotprod") ? "neon-dotprod" : "neon";
  if (has("avx512f"))
    return !has("avx512vnni") ? "avx512" : has("amx-int8") ? "amx-int8" : "avx512vnni";
  return has("avxvnni") ? "avxvnni" : has("avx2") ? "avx2" : "sse";
}

std::vector<StringRef> llmc::strategyFeatures(StringRef strategy) {
  std::vector<StringRef> result;
  while (!strategy.empty()) {
    const Strategy *found =
        llvm::find_if(kStrategies, [&](const Strategy &s) { return s.name == strategy; });
    SmallVector<StringRef> names;
    found->features.split(names, ' ');
    result.insert(result.end(), names.begin(), names.end());
    strategy = found->extends;
  }
  return result;
}

std::vector<StringRef> llmc::curatedFeatures(Triple::ArchType arch) {
  std::set<StringRef> all;
  for (const Strategy &strategy : kStrategies)
    if (strategy.name.starts_with("neon") == (arch == Triple::aarch64))
      for (StringRef name : strategyFeatures(strategy.name))
        all.insert(name);
  return {all.begin(), all.end()};
}

bool llmc::canCheckFeature(Triple::ArchType arch, StringRef name) {
  return arch == Triple::x86_64 ? llmcrt_find_x86_feature(name.str().c_str()) != nullptr
                                : llmcrt_find_aarch64_feature(name.str().c_str()) != nullptr;
}

// All that the features of `bits` imply, too.
static FeatureBitset withImplied(const MCSubtargetInfo &subtarget, FeatureBitset bits) {
  for (bool grew = true; grew;) {
    FeatureBitset before = bits;
    for (const SubtargetFeatureKV &feature : subtarget.getAllProcessorFeatures())
      if (bits[feature.Value])
        bits |= feature.Implies.getAsBitset();
    grew = bits != before;
  }
  return bits;
}

FeatureBitset llmc::tuningFlags(const MCSubtargetInfo &subtarget) {
  FeatureBitset tuning, sets;
  for (const SubtargetSubTypeKV &cpu : subtarget.getAllProcessorDescriptions()) {
    tuning |= cpu.TuneImplies.getAsBitset();
    sets |= cpu.Implies.getAsBitset();
  }
  return withImplied(subtarget, tuning) & ~withImplied(subtarget, sets);
}

std::vector<std::string> llmc::foreignFeatures(const MCSubtargetInfo &subtarget,
                                               const std::set<std::string> &allowed) {
  FeatureBitset tuning = tuningFlags(subtarget), enabled = subtarget.getFeatureBits();
  std::vector<std::string> result;
  for (const SubtargetFeatureKV &feature : subtarget.getAllProcessorFeatures())
    if (enabled[feature.Value] && !tuning[feature.Value] && !isMode(feature.Key) &&
        !allowed.count(feature.Key))
      result.push_back(feature.Key);
  llvm::sort(result);
  return result;
}

Error llmc::checkAskedFeature(const MCSubtargetInfo &subtarget, StringRef name,
                              std::set<std::string> &extra) {
  const Triple &triple = subtarget.getTargetTriple();
  std::vector<StringRef> curated = curatedFeatures(triple.getArch());
  FeatureBitset tuning = tuningFlags(subtarget), asked;
  for (const SubtargetFeatureKV &feature : subtarget.getAllProcessorFeatures())
    if (name == feature.Key)
      asked.set(feature.Value);
  asked = withImplied(subtarget, asked);
  for (const SubtargetFeatureKV &feature : subtarget.getAllProcessorFeatures()) {
    if (!asked[feature.Value] || tuning[feature.Value])
      continue;
    if (!llvm::is_contained(curated, feature.Key) &&
        !canCheckFeature(triple.getArch(), feature.Key))
      return createStringError(inconvertibleErrorCode(),
                               "feature '+" + name + "' for " + triple.str() +
                                   (name == feature.Key
                                        ? std::string()
                                        : " brings '" + std::string(feature.Key) + "', which") +
                                   " is used by no kernel and cannot be checked by the loader; "
                                   "used are " +
                                   join(curated, ", "));
    extra.insert(feature.Key);
  }
  return Error::success();
}
