//===- llmc-opt.cpp - run passes over a model -------------------------------------------===//
//
// MLIR's driver on our own output: whole or not at all, bytecode by suffix, never over the input.
//
#include "PassArgument.h"

#include "llmc/InitAll.h"
#include "llmc/Numerics/Progress.h"
#include "llmc/Pipeline/AtomicOutput.h"
#include "llmc/Pipeline/CommandLine.h"
#include "llmc/Pipeline/Diagnostics.h"
#include "llmc/Pipeline/DroppingStream.h"
#include "llmc/Pipeline/HostExecutor.h"
#include "llmc/Pipeline/ModelFile.h"
#include "llmc/Pipeline/Version.h"

#include "mlir/Pass/PassManager.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/raw_ostream.h"

using namespace llmc;

static constexpr char kOverview[] =
    "llmc-opt: calibrate, compress and transform a model\n\n"
    "  Reads a model (.mlirbc bytecode or .mlir text; '-' is standard input), runs the passes in\n"
    "  the order they are given, and writes the result to -o, or to standard output. An output\n"
    "  that ends in .mlirbc is bytecode, any other is text with locations. Outputs appear whole\n"
    "  or not at all. Models are trusted input; llmc-import is where untrusted files come in.\n\n"
    "  The statistics of --calibrate are larger than the model. They stay out of a model that "
    "they\n"
    "  were used on: behind the last pass that compresses weights they are dropped, unless\n"
    "  --keep-statistics says that a later run needs them.\n";

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

/// Our own ends of what MLIR's driver does: how diagnostics look, and a model without the
/// statistics that were used.
static void extend(MlirOptMainConfig &config, DialectRegistry &registry) {
  const bool verifies = config.shouldVerifyDiagnostics();
  // The driver installs its handler before it reads, so ours comes with the dialect, and again with
  // the passes where a module has nothing of it.
  if (!verifies)
    registry.addExtension(+[](MLIRContext *context, LLMCDialect *) {
      installDiagnostics(context, "llmc-opt", /*leaveFilePositions=*/true);
    });
  MlirOptMainConfig given = config;
  config.setPassPipelineSetupFn([given, verifies](PassManager &passes) {
    if (!verifies)
      installDiagnostics(passes.getContext(), "llmc-opt", /*leaveFilePositions=*/true);
    if (failed(given.setupPassPipeline(passes)))
      return failure();
    if (!keepStatistics && usesUpStatistics(passes))
      passes.addPass(createStripStatistics());
    return success();
  });
}

int main(int argc, char **argv) {
  llvm::InitLLVM init(argc, argv);
  handleFatalErrors("llmc-opt");
  hideForeignOptions();
  keepStatistics.setHiddenFlag(llvm::cl::NotHidden);
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
  extend(config, registry);
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
  return file->commit(error) ? kExitOk : fail(kExitResource, error);
}
