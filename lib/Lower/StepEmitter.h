//===- StepEmitter.h - writes the step function -----------------------------------------===//
//
// Each operation becomes a call of a kernel that all threads make together. Private to Lower: the
// frame of the step is in LowerStep.cpp, single operations in EmitOperations.cpp.
//
#ifndef LLMC_LIB_LOWER_STEPEMITTER_H
#define LLMC_LIB_LOWER_STEPEMITTER_H

#include "Interface.h"

#include "llmc/Lower/AttentionKernels.h"

#include <map>

namespace llmc {

/// Where a value lies: byte offset of its first row in the arena, shape of a row, and whether it
/// holds tail rows only.
struct Place {
  int64_t offset = 0;
  RowBuffer buffer; ///< stride 0: i32 ids, one for each row.
  bool tail = false;
  bool own = false; ///< In memory that each thread has to itself.
};

/// Byte offset of an operation's form in the weight file.
int64_t packedOffset(Operation *op, StringRef form);

class StepEmitter {
public:
  StepEmitter(ModuleOp module, func::FuncOp entry, const CompileConfig &config)
      : module(module), entry(entry), config(config), kernels(module, config.vectors),
        b(entry.getLoc(), module.getContext()) {}

  LogicalResult emit(InterfaceFacts &facts);

private:
  Place placeOf(Value value);
  Value offsetOf(Value value);
  Value weightOffset(Value value, StringRef form);
  void call(const Kernel &kernel, ArrayRef<Value> offsets);
  /// The columns of this thread in an operation of `width` columns; without a share (llmc.share) in
  /// units of `unit`.
  std::pair<Value, Value> columnsOf(Operation *op, int64_t width, int64_t unit);
  void barrier();
  LogicalResult emitOp(Operation &op);
  LogicalResult emitLinear(LinearOp linear, Value residual, Value result);
  LogicalResult emitAttention(AttentionOp op);
  void emitEmbedding(EmbeddingOp op);
  void emitCacheStore(CacheStoreOp op);
  LogicalResult emitExpect(Operation &op, double atol, double rtol, bool exact);
  void copyWeightRows(WeightOp weight);
  LogicalResult emitStages(ArrayRef<Operation *> ops, bool first);
  void emitTail(ArrayRef<Operation *> ops, Value logits, LogicalResult &result);
  void copyLogits(Value logits, Value outRow, Value count);
  Value constant(int64_t value) { return indexConstant(b, value); }

  ModuleOp module;
  func::FuncOp entry;
  CompileConfig config;
  KernelBuilder kernels;
  ImplicitLocOpBuilder b;
  /// Of each cache its layout and where its part of a block starts, in bytes.
  llvm::StringMap<std::pair<CacheLayout, int64_t>> caches;
  int64_t kvBlockBytes = 0, scratchBytes = 0;
  SmallVector<int64_t> flags;

  // Values of the step function.
  Value arena, weights, kv, rows, sequence, past, wanted, thread, threads, job, logitsOut, scratch;
  Value own;                    ///< Byte offset of what this thread has to itself.
  Operation *anchor = nullptr;  ///< Ranges of columns are computed here, once for all layers.
  Operation *current = nullptr; ///< The operation being emitted.
  std::map<std::vector<int64_t>, std::pair<Value, Value>> knownRanges;
  Value tailStart;   ///< First row of the running tail block; null in the body.
  Value currentRows; ///< Rows of the kernels being called.
};

} // namespace llmc

#endif // LLMC_LIB_LOWER_STEPEMITTER_H
