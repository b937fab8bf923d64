//===- LinearTestSupport.h - random weights, and kernels that run -----------------------===//
#ifndef LLMC_TEST_UNIT_LOWER_LINEARTESTSUPPORT_H
#define LLMC_TEST_UNIT_LOWER_LINEARTESTSUPPORT_H

#include "llmc/Lower/CompileConfig.h"
#include "llmc/Lower/Cpu/LinearKernels.h"

#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/OwningOpRef.h"

#include <memory>
#include <random>

namespace llmc::test {

/// A context with every dialect the kernels need.
MLIRContext &context();

/// A random weight of `type` with scales in [0.01, 0.04], or all one if `unitScales`.
class RandomWeight {
public:
  RandomWeight(StringRef type, unsigned seed, bool unitScales = false);
  mutable WeightOp op; ///< An operation is a handle, so reading it through a const weight is fine.
  std::vector<float> dense; ///< what the weight means, row-major.
  int64_t rows() const { return getWeightShape(op.getType())[0]; }
  int64_t columns() const { return getWeightShape(op.getType())[1]; }

private:
  OwningOpRef<ModuleOp> module;
};

/// Compiled kernels of one module.
class CompiledKernel {
public:
  /// `tileCode`: with tile instructions, whether this machine has them or not; see TileEmulator.h.
  CompiledKernel(VectorShape shape, function_ref<Kernel(KernelBuilder &)> make,
                 bool tileCode = false);
  ~CompiledKernel();
  /// Runs the kernel as `threads` threads one after the other, for one sequence of all rows or for
  /// as many as rows.
  void run(char *arena, const char *weights, int64_t rows, int64_t threads, int64_t scratch,
           ArrayRef<int64_t> offsets, bool sequences = false) const;
  int64_t scratchBytes = 0, columns = 0, unit = 0;

private:
  // Not in the constructor, because gtest's fatal assertions return.
  void compile(VectorShape shape, function_ref<Kernel(KernelBuilder &)> make, bool tileCode);
  struct Code;
  std::unique_ptr<Code> code;
  void *entry = nullptr;
};

/// One product: y = x W^T (+ bias) (+ residual), by the kernel.
struct LinearCase {
  const RandomWeight &weight;
  std::optional<int64_t> activationGroup; ///< Of codes: columns that share a scale, 0: all.
  VectorShape shape = {8, 16};
  bool bias = false, residual = false;
  bool tileCode = false;
};

class LinearRunner {
public:
  explicit LinearRunner(const LinearCase &test);
  /// `x`, `bias` and `residual` are dense; the result is rows x n. The row buffer of x has NaN
  /// behind its columns.
  std::vector<float> run(ArrayRef<float> x, ArrayRef<float> bias, ArrayRef<float> residual,
                         int64_t threads, bool sequences = false) const;
  /// Expects of the rows as so many sequences the bits that each has alone.
  void expectRowsOfOne(ArrayRef<float> x, ArrayRef<float> bias, ArrayRef<float> residual,
                       const std::string &what) const;

private:
  LinearCase test;
  CodeFormat format;
  RowBuffer x, codes, scales, y;
  std::vector<char> packed;
  std::unique_ptr<CompiledKernel> kernel;
};

/// More rows than go without panels, and no multiple of a block of rows.
constexpr int64_t kManyRows = 19;

Type parseWeightType(const std::string &text);
std::vector<float> randomFloats(size_t count, unsigned seed, float low = -1, float high = 1);

} // namespace llmc::test

#endif // LLMC_TEST_UNIT_LOWER_LINEARTESTSUPPORT_H
