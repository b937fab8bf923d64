//===- RaiseContext.h - Up to which length a graph is what it seems -------===//

#ifndef LLMC_LIB_IMPORT_RAISECONTEXT_H
#define LLMC_LIB_IMPORT_RAISECONTEXT_H

#include "Raiser.h"

namespace llmc::onnx {

/// Looks far out and ends `graph.context` where the graph stops to be what was understood; windows
/// and frequencies become exact on the way. `small`: the sizes to interpret the graph at.
void findContext(RaisedGraph &graph, const OnnxModel &model, ConstantPool &pool,
                 bool floatActivations, const SizeLaws &laws, const Sizes &small);

} // namespace llmc::onnx

#endif // LLMC_LIB_IMPORT_RAISECONTEXT_H
