//===- Compile.cpp - the stages of a compilation ----------------------------------------===//
//
// A table of contents: which passes make a stage, in which order.
//
#include "llmc/Pipeline/Compile.h"

#include "DescribeInterface.h"

#include "llmc/Lower/CodeFormat.h"
#include "llmc/Lower/LinearKernels.h"
#include "llmc/Lower/PackedLinear.h"
#include "llmc/Lower/Passes.h"

#include "mlir/Pass/PassManager.h"
#include "mlir/Transforms/Passes.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Target/TargetMachine.h"

using namespace mlir;
using namespace llmc;

std::optional<Stage> llmc::parseStage(StringRef name) {
  return llvm::StringSwitch<std::optional<Stage>>(name)
      .Case("import", Stage::Import)
      .Case("fuse", Stage::Fuse)
      .Case("pack", Stage::Pack)
      .Case("lower", Stage::Lower)
      .Case("target", Stage::Target)
      .Case("llvm", Stage::LLVM)
      .Case("object", Stage::Object)
      .Default(std::nullopt);
}

std::string llmc::makePrefix(StringRef baseName) {
  std::string prefix;
  for (char c : baseName)
    prefix += llvm::isAlnum(c) ? c : '_';
  if (prefix.empty() || llvm::isDigit(prefix.front()))
    prefix.insert(prefix.begin(), '_');
  return prefix;
}

// Positions that learned tables and the model's own statement allow.
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

Compilation::~Compilation() = default;

FailureOr<std::unique_ptr<Compilation>> Compilation::create(ModuleOp module,
                                                            const CompileOptions &options) {
  std::unique_ptr<Compilation> result(new Compilation());
  result->module = module;
  llvm::Expected<TargetInfo> target = resolveTarget(options.target);
  if (!target)
    return module.emitError(llvm::toString(target.takeError()));
  result->machine = std::move(*target);
  FailureOr<func::FuncOp> entry = getEntry(module);
  if (failed(entry))
    return failure();
  CompileConfig &config = result->settings;
  config.prefix = options.prefix;
  config.vectors = {result->machine.lanes, result->machine.registers, result->machine.half,
                    *parseDotKind(result->machine.dot)};
  config.vectors.tiles = result->machine.tiles;
  config.vectors.cpu = &getCpuModel(result->machine.cpu, config.vectors);
  int64_t tables = tableLimit(module);
  auto stated = module->getAttrOfType<IntegerAttr>("llmc.context");
  int64_t limit = tables;
  if (stated && (!limit || stated.getInt() < limit))
    limit = stated.getInt();
  // A bound far beyond the contexts in use is no wish for a cache of that size.
  constexpr int64_t usual = 2048, longest = 131072;
  config.context = options.context ? options.context : limit && limit <= longest ? limit : usual;
  if (config.context < 1 || (limit && config.context > limit)) {
    auto error = module.emitError("context of ") << config.context << " asked for, but ";
    auto reason = module->getAttrOfType<StringAttr>("llmc.context_reason");
    if (limit == tables)
      return error << "the position table has " << tables << " rows";
    return error << "the model is what it says for " << limit << " positions only"
                 << (reason ? ": " + reason.getValue() : Twine());
  }
  if (options.chunk < 1)
    return module.emitError("chunk of ") << options.chunk << " asked for, expected at least 1";
  config.chunk = std::min(options.chunk, config.context);
  config.embedWeights = options.embedWeights;
  // A batch of short sequences is as good as a long one.
  config.maxTokens = options.maxTokens ? options.maxTokens : std::max(config.context, usual);
  if (config.maxTokens < 1)
    return module.emitError("max-tokens of ")
           << options.maxTokens << " asked for, expected at least 1";
  config.set(module);
  if (failed(verifyStopIds(module, *entry)))
    return failure();
  result->interfaceJson = describeInterface(module, *entry);
  return result;
}

LogicalResult Compilation::runUntil(Stage stage) {
  PassManager pm(module.getContext());
  auto wants = [&](Stage next) { return reached < next && stage >= next; };
  if (wants(Stage::Fuse))
    pm.addPass(createFuseStages());
  if (wants(Stage::Pack)) {
    pm.addPass(createPackWeights());
    pm.addPass(createPlanMemory());
  }
  if (failed(pm.run(module)))
    return failure();
  if (wants(Stage::Pack)) { // Lowering leaves no entry to ask.
    FailureOr<func::FuncOp> entry = getEntry(module);
    if (failed(entry))
      return failure();
    totalWeightBytes = (*entry)->getAttrOfType<IntegerAttr>("llmc.weight_bytes").getInt();
  }
  PassManager lowering(module.getContext());
  if (wants(Stage::Lower)) {
    lowering.addPass(createLowerStep());
    lowering.addPass(createCanonicalizerPass());
    lowering.addPass(createCSEPass());
  }
  if (failed(lowering.run(module)))
    return failure();
  if (wants(Stage::Target) && failed(lowerToLLVMDialect(module, machine)))
    return failure();
  reached = std::max(reached, std::min(stage, Stage::Target));
  return success();
}

FailureOr<std::string> Compilation::emit(Stage stage, bool assembly) {
  llvm::Expected<std::unique_ptr<llvm::TargetMachine>> targetMachine = makeTargetMachine(machine);
  if (!targetMachine)
    return module.emitError(llvm::toString(targetMachine.takeError()));
  llvm::LLVMContext context;
  std::unique_ptr<llvm::Module> code = translateToLLVM(module, context, **targetMachine);
  if (!code)
    return failure();
  if (stage == Stage::LLVM) {
    std::string text;
    llvm::raw_string_ostream stream(text);
    code->print(stream, nullptr);
    return text;
  }
  if (embedded)
    code->appendModuleInlineAsm(embeddingAssembly());
  llvm::Expected<std::string> bytes = emitCode(*code, **targetMachine, assembly);
  if (!bytes)
    return module.emitError(llvm::toString(bytes.takeError()));
  return *bytes;
}

static int64_t moduleNumber(ModuleOp module, StringRef name) {
  auto attribute = module->getAttrOfType<IntegerAttr>(name);
  return attribute ? attribute.getInt() : 0;
}

int64_t Compilation::arenaBytes(int threads) const {
  return moduleNumber(module, "llmc.arena_bytes") +
         threads * moduleNumber(module, "llmc.scratch_bytes");
}

int64_t Compilation::kvBytesPerPosition() const {
  return moduleNumber(module, "llmc.kv_block_bytes") / 16;
}

std::string Compilation::explain() {
  std::string text =
      llvm::formatv("target {0}, cpu {1}, strategy {2}, {3} f32 per vector, {4} "
                    "registers\n",
                    machine.triple, machine.cpu, machine.strategy, machine.lanes, machine.registers)
          .str();
  module.walk([&](LinearOp op) {
    auto weight = op.getWeight().getDefiningOp<WeightOp>();
    if (!weight)
      return;
    CodeFormat format = getCodeFormat(weight.getType(), op.getActivationsAttr());
    ArrayRef<int64_t> shape = getWeightShape(weight.getType());
    text += llvm::formatv("{0}  {1}x{2}  {3}\n", weight.getWeightName(), shape[0], shape[1],
                          explainLinear(format, settings.vectors, shape[0], shape[1]))
                .str();
  });
  return text;
}
