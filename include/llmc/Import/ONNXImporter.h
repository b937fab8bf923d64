//===- ONNXImporter.h - From model.onnx to the llmc dialect ---------------===//
//
// The importer is the boundary between untrusted files and everything behind it: what comes out is
// a verified module in which every operation is canonical and every weight has a name, a type and a
// location. What a mask or a rotary table is, is found by evaluating it, not by matching how an
// exporter spells it (docs/Rationale/Import.md).
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_IMPORT_ONNXIMPORTER_H
#define LLMC_IMPORT_ONNXIMPORTER_H

#include "llmc/IR/LLMCDialect.h"
#include "mlir/IR/OwningOpRef.h"

#include <functional>
#include <string>

namespace llmc {

struct ImportOptions {
  /// Ignore accuracy_level of com.microsoft.MatMulNBits: activations stay float.
  bool floatActivations = false;
  /// Whether original and import are run at the lengths that matter and compared. Large models take
  /// longer, but not in proportion: all of their structure is run, with parts of their linears.
  bool verify = true;
  /// Whether layers that are alike become one function (--outline-layers).
  bool outlineLayers = false;
  /// Called with what is being done.
  std::function<void(const std::string &)> progress;
};

/// Exit codes are those of the tools: 0, 2 (bad input), 3 (resource limit), 4 (internal).
struct ImportResult {
  int exitCode = 0;
  /// Complete message without a final newline; empty on success.
  std::string error;
  /// What was left out, a line each.
  std::vector<std::string> remarks;
  /// Null unless exitCode is 0 and a module was asked for.
  OwningOpRef<ModuleOp> module;
};

/// Reads, raises, verifies and checks a model. Nothing is thrown.
ImportResult importOnnx(MLIRContext *context, const std::string &path,
                        const ImportOptions &options);

/// Only lists what cannot be imported.
ImportResult checkOnnx(const std::string &path, const ImportOptions &options);

} // namespace llmc

#endif // LLMC_IMPORT_ONNXIMPORTER_H
