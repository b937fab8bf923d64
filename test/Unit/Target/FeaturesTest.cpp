// What artifacts ask of a machine: a curated list for every processor that LLVM knows, and for ones
// that it may know later.
#include "llmc/Target/Features.h"
#include "llmc/Target/Target.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/AsmParser/Parser.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Support/SourceMgr.h"
#include "llvm/Target/TargetMachine.h"

#include <gtest/gtest.h>
#include <memory>

using namespace llvm;
using namespace llmc;

namespace {

constexpr const char *kTriples[] = {"x86_64-linux-gnu", "aarch64-linux-gnu"};

std::string errorOf(const llmc::TargetOptions &options) {
  Expected<TargetInfo> info = resolveTarget(options);
  return info ? std::string() : toString(info.takeError());
}

std::unique_ptr<MCSubtargetInfo> subtargetOf(StringRef name, StringRef cpu, StringRef features) {
  consumeError(resolveTarget({name.str(), "", ""}).takeError()); // Registers LLVM's targets.
  Triple triple(Triple::normalize(name));
  std::string message;
  const Target *target = TargetRegistry::lookupTarget(triple, message);
  return std::unique_ptr<MCSubtargetInfo>(target->createMCSubtargetInfo(triple, cpu, features));
}

// A little function as machine code: LLVM ends the program for a subtarget it cannot generate for.
std::string objectOf(const TargetInfo &info) {
  std::unique_ptr<TargetMachine> machine = cantFail(makeTargetMachine(info));
  LLVMContext context;
  SMDiagnostic diagnostic;
  std::unique_ptr<Module> module = parseAssemblyString(
      "define <16 x float> @f(<16 x float> %a, ptr %p, i64 %n) { %b = load <16 x half>, ptr %p\n"
      "%c = fpext <16 x half> %b to <16 x float>\n%d = fmul <16 x float> %a, %c\n"
      "%e = shl i64 1, %n\n store i64 %e, ptr %p\n ret <16 x float> %d }",
      diagnostic, context);
  module->setTargetTriple(machine->getTargetTriple());
  module->setDataLayout(machine->createDataLayout());
  return cantFail(emitCode(*module, *machine, /*assembly=*/false));
}

// --- An LLVM of a later day ---

// Bits of features that are made up.
enum { Avx2, Avx512f, Telepathy, FastWand, Levitation };

/// LLVM's tables with a processor nobody has built yet. Tables are sorted by name, as LLVM wants.
struct Simulated {
  static FeatureBitArray bits(std::initializer_list<unsigned> set) {
    FeatureBitset result(set);
    std::array<uint64_t, MAX_SUBTARGET_WORDS> words = {};
    for (unsigned i = 0; i < MAX_SUBTARGET_FEATURES; ++i)
      if (result[i])
        words[i / 64] |= uint64_t(1) << (i % 64);
    return FeatureBitArray(words);
  }
  SubtargetFeatureKV features[5] = {
      {"avx2", "Enable AVX2 instructions", Avx2, bits({})},
      {"avx512f", "Enable AVX-512 instructions", Avx512f, bits({Avx2})},
      {"fast-wand", "Wands are fast", FastWand, bits({})},
      {"levitation", "Enable levitation, which brings telepathy", Levitation, bits({Telepathy})},
      {"telepathy", "Reads minds", Telepathy, bits({})},
  };
  SubtargetSubTypeKV processors[1] = {
      {"wizard", bits({Avx2, Levitation}), bits({FastWand}), &MCSchedModel::Default}};
  StringRef names[1] = {"wizard"};
  MCSubtargetInfo make(StringRef text) {
    return MCSubtargetInfo(Triple("x86_64-unknown-linux-gnu"), "wizard", "wizard", text, names,
                           features, processors, nullptr, nullptr, nullptr, nullptr, nullptr,
                           nullptr);
  }
};

TEST(Features, WhatNobodyKnowsIsTurnedOff) {
  Simulated llvm;
  MCSubtargetInfo wizard = llvm.make("");
  EXPECT_TRUE(wizard.checkFeatures("+telepathy"));
  // Not the tuning flag, not what the strategy uses; by the table, whatever the description says.
  EXPECT_EQ(foreignFeatures(wizard, {"avx2"}),
            (std::vector<std::string>{"levitation", "telepathy"}));
  MCSubtargetInfo tamed = llvm.make("-levitation,-telepathy");
  EXPECT_TRUE(foreignFeatures(tamed, {"avx2"}).empty());
  EXPECT_TRUE(tamed.checkFeatures("+avx2") && tamed.checkFeatures("+fast-wand"));
  EXPECT_FALSE(tamed.checkFeatures("+telepathy"));
}

TEST(Features, WhatCannotBeCheckedMayNotBeAskedFor) {
  Simulated llvm;
  MCSubtargetInfo wizard = llvm.make("");
  std::set<std::string> extra;
  EXPECT_FALSE(static_cast<bool>(checkAskedFeature(wizard, "fast-wand", extra)));
  EXPECT_TRUE(extra.empty());
  // What a strategy uses is kept beside any other, too.
  EXPECT_FALSE(static_cast<bool>(checkAskedFeature(wizard, "avx512f", extra)));
  EXPECT_EQ(extra.count("avx512f"), 1u);
  std::string message = toString(checkAskedFeature(wizard, "levitation", extra));
  EXPECT_NE(message.find("feature '+levitation'"), std::string::npos) << message;
  EXPECT_NE(message.find("cannot be checked"), std::string::npos) << message;
}

// --- This LLVM ---

class EveryProcessor : public testing::TestWithParam<const char *> {};

TEST_P(EveryProcessor, AsksOnlyForWhatIsCuratedAndChecked) {
  std::unique_ptr<MCSubtargetInfo> table = subtargetOf(GetParam(), "generic", "");
  Triple::ArchType arch = table->getTargetTriple().getArch();
  std::vector<StringRef> curated = curatedFeatures(arch);
  size_t accepted = 0;
  std::set<std::string> strategies;
  for (const SubtargetSubTypeKV &cpu : table->getAllProcessorDescriptions()) {
    SCOPED_TRACE(cpu.Key);
    Expected<TargetInfo> info = resolveTarget({GetParam(), cpu.Key, ""});
    if (!info) {
      std::string message = toString(info.takeError());
      EXPECT_NE(message.find("has no 64-bit mode"), std::string::npos) << message;
      continue;
    }
    ++accepted;
    strategies.insert(info->strategy);
    for (const std::string &feature : info->features) {
      EXPECT_TRUE(is_contained(curated, feature)) << feature;
      EXPECT_TRUE(canCheckFeature(arch, feature)) << feature;
    }
    // What LLVM will use is what is stated.
    std::set<std::string> stated(info->features.begin(), info->features.end());
    std::unique_ptr<MCSubtargetInfo> made = subtargetOf(GetParam(), cpu.Key, info->featureString);
    EXPECT_EQ(foreignFeatures(*made, stated), std::vector<std::string>());
    for (const std::string &feature : stated)
      EXPECT_TRUE(made->checkFeatures("+" + feature)) << feature;
    EXPECT_NE(objectOf(*info), "");
  }
  EXPECT_GT(accepted, 70u);
  EXPECT_EQ(strategies, arch == Triple::x86_64
                            ? (std::set<std::string>{"sse", "avx2", "avxvnni", "avx512",
                                                     "avx512vnni", "amx-int8"})
                            : (std::set<std::string>{"neon", "neon-dotprod"}));
}

TEST_P(EveryProcessor, CuratedFeaturesAreLlvms) {
  std::unique_ptr<MCSubtargetInfo> table = subtargetOf(GetParam(), "generic", "");
  for (StringRef name : curatedFeatures(table->getTargetTriple().getArch()))
    EXPECT_TRUE(any_of(table->getAllProcessorFeatures(), [&](const SubtargetFeatureKV &feature) {
      return name == feature.Key;
    })) << name.str();
}

INSTANTIATE_TEST_SUITE_P(Architectures, EveryProcessor, testing::ValuesIn(kTriples));

TEST(ResolveTarget, TurnsOffWhatTheNameBrings) {
  TargetInfo info = cantFail(resolveTarget({"x86_64-linux-gnu", "graniterapids", ""}));
  EXPECT_EQ(info.strategy, "amx-int8");
  EXPECT_EQ(info.features,
            (std::vector<std::string>{"amx-int8", "amx-tile", "avx",      "avx2",       "avx512bw",
                                      "avx512dq", "avx512f",  "avx512vl", "avx512vnni", "bmi",
                                      "bmi2",     "cmov",     "f16c",     "fma",        "sse",
                                      "sse2",     "sse3",     "sse4.1",   "sse4.2",     "ssse3"}));
  TargetInfo off = cantFail(resolveTarget({"x86_64-linux-gnu", "graniterapids", "-amx-int8"}));
  EXPECT_EQ(off.strategy, "avx512vnni");
  EXPECT_FALSE(is_contained(off.features, "amx-tile"));
  EXPECT_FALSE(off.tiles);
}

TEST(ResolveTarget, KeepsWhatIsAskedForAndChecked) {
  TargetInfo info = cantFail(resolveTarget({"x86_64-linux-gnu", "haswell", "+sha"}));
  EXPECT_TRUE(is_contained(info.features, "sha"));
  info = cantFail(resolveTarget({"x86_64-linux-gnu", "haswell", "+sha,-sha"}));
  EXPECT_FALSE(is_contained(info.features, "sha"));
  EXPECT_NE(errorOf({"x86_64-linux-gnu", "haswell", "+movrs"}).find("feature '+movrs'"),
            std::string::npos);
  EXPECT_NE(
      errorOf({"x86_64-linux-gnu", "haswell", "+telepathy"}).find("unknown feature '+telepathy'"),
      std::string::npos);
  EXPECT_NE(errorOf({"x86_64-linux-gnu", "haswell", "+help"}).find("unknown feature"),
            std::string::npos);
}

TEST(ResolveTarget, RefusesOtherMachines) {
  for (const char *triple : {"arm64-apple-darwin",
                             "aarch64-apple-macosx",
                             "x86_64-pc-windows-msvc",
                             "x86_64-w64-mingw32",
                             "x86_64-unknown-freebsd",
                             "x86_64-unknown-linux-gnux32",
                             "x86_64-unknown-linux-muslx32",
                             "aarch64-linux-gnu_ilp32",
                             "aarch64_be-linux-gnu",
                             "aarch64_32-linux-gnu",
                             "arm64ec-linux-gnu",
                             "i686-linux-gnu",
                             "i386-pc-linux-gnu",
                             "armv7-linux-gnueabihf",
                             "riscv64-linux-gnu",
                             "aarch64-none-elf",
                             "x86_64",
                             "x86_64-linux-wrong",
                             "wasm32",
                             "x86_64-linux-macho",
                             "pdp11",
                             "x86-64-linux-gnu"}) {
    std::string message = errorOf({triple, "", ""});
    EXPECT_EQ(message.find("unknown target '" + std::string(triple) + "': "), 0u) << message;
    EXPECT_NE(message.find("expected x86_64-linux-gnu or aarch64-linux-gnu"), std::string::npos)
        << message;
  }
  for (const char *triple :
       {"x86_64-linux-gnu", "x86_64-linux", "x86_64-unknown-linux-gnu", "x86_64-pc-linux-musl",
        "amd64-linux-gnu", "arm64-linux-gnu", "aarch64-linux-musl", "aarch64-linux-android"})
    EXPECT_EQ(errorOf({triple, "", ""}), "");
}

TEST(ResolveTarget, RefusesOtherProcessors) {
  for (const char *cpu : {"i386", "pentium", "pentium4", "k6", "athlon", "lakemont", "yonah"})
    EXPECT_EQ(errorOf({"x86_64-linux-gnu", cpu, ""}),
              "cpu '" + std::string(cpu) +
                  "' has no 64-bit mode, which code for x86_64-unknown-linux-gnu needs");
  for (const char *cpu : {"pentagon", "help", "Haswell", " haswell", "cortex-m4", "native "})
    EXPECT_EQ(errorOf({"x86_64-linux-gnu", cpu, ""}),
              "unknown cpu '" + std::string(cpu) + "' for x86_64-unknown-linux-gnu");
  EXPECT_EQ(errorOf({"x86_64-linux-gnu", "cortex-a76", ""}),
            "unknown cpu 'cortex-a76' for x86_64-unknown-linux-gnu (there is one for "
            "--target=aarch64-linux-gnu)");
  EXPECT_EQ(errorOf({"aarch64-linux-gnu", "haswell", ""}),
            "unknown cpu 'haswell' for aarch64-unknown-linux-gnu (there is one for "
            "--target=x86_64-linux-gnu)");
}

TEST(ResolveTarget, WarnsOfWhatEveryMachineHas) {
  auto warning = [](const llmc::TargetOptions &options) {
    return cantFail(resolveTarget(options)).warning;
  };
  EXPECT_NE(warning({"x86_64-linux-gnu", "", ""}).find("SSE2"), std::string::npos);
  EXPECT_NE(warning({"aarch64-linux-gnu", "", ""}).find("NEON"), std::string::npos);
  EXPECT_EQ(warning({"x86_64-linux-gnu", "x86-64", ""}), "");
  EXPECT_EQ(warning({"x86_64-linux-gnu", "", "+avx2,+fma"}), "");
  EXPECT_EQ(warning({"aarch64-linux-gnu", "", "+dotprod"}), "");
}

} // namespace
