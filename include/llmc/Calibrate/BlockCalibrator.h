//===- BlockCalibrator.h - statistics of a model, block by block --------------------------===//
//
// What --calibrate does for all blocks, in steps: whoever compresses a block as soon as its
// statistics are there can say what the next one sees.
//
//===----------------------------------------------------------------------------------------===//
#ifndef LLMC_CALIBRATE_BLOCKCALIBRATOR_H
#define LLMC_CALIBRATE_BLOCKCALIBRATOR_H

#include "llmc/Calibrate/BlockRunner.h"
#include "llmc/Calibrate/TokenFile.h"
#include "llmc/Numerics/Checkpoint.h"
#include "llmc/Numerics/Progress.h"
#include "llmc/Numerics/Statistics.h"

#include <memory>

namespace llmc {

struct CalibrationOptions {
  std::string flag;   ///< of the pass, for errors
  std::string tokens; ///< path of the token file
  bool hessian = true;
  int64_t maxMemory = 8192; ///< MiB that the statistics of a block may take
  int64_t threads = 0;      ///< 0: one for each processor
  bool blocks = true;       ///< false: the whole model is one
};

class BlockCalibrator {
public:
  /// Reads the token file, which must fit the model. Errors are emitted on the module.
  static FailureOr<std::unique_ptr<BlockCalibrator>>
  create(ModuleOp module, std::shared_ptr<Executor> executor, CalibrationOptions options);

  /// The blocks of the model as it is now.
  std::vector<ModelBlock> plan();
  /// Runs the block on what the one before made, and attaches the statistics of what its linears
  /// read. Blocks come in order.
  LogicalResult collect(const ModelBlock &block);
  /// Runs the block again, as it has become, on what it was given: this is what the next one sees.
  LogicalResult propagate(const ModelBlock &block);

private:
  struct Input;
  struct Collector;
  BlockCalibrator(ModuleOp module, std::shared_ptr<Executor> executor, CalibrationOptions options);
  InFlightDiagnostic fail();
  LogicalResult readTokens();
  void warnOfFewIds();
  LogicalResult cutSequences();
  std::vector<Input> findInputs(const ModelBlock &block);
  LogicalResult reserve(ArrayRef<Input> inputs, Collector &collector);
  void finish(Input &input, Collector &collector, RecordWriter &record);
  void attach(Input &input, const ChannelStatistics &statistics);
  int workers() const;
  void keepStates(RecordWriter &record, const ModelBlock &block);
  /// Goes on in the chain of what states depend on.
  void addToKey(uint64_t hash);

  ModuleOp module;
  std::shared_ptr<Executor> executor;
  CalibrationOptions options;
  func::FuncOp entry;
  TokenFile file;
  std::vector<ArrayRef<int64_t>> sequences;
  int64_t total = 0; ///< ids
  llvm::StringMap<unsigned> met;
  uint64_t key = 0;
  std::unique_ptr<BlockRunner> runner;
  std::unique_ptr<Progress> progress;
};

} // namespace llmc

#endif // LLMC_CALIBRATE_BLOCKCALIBRATOR_H
