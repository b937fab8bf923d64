//===- Passes.cpp - the whole lowering as passes ----------------------------------------===//
//
// A table of contents: which passes make a stage, in which order.
//
#include "llmc/Pipeline/Passes.h"

#include "llmc/Lower/Cpu/CpuConfig.h"
#include "llmc/Lower/Cpu/PackedLinear.h"
#include "llmc/Lower/Cpu/Passes.h"
#include "llmc/Lower/Passes.h"
#include "llmc/Target/Passes.h"

#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassOptions.h"
#include "mlir/Transforms/Passes.h"

namespace llmc {
#define GEN_PASS_DEF_CONFIGURELOWERING
#include "llmc/Pipeline/Passes.h.inc"
} // namespace llmc

using namespace mlir;
using namespace llmc;

/// Positions that learned tables allow, or 0.
static int64_t tableLimit(ModuleOp module) {
  int64_t limit = 0;
  module.walk([&](EmbeddingOp op) {
    auto positions = op.getIds().getDefiningOp<PositionsOp>();
    if (!positions)
      return;
    int64_t rows =
        getWeightShape(op.getWeight().getType())[0] - static_cast<int64_t>(positions.getOffset());
    limit = limit ? std::min(limit, rows) : rows;
  });
  return limit;
}

// A bound far beyond the contexts in use is no wish for a cache of that size.
static constexpr int64_t kUsualContext = 2048, kLongestDefault = 131072;

FailureOr<int64_t> llmc::chooseContext(ModuleOp module, int64_t asked) {
  int64_t tables = tableLimit(module), limit = tables;
  auto stated = module->getAttrOfType<IntegerAttr>("llmc.context");
  if (stated && (!limit || stated.getInt() < limit))
    limit = stated.getInt();
  int64_t context = asked ? asked : limit && limit <= kLongestDefault ? limit : kUsualContext;
  if (context >= 1 && (!limit || context <= limit))
    return context;
  auto error = module.emitError("context of ") << context << " asked for, but ";
  auto reason = module->getAttrOfType<StringAttr>("llmc.context_reason");
  if (limit == tables)
    return error << "the position table has " << tables << " rows";
  return error << "the model is what it says for " << limit << " positions only"
               << (reason ? ": " + reason.getValue() : Twine());
}

namespace {

struct ConfigureLoweringPass : llmc::impl::ConfigureLoweringBase<ConfigureLoweringPass> {
  using ConfigureLoweringBase::ConfigureLoweringBase;
  void runOnOperation() override {
    if (failed(configure(getOperation())))
      signalPassFailure();
  }
  LogicalResult configure(ModuleOp module);
};

LogicalResult ConfigureLoweringPass::configure(ModuleOp module) {
  llvm::Expected<TargetInfo> machine = resolveTarget({target, cpu, features});
  if (!machine)
    return module.emitError(llvm::toString(machine.takeError()));
  if (makePrefix(prefix) != prefix)
    return module.emitError("symbol prefix '") << prefix << "' is no C identifier";
  CpuConfig config;
  config.prefix = prefix;
  config.vectors = {machine->lanes, machine->registers, machine->half, *parseDotKind(machine->dot)};
  config.vectors.tiles = machine->tiles;
  config.vectors.cpu = &getCpuModel(machine->cpu, config.vectors);
  config.unit = linearTileRows(config.vectors);
  FailureOr<int64_t> positions = chooseContext(module, context);
  if (failed(positions))
    return failure();
  config.context = *positions;
  const int64_t askedChunk = chunk, askedTokens = maxTokens;
  if (askedChunk < 1)
    return module.emitError("chunk of ") << askedChunk << " asked for, expected at least 1";
  config.chunk = std::min(askedChunk, config.context);
  config.embedWeights = embedWeights;
  // A batch of short sequences is as good as a long one.
  config.maxTokens = askedTokens ? askedTokens : std::max(config.context, kUsualContext);
  if (config.maxTokens < 1)
    return module.emitError("max-tokens of ") << askedTokens << " asked for, expected at least 1";
  config.setAll(module);
  return success();
}

struct PipelineOptions : PassPipelineOptions<PipelineOptions> {
  Option<std::string> target{*this, "target", llvm::cl::desc("target triple"), llvm::cl::init("")};
  Option<std::string> cpu{*this, "cpu", llvm::cl::desc("CPU as LLVM names it, or native"),
                          llvm::cl::init("")};
  Option<std::string> features{*this, "features",
                               llvm::cl::desc("features added or removed: +avx512vnni,-amx-int8"),
                               llvm::cl::init("")};
  Option<std::string> prefix{*this, "prefix", llvm::cl::desc("prefix of every symbol"),
                             llvm::cl::init("model")};
  Option<int64_t> context{*this, "context", llvm::cl::desc("positions of a sequence"),
                          llvm::cl::init(0)};
  Option<int64_t> chunk{*this, "chunk", llvm::cl::desc("rows of one pass of prefill"),
                        llvm::cl::init(512)};
  Option<int64_t> maxTokens{*this, "max-tokens",
                            llvm::cl::desc("batch x length of models without cache"),
                            llvm::cl::init(0)};
  Option<bool> rollLayers{*this, "roll-layers",
                          llvm::cl::desc("one body for layers that are alike; else one for each"),
                          llvm::cl::init(true)};
  Option<Stage> until{*this, "until", llvm::cl::desc("last stage"), llvm::cl::init(Stage::Target),
                      llvm::cl::values(clEnumValN(Stage::Import, "import", "as it was read"),
                                       clEnumValN(Stage::Fuse, "fuse", "stages of kernels"),
                                       clEnumValN(Stage::Pack, "pack", "with places in memory"),
                                       clEnumValN(Stage::Lower, "lower", "one step function"),
                                       clEnumValN(Stage::Target, "target", "LLVM dialect"))};
};

} // namespace

void llmc::addLoweringPasses(OpPassManager &passes, Stage from, Stage to,
                             const TargetOptions &target, bool rollLayers,
                             const TargetInfo *resolved) {
  auto wants = [&](Stage stage) { return from < stage && stage <= to; };
  if (wants(Stage::Fuse))
    passes.addPass(createFuseStages());
  if (wants(Stage::Pack)) {
    passes.addPass(createPackWeights());
    passes.addPass(createPlanMemory());
    if (rollLayers)
      passes.addPass(createRollLayers());
  }
  if (wants(Stage::Lower)) {
    passes.addPass(createLowerBodies());
    passes.addPass(createLowerStep());
    passes.addPass(createCanonicalizerPass());
    passes.addPass(createCSEPass());
  }
  if (wants(Stage::Target))
    addTargetPasses(passes, target, resolved);
}

void llmc::registerLoweringPipeline() {
  PassPipelineRegistration<PipelineOptions>(
      "llmc-lower", "All of lowering, as llmc-compile runs it",
      [](OpPassManager &passes, const PipelineOptions &options) {
        ConfigureLoweringOptions configuration;
        configuration.target = options.target;
        configuration.cpu = options.cpu;
        configuration.features = options.features;
        configuration.prefix = options.prefix;
        configuration.context = options.context;
        configuration.chunk = options.chunk;
        configuration.maxTokens = options.maxTokens;
        passes.addPass(createConfigureLowering(configuration));
        addLoweringPasses(passes, Stage::Import, options.until,
                          {options.target, options.cpu, options.features}, options.rollLayers);
      });
}
