//===- Raise.cpp - Merging what was seen at several sizes -----------------===//
//
// The graph is interpreted at a few sizes. All must give the same nodes; masks and rotation angles
// are merged into what they are at every size. Wide windows are looked for by evaluating the masks
// alone.
//
//===----------------------------------------------------------------------===//

#include "Raiser.h"

#include <algorithm>
#include <cmath>
#include <set>

using namespace llmc::onnx;

/// Drops nodes that no output needs (a linear before its bias was found).
static void dropUnused(RaisedGraph &graph) {
  std::vector<bool> used(graph.nodes.size(), false);
  for (const RaisedOutput &output : graph.outputs)
    used[output.node] = true;
  for (size_t i = graph.nodes.size(); i-- > 0;)
    if (used[i])
      for (int input : graph.nodes[i].inputs)
        used[input] = true;
  std::vector<int> renumbered(graph.nodes.size(), -1);
  std::vector<RaisedNode> kept;
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    if (!used[i] && graph.nodes[i].kind != RaisedKind::Input)
      continue;
    renumbered[i] = static_cast<int>(kept.size());
    kept.push_back(std::move(graph.nodes[i]));
    for (int &input : kept.back().inputs)
      input = renumbered[input];
  }
  graph.nodes = std::move(kept);
  for (RaisedOutput &output : graph.outputs)
    output.node = renumbered[output.node];
}

static void mergeRope(RaisedRope &into, const RaisedRope &from, const std::string &where) {
  if (into.present != from.present || into.interleaved != from.interleaved ||
      into.pairs != from.pairs || std::fabs(into.factor - from.factor) > 1e-5)
    fail(where, ": rotated differently at different lengths");
  for (size_t i = 0; i < into.samples.size(); ++i)
    into.samples[i].insert(into.samples[i].end(), from.samples[i].begin(), from.samples[i].end());
}

static void mergeNode(RaisedNode &into, const RaisedNode &from) {
  std::string where = "node '" + into.location + "'";
  bool same = into.kind == from.kind && into.inputs == from.inputs && into.width == from.width &&
              into.weight == from.weight && into.bias == from.bias &&
              into.integer == from.integer && into.text == from.text &&
              into.selection == from.selection && into.heads == from.heads &&
              into.kvHeads == from.kvHeads &&
              std::fabs(into.number - from.number) <= 1e-6 * std::fabs(into.number) &&
              std::fabs(into.scale - from.scale) <= 1e-6 * std::fabs(into.scale) &&
              std::fabs(into.softcap - from.softcap) <= 1e-6 * std::fabs(into.softcap);
  if (!same || into.location != from.location)
    fail(where, ": means different things at different lengths");
  if (into.kind != RaisedKind::Attention)
    return;
  if (into.pastKey.empty()) {
    into.pastKey = from.pastKey;
    into.pastValue = from.pastValue;
  }
  MaskFacts &mask = into.mask;
  mask.seesFuture |= from.mask.seesFuture;
  mask.hidesFuture |= from.mask.hidesFuture;
  mask.seesPadding |= from.mask.seesPadding;
  mask.hidesPadding |= from.mask.hidesPadding;
  mask.farthestSeen = std::max(mask.farthestSeen, from.mask.farthestSeen);
  mask.nearestHidden = std::min(mask.nearestHidden, from.mask.nearestHidden);
  mergeRope(into.queryRope, from.queryRope, where);
  mergeRope(into.keyRope, from.keyRope, where);
}

/// Frequencies from angles modulo a turn: from the smallest position on, each later one sharpens
/// the estimate.
static void solveRope(RaisedRope &rope, const std::string &where) {
  if (!rope.present)
    return;
  for (std::vector<AngleSample> &samples : rope.samples) {
    std::sort(samples.begin(), samples.end(),
              [](const AngleSample &a, const AngleSample &b) { return a.position < b.position; });
    double frequency = 0;
    int64_t known = 0;
    for (const AngleSample &sample : samples) {
      double position = static_cast<double>(sample.position);
      if (sample.position == 0) {
        if (std::fabs(sample.angle) > 1e-6)
          fail(where, ": rotated at position 0");
        continue;
      }
      double turns = std::nearbyint((position * frequency - sample.angle) / (2 * M_PI));
      double better = (sample.angle + turns * 2 * M_PI) / position;
      if (known && std::fabs(better - frequency) > 1e-5 / static_cast<double>(known))
        fail(where, ": angles are no multiples of the position");
      if (sample.position > known) {
        frequency = better;
        known = sample.position;
      }
    }
    rope.frequencies.push_back(frequency);
  }
}

/// Frequencies usually stand in the file; take them from there where they agree.
static void snapFrequencies(RaisedRope &rope, const OnnxModel &model) {
  if (!rope.present)
    return;
  for (const std::string &name : model.initializerNames()) {
    const OnnxTensor &tensor = model.initializer(name);
    if (tensor.size() != rope.pairs || isFloat(tensor.type()) == false)
      continue;
    bool same = true;
    for (int64_t i = 0; i < rope.pairs; ++i)
      same &=
          std::fabs(tensor.at(i) - rope.frequencies[i]) <= 1e-6 * std::fabs(tensor.at(i)) + 1e-9;
    if (same)
      for (int64_t i = 0; i < rope.pairs; ++i)
        rope.frequencies[i] = tensor.at(i);
    if (same)
      return;
  }
  // A geometric sequence from 1 on has one parameter, the base; a base that is a whole number was
  // meant.
  if (rope.pairs < 2 || std::fabs(rope.frequencies[0] - 1) > 1e-6)
    return;
  double pairs = static_cast<double>(rope.pairs);
  double base = std::nearbyint(std::pow(rope.frequencies[1], -pairs));
  for (int64_t i = 0; i < rope.pairs; ++i)
    if (std::fabs(std::pow(base, -i / pairs) - rope.frequencies[i]) > 1e-6 * rope.frequencies[i])
      return;
  for (int64_t i = 0; i < rope.pairs; ++i)
    rope.frequencies[i] = static_cast<float>(std::pow(base, -i / pairs));
}

/// Evaluates each mask alone, for one new position behind longer and longer pasts, to see wide
/// windows.
static void lookFarBack(RaisedGraph &graph, const OnnxModel &model) {
  std::map<std::string, std::pair<int64_t, int64_t>> seen; // masks: farthest seen, nearest hidden
  int64_t cacheElements = 1;
  for (const DeclaredValue &input : model.inputs())
    if (Raiser::isPast(input))
      cacheElements = std::max(cacheElements, input.dims[1].value * input.dims[3].value);
  Evaluator evaluator(model);
  for (RaisedNode &node : graph.nodes) {
    if (node.kind != RaisedKind::Attention || node.maskValues.empty())
      continue;
    std::string key;
    for (const std::string &name : node.maskValues)
      key += name + "\n";
    auto entry = seen.find(key);
    if (entry == seen.end()) {
      entry =
          seen.emplace(key, std::make_pair(node.mask.farthestSeen, node.mask.nearestHidden)).first;
      for (int64_t past = 32; past <= 65536 && past * cacheElements <= (int64_t(1) << 24);
           past *= 2) {
        Sizes sizes;
        sizes.past = past;
        ValueMap inputs = Raiser::knownInputs(model, sizes);
        ValueMap masks;
        try {
          for (const DeclaredValue &input : model.inputs()) {
            if (Raiser::isPast(input))
              inputs.emplace(input.name, OnnxTensor(input.type, Raiser::pastShape(input, sizes)));
            else if (!inputs.count(input.name))
              inputs.emplace(input.name, OnnxTensor(input.type, {1, 1}));
          }
          masks = evaluator.run(inputs, node.maskValues);
        } catch (const ImportError &) {
          break; // past the model's longest sequence
        }
        std::vector<bool> visible(past + 1, true);
        bool fits = true;
        for (const auto &named : masks) {
          const OnnxTensor &mask = named.second;
          fits &= mask.rank() >= 1 && mask.shape().back() == past + 1;
          for (int64_t at = 0; fits && at <= past; ++at) {
            double value = mask.at(mask.size() - 1 - past + at);
            visible[at] =
                visible[at] && (mask.type() == ElementType::Bool ? value != 0 : value == 0);
          }
        }
        if (!fits)
          break;
        for (int64_t at = 0; at <= past; ++at) {
          if (visible[at])
            entry->second.first = std::max(entry->second.first, past - at);
          else
            entry->second.second = std::min(entry->second.second, past - at);
        }
        if (entry->second.second <= past)
          break;
      }
    }
    node.mask.farthestSeen = entry->second.first;
    node.mask.nearestHidden = entry->second.second;
  }
}

static void classifyMask(RaisedNode &node, bool hasCache) {
  std::string where = "node '" + node.location + "'";
  MaskFacts &mask = node.mask;
  if (mask.seesFuture && mask.hidesFuture)
    fail(where, ": the mask hides some later positions and shows others");
  node.causal = mask.hidesFuture;
  if (mask.nearestHidden != std::numeric_limits<int64_t>::max()) {
    if (!node.causal || mask.nearestHidden <= mask.farthestSeen)
      fail(where, ": the mask hides some earlier positions and shows others behind them");
    node.window = mask.nearestHidden;
  }
  if (mask.seesPadding && mask.hidesPadding)
    fail(where, ": the mask hides some padded positions and shows others");
  node.usesPadding = mask.hidesPadding && !hasCache;
}

RaisedGraph llmc::onnx::raise(const OnnxModel &model, bool floatActivations,
                              std::vector<Misunderstood> &problems) {
  // Operators that nothing here knows are listed before anything runs.
  for (const NodeProto *node : model.nodes())
    if (!Evaluator::supports(*node))
      problems.push_back({node->domain(), node->op_type(), model.opset(node->domain()),
                          node->name().empty() ? node->output(0) : node->name(),
                          "the operator is not supported"});
  if (!problems.empty())
    return {};

  int64_t fixedBatch = 0, fixedLength = 0;
  for (const DeclaredValue &input : model.inputs())
    if (input.dims.size() == 2 && !isFloat(input.type)) {
      fixedBatch = std::max(fixedBatch, input.dims[0].value);
      if (input.name.find("mask") == std::string::npos)
        fixedLength = std::max(fixedLength, input.dims[1].value);
    }
  bool past = Raiser::hasPast(model);
  std::vector<Sizes> points;
  if (past)
    points = {{2, 3, 5, 0}, {1, 0, 6, 0}, {1, 7, 1, 0}, {1, 40, 3, 0}};
  else
    points = {{2, 0, 7, 0}, {1, 0, 5, 0}, {2, 0, 40, 0}, {2, 0, 7, 2}};
  ConstantPool pool;
  RaisedGraph graph;
  bool first = true;
  for (Sizes sizes : points) {
    if (fixedBatch > 0)
      sizes.batch = fixedBatch;
    if (fixedLength > 0)
      sizes.length = fixedLength;
    RaisedGraph at = Raiser(model, sizes, pool, floatActivations).run(problems);
    if (!problems.empty())
      return {};
    dropUnused(at);
    if (first) {
      graph = std::move(at);
      first = false;
      continue;
    }
    if (at.nodes.size() != graph.nodes.size() || at.weights.size() != graph.weights.size())
      fail(model.path(), ": the graph means different things at different lengths");
    for (size_t i = 0; i < graph.nodes.size(); ++i)
      mergeNode(graph.nodes[i], at.nodes[i]);
  }
  if (past)
    lookFarBack(graph, model);
  bool causal = true, any = false;
  for (RaisedNode &node : graph.nodes) {
    if (node.kind == RaisedKind::PositionEmbedding)
      graph.context = graph.weights[node.weight].rows - node.integer;
    if (node.kind != RaisedKind::Attention)
      continue;
    any = true;
    causal &= node.mask.hidesFuture;
  }
  if (any && causal != graph.hasCache && past)
    fail(model.path(), ": a cache with attention that is not causal is not supported");
  graph.hasCache = any && causal;
  for (RaisedNode &node : graph.nodes) {
    if (node.kind != RaisedKind::Attention)
      continue;
    classifyMask(node, graph.hasCache);
    for (RaisedRope *rope : {&node.queryRope, &node.keyRope}) {
      solveRope(*rope, "node '" + node.location + "'");
      snapFrequencies(*rope, model);
    }
  }
  nameWeights(graph, model);
  return graph;
}
