// A compiled model on disk: <base>.json, <base>.safetensors and <base>.so, checked against each
// other and against this machine before any of its code runs. The format is described in
// docs/Rationale/Artifact.md.
#ifndef LLMC_RUNTIME_ARTIFACT_H
#define LLMC_RUNTIME_ARTIFACT_H

#include "llmc/Runtime/llmcrt.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace llmc {

/// One dimension of an input or output: a fixed size, or a name that the inputs bind to one (then
/// size is 0).
struct Dimension {
  std::string name;
  int64_t size = 0;
};

struct TensorInfo {
  std::string name;
  int32_t type = 0; ///< LLMC_F32, LLMC_I32, LLMC_I64
  std::vector<Dimension> shape;
};

/// A check (llmc.expect_close, llmc.expect_eq) in the model: in the arena, at `offset`, it leaves
/// the place of its first disagreement from 1 (i32; 0: it holds), what was there and what was
/// expected (f32).
struct CheckInfo {
  std::string kind;     ///< expect_close, expect_eq
  std::string expected; ///< name of the weight that holds the expected numbers; may be empty
  std::string source;   ///< file:line; may be empty
  int64_t offset = 0;
  int64_t width = 1; ///< of a row
};

/// The part of <base>.json that running needs. Numbers that a role does not use are 0.
struct ArtifactInfo {
  std::string prefix;
  std::string triple;
  std::vector<std::string> features;
  bool isStep = false;
  int64_t vocab = 0;
  /// Ids are below it: rows of the embedding, which need not be as many as the logits.
  int64_t idLimit = 0;
  /// Run: positions of one sequence, 0 when the file does not say.
  int64_t longestSequence = 0;
  int64_t context = 0;          ///< positions that fit in a state
  int64_t chunk = 0;            ///< positions of one pass of prefill
  std::vector<int32_t> stopIds; ///< end a text
  int64_t maxTokens = 0;        ///< batch x sequence of P_run; 0: not stated
  std::vector<TensorInfo> inputs;
  std::vector<TensorInfo> outputs;
  std::vector<CheckInfo> checks;
  /// A step over rows of floats in place of ids: a part of a model.
  bool takesRows() const { return isStep && !inputs.empty() && inputs[0].type == LLMC_F32; }
  std::string weightsFile; ///< plain name beside the JSON; empty: linked into the object
  uint64_t weightsBytes = 0;
  std::optional<uint64_t> weightsHash;
};

/// Reads the JSON text. Throws Failure (BadInput) with `path` and the field at fault.
ArtifactInfo parseArtifactInfo(const std::string &text, const std::string &path);

/// The functions of llmc.h, found by prefix; those of the other role are NULL.
struct ModelFunctions {
  int32_t (*abi)(void) = nullptr;
  const char *(*infoJson)(void) = nullptr;
  int32_t (*sizes)(int64_t, int64_t, int32_t, uint64_t *, uint64_t *) = nullptr;
  int32_t (*init)(llmc_model *, void *, const void *, const llmc_threads *) = nullptr;
  int32_t (*stateInit)(llmc_state *, void *) = nullptr;
  int32_t (*prefill)(llmc_model *, llmc_state *, const int32_t *, int64_t, float *) = nullptr;
  int32_t (*prefillAll)(llmc_model *, llmc_state *, const int32_t *, int64_t, float *) = nullptr;
  int32_t (*decode)(llmc_model *, llmc_state *const[], const int32_t[], int64_t, float *) = nullptr;
  int32_t (*run)(llmc_model *, const llmc_tensor[], llmc_tensor[]) = nullptr;
};

/// Where weights lie: in huge pages of this process, if the system has them and there is memory for
/// them (llmcrt_weights_settle), or in the pages of the file, which processes share.
enum class WeightPages { Own, Mapped };

/// Loaded code and mapped weights; read-only, may be shared by sessions.
class Artifact {
public:
  /// `base` is what was given to llmc-compile -o. Throws Failure (BadInput) for: a missing file,
  /// JSON or weights that are malformed or do not fit together, another ABI, another machine, a
  /// processor feature that is missing (by name).
  explicit Artifact(const std::string &base, WeightPages pages = WeightPages::Own);
  ~Artifact();
  Artifact(const Artifact &) = delete;
  Artifact &operator=(const Artifact &) = delete;

  const std::string &base() const { return basePath; }
  const ArtifactInfo &info() const { return description; }
  const ModelFunctions &functions() const { return table; }
  const void *weights() const { return mapping.data; }
  uint64_t weightsBytes() const { return mapping.bytes; }
  /// Waits until weights are where they stay; before measuring, say.
  void waitForWeights() { llmcrt_weights_wait(&mapping); }

private:
  /// Empty when the weights are those of the JSON, else what they are instead.
  std::string openWeights();
  bool hasWeights(const ArtifactInfo &other) const;
  void openCode(const std::string &jsonText, const std::string &otherWeights);
  [[noreturn]] void failMixed(const std::string &jsonText, const std::string &ownText,
                              const std::string &otherWeights) const;

  struct MappingClose {
    void operator()(llmcrt_weights *weights) const { llmcrt_weights_close(weights); }
  };
  struct LibraryClose {
    void operator()(void *library) const;
  };

  std::string basePath;
  std::string weightsPath;
  uint64_t weightsHash = 0;
  ArtifactInfo description;
  llmcrt_weights mapping = {};
  std::unique_ptr<llmcrt_weights, MappingClose> mappingOwner;
  std::unique_ptr<void, LibraryClose> library;
  ModelFunctions table;
};

} // namespace llmc

#endif // LLMC_RUNTIME_ARTIFACT_H
