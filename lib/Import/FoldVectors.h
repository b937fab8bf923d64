//===- FoldVectors.h - Constant vectors go into weights -------------------===//

#ifndef LLMC_LIB_IMPORT_FOLDVECTORS_H
#define LLMC_LIB_IMPORT_FOLDVECTORS_H

#include "RaisedGraph.h"

namespace llmc::onnx {

/// Takes constant vectors that are added or multiplied into weights near by, and gives norms
/// without a scale one of ones. Nodes whose results change on the way are no longer said to equal
/// values of the original. Throws ImportError where nothing takes a vector.
void foldVectors(RaisedGraph &graph);

} // namespace llmc::onnx

#endif // LLMC_LIB_IMPORT_FOLDVECTORS_H
