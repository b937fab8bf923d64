//===- Features.h - which instruction sets code may use ---------------------------------===//
//
// LLVM enables dozens of features for the name of a processor, and more with each release. Code
// generation uses a handful: those of a strategy stay on, all others are turned off by name, so
// that an artifact asks its machine for no more than it uses. Tuning flags say nothing about what
// is legal and stay.
//
#ifndef LLMC_TARGET_FEATURES_H
#define LLMC_TARGET_FEATURES_H

#include "llvm/ADT/StringRef.h"
#include "llvm/MC/MCSubtargetInfo.h"
#include "llvm/Support/Error.h"
#include "llvm/TargetParser/Triple.h"

#include <set>
#include <string>
#include <vector>

namespace llmc {

/// The way linears are computed, from what a subtarget has: amx-int8, avx512vnni, avx512, avxvnni,
/// avx2 or sse; neon-dotprod or neon.
std::string chooseStrategy(const llvm::MCSubtargetInfo &subtarget);

/// The instruction sets that code of `strategy` may use, by LLVM's names.
std::vector<llvm::StringRef> strategyFeatures(llvm::StringRef strategy);

/// All instruction sets that some strategy of `arch` uses.
std::vector<llvm::StringRef> curatedFeatures(llvm::Triple::ArchType arch);

/// True when an artifact can ask the machine it is on for the feature.
bool canCheckFeature(llvm::Triple::ArchType arch, llvm::StringRef name);

/// What the processors of LLVM's table have for tuning only, by the bits of features.
llvm::FeatureBitset tuningFlags(const llvm::MCSubtargetInfo &subtarget);

/// What `subtarget` enables and neither is in `allowed` nor a tuning flag, sorted. Whatever LLVM's
/// table calls it: a feature that nobody has heard of is among them.
std::vector<std::string> foreignFeatures(const llvm::MCSubtargetInfo &subtarget,
                                         const std::set<std::string> &allowed);

/// Checks that "+name" may be asked for: it, and everything that it brings along, is used by a
/// strategy, can be checked, or is a tuning flag. What is kept beside the strategy's own goes into
/// `extra`.
llvm::Error checkAskedFeature(const llvm::MCSubtargetInfo &subtarget, llvm::StringRef name,
                              std::set<std::string> &extra);

/// What is known of this machine's processor.
struct HostFacts {
  std::string name;               ///< What LLVM calls it, by family and model.
  std::string vendor;             ///< GenuineIntel, AuthenticAMD, ..., empty where unknown.
  std::set<std::string> features; ///< Those that the machine has and a loader can check.
  int64_t instructionCache = 0;   ///< Bytes of the first level's
  int64_t lastCache = 0;          ///< and of the last level's.
};

HostFacts readHostFacts();

/// The processor by LLVM's name. Virtual machines report models that are not theirs: a name whose
/// processor lacks what this one has is wrong, and the class is told by features and caches.
/// `named` is the subtarget of facts.name.
std::string nameHostCpu(const HostFacts &facts, const llvm::MCSubtargetInfo &named);

} // namespace llmc

#endif // LLMC_TARGET_FEATURES_H
