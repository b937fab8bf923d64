//===- Compile.h - a model to an artifact, stage by stage -------------------------------===//
//
// The stages are the stops of `llmc-compile --until=`. What an artifact is:
// docs/Rationale/Artifact.md.
//
#ifndef LLMC_PIPELINE_COMPILE_H
#define LLMC_PIPELINE_COMPILE_H

#include "llmc/Lower/Cpu/CpuConfig.h"
#include "llmc/Pipeline/AtomicOutput.h"
#include "llmc/Target/Target.h"

#include "mlir/Pass/PassManager.h"

#include <functional>
#include <optional>
#include <string>

namespace llmc {

/// Stops on the way, in order. Each leaves a module that can be printed, or the text named.
enum class Stage {
  Import, ///< the model as it was read, verified
  Fuse,   ///< stages of kernels on buffers
  Pack,   ///< weights and buffers have offsets
  Lower,  ///< one step function over scf, vector, memref
  Target, ///< LLVM dialect
  LLVM,   ///< optimised LLVM IR (text)
  Object  ///< machine code
};

std::optional<Stage> parseStage(llvm::StringRef name);

struct CompileOptions {
  TargetOptions target;
  std::string prefix;        ///< C identifier; see makePrefix.
  int64_t context = 0;       ///< 0: what the model's own tables cover, else 2048.
  int64_t chunk = 512;       ///< Rows of one pass of prefill; at most the context.
  bool embedWeights = false; ///< Weights in the object instead of a file of their own.
  bool rollLayers = true;    ///< One body for layers that are alike.
  int64_t maxTokens = 0;     ///< Role run: batch x length; 0: the context.
  /// Asked for the pass manager of each stage, by its name: what it prints, measures and leaves
  /// behind on a crash.
  std::function<LogicalResult(PassManager &, llvm::StringRef)> instrument;
};

/// A C identifier from a file's base name: other characters become _, a leading digit gets one in
/// front.
std::string makePrefix(llvm::StringRef baseName);

/// One model on its way. The module is changed in place.
class Compilation {
public:
  /// Checks options and target; errors are emitted on the module.
  static FailureOr<std::unique_ptr<Compilation>> create(ModuleOp module,
                                                        const CompileOptions &options);
  ~Compilation();

  /// Runs the passes up to `stage` (Fuse to Target), from where it stands.
  LogicalResult runUntil(Stage stage);
  /// Optimised LLVM IR as text, assembly, or an object; after Target.
  FailureOr<std::string> emit(Stage stage, bool assembly = false);

  /// After Pack: the weight file (safetensors), complete but for its commit; keeps its size and
  /// hash for the JSON.
  FailureOr<std::unique_ptr<AtomicOutput>> writeWeights(const std::string &path);
  /// After Pack: the same into the file of nobody, for emit() to take into the object.
  LogicalResult writeEmbeddedWeights(const std::string &beside);
  /// After Pack: the weights alone, as the code wants them at a multiple of 64 bytes; `out` has
  /// weightBytes() and is zero-filled.
  LogicalResult packWeights(llvm::MutableArrayRef<char> out);
  /// After Pack: a text that is the same for programs that become the same code, whatever their
  /// weights hold and are called.
  std::string codeKey();
  /// After Lower: the text of the artifact's JSON, also put into the module for P_info_json.
  /// `weightsFile` is empty where the weights are in the object.
  std::string finishInfo(const std::string &weightsFile);
  /// The generated header.
  std::string header() const;

  const CpuConfig &config() const { return settings; }
  const TargetInfo &target() const { return machine; }
  /// Bytes: data section of the weights (after Pack), arena for `threads` and cache per position
  /// (after Lower).
  int64_t weightBytes() const { return totalWeightBytes; }
  int64_t arenaBytes(int threads) const;
  int64_t kvBytesPerPosition() const;
  /// Per linear: format, tile, bytes per token, path and why (after Fuse or Pack).
  std::string explain();

private:
  Compilation() = default;
  LogicalResult run(llvm::StringRef stage, llvm::function_ref<void(PassManager &)> add);
  ModuleOp module;
  CompileOptions options;
  CpuConfig settings;
  TargetInfo machine;
  Stage reached = Stage::Import;
  int64_t totalWeightBytes = 0;
  std::string weightHash;
  std::unique_ptr<AtomicOutput> embedded; ///< never committed
  size_t embeddedStart = 0;
  /// What lowering left; after Lower.
  exec::ArtifactAttr artifact() const;
  LogicalResult fillWeights(AtomicOutput &file, size_t &dataStart);
  std::string embeddingAssembly() const;
  std::string
      interfaceJson; ///< role, inputs, outputs, layers: read from the entry before it is lowered.
};

/// The whole way: <output>.safetensors (unless embedded) .o .so .h .json, all of them or none: on
/// failure, at whatever stage, former files of these names are as they were.
LogicalResult compileArtifact(ModuleOp module, const CompileOptions &options,
                              const std::string &output);

} // namespace llmc

#endif // LLMC_PIPELINE_COMPILE_H
