//===- KernelModel.cpp - a chain of linears of one format, compiled for this machine ----===//
//
// One pair of matrices is made and compressed; the others are copies under other names, which the
// compiler packs one by one.
//
#include "KernelModel.h"

#include "GraphRunner.h"

#include "llmc/Compress/StoredWeight.h"
#include "llmc/IR/WeightData.h"
#include "llmc/InitAll.h"
#include "llmc/Pipeline/Compile.h"
#include "llmc/Pipeline/TemporaryFolder.h"
#include "llmc/Runtime/Failure.h"

#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"
#include "llvm/ADT/StringExtras.h"

#include <cmath>

using namespace mlir;
using namespace llmc;
using namespace llmc::bench;

namespace {

constexpr int64_t kMostPairs = 256;
constexpr int64_t kTableRows = kGraphIds;

[[noreturn]] void failFormat(const std::string &format) {
  failUsage("--formats: expected names as llmc-compile --explain prints them (f32, int4-g128, "
            "int8-row-sym-i8token, nf4-g64, bnbfp4-g64, ternary, ternary-b3, nm2x4-int4-g32, ...), "
            "found '" +
            format + "'");
}

/// Consumes a number behind `prefix`.
bool takeNumber(StringRef part, StringRef prefix, int64_t &number) {
  return part.consume_front(prefix) && !part.getAsInteger(10, number);
}

std::string activationsOption(StringRef part) {
  if (part == "i8token")
    return "i8-token";
  return part == "i8group" ? "i8-group" : "";
}

/// Values that keep a chain of products near 1.
std::vector<float> randomValues(int64_t rows, int64_t columns, uint64_t seed) {
  std::vector<float> values(static_cast<size_t>(rows * columns));
  const float scale = std::sqrt(3.0f / static_cast<float>(columns));
  uint64_t state = seed;
  for (float &value : values) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    value = scale * (static_cast<float>(state >> 40) / static_cast<float>(1 << 23) - 1);
  }
  return values;
}

class ChainBuilder {
public:
  ChainBuilder(MLIRContext *context, const KernelOptions &options) : options(options), b(context) {}

  /// The module with one pair, dense.
  OwningOpRef<ModuleOp> build() {
    Location loc = b.getUnknownLoc();
    OwningOpRef<ModuleOp> module = ModuleOp::create(loc);
    b.setInsertionPointToEnd(module->getBody());
    constexpr int64_t any = ShapedType::kDynamic;
    auto idType = RankedTensorType::get({any, any}, b.getI64Type());
    auto type = RankedTensorType::get({any, any, options.shape.k}, b.getF32Type());
    auto entry = func::FuncOp::create(b, loc, "main", b.getFunctionType({idType}, {type}));
    entry->setAttr("llmc.role", b.getStringAttr("run"));
    entry.setArgAttr(0, "llmc.name", b.getStringAttr("input_ids"));
    entry.setResultAttr(0, "llmc.name", b.getStringAttr("y"));
    b.setInsertionPointToStart(entry.addEntryBlock());
    // A compiled function takes ids: rows of numbers come from a small table.
    auto tableType = RankedTensorType::get({kTableRows, options.shape.k}, b.getF32Type());
    WeightOp table =
        createDenseWeight(b, loc, "rows", tableType, randomValues(kTableRows, options.shape.k, 1));
    Value x = EmbeddingOp::create(b, loc, type, table, entry.getArgument(0));
    x = makeLinear(loc, x, "up_0", options.shape.n, options.shape.k);
    x = makeLinear(loc, x, "down_0", options.shape.k, options.shape.n);
    func::ReturnOp::create(b, loc, x);
    return module;
  }

  /// Repeats the pair of `module`, each behind the one before, until there are `pairs`.
  void repeat(ModuleOp module, int64_t pairs) {
    auto entry = *module.getOps<func::FuncOp>().begin();
    SmallVector<Operation *> pair;
    Value firstInput;
    for (Operation &op : entry.getBody().front().without_terminator()) {
      if (auto embedding = dyn_cast<EmbeddingOp>(op))
        firstInput = embedding.getResult();
      else if (!isTable(op))
        pair.push_back(&op);
    }
    Operation *end = entry.getBody().front().getTerminator();
    const Value firstResult = end->getOperand(0);
    b.setInsertionPoint(end);
    for (int64_t i = 1; i < pairs; ++i) {
      IRMapping map;
      map.map(firstInput, end->getOperand(0));
      for (Operation *op : pair) {
        Operation *copy = b.clone(*op, map);
        if (auto weight = dyn_cast<WeightOp>(copy)) {
          const StringRef kind = weight.getWeightName().split('_').first;
          weight.setWeightName((kind + "_" + Twine(i)).str());
        }
      }
      end->setOperand(0, map.lookup(firstResult));
    }
  }

private:
  static bool isTable(Operation &op) {
    auto weight = dyn_cast<WeightOp>(op);
    return weight && weight.getWeightName() == "rows";
  }

  Value makeLinear(Location loc, Value x, StringRef name, int64_t outputs, int64_t inputs) {
    auto type = RankedTensorType::get({outputs, inputs}, b.getF32Type());
    WeightOp weight =
        createDenseWeight(b, loc, name, type, randomValues(outputs, inputs, name.size()));
    auto result = RankedTensorType::get({ShapedType::kDynamic, ShapedType::kDynamic, outputs},
                                        b.getF32Type());
    return LinearOp::create(b, loc, result, x, weight, /*bias=*/Value(), DynamicQuantAttr());
  }

  const KernelOptions &options;
  OpBuilder b;
};

} // namespace

std::string llmc::bench::formatPipeline(const std::string &format) {
  SmallVector<StringRef> parts;
  StringRef(format).split(parts, '-');
  size_t at = 0;
  const auto next = [&]() { return at < parts.size() ? parts[at++] : StringRef(); };
  std::string sparsify;
  if (parts[0] == "nm2x4") {
    sparsify = "sparsify-2-4{include=_0$}";
    ++at;
  }
  const StringRef code = next();
  std::string coding, activations = "float";
  int64_t bits = 0, group = 0;
  bool symmetric = false;
  const auto takeGroup = [&] {
    const StringRef part = next();
    if (part != "row" && (!takeNumber(part, "g", group) || group < 1))
      failFormat(format);
  };
  if (code == "f32") {
    // As it is.
  } else if (code == "ternary") {
    const bool base3 = at < parts.size() && parts[at] == "b3";
    at += base3;
    coding = std::string("ternarize{include=_0$ activations=% packing=") +
             (base3 ? "base3" : "2bit") + "}";
  } else if (code == "bnbfp4") {
    takeGroup();
    coding = "scheme-quantize{include=_0$ activations=% scheme=table<bnb_fp4,group=" +
             std::to_string(group) + ">}";
  } else if (code == "nf4" || code == "nf4i8") {
    // Quantized inputs are multiplied by the table of integers, as the pass chooses.
    takeGroup();
    coding = "nf4-quantize{include=_0$ activations=% group=" + std::to_string(group) +
             (code == "nf4i8" ? " table=nf4_i8" : "") + "}";
  } else if (takeNumber(code, "int", bits) && bits >= 2 && bits <= 8) {
    takeGroup();
    if (at < parts.size() && parts[at] == "sym") {
      symmetric = true;
      ++at;
    }
    coding = "rtn-quantize{include=_0$ activations=% bits=" + std::to_string(bits) +
             " group=" + std::to_string(group) + " symmetric=" + (symmetric ? "true" : "false") +
             "}";
  } else {
    failFormat(format);
  }
  if (at < parts.size() && !coding.empty())
    activations = activationsOption(next());
  if (activations.empty() || at < parts.size())
    failFormat(format);
  if (const size_t mark = coding.find('%'); mark != std::string::npos)
    coding.replace(mark, 1, activations);
  return coding + (coding.empty() || sparsify.empty() ? "" : ",") + sparsify;
}

CompiledKernel llmc::bench::compileKernel(const KernelOptions &options) {
  static const bool registered = [] {
    registerCompressPasses(/*executor=*/nullptr);
    return true;
  }();
  static_cast<void>(registered);
  DialectRegistry registry;
  registerAllDialects(registry);
  MLIRContext context(registry);
  context.printOpOnDiagnostic(false);
  context.loadAllAvailableDialects();
  // Remarks of the passes are about layers; only errors matter here.
  std::string said;
  context.getDiagEngine().registerHandler([&](Diagnostic &diagnostic) {
    if (diagnostic.getSeverity() == DiagnosticSeverity::Error)
      said += (said.empty() ? "" : "; ") + diagnostic.str();
    return success();
  });
  const std::string what = options.format + " of " + options.shape.name;
  ChainBuilder builder(&context, options);
  OwningOpRef<ModuleOp> module = builder.build();
  PassManager passes(&context);
  if (failed(parsePassPipeline(formatPipeline(options.format), passes)))
    failInternal(what + ": the pipeline '" + formatPipeline(options.format) +
                 "' is not understood");
  if (failed(passes.run(*module)))
    failUsage(what + ": " + said);
  int64_t bytes = 0;
  module->walk([&](WeightOp weight) { bytes += storedBytes(weight); });
  const int64_t least = static_cast<int64_t>(options.leastBytes);
  builder.repeat(*module, std::clamp<int64_t>((least + bytes - 1) / bytes, 1, kMostPairs));

  TemporaryFolder folder;
  if (!folder.create())
    failLimit("no temporary folder can be made (TMPDIR names the place)");
  CompileOptions settings;
  settings.target.cpu = options.cpu;
  settings.maxTokens = options.rows;
  const std::string base = folder.path + "/kernel";
  if (failed(compileArtifact(*module, settings, base)))
    failInternal(what + ": " + said);
  CompiledKernel kernel;
  kernel.artifact = std::make_unique<Artifact>(base);
  kernel.artifact->waitForWeights();
  kernel.work = readModelWork(*kernel.artifact);
  return kernel;
}
