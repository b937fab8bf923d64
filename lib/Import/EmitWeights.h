//===- EmitWeights.h - Weights of the module ------------------------------===//

#ifndef LLMC_LIB_IMPORT_EMITWEIGHTS_H
#define LLMC_LIB_IMPORT_EMITWEIGHTS_H

#include "RaisedGraph.h"
#include "llmc/IR/LLMCDialect.h"

namespace llmc {

/// A weight and how it is changed on the way.
struct EmittedWeight {
  const onnx::RaisedWeight *weight = nullptr;
  std::vector<int64_t> order; ///< Rows of the file, in emitted order; empty for all.
};

/// The values as a row-major [rows, columns] matrix or a vector. Throws onnx::ImportError where one
/// is not finite.
std::vector<float> denseValues(const EmittedWeight &emitted);

/// An llmc.weight in f32, or compressed with an `int` scheme, or with `dense` where the file holds
/// a matrix of f16 or bf16.
Value emitWeight(OpBuilder &builder, Location loc, const EmittedWeight &emitted);

} // namespace llmc

#endif // LLMC_LIB_IMPORT_EMITWEIGHTS_H
