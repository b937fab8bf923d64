//===- OnnxModel.h - A checked ONNX file ----------------------------------===//
//
// Reads a model file and its external data as untrusted input: every size is multiplied with
// overflow checks and compared with the bytes present before anything is allocated, external data
// is opened beneath the model's folder without following links, and the graph is checked to be a
// graph (unique names, no missing values, no cycles). Everything later in the room relies on these
// checks.
//
// Format: the ONNX IR specification, https://github.com/onnx/onnx/blob/main/docs/IR.md.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_IMPORT_ONNXMODEL_H
#define LLMC_IMPORT_ONNXMODEL_H

#include "llmc/Import/OnnxTensor.h"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace llmc::onnx {

class AttributeProto;
class GraphProto;
class ModelProto;
class NodeProto;
class TensorProto;

struct LoadOptions {
  /// Opsets of the default domain that are accepted.
  int64_t minOpset = 11, maxOpset = 25;
};

/// One dimension of a declared shape: a number, or a name, or (both empty) unknown.
struct DeclaredDim {
  int64_t value = -1;
  std::string name;
};

/// What a graph input is, by its name or, where that says nothing, by its use.
enum class InputRole {
  Ids,          ///< Token ids, token types: rows of tables.
  Mask,         ///< 1 (or true) for what is visible.
  AdditiveMask, ///< 0 for what is visible, else far below zero.
  Positions,
  Past,
  Unknown
};

/// A graph input or output.
struct DeclaredValue {
  std::string name;
  InputRole role = InputRole::Unknown; ///< Inputs only.
  ElementType type = ElementType::F32;
  bool hasShape = false;
  std::vector<DeclaredDim> dims;
};

/// Files that tensors point into, mapped read-only, opened only beneath one folder.
class ExternalFiles {
public:
  ExternalFiles(std::string modelFolder, std::string modelPath)
      : folder(std::move(modelFolder)), modelPath(std::move(modelPath)) {}

  struct Mapping {
    const uint8_t *data = nullptr;
    uint64_t size = 0;
    ~Mapping();
  };
  /// Maps `location` (a relative path without `..` or links). Where the model's own path is a link,
  /// as in the cache of the Hugging Face hub, the location may be one into the same folder. `what`
  /// names the tensor in errors.
  std::shared_ptr<const Mapping> open(const std::string &location, const std::string &what);

private:
  std::string folder, modelPath;
  std::map<std::string, std::shared_ptr<const Mapping>> mappings;
};

class OnnxModel {
public:
  /// Throws ImportError. The result is immutable but for caches of decoded tensors.
  static std::unique_ptr<OnnxModel> load(const std::string &path, const LoadOptions &options = {});
  ~OnnxModel();

  const std::string &path() const { return filePath; }
  const GraphProto &graph() const;
  /// The version imported for a domain ("" is ai.onnx), 0 when it is not imported.
  int64_t opset(const std::string &domain) const;
  /// The nodes of the main graph, producers before users.
  const std::vector<const NodeProto *> &nodes() const { return order; }
  /// Inputs that something reads.
  const std::vector<DeclaredValue> &inputs() const { return graphInputs; }
  const std::vector<DeclaredValue> &outputs() const { return graphOutputs; }
  /// The node that makes a value, or nullptr for inputs, initializers and unknown names.
  const NodeProto *producer(const std::string &value) const;

  bool isInitializer(const std::string &name) const { return initializers.count(name) != 0; }
  /// Decodes (or maps) an initializer; cached.
  const OnnxTensor &initializer(const std::string &name) const;
  std::vector<std::string> initializerNames() const;
  /// Bytes of all initializers, as stored.
  uint64_t weightBytes() const { return totalWeightBytes; }

  /// What the file's metadata_props say of a key.
  std::optional<std::string> metadata(const std::string &key) const;

  /// Decodes a tensor of this file; `what` names it in errors.
  OnnxTensor decode(const TensorProto &tensor, const std::string &what) const;

private:
  OnnxModel();
  void readFile();
  void checkHeader(const LoadOptions &options);
  void readDeclarations();
  void checkTensor(const TensorProto &tensor, const std::string &what);
  void checkGraph(const GraphProto &graph, std::unordered_set<std::string> outer,
                  const std::string &where, unsigned depth, std::vector<const NodeProto *> *sorted);

  std::string filePath;
  std::unique_ptr<ModelProto> model;
  std::map<std::string, int64_t> opsets;
  std::vector<const NodeProto *> order;
  std::vector<DeclaredValue> graphInputs, graphOutputs;
  std::unordered_map<std::string, const NodeProto *> producers;
  std::unordered_map<std::string, const TensorProto *> initializers;
  mutable std::unordered_map<std::string, OnnxTensor> decoded;
  mutable std::unique_ptr<ExternalFiles> external;
  uint64_t totalWeightBytes = 0;
};

/// Sets the roles of the inputs. Throws ImportError where a use says two things.
void classifyInputs(const OnnxModel &model, std::vector<DeclaredValue> &inputs);

/// Puts the branch of an `If` whose condition is constant, or an input that says whether there is a
/// cache, in its place (InlineBranches.cpp).
void inlineBranches(GraphProto &graph, const std::string &where);

/// Puts the body of a model-local function in place of each of its calls, nested ones too, and
/// drops the functions (InlineFunctions.cpp). Throws ImportError where a call does not fit its
/// function.
void inlineFunctions(ModelProto &model, const std::string &where);

/// Gives values that the node reads and makes, and those in its subgraphs, other names; "" leaves
/// an input out.
void renameValues(NodeProto &node, const std::unordered_map<std::string, std::string> &names);

/// "node 'name' (Op)" for messages; a nameless node is named by its first output.
std::string describeNode(const NodeProto &node);

} // namespace llmc::onnx

#endif // LLMC_IMPORT_ONNXMODEL_H
