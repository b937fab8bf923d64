//===- Calibrate.cpp - run the model on tokens and keep statistics ------------------------===//
//
// Block by block: the observers go into a module of the block, which shares its weights; the model
// itself only gets the attributes.
//
#include "llmc/Calibrate/BlockRunner.h"
#include "llmc/Calibrate/Passes.h"
#include "llmc/Calibrate/StatisticsAttr.h"
#include "llmc/Calibrate/TokenFile.h"
#include "llmc/Numerics/Checkpoint.h"
#include "llmc/Numerics/Hash.h"
#include "llmc/Numerics/Progress.h"

#include "mlir/Pass/PassRegistry.h"
#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/Statistic.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Support/Debug.h"
#include "llvm/Support/FileSystem.h"

#include <chrono>
#include <thread>

#define DEBUG_TYPE "calibrate"

namespace llmc {
#define GEN_PASS_DEF_CALIBRATE
#include "llmc/Calibrate/Passes.h.inc"
} // namespace llmc

using namespace mlir;
using namespace llmc;

ALWAYS_ENABLED_STATISTIC(inputsObserved, "Inputs that statistics were kept of");
ALWAYS_ENABLED_STATISTIC(blocksRun, "Blocks that were run, one after another");
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

/// The function that tokens go through.
static FailureOr<func::FuncOp> findEntry(ModuleOp module) {
  func::FuncOp entry;
  module.walk([&](func::FuncOp function) {
    auto role = function->getAttrOfType<StringAttr>("llmc.role");
    if (!entry && (role == "step" || role == "run"))
      entry = function;
  });
  if (!entry)
    return mlir::emitError(module.getLoc())
           << "calibrate: expected a function with llmc.role \"step\" or \"run\"";
  return entry;
}

/// Ids the model knows: the rows of the smallest table that its ids index; 0: no table says.
static int64_t countIds(func::FuncOp entry) {
  int64_t known = 0;
  entry.walk([&](EmbeddingOp embedding) {
    auto argument = dyn_cast<BlockArgument>(embedding.getIds());
    if (!argument)
      return;
    auto name = entry.getArgAttrOfType<StringAttr>(argument.getArgNumber(), "llmc.name");
    int64_t rows = getWeightShape(embedding.getWeight().getType())[0];
    if (entry.getNumArguments() == 1 || (name && name == "input_ids"))
      known = known ? std::min(known, rows) : rows;
  });
  return known;
}

/// The inputs whose first reader is in the block.
static std::vector<ObservedInput *> inputsOf(const ModelBlock &block,
                                             std::vector<ObservedInput> &inputs) {
  llvm::DenseSet<Operation *> ops(block.ops.begin(), block.ops.end());
  std::vector<ObservedInput *> found;
  for (ObservedInput &input : inputs)
    if (ops.contains(input.linears[0]))
      found.push_back(&input);
  return found;
}

static uint64_t hashSequences(ArrayRef<ArrayRef<int64_t>> sequences) {
  uint64_t hash = 0;
  for (ArrayRef<int64_t> ids : sequences)
    hash = hashBytes(ids.data(), ids.size() * sizeof(int64_t), hash + ids.size());
  return hash;
}

static void addStatistics(RecordWriter &record, const ChannelStatistics &statistics) {
  record.add(statistics.count);
  for (const std::vector<double> *moment :
       {&statistics.mean, &statistics.meanAbs, &statistics.maxAbs, &statistics.sumSquares})
    record.addArray(Span<const double>(*moment));
  // Of the square the upper triangle, row after row.
  int64_t channels = statistics.hasHessian() ? statistics.channels() : 0;
  std::vector<float> triangle;
  triangle.reserve(triangleSize(channels));
  for (int64_t i = 0; i < channels; ++i)
    triangle.insert(triangle.end(), statistics.hessian.begin() + i * channels + i,
                    statistics.hessian.begin() + (i + 1) * channels);
  record.addArray(Span<const float>(triangle));
}

static ChannelStatistics takeStatistics(RecordReader &record) {
  ChannelStatistics statistics;
  statistics.count = record.number<int64_t>();
  for (std::vector<double> *moment :
       {&statistics.mean, &statistics.meanAbs, &statistics.maxAbs, &statistics.sumSquares})
    *moment = record.array<double>();
  std::vector<float> triangle = record.array<float>();
  if (!triangle.empty())
    statistics.hessian = squareOfTriangle(triangle, statistics.channels());
  return statistics;
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
    FailureOr<func::FuncOp> entry = findEntry(module);
    if (failed(entry))
      return failure();
    std::vector<ArrayRef<int64_t>> sequences;
    if (failed(cutSequences(*entry, *file, sequences)))
      return failure();
    warnOfFewIds(*file);
    return runBlocks(*entry, sequences, inputs);
  }

  int workers() const {
    return threads ? static_cast<int>(threads)
                   : static_cast<int>(std::thread::hardware_concurrency());
  }

  /// The rows of the file, or pieces of the context where it is one stream.
  LogicalResult cutSequences(func::FuncOp entry, const TokenFile &file,
                             std::vector<ArrayRef<int64_t>> &sequences) {
    FailureOr<int64_t> context = executor->chooseContext(getOperation());
    if (failed(context))
      return failure();
    int64_t known = countIds(entry);
    for (size_t i = 0; known && i < file.ids.size(); ++i)
      if (file.ids[i] < 0 || file.ids[i] >= known)
        return fail() << "'" << tokens << "': id " << file.ids[i] << " at row " << i / file.length
                      << ", column " << i % file.length << " is outside the vocabulary of "
                      << known;
    if (!file.flat && file.length > *context)
      return fail() << "'" << tokens << "': rows of " << file.length
                    << " ids are longer than the model's context of " << *context;
    int64_t length = file.flat ? std::min(file.length, *context) : file.length;
    auto total = static_cast<int64_t>(file.ids.size());
    for (int64_t begin = 0; begin < total; begin += length)
      sequences.emplace_back(file.ids.data() + begin, std::min(length, total - begin));
    return success();
  }

  /// All blocks in order, each with the statistics of its own inputs only in memory.
  LogicalResult runBlocks(func::FuncOp entry, ArrayRef<ArrayRef<int64_t>> sequences,
                          std::vector<ObservedInput> &inputs) {
    std::vector<ModelBlock> modelBlocks = blocks ? planBlocks(entry) : wholeModel(entry);
    BlockRunner runner(*executor, entry, sequences, workers());
    int64_t total = 0;
    for (ArrayRef<int64_t> ids : sequences)
      total += ids.size();
    Progress progress(getArgument().str(), "ids", total * modelBlocks.size());
    uint64_t key = hashBytes(&hessian.getValue(), sizeof(bool), hashSequences(sequences));
    for (const ModelBlock &block : modelBlocks) {
      auto start = std::chrono::steady_clock::now();
      std::vector<ObservedInput *> seen = inputsOf(block, inputs);
      Collector collector;
      collector.threads = workers();
      if (failed(reserve(seen, collector)))
        return failure();
      std::vector<ObservedValue> observed;
      for (ObservedInput *input : seen)
        observed.push_back({input->name, input->value});
      if (hasCheckpoint()) { // What comes out depends on all blocks so far.
        uint64_t hash = runner.hash(block, observed);
        key = hashBytes(&hash, sizeof hash, key);
      }
      if (std::optional<RecordReader> kept = findCheckpoint(key)) {
        restore(*kept, runner, seen);
        progress.add(total);
        continue;
      }
      auto observer = [&](StringRef name, const float *values, int64_t rows, int64_t width,
                          int64_t stride) { collector.add(name, values, rows, width, stride); };
      auto behind = [&](ArrayRef<int64_t> ids) -> LogicalResult {
        if (!collector.error.empty())
          return fail() << collector.error;
        progress.add(ids.size());
        return success();
      };
      ++blocksRun;
      if (failed(runner.run(block, observed, observer, behind)))
        return failure();
      RecordWriter record;
      HiddenStates &states = runner.states();
      MutableArrayRef<float> rows;
      if (hasCheckpoint() && block.output)
        rows = states.rows(0, total);
      record.add(states.width).addArray(Span<const float>(rows.data(), rows.size()));
      for (ObservedInput *input : seen)
        finish(*input, collector, record);
      std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
      keepCheckpoint(key, taken.count(), record);
    }
    idsRun += total;
    return success();
  }

  /// Makes the accumulators of a block, if they fit.
  LogicalResult reserve(ArrayRef<ObservedInput *> inputs, Collector &collector) {
    auto mebibytes = [&](bool withHessian) {
      int64_t bytes = 0;
      for (const ObservedInput *input : inputs)
        bytes += statisticsBytes(input->channels, withHessian);
      return (bytes + (1 << 20) - 1) >> 20;
    };
    if (mebibytes(hessian) > maxMemory) {
      auto error = fail() << "the statistics of " << inputs.size() << " inputs of a block take "
                          << mebibytes(hessian)
                          << " MiB, more than max-memory=" << int64_t(maxMemory);
      if (hessian)
        error << "; with hessian=false they take " << mebibytes(false) << " MiB";
      return error;
    }
    for (const ObservedInput *input : inputs)
      collector.accumulators.try_emplace(input->name, input->channels, hessian);
    return success();
  }

  /// What was collected of an input, to its linears and to what is kept.
  void finish(ObservedInput &input, Collector &collector, RecordWriter &record) {
    StatisticsAccumulator &accumulator = collector.accumulators.find(input.name)->second;
    ChannelStatistics statistics;
    if (accumulator.count())
      statistics = std::move(accumulator).finish(collector.threads);
    if (hasCheckpoint())
      addStatistics(record, statistics);
    attach(input, statistics);
  }

  void restore(RecordReader &kept, BlockRunner &runner, ArrayRef<ObservedInput *> inputs) {
    auto width = kept.number<int64_t>();
    runner.restore(width, kept.array<float>());
    for (ObservedInput *input : inputs)
      attach(*input, takeStatistics(kept));
  }

  void attach(ObservedInput &input, const ChannelStatistics &statistics) {
    if (!statistics.count) {
      mlir::emitRemark(getOperation().getLoc())
          << getArgument() << ": the tokens never reach \"" << input.name << "\"";
      return;
    }
    DictionaryAttr attribute = makeStatisticsAttr(&getContext(), statistics, input.name + ".input");
    for (LinearOp linear : input.linears)
      linear->setAttr(kStatisticsAttr, attribute);
    ++inputsObserved;
    LLVM_DEBUG(llvm::dbgs() << getArgument() << ": input of \"" << input.name
                            << "\": " << statistics.count << " rows of " << input.channels
                            << " channels, read by " << input.linears.size() << " linears\n");
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
