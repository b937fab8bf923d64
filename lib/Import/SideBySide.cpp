//===- SideBySide.cpp - Original and import, one step at a time -----------===//

#include "SideBySide.h"
#include "EvaluatorOps.h"
#include "Raiser.h"
#include "llmc/Import/ImportError.h"

#include <cmath>

using namespace llmc;
using mlir::Value;
using onnx::ElementType;
using onnx::NodeProto;
using onnx::OnnxTensor;
using onnx::RaisedKind;
using onnx::RaisedNode;
using onnx::Shape;
using onnx::ValueMap;

/// Row [batch, position] of a padded position.
bool SideBySide::isHidden(int64_t row) const {
  if (now.padding.empty())
    return false;
  auto [begin, end] = now.padding[row / now.length];
  int64_t position = row % now.length;
  return position >= begin && position < end;
}

double SideBySide::toleranceOf(const RaisedNode &node, int grain) const {
  // Activations that are rounded to integers: a last bit decides between two codes, which lie far
  // apart where one scale is for all rows.
  bool rounded = node.kind == RaisedKind::Linear && node.integer > 0;
  double tolerance = grain == 2 ? 3e-2 : grain == 1 || rounded ? 5e-3 : 1e-4;
  if (node.roundsInput)
    tolerance = std::max(tolerance, 2e-2);
  // An angle in f32 is off by the position's share of a last bit.
  if (node.kind == RaisedKind::Attention && (node.queryRope.present || node.keyRope.present))
    tolerance += std::min(3e-2, 5e-7 * static_cast<double>(now.past + now.length));
  return tolerance;
}

void SideBySide::differ(const RaisedNode &node, double apart) const {
  onnx::fail(model.path(), ": original and import part at node '", node.location, "' by ", apart,
             " of the largest value (past ", now.past, ", ", now.length, " tokens)");
}

/// The largest difference in a row relative to the row's largest value (or a thousandth of the
/// tensor's, where a row is all but zero); infinite where sizes or NaNs differ.
template <typename Got, typename Hidden>
static double difference(const OnnxTensor &expected, const Got &got, int64_t width, Hidden hidden) {
  if (expected.size() != static_cast<int64_t>(got.size()) || width <= 0)
    return INFINITY;
  int64_t rows = expected.size() / width;
  std::vector<double> largest(rows, 0.0), apart(rows, 0.0);
  double most = 0, worst = 0;
  for (int64_t r = 0; r < rows; ++r) {
    if (hidden(r))
      continue;
    for (int64_t i = r * width; i < (r + 1) * width; ++i) {
      double value = expected.at(i), off = std::fabs(value - got[i]);
      largest[r] = std::max(largest[r], std::fabs(value));
      apart[r] = std::isnan(off) ? INFINITY : std::max(apart[r], off);
    }
    most = std::max(most, largest[r]);
  }
  for (int64_t r = 0; r < rows; ++r) {
    double scale = std::max(largest[r], 1e-3 * most);
    worst = std::max(worst, scale > 0 ? apart[r] / scale : apart[r]);
  }
  return worst;
}

void SideBySide::takeOver(const Watched &one, const OnnxTensor &tensor) {
  ReferenceModel::Tensor taken;
  taken.width = graph.nodes[one.node].width;
  taken.data = onnx::toDoubles(tensor);
  reference.replace(values[one.node], std::move(taken));
  reference.release(values[one.node]);
}

/// Compares the rows and columns that were computed and makes up the others.
void SideBySide::compareSampled(const Watched &one, LinearOp op, OnnxTensor &tensor,
                                double tolerance) {
  const RaisedNode &node = graph.nodes[one.node];
  int64_t width = node.width;
  if (tensor.size() != now.batch * now.length * width)
    return differ(node, INFINITY);
  std::vector<int64_t> rows = sampled.pickRows(now.batch * now.length);
  ReferenceModel::Ranges columns = sampled.pickColumns(width, one.product);
  std::vector<double> got = reference.computePart(op, rows, columns);
  std::vector<double> expected;
  std::vector<bool> known(tensor.size(), false);
  for (int64_t row : rows)
    for (auto [begin, end] : columns)
      for (int64_t n = begin; n < end; ++n) {
        expected.push_back(tensor.at(row * width + n));
        known[row * width + n] = true;
      }
  double squares = 0;
  for (double value : expected)
    squares += value * value;
  int64_t each = static_cast<int64_t>(expected.size() / rows.size());
  double apart = difference(
      onnx::fromDoubles(expected, {static_cast<int64_t>(expected.size())}, ElementType::F64), got,
      each, [&](int64_t r) { return isHidden(rows[r]); });
  if (!(apart <= tolerance))
    differ(node, apart);
  double size = 2 * std::sqrt(squares / static_cast<double>(expected.size()));
  for (int64_t i = 0; i < tensor.size(); ++i)
    if (!known[i])
      tensor.set(i, size * arbitrary());
}

void SideBySide::compare(const Watched &one, OnnxTensor &tensor, int grain) {
  const RaisedNode &node = graph.nodes[one.node];
  double tolerance = toleranceOf(node, grain);
  auto linear = values[one.node].getDefiningOp<LinearOp>();
  if (options.sampled && !one.product.empty() && linear) {
    compareSampled(one, linear, tensor, tolerance);
  } else {
    const ReferenceModel::Tensor &got = reference.compute(values[one.node]);
    double apart =
        difference(tensor, got.data, got.width, [&](int64_t row) { return isHidden(row); });
    if (!(apart <= tolerance))
      differ(node, apart);
  }
  takeOver(one, tensor);
}

/// Rows behind the past of a cache that the original returns.
void SideBySide::comparePresent(const std::string &past, const OnnxTensor &present) {
  auto owner = pasts.find(past);
  if (owner == pasts.end() || present.rank() != 4)
    return;
  const RaisedNode &node = graph.nodes[owner->second.attention];
  auto op = values[owner->second.attention].getDefiningOp<AttentionOp>();
  int64_t heads = present.shape()[1], total = present.shape()[2], size = present.shape()[3];
  if (!op || !op.getCache() || heads != node.kvHeads || total != now.past + now.length)
    return;
  ReferenceModel::Cache &cache = reference.cacheOf(op);
  auto &rows = owner->second.isKey ? cache.keys : cache.values;
  double factor = owner->second.isKey ? node.keyFactor : node.valueFactor;
  std::vector<double> got;
  for (int64_t b = 0; b < now.batch; ++b)
    for (int64_t h = 0; h < heads; ++h)
      for (int64_t t = 0; t < total; ++t)
        for (int64_t d = 0; d < size; ++d)
          got.push_back(factor * rows[b][(t * heads + h) * size + d]);
  auto grain = grains.find(graph.presents.at(past));
  double tolerance = toleranceOf(node, grain == grains.end() ? 0 : grain->second);
  double apart = difference(present, got, size, [](int64_t) { return false; });
  if (!(apart <= tolerance))
    onnx::fail(model.path(), ": original and import part at node '", node.location, "' in cache '",
               graph.presents.at(past), "' by ", apart, " of the largest value (past ", now.past,
               ", ", now.length, " tokens)");
}

static int roundingClass(ElementType type) {
  return type == ElementType::BF16 ? 2 : type == ElementType::F16 ? 1 : 0;
}

void SideBySide::visit(const NodeProto &node, const std::string &name, OnnxTensor &tensor) {
  int own = roundingClass(tensor.type()), grain = own;
  for (const std::string &input : node.input()) {
    auto known = grains.find(input);
    if (known != grains.end())
      grain = std::max(grain, known->second);
    else if (model.isInitializer(input) && !weightNames.count(input))
      grain = std::max(grain, roundingClass(model.initializer(input).type()));
  }
  auto found = watched.find(name);
  if (found == watched.end()) {
    grains[name] = grain;
    return;
  }
  for (const Watched &one : found->second)
    compare(one, tensor, grain);
  // The import goes on from this value, however it came about.
  grains[name] = own;
  shapes.emplace(name, tensor.shape());
  types.emplace(name, tensor.type());
}

void SideBySide::run(const CheckStep &step, double products) {
  now = step;
  if (shapes.empty())
    firstStep = step;
  if (step.past == 0)
    kept.clear();
  chooseIds(step);
  double rows = static_cast<double>(step.batch * step.length);
  options.sampled = nullptr;
  if (rows * linearSize > products) {
    sampled.rows = std::min<int64_t>(step.batch * step.length, 8);
    sampled.share = products / (static_cast<double>(sampled.rows) * linearSize);
    options.sampled = &sampled;
  }
  ValueMap inputs = originalInputs(step);
  for (auto &entry : kept)
    inputs[entry.first] = entry.second;
  ReferenceModel::Step next = referenceStep(step);
  std::vector<std::string> watch, wanted;
  for (auto &entry : watched) {
    watch.push_back(entry.first);
    for (const Watched &one : entry.second)
      next.watched.push_back(values[one.node]);
  }
  for (const auto &entry : graph.presents)
    wanted.push_back(entry.second);
  reference.begin(std::move(next));
  if (step.past > 0 && kept.empty()) {
    // A graph of a fixed past has no step before.
    reference.clearCaches();
    for (const auto &owner : pasts)
      if (owner.second.isKey && !fillCache(owner.second.attention, step, inputs))
        onnx::fail(model.path(), ": node '", graph.nodes[owner.second.attention].location,
                   "' has keys of earlier positions without values");
  }
  grains.clear();
  onnx::Evaluator evaluator(model, options);
  ValueMap made = evaluator.run(inputs, wanted, watch,
                                [&](const NodeProto &node, const std::string &name,
                                    OnnxTensor &tensor) { visit(node, name, tensor); });
  // What the last comparison needs is computed; a value that was given away whole is the rest.
  for (const onnx::RaisedOutput &output : graph.outputs)
    if (!made.count(output.name) && !shapes.count(output.name) && values[output.node])
      onnx::fail(model.path(), ": output '", output.name, "' was not compared");
  kept.clear();
  for (const auto &entry : graph.presents) {
    comparePresent(entry.first, made.at(entry.second));
    kept[entry.first] = made.at(entry.second);
  }
}

/// Values at both sides of a window weigh as much as all others together.
double SideBySide::boost(const RaisedNode &attention, int64_t position) const {
  int64_t last = now.past + now.length - 1;
  if (attention.window <= 0 || position < last - attention.window - now.length ||
      position > last - attention.window + 2)
    return 1;
  return std::exp2(std::ceil(std::log2(std::sqrt(static_cast<double>(attention.window)))));
}

/// Gives arbitrary values to a node, or to what it is made of where the original has no value of
/// it.
bool SideBySide::feed(int number, const CheckStep &step, const RaisedNode &attention,
                      ValueMap &inputs,
                      std::vector<std::pair<Value, ReferenceModel::Tensor>> &given, bool isValue) {
  const RaisedNode &node = graph.nodes[number];
  if (node.kind == RaisedKind::Input)
    return true;
  auto shape = shapes.find(node.output);
  if (node.output.empty() || !values[number] || shape == shapes.end()) {
    if (node.inputs.empty())
      return false;
    for (int input : node.inputs)
      if (!feed(input, step, attention, inputs, given, isValue))
        return false;
    return true;
  }
  if (inputs.count(node.output))
    return true;
  Shape sized = shape->second;
  int64_t rows = step.batch * step.length;
  if (sized.size() >= 2 && sized[0] == firstStep.batch && sized[1] == firstStep.length) {
    sized[0] = step.batch;
    sized[1] = step.length;
  } else if (!sized.empty() && sized[0] == firstStep.batch * firstStep.length) {
    sized[0] = rows;
  } else {
    return false;
  }
  if (onnx::elementCount(sized) != rows * node.width)
    return false;
  ReferenceModel::Tensor tensor;
  tensor.width = node.width;
  for (int64_t r = 0; r < rows; ++r) {
    double factor = isValue ? boost(attention, step.past + r % step.length) : 1;
    for (int64_t i = 0; i < node.width; ++i)
      tensor.data.push_back(factor * arbitrary());
  }
  inputs.emplace(node.output, onnx::fromDoubles(tensor.data, sized, types.at(node.output)));
  given.push_back({values[number], std::move(tensor)});
  return true;
}

/// Arbitrary keys and values of the positions before a step, on both sides. After begin.
bool SideBySide::fillCache(int number, const CheckStep &step, ValueMap &inputs) {
  const RaisedNode &node = graph.nodes[number];
  auto op = values[number] ? values[number].getDefiningOp<AttentionOp>() : AttentionOp();
  if (!op || !op.getCache())
    return false;
  for (bool isKey : {true, false}) {
    auto input = inputs.find(isKey ? node.pastKey : node.pastValue);
    if (input == inputs.end())
      return false;
    OnnxTensor &past = input->second;
    int64_t heads = past.shape()[1], size = past.shape()[3];
    auto &rows = isKey ? reference.cacheOf(op).keys : reference.cacheOf(op).values;
    double factor = isKey ? node.keyFactor : node.valueFactor;
    rows.assign(step.batch, std::vector<double>(step.past * heads * size));
    for (int64_t b = 0; b < step.batch; ++b)
      for (int64_t t = 0; t < step.past; ++t)
        for (int64_t h = 0; h < heads; ++h)
          for (int64_t d = 0; d < size; ++d) {
            double value = (isKey ? 1 : boost(node, t)) * arbitrary();
            past.set(((b * heads + h) * step.past + t) * size + d, factor * value);
            rows[b][(t * heads + h) * size + d] = value;
          }
  }
  return true;
}

bool SideBySide::runAttention(int number, const CheckStep &step) {
  const RaisedNode &node = graph.nodes[number];
  auto op = values[number] ? values[number].getDefiningOp<AttentionOp>() : AttentionOp();
  if (!op || node.output.empty())
    return false;
  now = step;
  chooseIds(step);
  options.sampled = nullptr;
  ValueMap inputs = originalInputs(step);
  std::vector<std::pair<Value, ReferenceModel::Tensor>> given;
  for (int i = 0; i < 3; ++i)
    if (!feed(node.inputs[i], step, node, inputs, given, i == 2))
      return false;
  ReferenceModel::Step next = referenceStep(step);
  next.watched.push_back(values[number]);
  reference.begin(std::move(next));
  reference.clearCaches();
  for (auto &entry : given)
    reference.replace(entry.first, std::move(entry.second));
  if (step.past > 0 && !fillCache(number, step, inputs))
    return false;
  grains.clear();
  int grain = 0;
  onnx::Evaluator evaluator(model, options);
  OnnxTensor made;
  evaluator.run(inputs, {}, {node.output},
                [&](const NodeProto &maker, const std::string &name, OnnxTensor &tensor) {
                  if (watched.count(name) && name != node.output)
                    return;
                  grain = roundingClass(tensor.type());
                  for (const std::string &input : maker.input()) {
                    auto known = grains.find(input);
                    grain = std::max(grain, known == grains.end() ? 0 : known->second);
                    if (model.isInitializer(input) && !weightNames.count(input))
                      grain = std::max(grain, roundingClass(model.initializer(input).type()));
                  }
                  grains[name] = grain;
                  if (name == node.output)
                    made = tensor;
                });
  const ReferenceModel::Tensor &got = reference.compute(values[number]);
  double apart = difference(made, got.data, got.width, [](int64_t) { return false; });
  auto known = grains.find(node.output);
  if (!(apart <= toleranceOf(node, known == grains.end() ? 0 : known->second)))
    differ(node, apart);
  kept.clear();
  return true;
}

bool SideBySide::runEmbedding(int number, const CheckStep &step, const std::string &input,
                              const std::vector<int64_t> &chosen) {
  const RaisedNode &node = graph.nodes[number];
  if (node.output.empty() || !values[number])
    return false;
  now = step;
  chooseIds(step);
  if (!chosen.empty())
    ids[input] = chosen;
  ReferenceModel::Step next = referenceStep(step);
  next.watched.push_back(values[number]);
  reference.begin(next);
  onnx::Evaluator evaluator(model, options);
  ValueMap made = evaluator.run(originalInputs(step), {node.output});
  const ReferenceModel::Tensor &got = reference.compute(values[number]);
  const OnnxTensor &expected = made.at(node.output);
  double apart = difference(expected, got.data, got.width, [](int64_t) { return false; });
  if (!(apart <= toleranceOf(node, roundingClass(expected.type()))))
    differ(node, apart);
  kept.clear();
  return true;
}
