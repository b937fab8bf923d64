//===- Passes.h - the whole lowering as passes ------------------------------------------===//
//
// The pipeline that llmc-compile runs in parts, and llmc-opt as --llmc-lower.
//
#ifndef LLMC_PIPELINE_PASSES_H
#define LLMC_PIPELINE_PASSES_H

#include "llmc/Pipeline/AtomicOutput.h"
#include "llmc/Pipeline/Compile.h"

#include "mlir/Pass/Pass.h"

namespace llmc {
#define GEN_PASS_DECL
#include "llmc/Pipeline/Passes.h.inc"
#define GEN_PASS_REGISTRATION
#include "llmc/Pipeline/Passes.h.inc"

/// As --detach-statistics, but the file gets its name only when who holds `output` commits it, with
/// the model; `output` stays null where there is nothing to write.
std::unique_ptr<Pass> createDetachStatistics(const std::string &file,
                                             std::unique_ptr<AtomicOutput> &output);

/// The passes that go from behind stage `from` to `to`, Import and Target at most.
void addLoweringPasses(OpPassManager &passes, Stage from, Stage to, const TargetOptions &target,
                       bool rollLayers, const TargetInfo *resolved = nullptr);

/// The context asked for, or where none is (0) one that the model allows. Fails, with an error on
/// the module, beyond what its tables or `llmc.context` allow.
FailureOr<int64_t> chooseContext(ModuleOp module, int64_t asked);

/// --llmc-lower="target=... cpu=...": configuration and all stages.
void registerLoweringPipeline();
} // namespace llmc

#endif // LLMC_PIPELINE_PASSES_H
