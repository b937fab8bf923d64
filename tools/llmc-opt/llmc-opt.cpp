//===- llmc-opt.cpp - run passes over a model -------------------------------------------===//
//
// MLIR's driver on our own output: whole or not at all, bytecode by suffix, never over the input.
//
#include "llmc/InitAll.h"
#include "llmc/Pipeline/AtomicOutput.h"
#include "llmc/Pipeline/CommandLine.h"
#include "llmc/Pipeline/DroppingStream.h"
#include "llmc/Pipeline/HostExecutor.h"

#include "mlir/Tools/mlir-opt/MlirOptMain.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/raw_ostream.h"

using namespace llmc;

static constexpr char kOverview[] =
    "llmc-opt: calibrate, compress and transform a model\n\n"
    "  Reads a model (.mlirbc bytecode or .mlir text; '-' is standard input), runs the passes in\n"
    "  the order they are given, and writes the result to -o, or to standard output. An output\n"
    "  that ends in .mlirbc is bytecode, any other is text with locations. Outputs appear whole\n"
    "  or not at all. Models are trusted input; llmc-import is where untrusted files come in.\n";

static constexpr char kExamples[] =
    "\nEXAMPLES:\n"
    "  llmc-opt --calibrate=tokens=calib.npy model.mlirbc -o calibrated.mlirbc\n"
    "  llmc-opt --awq-quantize=bits=3 --sparsify-2-4 calibrated.mlirbc -o small.mlirbc\n"
    "  llmc-opt --mlir-elide-resource-strings-if-larger=16 small.mlirbc       # to read\n";

static int fail(ExitCode code, const llvm::Twine &message) {
  llvm::errs() << "llmc-opt: error: " << message << "\n";
  return code;
}

// Maps the file. Only text needs the terminating zero, which costs a copy where the size is a
// multiple of the page. Small files are read, not mapped; the blobs in bytecode want the alignment
// that they were written with.
static std::unique_ptr<llvm::MemoryBuffer> openInput(StringRef path, std::string &error) {
  bool isBytecode = path.ends_with(".mlirbc");
  auto buffer = isBytecode ? llvm::MemoryBuffer::getFile(path, /*IsText=*/false,
                                                         /*RequiresNullTerminator=*/false,
                                                         /*IsVolatile=*/false, llvm::Align(64))
                           : llvm::MemoryBuffer::getFileOrSTDIN(path);
  if (!buffer)
    error = ("cannot open '" + path + "': " + buffer.getError().message()).str();
  else if (isBytecode && !(*buffer)->getBuffer().starts_with("ML\xefR"))
    error = ("'" + path + "' is no MLIR bytecode: it does not begin with its magic number").str();
  return error.empty() ? std::move(*buffer) : nullptr;
}

int main(int argc, char **argv) {
  llvm::InitLLVM init(argc, argv);
  hideForeignOptions();
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
  auto [input, output] = parseCLIOptions(argc, argv, kOverview);

  bool toStdout = output == "-";
  if (!toStdout && isSameFile(input, output))
    return fail(kExitUsage, "output '" + output + "' is the input");
  std::string error;
  std::unique_ptr<llvm::MemoryBuffer> buffer = openInput(input, error);
  if (!buffer)
    return fail(kExitBadInput, error);

  MlirOptMainConfig config = MlirOptMainConfig::createFromCLOptions();
  if (StringRef(output).ends_with(".mlirbc"))
    config.emitBytecode(true);
  if (toStdout)
    return succeeded(MlirOptMain(llvm::outs(), std::move(buffer), registry, config))
               ? kExitOk
               : kExitBadInput;

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
  if (failed)
    return kExitBadInput;
  stream.flush();
  if (stream.has_error()) {
    error = "'" + output + "' cannot be written: " + stream.error().message();
    stream.clear_error();
    return fail(kExitResource, error);
  }
  return file->commit(error) ? kExitOk : fail(kExitResource, error);
}
