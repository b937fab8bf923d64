//===- EmitModule.h - From the raised graph to the llmc dialect -----------===//

#ifndef LLMC_LIB_IMPORT_EMITMODULE_H
#define LLMC_LIB_IMPORT_EMITMODULE_H

#include "RaisedGraph.h"
#include "llmc/IR/LLMCDialect.h"
#include "llmc/Import/OnnxModel.h"
#include "mlir/IR/OwningOpRef.h"

namespace llmc {

/// Builds the module; throws onnx::ImportError for weights that are not finite. Nodes whose result
/// is another one in the module than in the original (a vector folded into a table, rows put in
/// order) lose their `output`. `values` is what each node became, null for those that vanished.
OwningOpRef<ModuleOp> emitModule(MLIRContext *context, onnx::RaisedGraph &graph,
                                 const onnx::OnnxModel &model, std::vector<Value> &values);

} // namespace llmc

#endif // LLMC_LIB_IMPORT_EMITMODULE_H
