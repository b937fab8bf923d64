//===- BlockRunner.h - runs a model block by block on kept hidden states ------------------===//
//
// Each block is compiled alone and run on all sequences before the next one is. Between blocks the
// hidden states lie in a mapped temporary file, which the kernel may page out.
//
//===----------------------------------------------------------------------------------------===//
#ifndef LLMC_CALIBRATE_BLOCKRUNNER_H
#define LLMC_CALIBRATE_BLOCKRUNNER_H

#include "llmc/Calibrate/BlockPlan.h"
#include "llmc/IR/Executor.h"
#include "mlir/IR/AsmState.h"

namespace llmc {

/// Hidden states of all sequences: rows of `width` floats, sequence after sequence.
struct HiddenStates {
  int64_t width = 0;
  // A blob made by default has a member without a value, which moving it reads.
  AsmResourceBlob data{{}, 1, {}, true};

  MutableArrayRef<float> rows(int64_t first, int64_t count) {
    return {reinterpret_cast<float *>(data.getMutableData().data()) + first * width,
            static_cast<size_t>(count * width)};
  }
};

class BlockRunner {
public:
  /// `sequences` are ids that must outlive the runner; none may be longer than the context.
  BlockRunner(Executor &executor, func::FuncOp entry, ArrayRef<ArrayRef<int64_t>> sequences,
              int threads)
      : executor(executor), entry(entry), sequences(sequences), threads(threads) {}

  /// Runs the block on all sequences: from their ids where it has no input, else on what the block
  /// before made. `observer` sees each of `observed`, sequence after sequence; then `behind` is
  /// called with the ids of the sequence. Keeps the output for the next block. Errors are emitted.
  LogicalResult run(const ModelBlock &block, ArrayRef<ObservedValue> observed,
                    ExecutableModel::Observer observer,
                    llvm::function_ref<LogicalResult(ArrayRef<int64_t>)> behind);

  /// A hash of all that a block is: operations, weights, what is observed.
  uint64_t hash(const ModelBlock &block, ArrayRef<ObservedValue> observed) const;
  /// What came out of the last block, to be kept; empty behind the last.
  HiddenStates &states() { return hidden; }
  /// Once behind run or restore: the next run begins again with what that one was given.
  void back() { hidden = std::move(given); }
  /// Goes on from what was kept: `rows` of `width` floats.
  void restore(int64_t width, ArrayRef<float> rows);

private:
  LogicalResult runSequence(ExecutableModel &model, const ModelBlock &block, int64_t firstRow,
                            ArrayRef<int64_t> ids, HiddenStates *output);
  FailureOr<SmallVector<HostTensor>> graphInputs(ArrayRef<int64_t> ids);

  Executor &executor;
  func::FuncOp entry;
  ArrayRef<ArrayRef<int64_t>> sequences;
  int threads;
  HiddenStates hidden, given; ///< Behind the last block, and in front of it.
};

} // namespace llmc

#endif // LLMC_CALIBRATE_BLOCKRUNNER_H
