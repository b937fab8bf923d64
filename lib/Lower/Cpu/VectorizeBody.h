//===- VectorizeBody.h - linalg on memory to vectors ------------------------------------===//
//
// Private to Lower: the part of --lower-bodies that knows how long vectors are.
//
#ifndef LLMC_LIB_LOWER_CPU_VECTORIZEBODY_H
#define LLMC_LIB_LOWER_CPU_VECTORIZEBODY_H

#include "llmc/Lower/Cpu/KernelBuilder.h"

namespace llmc {

/// Turns copies and linalg operations of a bufferized body into loops over vectors, where upstream
/// cannot into loops over elements. Errors name a function of math that has no expansion.
LogicalResult vectorizeBody(func::FuncOp function, const VectorShape &vectors);

} // namespace llmc

#endif // LLMC_LIB_LOWER_CPU_VECTORIZEBODY_H
