//===- Calibrate.cpp - run the model on tokens and keep statistics ------------------------===//
//
// The observers go into a copy of the module, which shares its weights; the module itself only gets
// the attributes.
//
#include "llmc/Calibrate/Passes.h"
#include "llmc/Calibrate/StatisticsAttr.h"
#include "llmc/Calibrate/TokenFile.h"
#include "llmc/Numerics/Progress.h"

#include "mlir/IR/IRMapping.h"
#include "mlir/Pass/PassRegistry.h"
#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/Statistic.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Support/Debug.h"
#include "llvm/Support/FileSystem.h"

#include <numeric>
#include <thread>

#define DEBUG_TYPE "calibrate"

namespace llmc {
#define GEN_PASS_DEF_CALIBRATE
#include "llmc/Calibrate/Passes.h.inc"
} // namespace llmc

using namespace mlir;
using namespace llmc;

ALWAYS_ENABLED_STATISTIC(inputsObserved, "Inputs that statistics were kept of");
ALWAYS_ENABLED_STATISTIC(idsRun, "Ids that the model was run on");

namespace {

/// A value that linears read.
struct ObservedInput {
  std::string name; ///< of the first linear's weight, numbered where it is met again
  Value value;
  SmallVector<LinearOp> linears;
  int64_t channels = 0;
};

/// Collects rows until the first failure.
struct Collector {
  llvm::StringMap<StatisticsAccumulator> accumulators;
  std::string error;
  int threads = 1;

  void add(StringRef name, const float *values, int64_t rows, int64_t width, int64_t stride) {
    auto it = accumulators.find(name);
    if (it == accumulators.end() || !error.empty())
      return;
    std::vector<float> packed;
    Span<const float> view(values, rows * width);
    if (stride != width) {
      packed.resize(rows * width);
      for (int64_t i = 0; i < rows; ++i)
        std::copy_n(values + i * stride, width, packed.begin() + i * width);
      view = packed;
    }
    if (Status ok = it->second.add(view, rows, threads); !ok)
      error = "input of \"" + name.str() + "\": " + ok.message();
  }
};

} // namespace

static std::vector<ObservedInput> findInputs(ModuleOp module) {
  llvm::MapVector<Value, ObservedInput> inputs;
  module.walk([&](LinearOp linear) {
    ObservedInput &input = inputs[linear.getInput()];
    input.value = linear.getInput();
    input.linears.push_back(linear);
    input.channels = cast<RankedTensorType>(linear.getInput().getType()).getShape().back();
  });
  llvm::StringMap<unsigned> met;
  std::vector<ObservedInput> result;
  for (auto &[value, input] : inputs) {
    auto weight = input.linears[0].getWeight().getDefiningOp<WeightOp>();
    input.name = weight ? weight.getWeightName().str() : "linear";
    if (unsigned times = met[input.name]++)
      input.name += "#" + std::to_string(times);
    result.push_back(std::move(input));
  }
  return result;
}

/// The entry point of a plain graph and, for each of its inputs, what stands in for it.
static FailureOr<SmallVector<HostTensor>> plainInputs(ModuleOp module, ArrayRef<int64_t> ids) {
  func::FuncOp entry;
  module.walk([&](func::FuncOp function) {
    auto role = function->getAttrOfType<StringAttr>("llmc.role");
    if (!entry && role == "run")
      entry = function;
  });
  if (!entry)
    return mlir::emitError(module.getLoc())
           << "calibrate: expected a function with llmc.role \"step\" or \"run\"";
  SmallVector<HostTensor> tensors;
  auto count = static_cast<int64_t>(ids.size());
  for (BlockArgument argument : entry.getArguments()) {
    auto name = entry.getArgAttrOfType<StringAttr>(argument.getArgNumber(), "llmc.name");
    HostTensor tensor;
    tensor.name = name ? name.str() : "";
    tensor.shape = {1, count};
    tensor.integers.resize(count);
    bool onlyOne = entry.getNumArguments() == 1;
    if (tensor.name == "input_ids" || onlyOne)
      tensor.integers.assign(ids.begin(), ids.end());
    else if (tensor.name == "attention_mask")
      std::fill(tensor.integers.begin(), tensor.integers.end(), 1);
    else if (tensor.name == "position_ids")
      std::iota(tensor.integers.begin(), tensor.integers.end(), 0);
    else if (tensor.name != "token_type_ids")
      return mlir::emitError(entry.getLoc())
             << "calibrate: a token file cannot feed the input '" << tensor.name
             << "'; expected input_ids, attention_mask, token_type_ids or position_ids";
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

/// Ids the model knows: the logits' width, or the rows of the smallest table that arguments index.
static int64_t countIds(ModuleOp module, const ExecutableModel &model) {
  int64_t known = model.vocabulary();
  if (known)
    return known;
  module.walk([&](EmbeddingOp embedding) {
    auto argument = dyn_cast<BlockArgument>(embedding.getIds());
    auto function = embedding->getParentOfType<func::FuncOp>();
    if (!argument || !function)
      return;
    auto name = function.getArgAttrOfType<StringAttr>(argument.getArgNumber(), "llmc.name");
    if (function.getNumArguments() == 1 || (name && name == "input_ids"))
      known = getWeightShape(embedding.getWeight().getType())[0];
  });
  return known;
}

namespace {

struct Calibrate : public llmc::impl::CalibrateBase<Calibrate> {
  using CalibrateBase::CalibrateBase;
  Calibrate(std::shared_ptr<Executor> executor, CalibrateOptions options)
      : CalibrateBase(std::move(options)), executor(std::move(executor)) {}

  void runOnOperation() override {
    if (failed(run(getOperation())))
      signalPassFailure();
  }

private:
  InFlightDiagnostic fail() {
    return mlir::emitError(getOperation().getLoc()) << getArgument() << ": ";
  }

  /// Braces are the quotes for a path with quotes of both kinds in it, or spaces at an end.
  void unquote() {
    StringRef path = tokens;
    while (path.size() > 2 && path.front() == '{' && path.back() == '}' &&
           !llvm::sys::fs::exists(path))
      path = path.drop_front().drop_back();
    tokens = path.str();
  }

  /// Says when there is too little to learn from.
  void warnOfFewIds(const TokenFile &file) {
    constexpr size_t kFewDifferent = 16;
    llvm::DenseSet<int64_t> different;
    for (size_t i = 0; i < file.ids.size() && different.size() < kFewDifferent; ++i)
      different.insert(file.ids[i]);
    size_t count = file.ids.size();
    bool few = count < static_cast<size_t>(kFewIds);
    if (!few && different.size() >= kFewDifferent)
      return;
    auto warning = mlir::emitWarning(getOperation().getLoc())
                   << getArgument() << ": '" << tokens << "' has ";
    if (few)
      warning << "only " << count << (count == 1 ? " id" : " ids");
    else
      warning << count << " ids, but only " << different.size() << " different";
    warning << ", which say little about what the model will see; some 10,000 of text like that of "
               "the application are asked for";
  }

  LogicalResult run(ModuleOp module) {
    if (!executor)
      return fail() << "this tool cannot run compiled code";
    if (tokens.empty())
      return fail() << "tokens=<file.npy> is missing";
    if (threads < 0 || maxMemory < 1)
      return fail() << "expected threads of 0 or more and max-memory of 1 or more";
    unquote();
    Result<TokenFile> file = readTokenFile(tokens);
    if (!file)
      return fail() << file.message();
    std::vector<ObservedInput> inputs = findInputs(module);
    if (inputs.empty())
      return fail() << "the model has no llmc.linear";
    Collector collector;
    collector.threads =
        threads ? static_cast<int>(threads) : static_cast<int>(std::thread::hardware_concurrency());
    if (failed(reserve(inputs, collector)) || failed(observe(module, *file, inputs, collector)))
      return failure();
    warnOfFewIds(*file);
    return attach(inputs, collector);
  }

  /// Makes the accumulators, if they fit.
  LogicalResult reserve(ArrayRef<ObservedInput> inputs, Collector &collector) {
    auto mebibytes = [&](bool withHessian) {
      int64_t bytes = 0;
      for (const ObservedInput &input : inputs)
        bytes += statisticsBytes(input.channels, withHessian);
      return (bytes + (1 << 20) - 1) >> 20;
    };
    if (mebibytes(hessian) > maxMemory) {
      auto error = fail() << "the statistics of " << inputs.size() << " inputs take "
                          << mebibytes(hessian)
                          << " MiB, more than max-memory=" << int64_t(maxMemory);
      if (hessian)
        error << "; with hessian=false they take " << mebibytes(false) << " MiB";
      return error;
    }
    for (const ObservedInput &input : inputs)
      collector.accumulators.try_emplace(input.name, input.channels, hessian);
    return success();
  }

  /// Compiles a copy with observers and runs the file.
  LogicalResult observe(ModuleOp module, const TokenFile &file, ArrayRef<ObservedInput> inputs,
                        Collector &collector) {
    IRMapping mapping;
    OwningOpRef<ModuleOp> copy(cast<ModuleOp>(module->clone(mapping)));
    for (const ObservedInput &input : inputs) {
      Value value = mapping.lookup(input.value);
      OpBuilder builder(module.getContext());
      builder.setInsertionPointAfterValue(value);
      ObserveOp::create(builder, value.getLoc(), builder.getStringAttr(input.name), value);
    }
    ExecutorOptions options;
    options.threads = collector.threads;
    FailureOr<std::unique_ptr<ExecutableModel>> model = executor->compile(*copy, options);
    if (failed(model))
      return failure();
    (*model)->setObserver(
        [&](StringRef name, const float *values, int64_t rows, int64_t width, int64_t stride) {
          collector.add(name, values, rows, width, stride);
        });

    int64_t known = countIds(module, **model), context = (*model)->context();
    for (size_t i = 0; known && i < file.ids.size(); ++i)
      if (file.ids[i] < 0 || file.ids[i] >= known)
        return fail() << "'" << tokens << "': id " << file.ids[i] << " at row " << i / file.length
                      << ", column " << i % file.length << " is outside the vocabulary of "
                      << known;
    bool step = (*model)->vocabulary() != 0;
    if (!file.flat && context > 0 && file.length > context)
      return fail() << "'" << tokens << "': rows of " << file.length
                    << " ids are longer than the model's context of " << context;
    int64_t length = file.flat && context > 0 ? std::min(file.length, context) : file.length;
    auto total = static_cast<int64_t>(file.ids.size());
    Progress progress(getArgument().str(), "ids", total);
    for (int64_t begin = 0; begin < total; begin += length) {
      ArrayRef<int64_t> row(file.ids.data() + begin, std::min(length, total - begin));
      if (failed(step ? runStep(**model, row, options.chunk) : runPlain(module, **model, row)))
        return failure();
      if (!collector.error.empty())
        return fail() << collector.error;
      progress.add(row.size());
      idsRun += row.size();
    }
    return success();
  }

  /// One sequence through the cache, in pieces of at most a chunk.
  LogicalResult runStep(ExecutableModel &model, ArrayRef<int64_t> row, int64_t chunk) {
    model.reset();
    std::vector<int32_t> ids(row.begin(), row.end());
    for (size_t begin = 0; begin < ids.size(); begin += chunk) {
      size_t count = std::min<size_t>(chunk, ids.size() - begin);
      if (failed(model.prefill(ArrayRef(ids).slice(begin, count))))
        return fail() << "the model does not run";
    }
    return success();
  }

  LogicalResult runPlain(ModuleOp module, ExecutableModel &model, ArrayRef<int64_t> row) {
    FailureOr<SmallVector<HostTensor>> tensors = plainInputs(module, row);
    if (failed(tensors))
      return failure();
    if (failed(model.run(*tensors)))
      return fail() << "the model does not run";
    return success();
  }

  LogicalResult attach(ArrayRef<ObservedInput> inputs, Collector &collector) {
    for (const ObservedInput &input : inputs) {
      StatisticsAccumulator &accumulator = collector.accumulators.find(input.name)->second;
      if (!accumulator.count()) {
        mlir::emitRemark(getOperation().getLoc())
            << getArgument() << ": the tokens never reach \"" << input.name << "\"";
        continue;
      }
      ChannelStatistics statistics = std::move(accumulator).finish(collector.threads);
      DictionaryAttr attribute =
          makeStatisticsAttr(&getContext(), statistics, input.name + ".input");
      for (LinearOp linear : input.linears)
        linear->setAttr(kStatisticsAttr, attribute);
      ++inputsObserved;
      LLVM_DEBUG(llvm::dbgs() << getArgument() << ": input of \"" << input.name
                              << "\": " << statistics.count << " rows of " << input.channels
                              << " channels, read by " << input.linears.size() << " linears\n");
    }
    return success();
  }

  std::shared_ptr<Executor> executor;
};

} // namespace

std::unique_ptr<Pass> llmc::createCalibrate(std::shared_ptr<Executor> executor,
                                            CalibrateOptions options) {
  return std::make_unique<Calibrate>(std::move(executor), std::move(options));
}

void llmc::registerCalibratePasses(std::shared_ptr<Executor> executor) {
  registerPass([executor = std::move(executor)] { return createCalibrate(executor); });
  registerPass([] { return createStripStatistics(); });
}
