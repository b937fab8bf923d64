//===- Passes.cpp - the passes of the Target room ---------------------------------------===//
//
// A fixed list of our lowerings and upstream conversions; what they leave is an error, never a
// silent fallback.
//
#include "llmc/Target/Passes.h"

#include "Dots.h"

#include "mlir/Conversion/Passes.h"
#include "mlir/Dialect/Arith/Transforms/Passes.h"
#include "mlir/Dialect/MemRef/Transforms/Passes.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Transforms/Passes.h"

#include <optional>

namespace llmc {
#define GEN_PASS_DEF_LOWERLOOKUPS
#define GEN_PASS_DEF_LOWERBLOCKS
#define GEN_PASS_DEF_LOWERDOTS
#define GEN_PASS_DEF_LOWERPICKS
#define GEN_PASS_DEF_WRITECPUCHECKS
#define GEN_PASS_DEF_LIMITTOANYMACHINE
#define GEN_PASS_DEF_VERIFYLOWERED
#include "llmc/Target/Passes.h.inc"
} // namespace llmc

using namespace mlir;
using namespace llmc;

namespace {

/// A pass with a target: the one that it was made for, or the one that its options name.
template <typename Base> class OnTarget : public Base {
public:
  using Base::Base;
  OnTarget(const TargetOptions &options, const TargetInfo *resolved) {
    this->target = options.triple;
    this->cpu = options.cpu;
    this->features = options.features;
    if (resolved)
      known = *resolved;
  }

  LogicalResult initialize(MLIRContext *context) override {
    if (known)
      return success();
    llvm::Expected<TargetInfo> resolved = resolveTarget({this->target, this->cpu, this->features});
    if (!resolved)
      return emitError(UnknownLoc::get(context), llvm::toString(resolved.takeError()));
    known = *resolved;
    return success();
  }

protected:
  const TargetInfo &machine() const { return *known; }

private:
  std::optional<TargetInfo> known;
};

struct LowerLookupsPass : OnTarget<llmc::impl::LowerLookupsBase<LowerLookupsPass>> {
  using OnTarget::OnTarget;
  void runOnOperation() override { lowerLookups(getOperation(), machine()); }
};

struct LowerBlocksPass : OnTarget<llmc::impl::LowerBlocksBase<LowerBlocksPass>> {
  using OnTarget::OnTarget;
  void runOnOperation() override { lowerBlocks(getOperation(), machine()); }
};

struct LowerDotsPass : OnTarget<llmc::impl::LowerDotsBase<LowerDotsPass>> {
  using OnTarget::OnTarget;
  void runOnOperation() override { lowerDots(getOperation(), machine()); }
};

struct LowerPicksPass : OnTarget<llmc::impl::LowerPicksBase<LowerPicksPass>> {
  using OnTarget::OnTarget;
  void runOnOperation() override { lowerPicks(getOperation(), machine()); }
};

struct WriteCpuChecksPass : OnTarget<llmc::impl::WriteCpuChecksBase<WriteCpuChecksPass>> {
  using OnTarget::OnTarget;
  void runOnOperation() override {
    if (failed(writeCpuChecks(getOperation(), machine())))
      signalPassFailure();
  }
};

struct LimitToAnyMachinePass : OnTarget<llmc::impl::LimitToAnyMachineBase<LimitToAnyMachinePass>> {
  using OnTarget::OnTarget;
  void runOnOperation() override {
    if (failed(limitToAnyMachine(getOperation(), machine())))
      signalPassFailure();
  }
};

struct VerifyLoweredPass : llmc::impl::VerifyLoweredBase<VerifyLoweredPass> {
  void runOnOperation() override {
    getOperation().walk([&](Operation *op) {
      if (isa<ModuleOp>(op) || (op->getDialect() && isa<LLVM::LLVMDialect>(op->getDialect())))
        return;
      op->emitError("has no lowering to LLVM");
      signalPassFailure();
    });
  }
};

} // namespace

void llmc::addTargetPasses(OpPassManager &passes, const TargetOptions &options,
                           const TargetInfo *resolved) {
  passes.addPass(std::make_unique<LowerLookupsPass>(options, resolved));
  passes.addPass(std::make_unique<LowerBlocksPass>(options, resolved));
  passes.addPass(std::make_unique<LowerDotsPass>(options, resolved));
  passes.addPass(std::make_unique<LowerPicksPass>(options, resolved));
  passes.addPass(std::make_unique<WriteCpuChecksPass>(options, resolved));
  passes.addPass(createCanonicalizerPass());
  passes.addPass(createCSEPass());
  passes.addPass(createConvertVectorToSCFPass());
  passes.addPass(createSCFToControlFlowPass());
  passes.addPass(memref::createExpandStridedMetadataPass());
  passes.addPass(createLowerAffinePass());
  passes.addPass(arith::createArithExpandOpsPass());
  passes.addPass(createConvertVectorToLLVMPass());
  passes.addPass(createConvertMathToLLVMPass());
  passes.addPass(createArithToLLVMConversionPass());
  passes.addPass(createFinalizeMemRefToLLVMConversionPass());
  passes.addPass(createConvertIndexToLLVMPass());
  passes.addPass(createConvertControlFlowToLLVMPass());
  passes.addPass(createConvertFuncToLLVMPass());
  passes.addPass(createCanonicalizerPass());
  passes.addPass(createCSEPass());
  passes.addPass(createReconcileUnrealizedCastsPass());
  passes.addPass(std::make_unique<LimitToAnyMachinePass>(options, resolved));
  passes.addPass(createVerifyLowered());
}

LogicalResult llmc::lowerToLLVMDialect(ModuleOp module, const TargetInfo &target) {
  PassManager passes(module.getContext());
  addTargetPasses(passes, {target.triple, target.cpu, target.featureString}, &target);
  return passes.run(module);
}
