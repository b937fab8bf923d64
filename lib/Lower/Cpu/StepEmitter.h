//===- StepEmitter.h - writes the step function -----------------------------------------===//
//
// Each kernel of a stage becomes a call of a function that all threads make together. Private to
// Lower: the frame of the step is in LowerStep.cpp, single operations in EmitOperations.cpp, bodies
// in EmitBodies.cpp.
//
#ifndef LLMC_LIB_LOWER_CPU_STEPEMITTER_H
#define LLMC_LIB_LOWER_CPU_STEPEMITTER_H

#include "Interface.h"

#include "llmc/Lower/Cpu/AttentionKernels.h"
#include "llmc/Lower/Cpu/CpuConfig.h"

#include "mlir/Dialect/MemRef/IR/MemRef.h"

#include <map>

namespace llmc {

/// Where a buffer lies: byte offset of its first row in the arena, shape of a row, and whether it
/// holds tail rows only.
struct Place {
  int64_t offset = 0;
  BlockArgument bound; ///< Of a repeat: what the offset starts from; null: the memory.
  RowBuffer buffer;    ///< stride 0: i32 ids, one for each row.
  bool tail = false;
  bool own = false; ///< In memory that each thread has to itself.
};

class StepEmitter {
public:
  StepEmitter(ModuleOp module, exec::ProgramOp program, const CpuConfig &config)
      : module(module), program(program), config(config), kernels(module, config.vectors),
        b(program.getLoc(), module.getContext()) {}

  LogicalResult emit(InterfaceFacts &facts);

private:
  Place placeOf(Value value);
  Value offsetOf(Value value);
  Value weightOffset(Value packed);
  Value cachePlace(StringRef name);
  /// One of `values`, by the number of the turn.
  Value ofTurn(ArrayRef<int64_t> values);
  void call(const Kernel &kernel, ArrayRef<Value> offsets);
  /// Emits what depends on positions or caches: once for each sequence of a step, with its rows,
  /// its cache and its position.
  void forSequences(function_ref<void()> emit);
  /// The columns of this thread in a kernel of `width` columns; without a share in units of `unit`.
  std::pair<Value, Value> columnsOf(exec::KernelOpInterface op, int64_t width, int64_t unit);
  void barrier();
  LogicalResult emitCaches();
  func::FuncOp startStep();
  /// The stages of a region, with barriers between them and, unless `first`, in front.
  LogicalResult emitStages(Block &block, bool first);
  LogicalResult emitRepeat(exec::RepeatOp op);
  LogicalResult emitOp(Operation &op);
  LogicalResult emitLinear(exec::LinearOp op);
  LogicalResult emitQuantize(exec::QuantizeOp op);
  void emitAttention(exec::AttentionOp op);
  void emitCachedAttention(exec::CachedAttentionOp op);
  void emitCacheStore(exec::CacheStoreOp op);
  void emitEmbedding(exec::EmbeddingOp op);
  Value ropeTable(exec::RopeOp op);
  void emitExpect(exec::ExpectOp op);
  Kernel bodyKernel(exec::GenericOp op);
  LogicalResult emitBody(exec::GenericOp op);
  void copyWeightRows(exec::CopyOp op);
  void copyLogits(exec::CopyOp op);
  LogicalResult emitTail(exec::TailOp tail);
  Value constant(int64_t value) { return indexConstant(b, value); }

  ModuleOp module;
  exec::ProgramOp program;
  CpuConfig config;
  KernelBuilder kernels;
  ImplicitLocOpBuilder b;
  /// Of each cache its layout and where its part of a block starts, in bytes.
  llvm::StringMap<std::pair<CacheLayout, int64_t>> caches;
  int64_t kvBlockBytes = 0, scratchBytes = 0;
  SmallVector<int64_t> flags;
  SmallVector<std::pair<exec::GenericOp, Kernel>> bodies; ///< The kernels that bodies have.

  // Values of the step function.
  Value arena, weights, kv, rows, sequence, past, wanted, thread, threads, job, logitsOut, scratch;
  Value total;                     ///< Positions of a sequence behind the whole call.
  Value owners, ownerCount;        ///< Of a step: a table of its sequences, and how many.
  Value ownerRow;                  ///< First row of the sequence at hand; null outside.
  Value own;                       ///< Byte offset of what this thread has to itself.
  Operation *anchor = nullptr;     ///< Ranges of columns are computed here, once for all layers.
  exec::KernelOpInterface current; ///< The kernel being called.
  std::map<std::vector<int64_t>, std::pair<Value, Value>> knownRanges;
  exec::RepeatOp repeat;                                   ///< The one at work, or null.
  Value turn;                                              ///< And the number of its turn.
  std::map<std::vector<int64_t>, memref::GlobalOp> tables; ///< By what is in them.
  Value tailStart;   ///< First row of the running tail block; null in the body.
  Value tailOut;     ///< Row of the caller's logits that it goes to.
  Value currentRows; ///< Rows of the kernels being called.
};

} // namespace llmc

#endif // LLMC_LIB_LOWER_CPU_STEPEMITTER_H
