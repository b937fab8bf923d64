//===- RaiseNames.cpp - Stable names of weights ---------------------------===//
//
// A weight is called by its module path and `.weight` or `.bias`: from the initializer's name where
// the exporter kept it, else from the name of the node that uses it, else from the module scope in
// the node's metadata.
//
//===----------------------------------------------------------------------===//

#include "Onnx.pb.h"
#include "Raiser.h"

#include <algorithm>
#include <set>

using namespace llmc::onnx;

static bool endsWith(const std::string &text, const std::string &end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

/// The module path in an initializer's name, or "" where the exporter made the name up.
static std::string moduleOfInitializer(std::string name) {
  static const char *endings[] = {"_Q2",      "_Q4",   "_Q8",     ".weight",
                                  ".qweight", ".bias", ".MatMul", ".Add"};
  bool wasWeight = false;
  for (bool cut = true; cut;) {
    cut = false;
    for (const char *ending : endings)
      if (endsWith(name, ending)) {
        name.resize(name.size() - std::string(ending).size());
        wasWeight |= ending[0] == '.';
        cut = true;
      }
  }
  if (!wasWeight || name.find("::") != std::string::npos)
    return "";
  return name;
}

/// "/model/layers.0/mlp/up_proj/MatMul" is the module model.layers.0.mlp.up_proj.
static std::string moduleOfNode(std::string name) {
  if (name.empty() || name[0] != '/')
    return "";
  size_t last = name.rfind('/');
  name = name.substr(1, last > 0 ? last - 1 : std::string::npos);
  std::replace(name.begin(), name.end(), '/', '.');
  return name;
}

void llmc::onnx::nameWeights(RaisedGraph &graph, const OnnxModel &model) {
  struct Use {
    const RaisedNode *node = nullptr;
    bool bias = false;
  };
  std::vector<Use> uses(graph.weights.size());
  for (const RaisedNode &node : graph.nodes) {
    if (node.weight >= 0 && !uses[node.weight].node)
      uses[node.weight] = {&node, node.kind == RaisedKind::AddVector};
    if (node.bias >= 0 && !uses[node.bias].node)
      uses[node.bias] = {&node, true};
  }
  // An exporting script that wraps the module puts one short name before all others.
  std::set<std::string> roots;
  for (const std::string &name : model.initializerNames()) {
    std::string module = moduleOfInitializer(name);
    if (!module.empty())
      roots.insert(module.substr(0, module.find('.')));
  }
  std::string wrapper = roots.size() == 1 && roots.begin()->size() <= 2 ? *roots.begin() + "." : "";

  std::set<std::string> taken;
  for (size_t i = 0; i < graph.weights.size(); ++i) {
    RaisedWeight &weight = graph.weights[i];
    const WeightKey &key = weight.key;
    std::string module = key.derived.empty() ? moduleOfInitializer(key.name) : "";
    if (module.empty() && uses[i].node)
      module = moduleOfNode(uses[i].node->location);
    if (module.empty() && uses[i].node)
      module = uses[i].node->scope;
    if (module.empty())
      module = uses[i].node ? uses[i].node->location : key.name;
    if (!wrapper.empty() && module.compare(0, wrapper.size(), wrapper) == 0)
      module = module.substr(wrapper.size());
    std::string name = module + (uses[i].bias ? ".bias" : ".weight");
    for (int n = 2; !taken.insert(name).second; ++n)
      name = module + "_" + std::to_string(n) + (uses[i].bias ? ".bias" : ".weight");
    weight.name = name;
  }
}
