//===- OnnxModel.cpp - A checked ONNX file --------------------------------===//
//
// Reads the protobuf with limits, checks versions, and proves that the graph is one: unique names,
// every value made before it is used (whatever the order of nodes in the file), no cycles.
//
//===----------------------------------------------------------------------===//

#include "llmc/Import/OnnxModel.h"
#include "Onnx.pb.h"
#include "llmc/Import/Evaluator.h"
#include "llmc/Import/ImportError.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <google/protobuf/io/coded_stream.h>
#include <limits>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace llmc::onnx;

std::string llmc::onnx::describeNode(const NodeProto &node) {
  std::string name = node.name();
  if (name.empty() && node.output_size())
    name = node.output(0);
  std::string op = node.domain().empty() || node.domain() == "ai.onnx"
                       ? node.op_type()
                       : node.domain() + "." + node.op_type();
  return "node '" + name + "' (" + op + ")";
}

OnnxModel::OnnxModel() : model(std::make_unique<ModelProto>()) {}
OnnxModel::~OnnxModel() = default;
const GraphProto &OnnxModel::graph() const { return model->graph(); }

int64_t OnnxModel::opset(const std::string &domain) const {
  auto found = opsets.find(domain == "ai.onnx" ? "" : domain);
  return found == opsets.end() ? 0 : found->second;
}

const NodeProto *OnnxModel::producer(const std::string &value) const {
  auto found = producers.find(value);
  return found == producers.end() ? nullptr : found->second;
}

std::optional<std::string> OnnxModel::metadata(const std::string &key) const {
  for (const StringStringEntryProto &entry : model->metadata_props())
    if (entry.key() == key)
      return entry.value();
  return std::nullopt;
}

std::vector<std::string> OnnxModel::initializerNames() const {
  std::vector<std::string> names;
  for (const TensorProto &tensor : graph().initializer())
    names.push_back(tensor.name());
  return names;
}

void OnnxModel::readFile() {
  int fd = ::open(filePath.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0)
    fail("cannot open '", filePath, "': ", std::strerror(errno));
  struct stat status;
  bool known = ::fstat(fd, &status) == 0;
  if (!known || !S_ISREG(status.st_mode)) {
    ::close(fd);
    fail("'", filePath, "' is not a regular file");
  }
  uint64_t size = static_cast<uint64_t>(status.st_size);
  if (size == 0 || size > uint64_t(std::numeric_limits<int32_t>::max())) {
    ::close(fd);
    if (size == 0)
      fail("'", filePath, "' is empty; expected an ONNX model");
    fail("'", filePath, "' has ", size, " bytes, more than the 2 GB a protobuf file can have; ",
         "store the weights as external data");
  }
  void *address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
  ::close(fd);
  if (address == MAP_FAILED)
    failLimit("cannot map '", filePath, "': ", std::strerror(errno));
  const uint8_t *bytes = static_cast<const uint8_t *>(address);
  google::protobuf::io::CodedInputStream stream(bytes, static_cast<int>(size));
  stream.SetTotalBytesLimit(std::numeric_limits<int32_t>::max());
  bool parsed = model->ParseFromCodedStream(&stream) && stream.ConsumedEntireMessage();
  // Tag 0x08 is field 1 (ir_version), the first one that every writer emits.
  bool looksLikeOnnx = bytes[0] == 0x08;
  ::munmap(address, size);
  if (!parsed && !looksLikeOnnx)
    fail("'", filePath, "' is not an ONNX model: its first bytes are not those of a ModelProto");
  if (!parsed)
    fail("'", filePath, "' is truncated or corrupt: the protobuf message does not parse");
  if (!model->has_ir_version() || !model->has_graph())
    fail("'", filePath, "' is not an ONNX model, or is truncated: it has no ",
         model->has_ir_version() ? "graph" : "ir_version");
}

void OnnxModel::checkHeader(const LoadOptions &options) {
  if (model->ir_version() < 3 || model->ir_version() > 14)
    fail(filePath, ": IR version ", model->ir_version(), " is not supported; expected 3 to 14");
  for (const OperatorSetIdProto &entry : model->opset_import()) {
    std::string domain = entry.domain() == "ai.onnx" ? "" : entry.domain();
    auto added = opsets.emplace(domain, entry.version());
    if (added.first->second != entry.version())
      fail(filePath, ": operator set '", domain, "' is imported twice, as version ",
           added.first->second, " and ", entry.version());
    if (domain.empty() &&
        (entry.version() < options.minOpset || entry.version() > options.maxOpset))
      fail(filePath, ": opset ", entry.version(), " of ai.onnx is not supported; expected ",
           options.minOpset, " to ", options.maxOpset);
    if (domain == "com.microsoft" && entry.version() != 1)
      fail(filePath, ": opset ", entry.version(), " of com.microsoft is not supported; expected 1");
  }
  if (!opsets.count(""))
    fail(filePath, ": no opset of ai.onnx is imported");
}

static DeclaredValue readDeclaration(const ValueInfoProto &info, const std::string &where) {
  DeclaredValue value;
  value.name = info.name();
  if (!info.has_type() || !info.type().has_tensor_type())
    fail(where, ": '", info.name(), "' is not declared as a tensor");
  const auto &tensor = info.type().tensor_type();
  if (!fromOnnxType(tensor.elem_type(), value.type))
    fail(where, ": '", info.name(), "' has unsupported element type ", tensor.elem_type());
  value.hasShape = tensor.has_shape();
  for (const auto &dim : tensor.shape().dim()) {
    DeclaredDim declared;
    if (dim.has_dim_value()) {
      if (dim.dim_value() < 0)
        fail(where, ": '", info.name(), "' has negative dimension ", dim.dim_value());
      declared.value = dim.dim_value();
    } else {
      declared.name = dim.dim_param();
    }
    value.dims.push_back(declared);
  }
  return value;
}

void OnnxModel::readDeclarations() {
  std::unordered_set<std::string> read;
  for (const NodeProto &node : graph().node())
    for (const std::string &name : valuesRead(node))
      read.insert(name);
  for (const ValueInfoProto &info : graph().output())
    read.insert(info.name());
  for (const ValueInfoProto &info : graph().input())
    if (!isInitializer(info.name()) && read.count(info.name()))
      graphInputs.push_back(readDeclaration(info, filePath + ": graph input"));
  classifyInputs(*this, graphInputs);
  if (graph().output_size() == 0)
    fail(filePath, ": the graph has no outputs");
  for (const ValueInfoProto &info : graph().output())
    graphOutputs.push_back(readDeclaration(info, filePath + ": graph output"));
}

/// Orders nodes so that producers come first; names the nodes of a cycle when there is one.
static std::vector<const NodeProto *>
sortNodes(const GraphProto &graph, const std::unordered_map<std::string, int> &producerOf,
          const std::vector<std::vector<std::string>> &uses, const std::string &where) {
  int count = graph.node_size();
  std::vector<std::vector<int>> users(count);
  std::vector<int> missing(count, 0);
  for (int i = 0; i < count; ++i)
    for (const std::string &name : uses[i]) {
      auto found = producerOf.find(name);
      if (found == producerOf.end())
        continue;
      users[found->second].push_back(i);
      ++missing[i];
    }
  // A heap on the file's order keeps the result stable and, for a sorted file, equal to it.
  std::vector<int> ready;
  auto later = std::greater<int>();
  for (int i = 0; i < count; ++i)
    if (missing[i] == 0)
      ready.push_back(i);
  std::make_heap(ready.begin(), ready.end(), later);
  std::vector<const NodeProto *> order;
  while (!ready.empty()) {
    std::pop_heap(ready.begin(), ready.end(), later);
    int node = ready.back();
    ready.pop_back();
    order.push_back(&graph.node(node));
    for (int user : users[node])
      if (--missing[user] == 0) {
        ready.push_back(user);
        std::push_heap(ready.begin(), ready.end(), later);
      }
  }
  if (static_cast<int>(order.size()) == count)
    return order;
  std::string names;
  int listed = 0;
  for (int i = 0; i < count && listed < 8; ++i)
    if (missing[i] > 0 && ++listed)
      names += (listed > 1 ? ", " : "") + describeNode(graph.node(i));
  fail(where, ": the graph has a cycle through or before ", names);
}

/// Every value name a node reads, including what its subgraphs read from outside.
static void collectUses(const NodeProto &node, std::vector<std::string> &uses, unsigned depth) {
  if (depth > 16)
    fail(describeNode(node), ": subgraphs are nested more than 16 deep");
  for (const std::string &input : node.input())
    if (!input.empty())
      uses.push_back(input);
  for (const AttributeProto &attribute : node.attribute()) {
    auto visit = [&](const GraphProto &graph) {
      std::unordered_set<std::string> own;
      for (const ValueInfoProto &input : graph.input())
        own.insert(input.name());
      for (const TensorProto &tensor : graph.initializer())
        own.insert(tensor.name());
      std::vector<std::string> inside;
      for (const NodeProto &inner : graph.node()) {
        own.insert(inner.output().begin(), inner.output().end());
        collectUses(inner, inside, depth + 1);
      }
      for (const ValueInfoProto &output : graph.output())
        inside.push_back(output.name());
      for (std::string &name : inside)
        if (!own.count(name))
          uses.push_back(std::move(name));
    };
    if (attribute.has_g())
      visit(attribute.g());
    for (const GraphProto &graph : attribute.graphs())
      visit(graph);
  }
}

std::vector<std::string> llmc::onnx::valuesRead(const NodeProto &node) {
  std::vector<std::string> uses;
  collectUses(node, uses, 0);
  return uses;
}

void OnnxModel::checkGraph(const GraphProto &graph, std::unordered_set<std::string> outer,
                           const std::string &where, unsigned depth,
                           std::vector<const NodeProto *> *sorted) {
  bool top = sorted != nullptr;
  std::unordered_set<std::string> local;
  auto declare = [&](const std::string &name, const std::string &what) {
    if (!local.insert(name).second || outer.count(name))
      fail(where, ": the name '", name, "' of ", what, " is already taken");
  };
  if (graph.sparse_initializer_size())
    fail(where, ": sparse initializers are not supported");
  for (const TensorProto &tensor : graph.initializer()) {
    if (tensor.name().empty())
      fail(where, ": an initializer has no name");
    declare(tensor.name(), "an initializer");
    checkTensor(tensor, where + ": tensor '" + tensor.name() + "'");
    if (top)
      initializers.emplace(tensor.name(), &tensor);
  }
  std::unordered_set<std::string> inputs;
  for (const ValueInfoProto &input : graph.input()) {
    if (!inputs.insert(input.name()).second)
      fail(where, ": two graph inputs are named '", input.name(), "'");
    // Older files list initializers among the inputs as well.
    if (!local.count(input.name()))
      declare(input.name(), "a graph input");
  }
  std::unordered_map<std::string, int> producerOf;
  std::vector<std::vector<std::string>> uses(graph.node_size());
  for (int i = 0; i < graph.node_size(); ++i) {
    const NodeProto &node = graph.node(i);
    if (node.op_type().empty())
      fail(where, ": ", describeNode(node), " has no operator");
    for (const std::string &output : node.output()) {
      if (output.empty())
        continue;
      declare(output, "an output of " + describeNode(node));
      producerOf.emplace(output, i);
      if (top)
        producers.emplace(output, &node);
    }
    for (const AttributeProto &attribute : node.attribute())
      if (attribute.has_t())
        checkTensor(attribute.t(),
                    where + ": " + describeNode(node) + ": attribute '" + attribute.name() + "'");
    collectUses(node, uses[i], 0);
  }
  for (int i = 0; i < graph.node_size(); ++i)
    for (const std::string &input : graph.node(i).input())
      if (!input.empty() && !local.count(input) && !outer.count(input))
        fail(where, ": ", describeNode(graph.node(i)), " reads '", input, "', which nothing makes");
  for (const ValueInfoProto &output : graph.output())
    if (!local.count(output.name()) && !outer.count(output.name()))
      fail(where, ": graph output '", output.name(), "' is made by nothing");

  std::vector<const NodeProto *> order = sortNodes(graph, producerOf, uses, where);
  if (top)
    *sorted = order;
  if (depth > 16)
    fail(where, ": subgraphs are nested more than 16 deep");
  std::unordered_set<std::string> visible = outer;
  visible.insert(local.begin(), local.end());
  for (const NodeProto &node : graph.node()) {
    bool branches = std::any_of(node.attribute().begin(), node.attribute().end(),
                                [](const AttributeProto &attribute) {
                                  return attribute.has_g() || attribute.graphs_size();
                                });
    if (!branches)
      continue;
    // A branch may call its results what the node calls them.
    std::unordered_set<std::string> outside = visible;
    for (const std::string &output : node.output())
      outside.erase(output);
    for (const AttributeProto &attribute : node.attribute()) {
      if (attribute.has_g())
        checkGraph(attribute.g(), outside, where + ": " + describeNode(node), depth + 1, nullptr);
      for (const GraphProto &inner : attribute.graphs())
        checkGraph(inner, outside, where + ": " + describeNode(node), depth + 1, nullptr);
    }
  }
}

std::unique_ptr<OnnxModel> OnnxModel::load(const std::string &path, const LoadOptions &options) {
  std::unique_ptr<OnnxModel> model(new OnnxModel());
  model->filePath = path;
  size_t slash = path.rfind('/');
  std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  model->external = std::make_unique<ExternalFiles>(folder, path);
  model->readFile();
  inlineFunctions(*model->model, path);
  model->checkHeader(options);
  inlineBranches(*model->model->mutable_graph(), path);
  model->checkGraph(model->graph(), {}, path, 0, &model->order);
  model->readDeclarations();
  return model;
}
