//===- llmc-opt.cpp - run passes over a model -------------------------------------------===//
//
// MLIR's driver on our own output: whole or not at all, bytecode by suffix, never over the input.
//
#include "PassArgument.h"

#include "llmc/InitAll.h"
#include "llmc/Numerics/Checkpoint.h"
#include "llmc/Numerics/Hash.h"
#include "llmc/Numerics/Progress.h"
#include "llmc/Pipeline/AtomicOutput.h"
#include "llmc/Pipeline/CommandLine.h"
#include "llmc/Pipeline/Diagnostics.h"
#include "llmc/Pipeline/DroppingStream.h"
#include "llmc/Pipeline/HostExecutor.h"
#include "llmc/Pipeline/ModelFile.h"
#include "llmc/Pipeline/Passes.h"
#include "llmc/Pipeline/Version.h"

#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"
#include "llvm/TargetParser/Host.h"

using namespace llmc;

static constexpr char kOverview[] =
    "llmc-opt: calibrate, compress and transform a model\n\n"
    "  Reads a model (.mlirbc bytecode or .mlir text; '-' is standard input), runs the passes in\n"
    "  the order they are given, and writes the result to -o, or to standard output. An output\n"
    "  that ends in .mlirbc is bytecode, any other is text with locations. Outputs appear whole\n"
    "  or not at all. Models are trusted input; llmc-import is where untrusted files come in.\n\n"
    "  The statistics of --calibrate are larger than the model. They lie beside it: MODEL.stats\n"
    "  with MODEL.mlirbc, which later runs find there (text has all in one). Behind the last pass\n"
    "  that compresses weights they are dropped, unless --keep-statistics says that a later run\n"
    "  needs them.\n";

static constexpr char kExamples[] =
    "\nEXAMPLES:\n"
    "  llmc-opt --calibrate=tokens=calib.npy model.mlirbc -o calibrated.mlirbc\n"
    "  llmc-opt --awq-quantize=bits=3 --sparsify-2-4 calibrated.mlirbc -o small.mlirbc\n"
    "  llmc-opt --keep-statistics --sparsify-2-4 calibrated.mlirbc -o sparse.mlirbc\n"
    "  llmc-opt --rtn-quantize - -o small.mlirbc < model.mlirbc\n"
    "  llmc-opt --mlir-elide-resource-strings-if-larger=16 small.mlirbc       # to read\n";

static llvm::cl::opt<bool> keepStatistics(
    "keep-statistics",
    llvm::cl::desc("Leave the statistics of --calibrate in the model behind the last "
                   "pass that reads them: for a later run"));

static llvm::cl::opt<double> checkpointAfter(
    "checkpoint-after", llvm::cl::init(1), llvm::cl::value_desc("seconds"),
    llvm::cl::desc("Keep work that took so long in OUTPUT.resume until the output is complete: the "
                   "same command, run again after it was ended, goes on from there (1; negative: "
                   "keep none)"));

static int fail(ExitCode code, const llvm::Twine &message) {
  clearProgressLine();
  llvm::errs() << "llmc-opt: error: " << message << "\n";
  return code;
}

/// Whether the passes read statistics and none collects new ones behind the last that does.
static bool usesUpStatistics(PassManager &passes) {
  bool uses = false;
  for (Pass &pass : passes.getPasses())
    if (pass.getArgument() == "calibrate")
      uses = false;
    else
      uses |= readsStatistics(pass.getArgument());
  return uses;
}

/// Whether a pass reads statistics that none in front of it collects.
static bool wantsStatistics(PassManager &passes) {
  for (Pass &pass : passes.getPasses())
    if (pass.getArgument() == "calibrate")
      return false;
    else if (readsStatistics(pass.getArgument()))
      return true;
  return false;
}

/// Attaches statistics in front of a pipeline that was given as text, which has replaced what stood
/// there; passes cannot be put in front of others.
static LogicalResult attachInFront(PassManager &passes, const AttachStatisticsOptions &options) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  passes.printAsTextualPipeline(stream);
  size_t open = text.find('(');
  if (open == std::string::npos)
    return success();
  text.insert(open + 1, "attach-statistics{folder={" + options.folder +
                            "} required=" + (options.required ? "true" : "false") + "}" +
                            (text[open + 1] == ')' ? "" : ","));
  FailureOr<OpPassManager> all = parsePassPipeline(text);
  if (failed(all))
    return failure();
  static_cast<OpPassManager &>(passes) = std::move(*all);
  return success();
}

namespace {

/// What lies beside the model and its output.
struct Beside {
  std::string input, output;                ///< paths, or "-"
  std::unique_ptr<AtomicOutput> statistics; ///< of the output, until both are complete
};

} // namespace

/// Our own ends of what MLIR's driver does: how diagnostics look, and statistics: from the file
/// beside the input, not in a model they were used on, and into the file beside the output.
static void extend(MlirOptMainConfig &config, DialectRegistry &registry, Beside &beside) {
  const bool verifies = config.shouldVerifyDiagnostics();
  // The driver installs its handler before it reads, so ours comes with the dialect, and again with
  // the passes where a module has nothing of it.
  if (!verifies)
    registry.addExtension(+[](MLIRContext *context, LLMCDialect *) {
      installDiagnostics(context, "llmc-opt", /*leaveFilePositions=*/true);
    });
  MlirOptMainConfig given = config;
  config.setPassPipelineSetupFn([given, verifies, &beside](PassManager &passes) {
    if (!verifies)
      installDiagnostics(passes.getContext(), "llmc-opt", /*leaveFilePositions=*/true);
    AttachStatisticsOptions options;
    options.folder = llvm::sys::path::parent_path(beside.input).str();
    if (options.folder.empty())
      options.folder = ".";
    if (beside.input != "-") {
      PassManager asked(passes.getContext());
      if (failed(given.setupPassPipeline(asked)))
        return failure();
      options.required = wantsStatistics(asked);
      passes.addPass(createAttachStatistics(options));
    }
    if (failed(given.setupPassPipeline(passes)))
      return failure();
    bool attaches = !passes.empty() && passes.begin()->getArgument() == "attach-statistics";
    if (beside.input != "-" && !attaches && failed(attachInFront(passes, options)))
      return failure();
    if (!keepStatistics && usesUpStatistics(passes))
      passes.addPass(createStripStatistics());
    if (StringRef(beside.output).ends_with(".mlirbc")) {
      SmallString<128> file(beside.output);
      llvm::sys::path::replace_extension(file, "stats");
      passes.addPass(createDetachStatistics(file.str().str(), beside.statistics));
    }
    return success();
  });
}

/// What the results depend on beside model and options: the tool, and the instructions that
/// compiled blocks of the model use.
static uint64_t seedOfCheckpoint() {
  std::string text = versionText("llmc-opt") + llvm::sys::getHostCPUName().str();
  return hashBytes(text.data(), text.size());
}

int main(int argc, char **argv) {
  llvm::InitLLVM init(argc, argv);
  handleFatalErrors("llmc-opt");
  hideForeignOptions();
  keepStatistics.setHiddenFlag(llvm::cl::NotHidden);
  checkpointAfter.setHiddenFlag(llvm::cl::NotHidden);
  registerDeveloperOptions();
  llvm::cl::SetVersionPrinter([](llvm::raw_ostream &os) { os << versionText("llmc-opt"); });
  DialectRegistry registry;
  registerAllDialects(registry);
  registerAllPasses(makeHostExecutor());
  registerCLIOptions("llmc-opt", registry);
  // Defaults of our own: text has locations, and an error does not print the operation, which may
  // be a whole model.
  auto options = llvm::cl::getRegisteredOptions();
  static_cast<llvm::cl::opt<bool> *>(options["mlir-print-debuginfo"])->setValue(true);
  static_cast<llvm::cl::opt<bool> *>(options["mlir-print-op-on-diagnostic"])->setValue(false);
  llvm::cl::extrahelp examples(kExamples), codes(kExitCodeHelp);
  std::string error;
  std::vector<std::string> arguments;
  for (char *argument : ArrayRef<char *>(argv, argc))
    arguments.push_back(quoteTokenFile(argument, error));
  if (!error.empty())
    return fail(kExitUsage, error);
  std::vector<char *> pointers;
  for (std::string &argument : arguments)
    pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  auto [input, output] = parseCLIOptions(argc, pointers.data(), kOverview);

  bool toStdout = output == "-";
  if (!toStdout && isSameFile(input, output))
    return fail(kExitUsage, "output '" + output + "' is the input");
  std::unique_ptr<llvm::MemoryBuffer> buffer = openModel(input, Tool::Opt, error);
  if (!buffer)
    return fail(kExitBadInput, error);

  MlirOptMainConfig config = MlirOptMainConfig::createFromCLOptions();
  if (StringRef(output).ends_with(".mlirbc"))
    config.emitBytecode(true);
  Beside beside{input, output, nullptr};
  extend(config, registry, beside);
  if (toStdout) {
    if (llvm::failed(MlirOptMain(llvm::outs(), std::move(buffer), registry, config)))
      return exitCodeOfFailure();
    printPassStatistics();
    return flushStandardOutput("llmc-opt");
  }

  std::unique_ptr<AtomicOutput> file = AtomicOutput::create(output, error);
  if (!file)
    return fail(kExitUsage, error);
  llvm::raw_fd_ostream stream(file->descriptor(), /*shouldClose=*/false);
  DroppingStream dropping(stream);
  const bool isMapped = buffer->getBufferKind() == llvm::MemoryBuffer::MemoryBuffer_MMap;
  const void *mapping = buffer->getBufferStart();
  if (isMapped)
    registerMapping(mapping, buffer->getBufferSize());
  if (checkpointAfter >= 0)
    beginCheckpoint(output + ".resume", checkpointAfter, seedOfCheckpoint());
  const bool failed = llvm::failed(MlirOptMain(dropping, std::move(buffer), registry, config));
  unregisterMapping(mapping);
  printPassStatistics();
  stream.flush();
  if (failed && !stream.has_error())
    return exitCodeOfFailure();
  if (stream.has_error()) {
    error = "'" + output + "' cannot be written: " + stream.error().message();
    stream.clear_error();
    return fail(kExitResource, error);
  }
  std::vector<AtomicOutput *> files{file.get()};
  if (beside.statistics)
    files.push_back(beside.statistics.get());
  if (!AtomicOutput::commitAll(files, error))
    return fail(kExitResource, error);
  if (size_t found = endCheckpoint(/*done=*/true))
    llvm::errs() << "llmc-opt: remark: " << found << " pieces of work were taken from '" << output
                 << ".resume', where a run that was ended had left them\n";
  return kExitOk;
}
