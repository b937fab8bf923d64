//===- Executor.h - compile a module for the host and run it ----------------------------===//
//
// Calibration, sequential compression and the import check run compiled code without knowing who
// compiles: Pipeline implements this interface and the tools hand it in.
//
#ifndef LLMC_IR_EXECUTOR_H
#define LLMC_IR_EXECUTOR_H

#include "llmc/IR/LLMCDialect.h"

#include <functional>
#include <memory>

namespace llmc {

/// A dense row-major tensor on the host. Integers of any width are held as i64, floats as f32.
struct HostTensor {
  std::string name;
  std::vector<int64_t> shape;
  std::vector<int64_t> integers;
  std::vector<float> floats;
  bool isFloat = false;
};

/// A module compiled for this machine, with one sequence's state. Not thread-safe.
class ExecutableModel {
public:
  virtual ~ExecutableModel();

  /// Called after each prefill, decode or run, once for each llmc.observe: name, rows x width
  /// values with `stride` floats between rows.
  using Observer = std::function<void(StringRef name, const float *values, int64_t rows,
                                      int64_t width, int64_t stride)>;
  void setObserver(Observer callback) { observer = std::move(callback); }

  /// Forgets the sequence (role step).
  virtual void reset() = 0;
  /// Appends ids; the logits of every one of them, [ids, vocab].
  virtual FailureOr<std::vector<float>> prefill(ArrayRef<int32_t> ids) = 0;
  /// The same for a step over rows of floats (a part of a model): what comes out for each of them,
  /// [rows, width of the output].
  virtual FailureOr<std::vector<float>> prefillRows(ArrayRef<float> rows) = 0;
  /// Appends one id by the decode path; its logits, [vocab].
  virtual FailureOr<std::vector<float>> decode(int32_t id) = 0;
  /// A plain graph (role run): outputs in the function's order. Inputs are matched by name: ids and
  /// masks [batch, sequence], rows of floats [batch, sequence, width].
  virtual FailureOr<std::vector<HostTensor>> run(ArrayRef<HostTensor> inputs) = 0;
  /// Vocabulary (last dimension of the logits); 0 for role run.
  virtual int64_t vocabulary() const = 0;
  /// Positions the sequence may have.
  virtual int64_t context() const = 0;

protected:
  Observer observer;
};

struct ExecutorOptions {
  int threads = 1;
  int64_t context = 0; ///< 0: what the model says.
  int64_t chunk = 512;
  /// Code for parts of a model, many of which differ in weights only: compiled once, kept as long
  /// as the executor lives.
  bool reuseCode = false;
};

/// Compiles for the host. Errors are emitted on the module.
class Executor {
public:
  virtual ~Executor();
  virtual FailureOr<std::unique_ptr<ExecutableModel>> compile(ModuleOp module,
                                                              const ExecutorOptions &options) = 0;
  /// Positions that a sequence of the model has unless others are asked for.
  virtual FailureOr<int64_t> chooseContext(ModuleOp module) = 0;
};

} // namespace llmc

#endif // LLMC_IR_EXECUTOR_H
