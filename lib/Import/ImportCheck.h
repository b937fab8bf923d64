//===- ImportCheck.h - Original and import, side by side ------------------===//

#ifndef LLMC_LIB_IMPORT_IMPORTCHECK_H
#define LLMC_LIB_IMPORT_IMPORTCHECK_H

#include "RaisedGraph.h"
#include "llmc/IR/LLMCDialect.h"
#include "llmc/Import/OnnxModel.h"

#include <functional>

namespace llmc {

/// Runs the original with the evaluator and the module with the reference interpreter at lengths
/// where they could differ, and throws onnx::ImportError that names the node where they part.
/// `values` is what each node of the graph became; `progress`, if any, is told of each step.
void checkImport(ModuleOp module, const onnx::RaisedGraph &graph, const std::vector<Value> &values,
                 const onnx::OnnxModel &model, bool floatActivations,
                 const std::function<void(const std::string &)> &progress);

} // namespace llmc

#endif // LLMC_LIB_IMPORT_IMPORTCHECK_H
