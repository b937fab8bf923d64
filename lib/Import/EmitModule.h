//===- EmitModule.h - From the raised graph to the llmc dialect -----------===//

#ifndef LLMC_LIB_IMPORT_EMITMODULE_H
#define LLMC_LIB_IMPORT_EMITMODULE_H

#include "RaisedGraph.h"
#include "llmc/IR/LLMCDialect.h"
#include "llmc/Import/OnnxModel.h"
#include "mlir/IR/OwningOpRef.h"

namespace llmc {

/// Builds the module; throws onnx::ImportError for weights that are not finite.
OwningOpRef<ModuleOp> emitModule(MLIRContext *context, onnx::RaisedGraph graph,
                                 const onnx::OnnxModel &model);

} // namespace llmc

#endif // LLMC_LIB_IMPORT_EMITMODULE_H
