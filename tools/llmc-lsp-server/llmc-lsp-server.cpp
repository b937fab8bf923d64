//===- llmc-lsp-server.cpp - the language server for llmc's textual IR ------------------===//
//
// MLIR's server with our dialects: an editor gets completion, definitions, hover and diagnostics.
//
#include "llmc/InitAll.h"

#include "llmc/Pipeline/CommandLine.h"
#include "mlir/Tools/mlir-lsp-server/MlirLspServerMain.h"

using namespace llmc;

int main(int argc, char **argv) {
  hideForeignOptions();
  llvm::cl::extrahelp about("\nAn editor starts llmc-lsp-server and speaks the Language Server "
                            "Protocol with it over standard input and\n"
                            "output. EXAMPLE (Visual Studio Code, extension MLIR): "
                            "\"mlir.server_path\": \"build/bin/llmc-lsp-server\"\n");
  DialectRegistry registry;
  registerAllDialects(registry);
  return failed(MlirLspServerMain(argc, argv, registry)) ? kExitInternal : kExitOk;
}
