//===- KernelBuilder.h - kernels of the lowered step ------------------------------------===//
//
// The lowered step is a list of calls of kernels: private functions over the arena, the weight file
// and the cache, in upstream dialects (scf, vector, arith, math, memref), target-neutral but for
// the vector shape. A kernel is made once for each signature (its name spells operation, shapes and
// format), so layers of the same shape share code. Every thread calls every kernel; a kernel
// computes the part of its result that belongs to `thread`, with a partition that never changes the
// order of a reduction, so results do not depend on the number of threads. The step puts barriers
// between kernels that need each other.
//
// Values between kernels are row buffers: f32, rows x width, `stride` floats between rows (a
// multiple of 16, start 64-byte aligned in the arena; columns from width to stride may hold
// anything and may be overwritten by their owner). A result of llmc.split is a view: stride of the
// parent, start inside it, possibly not 64-byte aligned; views are only read, never written.
//
#ifndef LLMC_LOWER_CPU_KERNELBUILDER_H
#define LLMC_LOWER_CPU_KERNELBUILDER_H

#include "llmc/IR/LLMCDialect.h"
#include "llmc/Lower/Cpu/CpuModel.h"

#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace llmc {

/// How the target multiplies bytes: not at all, by pairs summed in 16 bits (vpmaddubsw), or by four
/// at once (vpdpbusd, sdot). Decides the shape of tiles only; llmc.dot_i8 means the same
/// everywhere.
enum class DotKind { None, Maddubs, Vnni, Sdot };
/// "none", "maddubs", "vnni", "sdot".
StringRef dotKindName(DotKind kind);
std::optional<DotKind> parseDotKind(StringRef name);

/// What Lower knows of the target: the shape of its vectors and what the processor can do with
/// them. Comes from the Target room.
struct VectorShape {
  int64_t lanes = 8;      ///< f32 in one register.
  int64_t registers = 16; ///< architectural vector registers.
  bool half = true;       ///< the instruction set widens f16; else it is done with integers.
  DotKind dot = DotKind::None;
  const CpuModel *cpu = nullptr; ///< null: a generic one of this shape.
  bool tiles = false; ///< llmc.block_i8 is instructions: a matrix unit beside the vectors.
};

/// The numbers of the processor that code of this shape is for.
inline const CpuModel &cpuModel(const VectorShape &shape) {
  return shape.cpu ? *shape.cpu : getCpuModel("", shape);
}

/// A row buffer operand or result.
struct RowBuffer {
  int64_t width = 0;
  int64_t stride = 0;
};

/// A kernel and the scratch memory it wants for each thread.
struct Kernel {
  func::FuncOp function;
  int64_t scratchBytes = 0;
  int64_t columns = 0; ///< Width of the result if threads share it by columns, 0: by rows.
  int64_t unit = 0;    ///< Columns a thread computes together.
};

/// The arguments of a kernel, inside its body.
struct KernelFrame {
  Value arena;    ///< memref<?xi8>: activations, ids, scratch.
  Value weights;  ///< memref<?xi8>: the packed weight data section.
  Value kv;       ///< memref<?xi8>: the cache of the sequence.
  Value rows;     ///< index: rows of this call = batch * sequence.
  Value sequence; ///< index: rows of one sequence.
  Value past;     ///< index: positions in the cache before this call (0 in role run).
  Value thread;   ///< index: this thread, in [0, threads).
  Value threads;  ///< index.
  Value scratch;  ///< index: byte offset in the arena of this thread's scratch (64-byte aligned).
  Value begin; ///< index: columns [begin, end) of the result are this thread's, whole units or up
  Value end;   ///< to the width; only for kernels that go by columns.
  SmallVector<Value>
      offsets; ///< index: the kernel's own byte offsets (arena, weights or kv, as the kernel says).
};

class KernelBuilder {
public:
  KernelBuilder(ModuleOp module, VectorShape shape) : module(module), vectors(shape) {}

  VectorShape shape() const { return vectors; }
  MLIRContext *context() const { return module->getContext(); }

  /// The kernel called `name`, made by `body` on first use. `offsets` is the number of its own
  /// offsets. The body need not emit a terminator.
  Kernel getOrCreate(StringRef name, unsigned offsets, int64_t scratchBytes,
                     function_ref<void(ImplicitLocOpBuilder &, KernelFrame &)> body);

private:
  ModuleOp module;
  VectorShape vectors;
};

//===----------------------------------------------------------------------===//
// Small pieces for kernel bodies
//===----------------------------------------------------------------------===//

Value indexConstant(ImplicitLocOpBuilder &b, int64_t value);
Value floatConstant(ImplicitLocOpBuilder &b, double value);
/// `memory` (arena, weights or kv) from byte `offset` on as memref<?x element>.
Value viewAs(ImplicitLocOpBuilder &b, Value memory, Value offset, Type element);
/// memref<?xf32> over a row buffer, and the index of (row, column) in it.
Value viewRows(ImplicitLocOpBuilder &b, Value arena, Value offset);
Value rowIndex(ImplicitLocOpBuilder &b, Value row, RowBuffer buffer, Value column);
/// Finite f32, f16 or bf16 (scalar or vector) as f32, without a call into a runtime library on any
/// target.
Value widenFloat(ImplicitLocOpBuilder &b, Value value, VectorShape shape);
/// Asks for each line of 64 bytes of the `count` elements of a memref at index `at`.
void prefetchLines(ImplicitLocOpBuilder &b, Value memory, Value at, int64_t count);
/// The half-open part of [0, count) that belongs to this thread: contiguous, static.
std::pair<Value, Value> threadRange(ImplicitLocOpBuilder &b, const KernelFrame &frame, Value count);
/// for (i = begin; i < end; i += step) body(i).
void forLoop(ImplicitLocOpBuilder &b, Value begin, Value end, int64_t step,
             function_ref<void(Value)> body);
/// The same with loop-carried values.
SmallVector<Value> forLoop(ImplicitLocOpBuilder &b, Value begin, Value end, int64_t step,
                           ValueRange init,
                           function_ref<SmallVector<Value>(Value, ValueRange)> body);

} // namespace llmc

#endif // LLMC_LOWER_CPU_KERNELBUILDER_H
