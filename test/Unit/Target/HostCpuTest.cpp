// The name of this machine's processor, from facts that are made up and from those of this machine.
#include "llmc/Runtime/llmcrt.h"
#include "llmc/Target/Features.h"
#include "llmc/Target/Target.h"

#include "llvm/MC/TargetRegistry.h"

#include <gtest/gtest.h>
#include <memory>

using namespace llvm;
using namespace llmc;

namespace {

using Names = std::set<std::string>;

const Names kAvx2 = {"avx", "avx2", "f16c", "fma"};
const Names kAvx512 = {"avx", "avx2", "f16c", "fma", "avx512f", "avx512bw"};

Names with(Names names, std::initializer_list<const char *> more) {
  names.insert(more.begin(), more.end());
  return names;
}

std::string nameOf(const char *reported, const char *vendor, const Names &features,
                   int64_t instructionCache = 32 << 10, int64_t lastCache = 32 << 20) {
  consumeError(resolveTarget({"x86_64-linux-gnu", "", ""}).takeError());
  Triple triple("x86_64-unknown-linux-gnu");
  std::string message;
  const Target *target = TargetRegistry::lookupTarget(triple, message);
  std::unique_ptr<MCSubtargetInfo> named(target->createMCSubtargetInfo(triple, reported, ""));
  return nameHostCpu({reported, vendor, features, instructionCache, lastCache}, *named);
}

const Names kRapids = with(kAvx512, {"avx512vnni", "avx512vbmi2", "avxvnni", "avx512bf16",
                                     "avx512fp16", "amx-tile", "amx-int8"});

TEST(HostCpu, FeaturesAndCachesContradictTheModel) {
  // Model 167 with tile registers: a virtual machine on Granite Rapids, on Emerald and Sapphire.
  EXPECT_EQ(nameOf("rocketlake", "GenuineIntel", kRapids, 64 << 10, 480 << 20), "graniterapids");
  EXPECT_EQ(nameOf("rocketlake", "GenuineIntel", kRapids, 32 << 10, 320 << 20), "emeraldrapids");
  EXPECT_EQ(nameOf("rocketlake", "GenuineIntel", kRapids, 32 << 10, 105 << 20), "sapphirerapids");
  EXPECT_EQ(nameOf("rocketlake", "GenuineIntel", with(kRapids, {"amx-fp16"})), "graniterapids");
  // Models of a hypervisor's own.
  EXPECT_EQ(nameOf("x86-64", "GenuineIntel", kAvx2), "haswell");
  EXPECT_EQ(nameOf("pentium4", "GenuineIntel", with(kAvx512, {"avx512vnni"})), "cascadelake");
  EXPECT_EQ(nameOf("skylake", "GenuineIntel", kAvx512), "skylake-avx512");
  EXPECT_EQ(nameOf("haswell", "GenuineIntel", with(kAvx2, {"avxvnni"})), "alderlake");
  EXPECT_EQ(nameOf("k8", "AuthenticAMD", kAvx2), "znver2");
  EXPECT_EQ(nameOf("k8", "AuthenticAMD", kAvx2, 64 << 10), "znver1");
  EXPECT_EQ(nameOf("k8", "AuthenticAMD", with(kAvx2, {"vaes"})), "znver3");
  EXPECT_EQ(nameOf("znver2", "AuthenticAMD", with(kAvx512, {"avx512vnni", "vaes"})), "znver4");
}

TEST(HostCpu, AModelThatFitsIsKept) {
  EXPECT_EQ(nameOf("sapphirerapids", "GenuineIntel", kRapids, 64 << 10), "sapphirerapids");
  EXPECT_EQ(nameOf("znver4", "AuthenticAMD", with(kAvx512, {"avx512vnni", "vaes"})), "znver4");
  // What a hypervisor hides makes no other processor.
  EXPECT_EQ(nameOf("znver4", "AuthenticAMD", kAvx2), "znver4");
  EXPECT_EQ(nameOf("broadwell", "GenuineIntel", kAvx2), "broadwell");
  // A vendor without a list.
  EXPECT_EQ(nameOf("x86-64", "CentaurHauls", kAvx2), "x86-64");
}

TEST(HostCpu, ThisMachineHasWhatNativeAsksFor) {
  TargetInfo native = cantFail(resolveTarget({"", "native", ""}));
  for (const std::string &feature : native.features)
    EXPECT_EQ(llmcrt_cpu_has(feature.c_str()), 1) << feature;
  EXPECT_NE(native.cpu, "native");
  EXPECT_TRUE(native.warning.empty());
}

} // namespace
