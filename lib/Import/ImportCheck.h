//===- ImportCheck.h - Original and import, side by side ------------------===//

#ifndef LLMC_LIB_IMPORT_IMPORTCHECK_H
#define LLMC_LIB_IMPORT_IMPORTCHECK_H

#include "RaisedGraph.h"
#include "llmc/IR/LLMCDialect.h"
#include "llmc/Import/OnnxModel.h"

namespace llmc {

/// Runs the original with the evaluator and the module with the reference interpreter on a few
/// tokens (prefill and a cached step), and throws onnx::ImportError that names the node where they
/// part.
void checkImport(ModuleOp module, const onnx::RaisedGraph &graph, const onnx::OnnxModel &model,
                 bool floatActivations);

} // namespace llmc

#endif // LLMC_LIB_IMPORT_IMPORTCHECK_H
