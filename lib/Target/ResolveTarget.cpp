//===- ResolveTarget.cpp - triple, CPU and features to what code may use ----------------===//
//
// The target is named by the user; features come from LLVM's own tables, so that the artifact can
// say what it needs and the loader can refuse instead of running into an illegal instruction.
//
#include "llmc/Target/Target.h"

#include "llvm/MC/MCSubtargetInfo.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/Target/TargetOptions.h"
#include "llvm/TargetParser/Host.h"
#include "llvm/TargetParser/SubtargetFeature.h"

#include <algorithm>
#include <set>

using namespace llvm;
using namespace llmc;

static void initializeTargets() {
  static bool done = [] {
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
    LLVMInitializeX86AsmParser();
    LLVMInitializeAArch64TargetInfo();
    LLVMInitializeAArch64Target();
    LLVMInitializeAArch64TargetMC();
    LLVMInitializeAArch64AsmPrinter();
    LLVMInitializeAArch64AsmParser();
    return true;
  }();
  static_cast<void>(done);
}

static Error fail(const Twine &message) {
  return createStringError(inconvertibleErrorCode(), message);
}

static const Target *lookup(const Triple &triple, std::string &message) {
  initializeTargets();
  if (triple.getArch() != Triple::x86_64 && triple.getArch() != Triple::aarch64) {
    message = "only x86_64 and aarch64 are compiled for";
    return nullptr;
  }
  return TargetRegistry::lookupTarget(triple, message);
}

// Features that exist in this subtarget and change which instructions are legal; tuning flags say
// nothing about a machine.
static std::vector<std::string> enabledFeatures(const MCSubtargetInfo &subtarget) {
  std::set<std::string> result;
  for (const SubtargetFeatureKV &feature : subtarget.getEnabledProcessorFeatures()) {
    StringRef name = feature.Key, text = feature.Desc;
    if (!text.starts_with_insensitive("Enable") && !text.starts_with_insensitive("Support") &&
        !text.contains("instruction"))
      continue;
    result.insert(name.str());
  }
  return {result.begin(), result.end()};
}

Expected<TargetInfo> llmc::resolveTarget(const TargetOptions &options) {
  Triple host(sys::getProcessTriple());
  Triple triple(Triple::normalize(options.triple.empty() ? host.str() : options.triple));
  std::string message;
  const Target *target = lookup(triple, message);
  if (!target)
    return fail("unknown target '" + options.triple + "': " + message);

  TargetInfo info;
  info.triple = triple.str();
  info.cpu = options.cpu;
  SubtargetFeatures features;
  if (options.cpu == "native") {
    if (triple.getArch() != host.getArch())
      return fail("cpu 'native' is for this machine, which is " + host.getArchName() + ", not " +
                  triple.getArchName() + "; name a CPU");
    info.cpu = sys::getHostCPUName().str();
    for (const auto &feature : sys::getHostCPUFeatures())
      if (feature.second)
        features.AddFeature(feature.first(), true);
      else
        features.AddFeature(feature.first(), false);
    std::vector<std::string> sorted = features.getFeatures();
    std::sort(sorted.begin(), sorted.end()); // The host's table is a hash map.
    features = SubtargetFeatures(join(sorted, ","));
  } else if (options.cpu.empty()) {
    info.cpu = triple.getArch() == Triple::x86_64 ? "x86-64" : "generic";
  }
  std::unique_ptr<MCSubtargetInfo> probe(target->createMCSubtargetInfo(triple, info.cpu, ""));
  if (!probe || !probe->isCPUStringValid(info.cpu))
    return fail("unknown cpu '" + info.cpu + "' for " + triple.str());
  SmallVector<StringRef> asked;
  StringRef(options.features).split(asked, ',', -1, /*KeepEmpty=*/false);
  for (StringRef feature : asked) {
    StringRef name = feature.ltrim("+-");
    bool known = llvm::any_of(probe->getAllProcessorFeatures(),
                              [&](const SubtargetFeatureKV &kv) { return name == kv.Key; });
    if (!known || name.size() + 1 != feature.size())
      return fail("unknown feature '" + feature + "' for " + triple.str() +
                  " (spell it +name or -name)");
    features.AddFeature(feature);
  }
  info.featureString = features.getString();
  std::unique_ptr<MCSubtargetInfo> subtarget(
      target->createMCSubtargetInfo(triple, info.cpu, info.featureString));
  info.features = enabledFeatures(*subtarget);
  auto has = [&](StringRef name) { return subtarget->checkFeatures(("+" + name).str()); };
  if (triple.getArch() == Triple::x86_64) {
    info.lanes = has("avx512f") ? 16 : has("avx") ? 8 : 4;
    info.registers = has("avx512f") ? 32 : 16;
    info.half = has("f16c");
    // Of the two widths, the one of the vectors: 512 bits of vpmaddubsw need AVX512BW.
    if (has("avx512f") ? has("avx512vnni") : has("avxvnni"))
      info.dot = "vnni";
    else if (has("avx512f") ? has("avx512bw") : has("avx2"))
      info.dot = "maddubs";
    info.tiles = has("amx-int8") && info.lanes == 16 && info.dot == "vnni";
    // Tile registers are for intrinsics alone: what is not asked for is never used.
    llvm::erase_if(info.features, [&](const std::string &feature) {
      bool isUsed = info.tiles && (feature == "amx-int8" || feature == "amx-tile");
      return StringRef(feature).starts_with("amx-") && !isUsed;
    });
    info.strategy = info.tiles          ? "amx-int8"
                    : has("avx512vnni") ? "avx512vnni"
                    : has("avx512f")    ? "avx512"
                    : has("avxvnni")    ? "avxvnni"
                    : has("avx2")       ? "avx2"
                                        : "sse";
  } else {
    info.lanes = 4;
    info.registers = 32;
    info.dot = has("dotprod") ? "sdot" : "none";
    info.strategy = has("i8mm") ? "neon-i8mm" : has("dotprod") ? "neon-dotprod" : "neon";
  }
  return info;
}

Expected<std::unique_ptr<TargetMachine>> llmc::makeTargetMachine(const TargetInfo &info) {
  Triple triple(info.triple);
  std::string message;
  const Target *target = lookup(triple, message);
  if (!target)
    return fail("unknown target '" + info.triple + "': " + message);
  llvm::TargetOptions options;
  // Only what the code says is one operation (vector.fma) is fused; products and sums of their own
  // never are.
  options.AllowFPOpFusion = FPOpFusion::Standard;
  std::unique_ptr<TargetMachine> machine(
      target->createTargetMachine(triple, info.cpu, info.featureString, options, Reloc::PIC_,
                                  CodeModel::Small, CodeGenOptLevel::Aggressive));
  if (!machine)
    return fail("no code generator for " + info.triple);
  return machine;
}
