//===- Compile.cpp - the stages of a compilation ----------------------------------------===//
//
// Runs the passes of a stage, and what MLIR has no passes for.
//
#include "llmc/Pipeline/Compile.h"

#include "DescribeInterface.h"

#include "llmc/IR/Passes.h"
#include "llmc/Lower/Cpu/CodeFormat.h"
#include "llmc/Lower/Cpu/LinearKernels.h"
#include "llmc/Lower/Cpu/PackedLinear.h"
#include "llmc/Pipeline/Passes.h"

#include "mlir/Pass/PassManager.h"
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

Compilation::~Compilation() = default;

FailureOr<std::unique_ptr<Compilation>> Compilation::create(ModuleOp module,
                                                            const CompileOptions &options) {
  std::unique_ptr<Compilation> result(new Compilation());
  result->module = module;
  result->options = options;
  llvm::Expected<TargetInfo> target = resolveTarget(options.target);
  if (!target)
    return module.emitError(llvm::toString(target.takeError()));
  result->machine = std::move(*target);
  FailureOr<func::FuncOp> entry = getEntry(module);
  if (failed(entry))
    return failure();
  ConfigureLoweringOptions configuration;
  configuration.target = options.target.triple;
  configuration.cpu = options.target.cpu;
  configuration.features = options.target.features;
  configuration.prefix = options.prefix;
  configuration.context = options.context;
  configuration.chunk = options.chunk;
  configuration.maxTokens = options.maxTokens;
  configuration.embedWeights = options.embedWeights;
  auto configure = [&](PassManager &passes) {
    passes.addPass(createInlineLayers());
    passes.addPass(createConfigureLowering(configuration));
  };
  if (failed(result->run("configure", configure)))
    return failure();
  FailureOr<CpuConfig> config = CpuConfig::get(module);
  if (failed(config) || failed(verifyStopIds(module, *entry)))
    return failure();
  result->settings = *config;
  result->interfaceJson = describeInterface(module, *entry);
  return result;
}

LogicalResult Compilation::run(StringRef stage, llvm::function_ref<void(PassManager &)> add) {
  PassManager passes(module.getContext());
  if (options.instrument && failed(options.instrument(passes, stage)))
    return failure();
  add(passes);
  return passes.run(module);
}

LogicalResult Compilation::runUntil(Stage stage) {
  // Behind each stage somebody may look, so each is a run of its own.
  struct Part {
    Stage next;
    StringRef name;
  };
  constexpr Part parts[] = {{Stage::Fuse, "fuse"},
                            {Stage::Pack, "pack"},
                            {Stage::Lower, "lower"},
                            {Stage::Target, "target"}};
  for (auto [next, name] : parts) {
    if (next <= reached || next > stage)
      continue;
    const Stage to = next;
    auto add = [&](PassManager &passes) {
      addLoweringPasses(passes, reached, to, options.target, options.rollLayers, &machine);
    };
    if (failed(run(name, add)))
      return failure();
    reached = next;
    if (next != Stage::Pack)
      continue;
    FailureOr<exec::ProgramOp> program = exec::getProgram(module); // Lowering leaves none to ask.
    if (failed(program))
      return failure();
    totalWeightBytes = *program->getWeightBytes();
  }
  return success();
}

std::string Compilation::codeKey() {
  OwningOpRef<ModuleOp> copy = module.clone();
  Builder b(module.getContext());
  int64_t number = 0;
  copy->walk([&](Operation *op) {
    if (auto weight = dyn_cast<WeightOp>(op)) {
      weight.setWeightName(std::to_string(number++));
      weight.setComponentsAttr(b.getDictionaryAttr({}));
    } else if (auto observe = dyn_cast<exec::ObserveOp>(op)) {
      observe.setObserver(std::to_string(number++));
    }
  });
  std::string text;
  llvm::raw_string_ostream stream(text);
  // What has lost its data does not verify.
  copy->print(stream,
              OpPrintingFlags().assumeVerified().printGenericOpForm().enableDebugInfo(false));
  return text;
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

exec::ArtifactAttr Compilation::artifact() const {
  return module->getAttrOfType<exec::ArtifactAttr>("exec.artifact");
}

int64_t Compilation::arenaBytes(int threads) const {
  return artifact().getArenaBytes() + threads * artifact().getScratchBytes();
}

int64_t Compilation::kvBytesPerPosition() const { return artifact().getKvBlockBytes() / 16; }

/// Who reads the codes that a kernel makes, by the weight of the first.
static std::string explainQuantize(exec::QuantizeOp op, const exec::Turn &turn) {
  std::string first;
  int64_t readers = 0;
  for (auto linear : op->getBlock()->getOps<exec::LinearOp>())
    if (linear.getInput() == op.getCodes() && op->isBeforeInBlock(linear) && !readers++)
      first = turn.of(linear.getWeight())
                  .getDefiningOp<exec::WeightOp>()
                  .getWeight()
                  .getDefiningOp<WeightOp>()
                  .getWeightName();
  std::string scale = "a scale for each row";
  if (op.getScale())
    scale = "the given scale";
  else if (op.getGroup())
    scale = llvm::formatv("a scale for {0} columns", op.getGroup());
  return llvm::formatv("{0}  input of {1}  i8, {2}, once by each thread for {3} linear{4}\n", first,
                       exec::getBufferType(op.getInput()).getWidth(), scale, readers,
                       readers == 1 ? "" : "s")
      .str();
}

std::string Compilation::explain() {
  std::string text =
      llvm::formatv("target {0}, cpu {1}, strategy {2}, {3} f32 per vector, {4} "
                    "registers\n",
                    machine.triple, machine.cpu, machine.strategy, machine.lanes, machine.registers)
          .str();
  auto add = [&](exec::LinearOp op, const exec::Turn &turn) {
    auto weight = turn.of(op.getWeight()).getDefiningOp<exec::WeightOp>().getWeight();
    std::optional<int64_t> group;
    if (op.getScales())
      group = op.getGroup();
    CodeFormat format = getCodeFormat(weight.getType(), group);
    ArrayRef<int64_t> shape = getWeightShape(weight.getType());
    text += llvm::formatv("{0}  {1}x{2}  {3}\n", weight.getDefiningOp<WeightOp>().getWeightName(),
                          shape[0], shape[1],
                          explainLinear(format, settings.vectors, shape[0], shape[1]))
                .str();
  };
  for (auto program : module.getOps<exec::ProgramOp>())
    exec::forEachStage(program, [&](exec::StageOp stage, const exec::Turn &turn) {
      for (Operation &op : stage.getBody().front())
        if (auto linear = dyn_cast<exec::LinearOp>(op))
          add(linear, turn);
        else if (auto quantize = dyn_cast<exec::QuantizeOp>(op))
          text += explainQuantize(quantize, turn);
    });
  module.walk([&](exec::GenericOp op) {
    text += llvm::formatv("{0}  each {1}  linalg, not tuned\n", op.getSource(),
                          exec::stringifyEach(op.getEach()))
                .str();
  });
  return text;
}
