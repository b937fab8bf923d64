//===- ExecDialect.h - the exec dialect: stages of kernels on buffers -------------------===//
//
// See docs/Reference/ExecDialect.md for the operations and docs/Rationale/Lowering.md for why they
// are these.
//
#ifndef LLMC_EXEC_EXECDIALECT_H
#define LLMC_EXEC_EXECDIALECT_H

#include "llmc/IR/LLMCDialect.h"

#include "llmc/Exec/ExecDialect.h.inc"
#include "llmc/Exec/ExecEnums.h.inc"

#define GET_ATTRDEF_CLASSES
#include "llmc/Exec/ExecAttrs.h.inc"
#define GET_TYPEDEF_CLASSES
#include "llmc/Exec/ExecTypes.h.inc"

namespace llmc::exec {
class KernelOpInterface;

inline BufferType getBufferType(Value value) { return cast<BufferType>(value.getType()); }
inline PackedType getPackedType(Value value) { return cast<PackedType>(value.getType()); }

/// A column of a buffer that owns its memory.
struct BufferColumn {
  Value buffer;
  int64_t column = 0;
};
/// What a view, or a view of a view, is a view of, and where it starts.
BufferColumn getViewed(Value value);

namespace detail {
SmallVector<Value> readBuffers(Operation *op, Value destination);
LogicalResult verifyKernel(KernelOpInterface op);
} // namespace detail
} // namespace llmc::exec

#include "llmc/Exec/KernelInterface.h.inc"

#define GET_OP_CLASSES
#include "llmc/Exec/ExecOps.h.inc"

namespace llmc::exec {
/// The program of a module; an error where there is none, or several.
FailureOr<ProgramOp> getProgram(ModuleOp module);
/// Whether a kernel takes something from the caller or gives it something: once in a call.
bool isOfCaller(Operation *kernel);

/// One of the times that a stage runs.
struct Turn {
  RepeatOp repeat; ///< Null where a stage runs once.
  int64_t number = 0;

  /// What a value is in this turn.
  Value of(Value value) const;
};
/// Calls `visit` with the stages of a program, those of the tail last, as often and in the order
/// they run.
void forEachStage(ProgramOp program, function_ref<void(StageOp, const Turn &)> visit);

/// Byte offset of an array of the weight file.
int64_t getFileOffset(Value packed);
/// Byte offset of a planned buffer, input or view in its memory.
int64_t getPlace(Value buffer);
/// Bytes of an input or a buffer, for the most rows that it may hold.
int64_t getBytes(Value buffer);
} // namespace llmc::exec

#endif // LLMC_EXEC_EXECDIALECT_H
