//===- RaiseOutputs.cpp - Graph outputs: caches and results ------------===//
//
// What caches hold after a step must be what attention to earlier positions expects, and what their
// names say; a step has one result besides them.
//
//===----------------------------------------------------------------------===//

#include "Raiser.h"

#include <algorithm>
#include <cmath>
#include <set>

using namespace llmc::onnx;

/// A cache after this step: new rows must be multiplied as attention multiplies them, but for what
/// it does to all rows alike.
void Raiser::checkPresent(const std::string &past, const std::string &output, const View &view) {
  graph.presents[past] = output;
  auto wanted = presentFactors.find(past);
  if (wanted == presentFactors.end() || view.size() == 0)
    return;
  double square = 0;
  for (const Term &term : view.terms)
    square += term.at(view.size() - 1) * term.at(view.size() - 1);
  if (std::fabs(std::sqrt(square) - std::fabs(wanted->second)) >
      std::max(1e-5, 4 * view.grain) * std::fabs(wanted->second))
    fail(model.path(), ": graph output '", output, "' keeps rows times ", std::sqrt(square),
         ", where attention to earlier positions expects ", std::fabs(wanted->second));
}

/// A cache's name without what says that it goes in or comes out.
static std::string cacheName(std::string name) {
  for (const char *part : {"past_key_values", "present_key_values", "past", "present"}) {
    size_t at = name.find(part);
    if (at != std::string::npos)
      return name.erase(at, std::string(part).size());
  }
  return name;
}

/// Whoever feeds caches by their names must mean what the graph computes.
void Raiser::checkCacheNames() const {
  std::map<std::string, std::string> pasts;
  for (const DeclaredValue &input : model.inputs())
    if (isPast(input))
      pasts[cacheName(input.name)] = input.name;
  for (const auto &entry : graph.presents) {
    auto named = pasts.find(cacheName(entry.second));
    if (named != pasts.end() && named->second != entry.first)
      fail(model.path(), ": graph output '", entry.second, "' continues the cache '", entry.first,
           "', but by its name it would be fed as '", named->second, "'");
  }
}

void Raiser::finishOutputs() {
  bool anyPast = hasPast(model), allCausal = true, anyAttention = false;
  for (const RaisedNode &node : graph.nodes)
    if (node.kind == RaisedKind::Attention) {
      anyAttention = true;
      // One query sees the same with a causal mask and without.
      allCausal &= node.mask.hidesFuture || (!node.mask.seesFuture && sizes.length == 1);
    }
  graph.hasCache = anyAttention && (anyPast || allCausal);
  for (const DeclaredValue &output : model.outputs()) {
    const Value *value = find(output.name);
    if (value && value->kind == Value::Kind::Present) {
      if (!value->origin.empty())
        graph.presents[value->origin] = output.name;
      continue;
    }
    bool isData =
        value && (value->kind == Value::Kind::Data || value->kind == Value::Kind::Pointwise);
    if (!isData)
      fail(model.path(), ": graph output '", output.name, "' does not depend on the token ids");
    if (output.dims.size() == 4 && value->kind == Value::Kind::Data && graph.hasCache) {
      // What a cache holds after this step: attention has shown where it comes from.
      std::string past;
      for (const Term &term : value->view.terms)
        for (int64_t i = 0; i < value->view.size(); ++i)
          if (sourceOf(term.index.ints()[i]) >= pastBase && term.at(i) != 0)
            past = pastNames[sourceOf(term.index.ints()[i]) - pastBase];
      if (!past.empty())
        checkPresent(past, output.name, value->view);
      continue;
    }
    // What is left to do to the output is named after the node that computes it.
    for (const NodeProto *node : model.nodes())
      if (std::count(node->output().begin(), node->output().end(), output.name))
        current = node;
    try {
      graph.outputs.push_back({output.name, materialize(dataOf(*value))});
    } catch (const NotUnderstood &problem) {
      fail(model.path(), ": graph output '", output.name, "': ", problem.reason);
    }
  }
  checkCacheNames();
  if (graph.outputs.empty())
    fail(model.path(), ": no graph output is left once the caches are taken out");
  if (!graph.hasCache || graph.outputs.size() == 1)
    return;
  // A step has one result: what is called logits, or else what is computed last.
  auto logits = std::find_if(graph.outputs.begin(), graph.outputs.end(),
                             [](const RaisedOutput &output) { return output.name == "logits"; });
  if (logits == graph.outputs.end())
    logits = std::max_element(
        graph.outputs.begin(), graph.outputs.end(),
        [](const RaisedOutput &a, const RaisedOutput &b) { return a.node < b.node; });
  RaisedOutput kept = *logits;
  for (const RaisedOutput &output : graph.outputs)
    if (output.name != kept.name)
      graph.remarks.push_back("graph output '" + output.name + "' is left out; a model with a " +
                              "cache gives one, '" + kept.name + "'");
  graph.outputs = {kept};
}
