//===- Passes.h - the whole lowering as passes ------------------------------------------===//
//
// The pipeline that llmc-compile runs in parts, and llmc-opt as --llmc-lower.
//
#ifndef LLMC_PIPELINE_PASSES_H
#define LLMC_PIPELINE_PASSES_H

#include "llmc/Pipeline/Compile.h"

#include "mlir/Pass/Pass.h"

namespace llmc {
#define GEN_PASS_DECL
#include "llmc/Pipeline/Passes.h.inc"
#define GEN_PASS_REGISTRATION
#include "llmc/Pipeline/Passes.h.inc"

/// The passes that go from behind stage `from` to `to`, Import and Target at most.
void addLoweringPasses(OpPassManager &passes, Stage from, Stage to, const TargetOptions &target,
                       bool rollLayers, const TargetInfo *resolved = nullptr);

/// --llmc-lower="target=... cpu=...": configuration and all stages.
void registerLoweringPipeline();
} // namespace llmc

#endif // LLMC_PIPELINE_PASSES_H
