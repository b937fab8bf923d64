//===- llmc-import.cpp - from model.onnx to a model of llmc -----------------------------===//
//
// The tool that untrusted files come in through. Output appears whole or not at all, bytecode by
// suffix.
//
#include "llmc/Import/ONNXImporter.h"
#include "llmc/InitAll.h"
#include "llmc/Numerics/Progress.h"
#include "llmc/Pipeline/AtomicOutput.h"
#include "llmc/Pipeline/CommandLine.h"
#include "llmc/Pipeline/Diagnostics.h"
#include "llmc/Pipeline/DroppingStream.h"
#include "llmc/Pipeline/FileKind.h"
#include "llmc/Pipeline/Version.h"

#include "mlir/Bytecode/BytecodeWriter.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/raw_ostream.h"

using namespace llmc;
namespace cl = llvm::cl;

static constexpr char kOverview[] =
    "llmc-import: read an ONNX transformer\n\n"
    "  Reads model.onnx and its external data, finds out what it computes, and writes a model for\n"
    "  llmc-opt and llmc-compile: .mlirbc is bytecode, any other suffix is text. Key/value caches "
    "become\n"
    "  state (one is added where a causal model has none), rotary tables and masks become "
    "attributes,\n"
    "  weights get the names of their modules, packed integer weights stay as they are. Layers "
    "that "
    "are\n"
    "  alike become one function, called with the weights of each. Opsets 11 to 25 and "
    "com.microsoft "
    "1,\n"
    "  in the styles of torch.onnx, optimum and ONNX Runtime GenAI. Model files may be untrusted:\n"
    "  everything is checked before it is used.\n\n"
    "  The result is compared with the original, node by node, at the lengths that matter: "
    "prefill, "
    "cached\n"
    "  steps, batches, padding, both sides of every window and the end of the context. Of large "
    "models "
    "all of\n"
    "  the structure is run, with some columns of each linear. Where they differ, the node is "
    "named.\n"
    "  What cannot be imported is listed whole.\n";

static constexpr char kExamples[] =
    "\nEXAMPLES:\n"
    "  llmc-import model.onnx -o model.mlirbc\n"
    "  llmc-import --check model.onnx                          # only list what cannot be "
    "imported\n"
    "  llmc-import --no-verify big.onnx -o big.mlirbc          # do not run both side by side\n"
    "  llmc-import --float-activations int4.onnx -o int4.mlir  # MatMulNBits, float activations\n";

static int fail(ExitCode code, const llvm::Twine &message) {
  clearProgressLine();
  llvm::errs() << "llmc-import: error: " << message << "\n";
  return code;
}

/// One line on stderr that changes, when a person may be looking.
static std::function<void(const std::string &)> makeProgress() {
  if (!showsProgress())
    return nullptr;
  auto line = std::make_shared<ProgressText>();
  return [line](const std::string &what) { line->show(what); };
}

int main(int argc, char **argv) {
  llvm::InitLLVM init(argc, argv);
  handleFatalErrors("llmc-import");
  hideForeignOptions();
  cl::SetVersionPrinter([](llvm::raw_ostream &os) { os << versionText("llmc-import"); });
  cl::opt<std::string> input(cl::Positional, cl::desc("model.onnx"), cl::Required);
  cl::opt<std::string> output(
      "o", cl::desc("where the model goes (.mlirbc: bytecode, else text; '-': text to stdout)"),
      cl::value_desc("file"));
  cl::opt<bool> check("check", cl::desc("only list what cannot be imported; writes nothing"));
  cl::opt<bool> verify("verify", cl::desc("compare with the original (the default)"));
  cl::opt<bool> noVerify("no-verify", cl::desc("never compare with the original"));
  cl::opt<bool> floatActivations(
      "float-activations",
      cl::desc("ignore accuracy_level of MatMulNBits: activations stay float"));
  cl::opt<bool> outlineLayers(
      "outline-layers", cl::init(true),
      cl::desc("one function for layers that are alike, called with the weights of each (the "
               "default; =false: a flat graph)"));
  cl::extrahelp examples(kExamples), codes(kExitCodeHelp);
  if (!cl::ParseCommandLineOptions(argc, argv, kOverview, &llvm::errs()))
    return kExitUsage;
  if (verify && noVerify)
    return fail(kExitUsage, "--verify and --no-verify exclude each other");
  if (check != output.empty())
    return fail(kExitUsage,
                check ? "--check writes nothing; leave out -o" : "no output; name one with -o");
  bool toStdout = output == "-";
  if (!check && !toStdout && isSameFile(input, output))
    return fail(kExitUsage, "output '" + output + "' is the input");

  if (std::string why = misplaced(input, kindOfFile(input), Tool::Import); !why.empty())
    return fail(kExitBadInput, why);

  ImportOptions options;
  options.floatActivations = floatActivations;
  options.progress = makeProgress();
  options.verify = !noVerify;
  options.outlineLayers = outlineLayers;
  DialectRegistry registry;
  registerAllDialects(registry);
  MLIRContext context(registry, MLIRContext::Threading::DISABLED);
  context.printOpOnDiagnostic(false); // An operation may be a whole model.
  installDiagnostics(&context, "llmc-import", /*leaveFilePositions=*/false);
  ImportResult result = check ? checkOnnx(input, options) : importOnnx(&context, input, options);
  clearProgressLine();
  if (result.exitCode != 0)
    return fail(static_cast<ExitCode>(result.exitCode), result.error);
  for (const std::string &remark : result.remarks)
    llvm::errs() << "llmc-import: remark: " << remark << "\n";
  if (check) {
    llvm::outs() << input << ": everything can be imported\n";
    return flushStandardOutput("llmc-import");
  }

  OpPrintingFlags flags;
  flags.enableDebugInfo();
  if (toStdout) {
    result.module->print(llvm::outs(), flags);
    return flushStandardOutput("llmc-import");
  }
  std::string error;
  std::unique_ptr<AtomicOutput> file = AtomicOutput::create(output, error);
  if (!file)
    return fail(kExitUsage, error);
  llvm::raw_fd_ostream stream(file->descriptor(), /*shouldClose=*/false);
  DroppingStream dropping(stream);
  bool written = true;
  if (StringRef(output).ends_with(".mlirbc"))
    written = succeeded(writeBytecodeToFile(*result.module, dropping));
  else
    result.module->print(dropping, flags);
  stream.flush();
  if (!written || stream.has_error()) {
    error = stream.has_error() ? stream.error().message() : "the bytecode writer failed";
    stream.clear_error();
    return fail(kExitResource, "'" + output + "' cannot be written: " + error);
  }
  if (!file->commit(error))
    return fail(kExitResource, error);
  return kExitOk;
}
