//===- LaneBuilder.h - rows of f32 in whole vectors and a tail --------------------------===//
//
// What row kernels share: loads and stores of vectors of exactly `lanes` f32, loops over the
// columns of a row with a masked tail, reductions in a fixed order, and partitions of rows and
// columns over threads.
//
#ifndef LLMC_LOWER_CPU_LANEBUILDER_H
#define LLMC_LOWER_CPU_LANEBUILDER_H

#include "llmc/Lower/Cpu/KernelBuilder.h"

namespace llmc {

class LaneBuilder {
public:
  /// `lanes` is a power of two.
  LaneBuilder(ImplicitLocOpBuilder &b, int64_t lanes) : b(b), lanes(lanes) {}

  VectorType type() const { return VectorType::get({lanes}, b.getF32Type()); }
  Value constant(double value);
  Value splat(Value scalar);

  /// The first `count` lanes at memory[index]; `fill` in the lanes behind them, which are not read.
  Value load(Value memory, Value index, int64_t count, double fill = 0.0);
  /// Stores the first `count` lanes.
  void store(Value vector, Value memory, Value index, int64_t count);
  /// `vector` with `fill` in the lanes from `count` on.
  Value keep(Value vector, int64_t count, double fill);
  /// A scalar of memory in every lane.
  Value loadSplat(Value memory, Value index);

  /// body(column, count) for the vectors of a row of `width` columns.
  void forColumns(int64_t width, function_ref<void(Value, int64_t)> body);
  /// Folds the vectors of a row with `step` into four accumulators that start at `init`, and those
  /// with `combine`.
  Value reduceColumns(int64_t width, Value init,
                      function_ref<Value(Value column, int64_t count, Value accumulator)> step,
                      function_ref<Value(Value, Value)> combine);
  /// The lanes of a vector folded in halves; a scalar.
  Value fold(Value vector, function_ref<Value(Value, Value)> combine);
  Value foldSum(Value vector);
  Value foldMax(Value vector);
  Value add(Value x, Value y);
  /// x > y ? x : y.
  Value max(Value x, Value y);

  /// How numbers up to `peak` in magnitude, a scalar, become bytes: the scale peak / 127, and its
  /// inverse, or 0 where there is none.
  std::pair<Value, Value> byteScale(Value peak);
  /// The same for `size` f32 from memory[index] on.
  std::pair<Value, Value> byteScale(Value memory, Value index, int64_t size);
  /// f32, scalar or vector, times the scalar `factor` as i8, rounded half to even.
  Value roundToBytes(Value value, Value factor);

  /// body(row, column, count) for this thread's columns of all rows; frame.begin is a multiple of
  /// the lanes.
  void forElements(const KernelFrame &frame, int64_t width,
                   function_ref<void(Value, Value, int64_t)> body);

  ImplicitLocOpBuilder &b;
  const int64_t lanes;
};

/// A symbol that spells an operation and its parameters; doubles by their bits.
std::string kernelName(StringRef operation, ArrayRef<int64_t> integers,
                       ArrayRef<double> reals = {});

// Index arithmetic.
Value addIndex(ImplicitLocOpBuilder &b, Value x, Value y);
Value addIndex(ImplicitLocOpBuilder &b, Value x, int64_t y);
Value mulIndex(ImplicitLocOpBuilder &b, Value x, int64_t y);
Value divIndex(ImplicitLocOpBuilder &b, Value x, int64_t y);
Value remIndex(ImplicitLocOpBuilder &b, Value x, int64_t y);

/// past + row % sequence.
Value rowPosition(ImplicitLocOpBuilder &b, const KernelFrame &frame, Value row);

} // namespace llmc

#endif // LLMC_LOWER_CPU_LANEBUILDER_H
