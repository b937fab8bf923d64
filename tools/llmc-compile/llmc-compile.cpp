//===- llmc-compile.cpp - a model to native code ----------------------------------------===//
//
// The command line of the Pipeline room.
//
#include "llmc/InitAll.h"
#include "llmc/Numerics/MappedPages.h"
#include "llmc/Pipeline/AtomicOutput.h"
#include "llmc/Pipeline/CommandLine.h"
#include "llmc/Pipeline/Compile.h"
#include "llmc/Pipeline/Diagnostics.h"
#include "llmc/Pipeline/ModelFile.h"
#include "llmc/Pipeline/Version.h"

#include "mlir/IR/AsmState.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Support/Timing.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/SourceMgr.h"

#include <map>
#include <unistd.h>

using namespace llmc;
namespace cl = llvm::cl;

static constexpr char kOverview[] =
    "llmc-compile: compile a model to native code\n\n"
    "  Reads a model (.mlirbc or .mlir; '-' is standard input) and writes OUTPUT.o, OUTPUT.so, "
    "OUTPUT.h,\n"
    "  OUTPUT.safetensors and OUTPUT.json, all of them or none: where a compilation fails, files "
    "of "
    "these names\n"
    "  are as they were. The object imports nothing but memcpy, memmove and memset; the header is "
    "C99 and C++17.\n"
    "  The target is what you name: nothing is taken from this machine unless --cpu=native says "
    "so.\n"
    "  Options of MLIR that look at passes are there as well: --mlir-print-ir-after=PASS,\n"
    "  --mlir-print-ir-after-all, --mlir-timing, --mlir-pass-pipeline-crash-reproducer=FILE.\n";

static constexpr char kExamples[] =
    "\nEXAMPLES:\n"
    "  llmc-compile --target=x86_64-linux-gnu --cpu=native small.mlirbc -o build/small\n"
    "  llmc-compile --target=aarch64-linux-gnu --cpu=cortex-a76 small.mlirbc -o build/small-arm\n"
    "  llmc-compile --target=x86_64-linux-gnu --cpu=znver4 --explain --dry-run small.mlirbc\n"
    "  llmc-compile --target=x86_64-linux-gnu --cpu=znver4 --until=lower small.mlirbc -o -     # "
    "to read\n"
    "  llmc-compile --target=x86_64-linux-gnu --cpu=znver4 --mlir-print-ir-after=fuse-stages "
    "--dry-run small.mlirbc\n"
    "  llmc-opt --rtn-quantize model.mlirbc --emit-bytecode | llmc-compile "
    "--target=x86_64-linux-gnu --cpu=znver4 - -o small\n";

static cl::OptionCategory category("Options of llmc-compile");
static cl::opt<std::string> input(cl::Positional, cl::desc("<model.mlirbc>"), cl::Required,
                                  cl::cat(category));
static cl::opt<std::string> output(
    "o",
    cl::desc("Base name of the artifact; with --until, the file to write (- is standard output)"),
    cl::value_desc("output"), cl::cat(category));
static cl::opt<std::string> target("target",
                                   cl::desc("Target triple: x86_64-linux-gnu or aarch64-linux-gnu"),
                                   cl::value_desc("triple"), cl::cat(category));
static cl::opt<std::string>
    cpu("cpu",
        cl::desc("CPU as LLVM names it (znver4, haswell, cortex-a76), or native for this machine; "
                 "without it code is for what every machine of the triple has (SSE2, plain NEON)"),
        cl::cat(category));
static cl::opt<std::string> features("features",
                                     cl::desc("Features added or removed: +avx512vnni,-amx-int8"),
                                     cl::value_desc("list"), cl::cat(category));
static cl::opt<int64_t>
    context("context",
            cl::desc("Positions of a sequence; default: what the model's tables cover, else 2048"),
            cl::init(0), cl::cat(category));
static cl::opt<int64_t> chunk("chunk", cl::desc("Rows of one pass of prefill (512)"), cl::init(512),
                              cl::cat(category));
static cl::opt<int64_t> maxTokens(
    "max-tokens",
    cl::desc("Models without cache: batch x length the arena is planned for; default: the context"),
    cl::init(0), cl::cat(category));
static cl::opt<bool> embedWeights(
    "embed-weights",
    cl::desc("Put the weights into the object (at most 1 GB) instead of OUTPUT.safetensors; "
             "P_init then takes NULL for them"),
    cl::cat(category));
static cl::opt<std::string>
    prefix("symbol-prefix",
           cl::desc("Prefix of every symbol; default: the base name of -o made a C identifier"),
           cl::value_desc("P"), cl::cat(category));
static cl::opt<bool>
    rollLayers("roll-layers",
               cl::desc("One body of code for layers that are alike (true); false: "
                        "one for each, which a profiler can tell apart"),
               cl::init(true), cl::cat(category));
static cl::opt<std::string> until("until",
                                  cl::desc("Stop after a stage and write what is there: import, "
                                           "fuse, pack, lower, target, llvm, object"),
                                  cl::value_desc("stage"), cl::cat(category));
static cl::opt<bool> assembly("assembly", cl::desc("With --until=object: assembly text"),
                              cl::cat(category));
static cl::opt<bool> explain("explain",
                             cl::desc("Print, for each linear, format, tile, bytes per token, the "
                                      "path taken and why, and what time "
                                      "the processor's numbers let expect"),
                             cl::cat(category));
static cl::opt<bool> dryRun("dry-run", cl::desc("Write nothing; print sizes and memory per layer"),
                            cl::cat(category));

static int fail(ExitCode code, const llvm::Twine &message) {
  llvm::errs() << "llmc-compile: error: " << message << "\n";
  return code;
}

static void progress(const llvm::Twine &what) {
  if (isatty(STDERR_FILENO))
    llvm::errs() << "llmc-compile: " << what << "\n";
}

// Bytes of the weight file by layer, then the totals.
static void printSizes(Compilation &compilation, ArrayRef<std::pair<std::string, int64_t>> layers) {
  for (const auto &[name, bytes] : layers)
    llvm::outs() << llvm::format("%12lld  %s\n", static_cast<long long>(bytes), name.c_str());
  llvm::outs() << llvm::format("%12lld  weights in all\n",
                               static_cast<long long>(compilation.weightBytes()))
               << llvm::format("%12lld  arena, one thread\n",
                               static_cast<long long>(compilation.arenaBytes(1)))
               << llvm::format("%12lld  cache per position\n",
                               static_cast<long long>(compilation.kvBytesPerPosition()))
               << llvm::format("%12lld  context\n",
                               static_cast<long long>(compilation.config().context));
}

// model.layers.0.mlp.up_proj.weight belongs to model.layers.0; what has no number stands for
// itself.
static std::string layerOf(StringRef name) {
  SmallVector<StringRef> parts;
  name.split(parts, '.');
  for (size_t i = 0; i < parts.size(); ++i)
    if (!parts[i].empty() && llvm::all_of(parts[i], llvm::isDigit))
      return llvm::join(ArrayRef(parts).take_front(i + 1), ".");
  return name.str();
}

static int writeText(const std::string &text) {
  if (output.empty() || output == "-") {
    llvm::outs() << text;
    return flushStandardOutput("llmc-compile");
  }
  std::string error;
  std::unique_ptr<AtomicOutput> file = AtomicOutput::create(output, error);
  if (!file || !file->write(text.data(), text.size(), error) || !file->commit(error))
    return fail(kExitResource, error);
  return kExitOk;
}

static int runUntil(ModuleOp module, const CompileOptions &options, Stage stage) {
  auto compilation = Compilation::create(module, options);
  if (failed(compilation))
    return kExitBadInput;
  if (failed((*compilation)->runUntil(std::min(stage, Stage::Target))))
    return kExitBadInput;
  printPassStatistics();
  if (explain)
    llvm::errs() << (*compilation)->explain();
  if (stage >= Stage::LLVM) {
    FailureOr<std::string> code = (*compilation)->emit(stage, assembly);
    return failed(code) ? int(kExitInternal) : writeText(*code);
  }
  std::string text;
  llvm::raw_string_ostream stream(text);
  OpPrintingFlags flags;
  flags.elideLargeElementsAttrs(16).elideLargeResourceString(16);
  module.print(stream, flags);
  return writeText(text + "\n");
}

static int dryRunOnly(ModuleOp module, const CompileOptions &options) {
  auto compilation = Compilation::create(module, options);
  if (failed(compilation) || failed((*compilation)->runUntil(Stage::Pack)))
    return kExitBadInput;
  std::vector<std::pair<std::string, int64_t>> layers;
  for (const PackedEntry &entry : getPackedEntries(*exec::getProgram(module))) {
    std::string layer = layerOf(entry.name);
    if (layers.empty() || layers.back().first != layer)
      layers.push_back({layer, 0});
    layers.back().second += entry.bytes;
  }
  if (explain)
    llvm::outs() << (*compilation)->explain();
  if (failed((*compilation)->runUntil(Stage::Lower)))
    return kExitBadInput;
  printSizes(**compilation, layers);
  return flushStandardOutput("llmc-compile");
}

// Why a name cannot be the base of an artifact's files; empty if it can.
static std::string badBase(StringRef base) {
  std::string model = input == "-" ? "model" : llvm::sys::path::stem(input).str();
  StringRef name = llvm::sys::path::filename(base);
  if (base.ends_with("/") || name == "." || name == "..")
    return "output '" + base.str() + "' is a folder; name the files in it too: -o " + base.str() +
           (base.ends_with("/") ? "" : "/") + model;
  if (base == "-")
    return "an artifact is five files, so it cannot go to standard output; name it with -o, or "
           "stop "
           "early with --until";
  return "";
}

int main(int argc, char **argv) {
  llvm::InitLLVM init(argc, argv);
  handleFatalErrors("llmc-compile");
  registerDeveloperOptions();
  registerLoweringPasses();
  registerPassManagerCLOptions();
  registerDefaultTimingManagerCLOptions();
  registerMLIRContextCLOptions();
  registerAsmPrinterCLOptions();
  cl::HideUnrelatedOptions(category);
  cl::SetVersionPrinter([](llvm::raw_ostream &os) { os << versionText("llmc-compile"); });
  cl::extrahelp examples(kExamples), codes(kExitCodeHelp);
  cl::ParseCommandLineOptions(argc, argv, kOverview);
  if (output.empty() && until.empty() && !dryRun)
    return fail(kExitUsage, "no output: give -o, --until or --dry-run");
  std::optional<Stage> stage = parseStage(until);
  if (!until.empty() && !stage)
    return fail(kExitUsage,
                "unknown stage '" + until + "': import, fuse, pack, lower, target, llvm or object");
  if (until.empty() && !dryRun)
    if (std::string why = badBase(output); !why.empty())
      return fail(kExitUsage, why);
  for (const char *suffix : {"", ".o", ".so", ".h", ".safetensors", ".json"})
    if (output != "-" && isSameFile(input, output + suffix))
      return fail(kExitUsage, "output '" + output + suffix + "' is the input");

  // Before anything is read or written: a target that is refused costs no time.
  llvm::Expected<TargetInfo> machine = resolveTarget({target, cpu, features});
  if (!machine)
    return fail(kExitBadInput, llvm::toString(machine.takeError()));
  if (!machine->warning.empty())
    llvm::errs() << "llmc-compile: warning: " << machine->warning << "\n";

  DialectRegistry registry;
  registerAllDialects(registry);
  MLIRContext mlirContext(registry);
  mlirContext.printOpOnDiagnostic(false); // An operation may be a whole model.
  auto source = std::make_shared<llvm::SourceMgr>();
  std::string message;
  auto file = openModel(input, Tool::Compile, message);
  if (!file)
    return fail(kExitBadInput, message);
  // Pages leave once they are packed; else input and output would be in memory together.
  if (file->getBufferKind() == llvm::MemoryBuffer::MemoryBuffer_MMap)
    registerMapping(file->getBufferStart(), file->getBufferSize());
  source->AddNewSourceBuffer(std::move(file), llvm::SMLoc());
  SourceMgrDiagnosticHandler handler(*source, &mlirContext);
  installDiagnostics(&mlirContext, "llmc-compile", /*leaveFilePositions=*/true);
  progress("reading " + llvm::Twine(input));
  OwningOpRef<ModuleOp> module = parseSourceFile<ModuleOp>(source, ParserConfig(&mlirContext));
  if (!module)
    return kExitBadInput;

  DefaultTimingManager timer;
  applyDefaultTimingManagerCLOptions(timer);
  TimingScope timing = timer.getRootScope(), stageTiming;
  CompileOptions options;
  options.instrument = [&](PassManager &passes, StringRef stage) {
    stageTiming = timing.nest(stage);
    passes.enableTiming(stageTiming);
    return applyPassManagerCLOptions(passes);
  };
  options.target = {target, cpu, features};
  options.context = context;
  options.chunk = chunk;
  options.embedWeights = embedWeights;
  options.maxTokens = maxTokens;
  options.rollLayers = rollLayers;
  options.prefix =
      !prefix.empty()
          ? prefix
          : makePrefix(llvm::sys::path::filename(output.empty() || output == "-" ? input : output));
  if (options.prefix != makePrefix(options.prefix))
    return fail(kExitUsage, "symbol prefix '" + options.prefix + "' is no C identifier");
  if (dryRun)
    return dryRunOnly(*module, options);
  if (stage)
    return runUntil(*module, options, *stage);
  if (explain) {
    OwningOpRef<ModuleOp> copy = module->clone();
    auto compilation = Compilation::create(*copy, options);
    if (failed(compilation) || failed((*compilation)->runUntil(Stage::Pack)))
      return kExitBadInput;
    llvm::outs() << (*compilation)->explain();
  }
  StringRef folder = llvm::sys::path::parent_path(output);
  bool newFolder = !folder.empty() && !llvm::sys::fs::exists(folder);
  if (newFolder)
    if (std::error_code error = llvm::sys::fs::create_directories(folder))
      return fail(kExitResource, "'" + folder + "' cannot be made: " + error.message());
  progress("compiling to " + llvm::Twine(output));
  if (succeeded(compileArtifact(*module, options, output))) {
    printPassStatistics();
    return flushStandardOutput("llmc-compile");
  }
  if (newFolder)
    (void)llvm::sys::fs::remove(folder); // Only if it is empty.
  return exitCodeOfFailure();
}
