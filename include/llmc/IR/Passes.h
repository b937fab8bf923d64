//===- Passes.h - passes on the graph as a whole ------------------------------------------===//
//
// See docs/Reference/GraphPasses.md.
//
#ifndef LLMC_IR_PASSES_H
#define LLMC_IR_PASSES_H

#include "llmc/IR/LLMCDialect.h"

#include "mlir/Pass/Pass.h"

namespace llmc {
#define GEN_PASS_DECL
#include "llmc/IR/Passes.h.inc"
#define GEN_PASS_REGISTRATION
#include "llmc/IR/Passes.h.inc"
} // namespace llmc

#endif // LLMC_IR_PASSES_H
