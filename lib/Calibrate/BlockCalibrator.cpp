//===- BlockCalibrator.cpp - statistics of a model, block by block ------------------------===//
//
// The observers go into a module of the block, which shares its weights; the model itself only gets
// the attributes.
//
#include "llmc/Calibrate/BlockCalibrator.h"

#include "llmc/Calibrate/StatisticsAttr.h"
#include "llmc/Numerics/Hash.h"

#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/Statistic.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Support/Debug.h"
#include "llvm/Support/FileSystem.h"

#include <chrono>
#include <thread>

#define DEBUG_TYPE "calibrate"

using namespace mlir;
using namespace llmc;

ALWAYS_ENABLED_STATISTIC(inputsObserved, "Inputs that statistics were kept of");
ALWAYS_ENABLED_STATISTIC(blocksRun, "Blocks that were run, one after another");
ALWAYS_ENABLED_STATISTIC(idsRun, "Ids that the model was run on");

/// A value that linears read.
struct BlockCalibrator::Input {
  std::string name; ///< of the first linear's weight, numbered where it is met again
  Value value;
  SmallVector<LinearOp> linears;
  int64_t channels = 0;
};

/// Collects rows until the first failure.
struct BlockCalibrator::Collector {
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

BlockCalibrator::BlockCalibrator(ModuleOp module, std::shared_ptr<Executor> executor,
                                 CalibrationOptions options)
    : module(module), executor(std::move(executor)), options(std::move(options)) {}

InFlightDiagnostic BlockCalibrator::fail() {
  return mlir::emitError(module.getLoc()) << options.flag << ": ";
}

FailureOr<std::unique_ptr<BlockCalibrator>>
BlockCalibrator::create(ModuleOp module, std::shared_ptr<Executor> executor,
                        CalibrationOptions options) {
  std::unique_ptr<BlockCalibrator> made(
      new BlockCalibrator(module, std::move(executor), std::move(options)));
  if (failed(made->readTokens()))
    return failure();
  return made;
}

LogicalResult BlockCalibrator::readTokens() {
  if (!executor)
    return fail() << "this tool cannot run compiled code";
  if (options.tokens.empty())
    return fail() << "tokens=<file.npy> is missing";
  if (options.threads < 0 || options.maxMemory < 1)
    return fail() << "expected threads of 0 or more and max-memory of 1 or more";
  // Braces are the quotes for a path with quotes of both kinds in it, or spaces at an end.
  StringRef path = options.tokens;
  while (path.size() > 2 && path.front() == '{' && path.back() == '}' &&
         !llvm::sys::fs::exists(path))
    path = path.drop_front().drop_back();
  options.tokens = path.str();
  Result<TokenFile> read = readTokenFile(options.tokens);
  if (!read)
    return fail() << read.message();
  file = std::move(*read);
  if (!module.walk([](LinearOp) { return WalkResult::interrupt(); }).wasInterrupted())
    return fail() << "the model has no llmc.linear";
  FailureOr<func::FuncOp> found = findEntry(module);
  if (failed(found))
    return failure();
  entry = *found;
  if (failed(cutSequences()))
    return failure();
  warnOfFewIds();
  bool hessian = options.hessian;
  key = hashBytes(&hessian, sizeof hessian, hashSequences(sequences));
  runner = std::make_unique<BlockRunner>(*executor, entry, sequences, workers());
  size_t blocks = plan().size();
  progress = std::make_unique<Progress>(options.flag, "blocks", blocks, double(total) * blocks);
  idsRun += total;
  return success();
}

/// Says when there is too little to learn from.
void BlockCalibrator::warnOfFewIds() {
  constexpr size_t kFewDifferent = 16;
  llvm::DenseSet<int64_t> different;
  for (size_t i = 0; i < file.ids.size() && different.size() < kFewDifferent; ++i)
    different.insert(file.ids[i]);
  size_t count = file.ids.size();
  bool few = count < static_cast<size_t>(kFewIds);
  if (!few && different.size() >= kFewDifferent)
    return;
  auto warning = mlir::emitWarning(module.getLoc())
                 << options.flag << ": '" << options.tokens << "' has ";
  if (few)
    warning << "only " << count << (count == 1 ? " id" : " ids");
  else
    warning << count << " ids, but only " << different.size() << " different";
  warning << ", which say little about what the model will see; some 10,000 of text like that of "
             "the application are asked for";
}

/// The rows of the file, or pieces of the context where it is one stream.
LogicalResult BlockCalibrator::cutSequences() {
  FailureOr<int64_t> context = executor->chooseContext(module);
  if (failed(context))
    return failure();
  int64_t known = countIds(entry);
  for (size_t i = 0; known && i < file.ids.size(); ++i)
    if (file.ids[i] < 0 || file.ids[i] >= known)
      return fail() << "'" << options.tokens << "': id " << file.ids[i] << " at row "
                    << i / file.length << ", column " << i % file.length
                    << " is outside the vocabulary of " << known;
  if (!file.flat && file.length > *context)
    return fail() << "'" << options.tokens << "': rows of " << file.length
                  << " ids are longer than the model's context of " << *context;
  int64_t length = file.flat ? std::min(file.length, *context) : file.length;
  total = static_cast<int64_t>(file.ids.size());
  for (int64_t begin = 0; begin < total; begin += length)
    sequences.emplace_back(file.ids.data() + begin, std::min(length, total - begin));
  return success();
}

int BlockCalibrator::workers() const {
  return options.threads ? static_cast<int>(options.threads)
                         : static_cast<int>(std::thread::hardware_concurrency());
}

std::vector<ModelBlock> BlockCalibrator::plan() {
  return options.blocks ? planBlocks(entry) : wholeModel(entry);
}

/// The inputs whose first reader is in the block.
std::vector<BlockCalibrator::Input> BlockCalibrator::findInputs(const ModelBlock &block) {
  llvm::DenseSet<Operation *> ops(block.ops.begin(), block.ops.end());
  llvm::MapVector<Value, Input> inputs;
  for (Operation *op : block.ops)
    if (auto linear = dyn_cast<LinearOp>(op))
      inputs[linear.getRows()].value = linear.getRows();
  std::vector<Input> result;
  for (auto &[value, input] : inputs) {
    for (Operation *user : value.getUsers()) {
      if (auto linear = dyn_cast<LinearOp>(user))
        input.linears.push_back(linear);
      if (isa<QuantizeOp>(user)) // Codes are read by linears only.
        for (Operation *reader : user->getUsers())
          input.linears.push_back(cast<LinearOp>(reader));
    }
    llvm::sort(input.linears, [](LinearOp a, LinearOp b) { return a->isBeforeInBlock(b); });
    if (!ops.contains(input.linears[0]))
      continue;
    input.channels = cast<RankedTensorType>(value.getType()).getShape().back();
    auto weight = input.linears[0].getWeight().getDefiningOp<WeightOp>();
    input.name = weight ? weight.getWeightName().str() : "linear";
    if (unsigned times = met[input.name]++)
      input.name += "#" + std::to_string(times);
    result.push_back(std::move(input));
  }
  return result;
}

/// Makes the accumulators of a block, if they fit.
LogicalResult BlockCalibrator::reserve(ArrayRef<Input> inputs, Collector &collector) {
  auto mebibytes = [&](bool withHessian) {
    int64_t bytes = 0;
    for (const Input &input : inputs)
      bytes += statisticsBytes(input.channels, withHessian);
    return (bytes + (1 << 20) - 1) >> 20;
  };
  if (mebibytes(options.hessian) > options.maxMemory) {
    auto error = fail() << "the statistics of " << inputs.size() << " inputs of a block take "
                        << mebibytes(options.hessian)
                        << " MiB, more than max-memory=" << options.maxMemory;
    if (options.hessian)
      error << "; with hessian=false they take " << mebibytes(false) << " MiB";
    return error;
  }
  for (const Input &input : inputs)
    collector.accumulators.try_emplace(input.name, input.channels, options.hessian);
  return success();
}

void BlockCalibrator::addToKey(uint64_t hash) { key = hashBytes(&hash, sizeof hash, key); }

void BlockCalibrator::keepStates(RecordWriter &record, const ModelBlock &block) {
  HiddenStates &states = runner->states();
  MutableArrayRef<float> rows;
  if (hasCheckpoint() && block.output)
    rows = states.rows(0, total);
  record.add(states.width).addArray(Span<const float>(rows.data(), rows.size()));
}

static void restoreStates(RecordReader &kept, BlockRunner &runner) {
  auto width = kept.number<int64_t>();
  runner.restore(width, kept.array<float>());
}

static double secondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

LogicalResult BlockCalibrator::collect(const ModelBlock &block) {
  auto start = std::chrono::steady_clock::now();
  std::vector<Input> inputs = findInputs(block);
  Collector collector;
  collector.threads = workers();
  if (failed(reserve(inputs, collector)))
    return failure();
  std::vector<ObservedValue> observed;
  for (const Input &input : inputs)
    observed.push_back({input.name, input.value});
  if (hasCheckpoint()) // What comes out depends on all blocks so far.
    addToKey(runner->hash(block, observed));
  if (std::optional<RecordReader> kept = findCheckpoint(key)) {
    restoreStates(*kept, *runner);
    for (Input &input : inputs)
      attach(input, takeStatistics(*kept));
    progress->add(1, total);
    return success();
  }
  auto observer = [&](StringRef name, const float *values, int64_t rows, int64_t width,
                      int64_t stride) { collector.add(name, values, rows, width, stride); };
  auto behind = [&](ArrayRef<int64_t> ids) -> LogicalResult {
    if (!collector.error.empty())
      return fail() << collector.error;
    progress->add(0, ids.size());
    return success();
  };
  ++blocksRun;
  if (failed(runner->run(block, observed, observer, behind)))
    return failure();
  RecordWriter record;
  keepStates(record, block);
  for (Input &input : inputs)
    finish(input, collector, record);
  keepCheckpoint(key, secondsSince(start), record);
  progress->add(1);
  return success();
}

LogicalResult BlockCalibrator::propagate(const ModelBlock &block) {
  if (!block.output)
    return success();
  auto start = std::chrono::steady_clock::now();
  if (hasCheckpoint())
    addToKey(runner->hash(block, {}));
  runner->back();
  if (std::optional<RecordReader> kept = findCheckpoint(key)) {
    restoreStates(*kept, *runner);
    return success();
  }
  if (failed(runner->run(block, {}, {}, [](ArrayRef<int64_t>) { return success(); })))
    return failure();
  RecordWriter record;
  keepStates(record, block);
  keepCheckpoint(key, secondsSince(start), record);
  return success();
}

/// What was collected of an input, to its linears and to what is kept.
void BlockCalibrator::finish(Input &input, Collector &collector, RecordWriter &record) {
  StatisticsAccumulator &accumulator = collector.accumulators.find(input.name)->second;
  ChannelStatistics statistics;
  if (accumulator.count())
    statistics = std::move(accumulator).finish(collector.threads);
  if (hasCheckpoint())
    addStatistics(record, statistics);
  attach(input, statistics);
}

void BlockCalibrator::attach(Input &input, const ChannelStatistics &statistics) {
  if (!statistics.count) {
    mlir::emitRemark(module.getLoc())
        << options.flag << ": the tokens never reach \"" << input.name << "\"";
    return;
  }
  DictionaryAttr attribute =
      makeStatisticsAttr(module.getContext(), statistics, input.name + ".input");
  for (LinearOp linear : input.linears)
    linear->setAttr(kStatisticsAttr, attribute);
  ++inputsObserved;
  LLVM_DEBUG(llvm::dbgs() << options.flag << ": input of \"" << input.name
                          << "\": " << statistics.count << " rows of " << input.channels
                          << " channels, read by " << input.linears.size() << " linears\n");
}
