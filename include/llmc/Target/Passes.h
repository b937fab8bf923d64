//===- Passes.h - the passes of the Target room -----------------------------------------===//
//
// See docs/Reference/LowerPasses.md.
//
#ifndef LLMC_TARGET_PASSES_H
#define LLMC_TARGET_PASSES_H

#include "llmc/IR/LLMCDialect.h"
#include "llmc/Target/Target.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Pass/Pass.h"

namespace llmc {
#define GEN_PASS_DECL
#include "llmc/Target/Passes.h.inc"
#define GEN_PASS_REGISTRATION
#include "llmc/Target/Passes.h.inc"

/// Adds the passes from upstream dialects and what instruction sets have to the LLVM dialect. The
/// target is that of `options`, or the one that they were resolved to.
void addTargetPasses(OpPassManager &passes, const TargetOptions &options,
                     const TargetInfo *resolved = nullptr);
} // namespace llmc

#endif // LLMC_TARGET_PASSES_H
