//===- Passes.h - the passes of Lower/Cpu -----------------------------------------------===//
//
// See docs/Reference/LowerPasses.md.
//
#ifndef LLMC_LOWER_CPU_PASSES_H
#define LLMC_LOWER_CPU_PASSES_H

#include "llmc/Exec/ExecDialect.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Pass/Pass.h"

namespace llmc {
#define GEN_PASS_DECL
#include "llmc/Lower/Cpu/Passes.h.inc"
#define GEN_PASS_REGISTRATION
#include "llmc/Lower/Cpu/Passes.h.inc"
} // namespace llmc

#endif // LLMC_LOWER_CPU_PASSES_H
