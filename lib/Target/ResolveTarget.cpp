//===- ResolveTarget.cpp - triple, CPU and features to what code may use ----------------===//
//
// The target is named by the user. What code may use is stated in the artifact, so that the loader
// can refuse instead of running into an illegal instruction; Features.h says what that is.
//
#include "llmc/Target/Features.h"
#include "llmc/Target/Target.h"

#include "llvm/MC/MCSubtargetInfo.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/Target/TargetOptions.h"
#include "llvm/TargetParser/Host.h"

using namespace llvm;
using namespace llmc;

/// One counter for all rows of an inner loop. What LLVM does by default when addresses could be
/// formed in too many ways leaves a counter for each row: 29 instructions instead of 24 for the 12
/// products of a panel on AVX2. Its other way, by the registers that are to be expected, does not.
static void shareCounters() {
  auto &options = cl::getRegisteredOptions();
  if (cl::Option *narrow = options.lookup("lsr-exp-narrow"))
    static_cast<cl::opt<bool> *>(narrow)->setValue(true);
}

static void initializeTargets() {
  static bool done = [] {
    shareCounters();
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

// Why code for `triple` cannot be made; empty if it can. The objects are ELF, the runtime and the
// check of the processor are of Linux, pointers have 64 bits.
static std::string refuseTriple(const Triple &triple) {
  // By name: x86_64h, arm64e, arm64ec and the like are other instruction sets or conventions.
  if (!llvm::is_contained({"x86_64", "amd64", "aarch64", "arm64"}, triple.getArchName()))
    return ("the processor '" + triple.getArchName() + "' is not compiled for").str();
  if (!triple.isOSLinux())
    return ("the system '" + triple.getOSName() + "' is not supported").str();
  bool isKnown =
      triple.getEnvironmentName().empty() ||
      llvm::is_contained({Triple::GNU, Triple::Musl, Triple::Android}, triple.getEnvironment());
  if (!isKnown || !triple.isOSBinFormatELF() || !triple.isArch64Bit() || triple.isX32() ||
      triple.isABIN32())
    return ("the environment '" + triple.getEnvironmentName() + "' is not supported").str();
  return "";
}

static const Target *lookup(const Triple &triple, std::string &message) {
  initializeTargets();
  message = refuseTriple(triple);
  if (!message.empty()) {
    message += "; expected x86_64-linux-gnu or aarch64-linux-gnu";
    return nullptr;
  }
  return TargetRegistry::lookupTarget(triple, message);
}

static const SubtargetSubTypeKV *findCpu(const MCSubtargetInfo &subtarget, StringRef name) {
  for (const SubtargetSubTypeKV &cpu : subtarget.getAllProcessorDescriptions())
    if (name == cpu.Key)
      return &cpu;
  return nullptr;
}

static bool hasFeature(const MCSubtargetInfo &subtarget, StringRef name) {
  return llvm::any_of(subtarget.getAllProcessorFeatures(),
                      [&](const SubtargetFeatureKV &feature) { return name == feature.Key; });
}

// Names are looked up in LLVM's table first: a subtarget made for "help" prints a list.
static Error checkCpu(const MCSubtargetInfo &generic, const Triple &triple, StringRef name) {
  const SubtargetSubTypeKV *cpu = findCpu(generic, name);
  if (!cpu) {
    StringRef otherName =
        triple.getArch() == Triple::x86_64 ? "aarch64-linux-gnu" : "x86_64-linux-gnu";
    Triple other(Triple::normalize(otherName));
    std::string message, hint;
    if (const Target *target = lookup(other, message)) {
      std::unique_ptr<MCSubtargetInfo> table(target->createMCSubtargetInfo(other, "generic", ""));
      if (table && findCpu(*table, name))
        hint = (" (there is one for --target=" + otherName + ")").str();
    }
    return fail("unknown cpu '" + name + "' for " + triple.str() + hint);
  }
  if (triple.getArch() != Triple::x86_64)
    return Error::success();
  FeatureBitset has = cpu->Implies.getAsBitset();
  for (const SubtargetFeatureKV &feature : generic.getAllProcessorFeatures())
    if (StringRef(feature.Key) == "64bit" && !has[feature.Value])
      return fail("cpu '" + name + "' has no 64-bit mode, which code for " + triple.str() +
                  " needs");
  return Error::success();
}

static Expected<std::unique_ptr<MCSubtargetInfo>>
makeSubtarget(const Target &target, const Triple &triple, StringRef cpu, StringRef features) {
  std::unique_ptr<MCSubtargetInfo> result(target.createMCSubtargetInfo(triple, cpu, features));
  if (!result)
    return fail("LLVM has no table of processors for " + triple.str());
  return result;
}

// The instruction sets of this machine that code may use, on or off one by one: the loader asks the
// same question, so what is compiled for this machine is never refused by it.
static void addHostFeatures(const HostFacts &facts, Triple::ArchType arch,
                            std::vector<std::string> &features) {
  for (StringRef name : curatedFeatures(arch))
    features.push_back((facts.features.count(name.str()) ? "+" : "-") + name.str());
}

// Appends what the user asked for to `features`.
static Error addAskedFeatures(const MCSubtargetInfo &generic, StringRef list,
                              std::vector<std::string> &features, std::set<std::string> &extra) {
  SmallVector<StringRef> asked;
  list.split(asked, ',', -1, /*KeepEmpty=*/false);
  for (StringRef feature : asked) {
    StringRef name = feature.ltrim("+-");
    if (name.size() + 1 != feature.size() || !hasFeature(generic, name))
      return fail("unknown feature '" + feature + "' for " + generic.getTargetTriple().str() +
                  " (spell it +name or -name)");
    if (feature.starts_with("+")) {
      if (Error error = checkAskedFeature(generic, name, extra))
        return error;
    } else {
      extra.erase(name.str());
    }
    features.push_back(feature.str());
  }
  return Error::success();
}

// The shape of vectors and the instructions for dot products.
static void fillShape(const MCSubtargetInfo &subtarget, TargetInfo &info) {
  auto has = [&](StringRef name) { return subtarget.checkFeatures(("+" + name).str()); };
  if (!subtarget.getTargetTriple().isX86()) {
    info.lanes = 4;
    info.registers = 32;
    info.dot = has("dotprod") ? "sdot" : "none";
    return;
  }
  info.lanes = has("avx512f") ? 16 : has("avx") ? 8 : 4;
  info.registers = has("avx512f") ? 32 : 16;
  info.half = has("f16c");
  // Of the two widths, the one of the vectors: 512 bits of vpmaddubsw need AVX512BW.
  if (has("avx512f") ? has("avx512vnni") : has("avxvnni"))
    info.dot = "vnni";
  else if (has("avx512f") ? has("avx512bw") : has("avx2"))
    info.dot = "maddubs";
  info.tiles = info.strategy == "amx-int8";
}

Expected<TargetInfo> llmc::resolveTarget(const TargetOptions &options) {
  Triple host(sys::getProcessTriple());
  Triple triple(Triple::normalize(options.triple.empty() ? host.str() : options.triple));
  std::string message;
  const Target *target = lookup(triple, message);
  if (!target)
    return fail("unknown target '" + (options.triple.empty() ? host.str() : options.triple) +
                "': " + message);
  auto generic = makeSubtarget(*target, triple, "generic", "");
  if (!generic)
    return generic.takeError();

  TargetInfo info;
  info.triple = triple.str();
  info.cpu = options.cpu;
  std::vector<std::string> features; // "+name" and "-name"; SubtargetFeatures would change case.
  if (options.cpu == "native") {
    if (triple.getArch() != host.getArch())
      return fail("cpu 'native' is for this machine, which is " + host.getArchName() + ", not " +
                  triple.getArchName() + "; name a CPU");
    HostFacts facts = readHostFacts();
    if (!findCpu(**generic, facts.name))
      facts.name = "generic";
    auto named = makeSubtarget(*target, triple, facts.name, "");
    if (!named)
      return named.takeError();
    info.cpu = nameHostCpu(facts, **named);
    addHostFeatures(facts, triple.getArch(), features);
  } else if (options.cpu.empty()) {
    info.cpu = triple.getArch() == Triple::x86_64 ? "x86-64" : "generic";
  }
  if (Error error = checkCpu(**generic, triple, info.cpu))
    return error;
  std::set<std::string> allowed;
  if (Error error = addAskedFeatures(**generic, options.features, features, allowed))
    return error;

  auto subtarget = makeSubtarget(*target, triple, info.cpu, join(features, ","));
  if (!subtarget)
    return subtarget.takeError();
  info.strategy = chooseStrategy(**subtarget);
  for (StringRef name : strategyFeatures(info.strategy))
    allowed.insert(name.str());
  for (const std::string &name : foreignFeatures(**subtarget, allowed))
    features.push_back("-" + name);
  info.featureString = join(features, ",");

  subtarget = makeSubtarget(*target, triple, info.cpu, info.featureString);
  if (!subtarget)
    return subtarget.takeError();
  // Should a set of the strategy bring along what was turned off, it went as well.
  info.strategy = chooseStrategy(**subtarget);
  fillShape(**subtarget, info);
  for (const std::string &name : allowed)
    if ((*subtarget)->checkFeatures("+" + name))
      info.features.push_back(name);
  if (options.cpu.empty() && (info.strategy == "sse" || info.strategy == "neon"))
    info.warning = "no --cpu: the code uses " +
                   std::string(info.strategy == "sse" ? "SSE2" : "NEON without dot products") +
                   " only, which every " + triple.getArchName().str() +
                   " has and which is slow; name a processor (--cpu=" +
                   (info.strategy == "sse" ? "haswell, --cpu=znver4" : "neoverse-n1") +
                   ", ...) or --cpu=native for this machine";
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
