//===- KernelRunner.h - compiles and runs single kernels --------------------------------===//
//
// Holds a module of kernels, lowers it with upstream passes, compiles it for this machine and calls
// a kernel once for each thread index, last first: kernels may not depend on that order.
//
#ifndef LLMC_TEST_UNIT_LOWER_KERNELRUNNER_H
#define LLMC_TEST_UNIT_LOWER_KERNELRUNNER_H

#include "llmc/Lower/CompileConfig.h"
#include "llmc/Lower/Cpu/KernelBuilder.h"

#include "mlir/ExecutionEngine/ExecutionEngine.h"

#include <cstring>
#include <random>

namespace llmc::test {

/// Memory of 64-byte aligned bytes; every byte starts as 0xff, so that floats are NaN.
class Memory {
public:
  explicit Memory(size_t bytes = 1 << 16);
  template <typename T> T *at(int64_t offset) {
    return reinterpret_cast<T *>(storage.data() + shift + offset);
  }
  int64_t size() const { return storage.size() - 64; }
  /// The next free 64-byte aligned range.
  int64_t allocate(int64_t bytes);
  char *data() { return storage.data() + shift; }

private:
  std::vector<char> storage;
  int64_t shift, used = 0;
};

/// The arguments of a call, but for the thread.
struct Call {
  int64_t rows = 1, sequence = 1, past = 0, threads = 1;
  std::vector<int64_t> offsets;
};

class KernelRunner {
public:
  /// For vectors of `lanes` floats and products of bytes of a kind, both whether this machine has
  /// them or not.
  explicit KernelRunner(int64_t lanes, DotKind dot = DotKind::None);
  KernelBuilder &builder() { return *kernels; }
  /// Runs `kernel`; its scratch is taken from the end of the arena.
  void run(const Kernel &kernel, Memory &arena, Memory &weights, Memory &kv, const Call &call);
  /// The same without a cache.
  void run(const Kernel &kernel, Memory &arena, Memory &weights, const Call &call);

private:
  std::unique_ptr<MLIRContext> context;
  OwningOpRef<ModuleOp> module;
  std::unique_ptr<KernelBuilder> kernels;
  /// Compiled kernels by name.
  llvm::StringMap<std::unique_ptr<ExecutionEngine>> engines;

  ExecutionEngine *compile(func::FuncOp function);
};

/// A row buffer in memory with its values, between NaN padding.
struct Rows {
  RowBuffer buffer;
  int64_t rows = 0, offset = 0;

  static Rows make(Memory &memory, int64_t rows, int64_t width);
  /// Columns [start, start + width) of this buffer.
  Rows view(int64_t start, int64_t width) const;
  void fill(Memory &memory, std::mt19937 &random, double low, double high) const;
  float *row(Memory &memory, int64_t index) const {
    return memory.at<float>(offset) + index * buffer.stride;
  }
  std::vector<float> values(Memory &memory) const;
};

/// Fails unless |actual - expected| <= bound everywhere.
void expectClose(const std::vector<float> &actual, const std::vector<double> &expected,
                 double bound, const char *what);

} // namespace llmc::test

#endif // LLMC_TEST_UNIT_LOWER_KERNELRUNNER_H
