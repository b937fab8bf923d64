//===- RaiseMerge.cpp - What several looks at a graph have in common ------===//
//
// Nodes must be the same at all sizes; masks become causal, windows or padding, angles become
// frequencies. Every estimate carries its uncertainty, so that rounding of the original is no
// difference and a difference is no rounding.
//
//===----------------------------------------------------------------------===//

#include "RaiseMerge.h"
#include "llmc/Import/ImportError.h"

#include <algorithm>
#include <cmath>

using namespace llmc::onnx;

void llmc::onnx::dropUnused(RaisedGraph &graph) {
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
  double error = 1e-6;
  for (const std::vector<AngleSample> &samples : from.samples)
    for (const AngleSample &sample : samples)
      error = std::max(error, sample.error);
  if (into.present != from.present || into.interleaved != from.interleaved ||
      into.pairs != from.pairs || std::fabs(into.factor - from.factor) > error * into.factor)
    fail(where, ": rotated differently at different lengths");
  if (into.samples.empty())
    into.samples.resize(from.samples.size());
  for (size_t i = 0; i < into.samples.size(); ++i)
    into.samples[i].insert(into.samples[i].end(), from.samples[i].begin(), from.samples[i].end());
}

void llmc::onnx::mergeMask(MaskFacts &into, const MaskFacts &from) {
  into.seesFuture |= from.seesFuture;
  into.hidesFuture |= from.hidesFuture;
  into.seesPadding |= from.seesPadding;
  into.hidesPadding |= from.hidesPadding;
  into.farthestSeen = std::max(into.farthestSeen, from.farthestSeen);
  into.nearestHidden = std::min(into.nearestHidden, from.nearestHidden);
}

/// Whether two numbers of the same node at two sizes are the same up to rounding.
static bool isClose(double a, double b, double error) {
  return std::fabs(a - b) <= error * std::fabs(a);
}

static void mergeNode(RaisedNode &into, const RaisedNode &from, bool withMasks) {
  std::string where = "node '" + into.location + "'";
  double error = std::max(1e-6, 4 * into.grain);
  bool same = into.kind == from.kind && into.inputs == from.inputs && into.width == from.width &&
              into.weight == from.weight && into.bias == from.bias &&
              into.integer == from.integer && into.text == from.text &&
              into.roundsInput == from.roundsInput && into.selection == from.selection &&
              into.heads == from.heads && into.kvHeads == from.kvHeads &&
              isClose(into.number, from.number, error) && isClose(into.scale, from.scale, error) &&
              isClose(into.softcap, from.softcap, error);
  if (!same || into.location != from.location)
    fail(where, ": means different things at different lengths");
  if (into.kind != RaisedKind::Attention)
    return;
  if (into.pastKey.empty()) {
    into.pastKey = from.pastKey;
    into.pastValue = from.pastValue;
    into.keyFactor = from.keyFactor;
    into.valueFactor = from.valueFactor;
  }
  if (withMasks)
    mergeMask(into.mask, from.mask);
  mergeRope(into.queryRope, from.queryRope, where);
  mergeRope(into.keyRope, from.keyRope, where);
}

/// A parameter is one initializer, or made of values that are the same at all lengths.
static bool isSameWeight(const RaisedWeight &a, const RaisedWeight &b) {
  if (a.key < b.key || b.key < a.key || a.rows != b.rows || a.columns != b.columns ||
      a.values.size() != b.values.size())
    return false;
  for (int64_t i = 0; i < a.values.size() && !a.columns; ++i)
    if (!(std::fabs(a.values.at(i) - b.values.at(i)) <= 1e-6 * std::fabs(a.values.at(i))))
      return false;
  return true;
}

void llmc::onnx::mergeGraphs(RaisedGraph &into, const RaisedGraph &from, bool withMasks,
                             const std::string &path) {
  if (from.nodes.size() != into.nodes.size() || from.weights.size() != into.weights.size())
    fail(path, ": the graph means different things at different lengths");
  for (size_t i = 0; i < into.weights.size(); ++i)
    if (!isSameWeight(into.weights[i], from.weights[i]))
      fail(path, ": '", into.weights[i].key.text(), "' is another constant at other lengths");
  for (size_t i = 0; i < into.nodes.size(); ++i)
    mergeNode(into.nodes[i], from.nodes[i], withMasks);
}

void llmc::onnx::checkMask(const MaskFacts &mask, const std::string &where) {
  if (mask.seesFuture && mask.hidesFuture)
    fail(where, ": the mask hides some later positions and shows others");
  if (mask.nearestHidden == std::numeric_limits<int64_t>::max())
    return;
  if (mask.seesFuture)
    fail(where, ": the mask hides positions ", mask.nearestHidden,
         " back and shows later ones; windows to both sides are not supported");
  if (mask.nearestHidden <= mask.farthestSeen)
    fail(where, ": the mask hides a position ", mask.nearestHidden, " back and shows one ",
         mask.farthestSeen, " back");
}

void llmc::onnx::classifyMask(RaisedNode &node, bool hasCache) {
  std::string where = "node '" + node.location + "'";
  const MaskFacts &mask = node.mask;
  checkMask(mask, where);
  node.causal = mask.hidesFuture;
  if (mask.nearestHidden != std::numeric_limits<int64_t>::max()) {
    if (!node.causal)
      fail(where, ": the mask hides some earlier positions and shows others");
    node.window = mask.nearestHidden;
  }
  if (mask.seesPadding && mask.hidesPadding)
    fail(where, ": the mask hides some padded positions and shows others");
  node.usesPadding = mask.hidesPadding && !hasCache;
}

/// One pair: from the smallest position on, each later angle sharpens the estimate.
static void solvePair(std::vector<AngleSample> &samples, double &frequency, double &uncertainty,
                      const std::string &where) {
  std::sort(samples.begin(), samples.end(),
            [](const AngleSample &a, const AngleSample &b) { return a.position < b.position; });
  // Far from the start only the step from one position to the next tells turns apart.
  if (std::isinf(uncertainty) && samples.size() > 1 && samples[0].position > 1 &&
      samples[1].position == samples[0].position + 1) {
    double step = samples[1].angle - samples[0].angle;
    frequency = step - std::nearbyint(step / (2 * M_PI)) * 2 * M_PI;
    uncertainty = samples[0].error + samples[1].error;
  }
  for (const AngleSample &sample : samples) {
    if (sample.position == 0) {
      if (std::fabs(sample.angle) > sample.error)
        fail(where, ": rotated at position 0");
      continue;
    }
    double position = static_cast<double>(sample.position);
    bool isFirst = std::isinf(uncertainty);
    double predicted = isFirst ? 0 : position * frequency;
    double turns = std::nearbyint((predicted - sample.angle) / (2 * M_PI));
    double angle = sample.angle + turns * 2 * M_PI;
    double error = sample.error + std::fabs(angle) * sample.relative;
    double tolerance = error + position * uncertainty;
    if (!isFirst) {
      if (tolerance > 1)
        continue; // A turn more or less could not be told.
      if (std::fabs(predicted - angle) > tolerance)
        fail(where, ": angles are no multiples of the position (pair turned by ", sample.angle,
             " at position ", sample.position, ", expected ", predicted, " up to whole turns)");
    }
    if (error / position < uncertainty) {
      frequency = angle / position;
      uncertainty = error / position;
    }
  }
  samples.clear();
}

void llmc::onnx::solveRotations(RaisedGraph &graph) {
  for (RaisedNode &node : graph.nodes)
    for (RaisedRope *rope : {&node.queryRope, &node.keyRope}) {
      if (!rope->present)
        continue;
      rope->frequencies.resize(rope->samples.size(), 0);
      rope->uncertainties.resize(rope->samples.size(), INFINITY);
      for (size_t i = 0; i < rope->samples.size(); ++i)
        solvePair(rope->samples[i], rope->frequencies[i], rope->uncertainties[i],
                  "node '" + node.location + "'");
    }
}

/// How far the candidate is from what was measured, in units of what may be; above 1 it is another.
static double distance(const RaisedRope &rope, const std::vector<double> &candidate) {
  double worst = 0;
  for (size_t i = 0; i < candidate.size(); ++i) {
    double allowed = 1e-6 * std::fabs(candidate[i]) + 1e-9;
    if (std::isfinite(rope.uncertainties[i]))
      allowed = std::max(allowed, 2 * rope.uncertainties[i]);
    worst = std::max(worst, std::fabs(candidate[i] - rope.frequencies[i]) / allowed);
  }
  return worst;
}

void llmc::onnx::snapFrequencies(RaisedRope &rope, const OnnxModel &model) {
  if (!rope.present)
    return;
  std::vector<double> best;
  double nearest = 1;
  auto consider = [&](const std::vector<double> &candidate) {
    double apart = distance(rope, candidate);
    if (apart < nearest) {
      nearest = apart;
      best = candidate;
    }
  };
  // A geometric sequence from 1 on has one parameter, the base; the roundest that fits was meant.
  double pairs = static_cast<double>(rope.pairs);
  bool isGeometric =
      rope.pairs >= 2 && std::fabs(rope.frequencies[0] - 1) < 1e-6 + 2 * rope.uncertainties[0];
  double base = isGeometric ? std::pow(rope.frequencies[1], -pairs) : 0;
  if (base >= 1 && std::isfinite(base)) { // A frequency may be 0.
    for (int digit = static_cast<int>(std::floor(std::log10(base))); digit >= 0 && best.empty();
         --digit) {
      double unit = std::pow(10, digit);
      std::vector<double> candidate;
      double rounded = std::nearbyint(base / unit) * unit;
      for (int64_t i = 0; i < rope.pairs; ++i)
        candidate.push_back(static_cast<float>(std::pow(rounded, -static_cast<double>(i) / pairs)));
      consider(candidate);
    }
  }
  bool isRound = !best.empty();
  for (const std::string &name : model.initializerNames()) {
    const OnnxTensor &tensor = model.initializer(name);
    if (tensor.size() != rope.pairs || !isFloat(tensor.type()))
      continue;
    std::vector<double> candidate;
    for (int64_t i = 0; i < rope.pairs; ++i)
      candidate.push_back(tensor.at(i));
    // What stands in the file in f32 or wider is it; in 16 bits it may be a rounding of the base's,
    // but not where the original goes on in 16 bits.
    bool isExact = tensor.type() == ElementType::F32 || tensor.isDouble() || rope.coarse;
    if (isExact && distance(rope, candidate) <= 1) {
      rope.frequencies = candidate;
      return;
    }
    if (!isRound)
      consider(candidate);
  }
  if (best.empty())
    return;
  std::vector<double> meant = best;
  if (!rope.coarse) {
    rope.frequencies = meant;
    return;
  }
  // Computed in 16 bits, the base's frequencies were rounded to these before anything else.
  bool isBrain = false;
  for (const std::string &name : model.initializerNames())
    isBrain |= model.initializer(name).type() == ElementType::BF16;
  for (double &frequency : best)
    frequency =
        roundToType(static_cast<float>(frequency), isBrain ? ElementType::BF16 : ElementType::F16);
  rope.frequencies = distance(rope, best) <= 1 ? best : meant;
}
