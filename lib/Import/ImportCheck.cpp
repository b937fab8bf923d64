//===- ImportCheck.cpp - Original and import, side by side ----------------===//
//
// Which steps are looked at: the whole model on a few tokens (prefill, cached steps, batches,
// padding), every row of its tables, and one attention of each kind at both sides of its window, of
// every length where something changes, and of the end of the context.
//
//===----------------------------------------------------------------------===//

#include "ImportCheck.h"
#include "Raiser.h"
#include "SideBySide.h"

#include <set>
#include <sstream>

using namespace llmc;
using mlir::Value;
using onnx::RaisedKind;
using onnx::RaisedNode;

/// Multiply-adds of linears on each side: every weight takes part in the first run up to some ten
/// billion parameters' worth of rows; later runs look at structure, which a part of each shows too.
static constexpr double kFirstProducts = 16e9, kLaterProducts = 1e9;
/// Elements of one tensor of scores, and of a cache, that a look far out may make.
static constexpr int64_t kMostScores = int64_t(1) << 25, kMostCache = int64_t(1) << 23;
static constexpr int64_t kFewScores = int64_t(1) << 22, kFar = 4096;

namespace {
class Plan {
public:
  Plan(const onnx::RaisedGraph &graph, const onnx::OnnxModel &model) : graph(graph) {
    hasPast = onnx::Raiser::hasPast(model) && graph.hasCache;
    for (const onnx::DeclaredValue &input : model.inputs())
      if (input.name == graph.idsInput && input.dims.size() == 2) {
        fixedBatch = std::max<int64_t>(input.dims[0].value, 0);
        fixedLength = std::max<int64_t>(input.dims[1].value, 0);
      } else if (onnx::Raiser::isPast(input)) {
        fixedPast = std::max(fixedPast, input.dims[2].value);
      }
    for (const RaisedNode &node : graph.nodes)
      padded |= node.kind == RaisedKind::Attention && node.usesPadding;
  }

  /// The whole model.
  std::vector<CheckStep> wholeSteps() const;
  /// One attention, far out.
  std::vector<CheckStep> farSteps(const RaisedNode &attention) const;
  /// As few steps as cover `count` positions from 0 on; with a table of ids as many rows.
  CheckStep tableStep(int64_t count) const;
  bool isFixed() const { return fixedLength > 0 || fixedPast > 0; }
  bool canStep() const { return hasPast; }

private:
  void add(std::vector<CheckStep> &steps, CheckStep step) const;

  const onnx::RaisedGraph &graph;
  int64_t fixedBatch = 0, fixedPast = 0, fixedLength = 0;
  bool hasPast = false, padded = false;
};
} // namespace

/// Adds a step as the model can take it.
void Plan::add(std::vector<CheckStep> &steps, CheckStep step) const {
  if (fixedBatch)
    step.batch = fixedBatch;
  if (fixedLength)
    step.length = fixedLength;
  if (graph.context > 0 && step.past + step.length > graph.context) {
    if (fixedLength || step.past >= graph.context)
      return;
    step.length = graph.context - step.past;
  }
  step.padding.resize(padded ? step.batch : 0);
  for (auto &[begin, end] : step.padding) {
    begin = std::min(begin, step.length);
    end = std::min(end, step.length);
    if (end - begin >= step.length)
      end = begin;
  }
  steps.push_back(std::move(step));
}

std::vector<CheckStep> Plan::wholeSteps() const {
  std::vector<CheckStep> steps;
  // Other rows of a batch than the first, and at the end of its rows, at their beginning and
  // between.
  if (!graph.hasCache) {
    add(steps, {2, 0, 7, {{7, 7}, {5, 7}}});
    if (!fixedBatch && !fixedLength) {
      add(steps, {3, 0, 6, {{0, 2}, {3, 6}, {2, 4}}});
      add(steps, {1, 0, 1, {}});
    }
    return steps;
  }
  if (fixedPast) {
    add(steps, {2, fixedPast, 3, {}});
    return steps;
  }
  for (int64_t batch : {2, 3}) {
    size_t before = steps.size();
    add(steps, {batch, 0, batch == 2 ? 6 : 4, {}});
    if (hasPast && steps.size() > before) {
      int64_t past = steps.back().length;
      for (int64_t length : {1, 2, 1}) {
        before = steps.size();
        add(steps, {batch, past, length, {}});
        past += steps.size() > before ? steps.back().length : 0;
      }
    }
    if (fixedBatch)
      break;
  }
  return steps;
}

std::vector<CheckStep> Plan::farSteps(const RaisedNode &attention) const {
  std::vector<CheckStep> steps;
  if (fixedPast || (fixedLength && !hasPast))
    return steps;
  // Total lengths at which something ends or changes.
  std::set<int64_t> edges(graph.checkLengths.begin(), graph.checkLengths.end());
  if (attention.window > 0)
    edges.insert(attention.window);
  if (graph.context > 0)
    edges.insert(graph.context);
  for (const onnx::RaisedRope *rope : {&attention.queryRope, &attention.keyRope})
    if (rope->originalContext > 0)
      edges.insert(rope->originalContext);
  int64_t heads = std::max<int64_t>(attention.heads, 1), cacheRow = 1;
  for (int input : {attention.inputs[1], attention.inputs[2]})
    cacheRow = std::max(cacheRow, graph.nodes[input].width);
  if (attention.queryRope.present || attention.keyRope.present) {
    // Small frequencies show far from the start only.
    int64_t far = graph.context > 0 ? std::min(graph.context, kFar) : kFar;
    if (hasPast) {
      far = std::min(far, kMostCache / cacheRow);
      add(steps, {1, std::max<int64_t>(far - 2, 0), 2, {}});
    } else {
      while (heads * far * far > kFewScores)
        far = far * 3 / 4;
      add(steps, {1, 0, far, {}});
    }
  }
  for (int64_t edge : edges) {
    if (hasPast) {
      if ((edge + 4) * cacheRow > kMostCache)
        continue;
      // One position at a time, and several across the edge at once.
      for (int64_t past : {edge - 2, edge - 1, edge, edge + 1})
        if (past >= 0)
          add(steps, {1, past, 1, {}});
      add(steps, {1, std::max<int64_t>(edge - 2, 0), 5, {}});
    } else {
      // Both sides of an edge that may lie in the middle of what is seen.
      int64_t length = attention.causal ? edge + 3 : 2 * edge + 3;
      for (int64_t each : {edge - 1, edge, length})
        if (each > 0 && heads * each * each <= kMostScores)
          add(steps, {1, 0, each, {}});
    }
  }
  return steps;
}

CheckStep Plan::tableStep(int64_t count) const {
  CheckStep step;
  step.past = fixedPast;
  step.length = fixedLength ? fixedLength : count;
  if (graph.context > 0 && !fixedLength)
    step.length = std::min(step.length, graph.context - step.past);
  step.batch =
      fixedBatch ? fixedBatch : std::max<int64_t>(count / std::max<int64_t>(step.length, 1), 1);
  return step;
}

/// What two attentions must have in common to be looked at once.
static std::string kindOf(const RaisedNode &node) {
  std::ostringstream text;
  text << node.heads << ' ' << node.kvHeads << ' ' << node.scale << ' ' << node.softcap << ' '
       << node.window << ' ' << node.causal << node.usesPadding << node.pastKey.empty();
  for (const onnx::RaisedRope *rope : {&node.queryRope, &node.keyRope}) {
    text << ' ' << rope->present << rope->interleaved << ' ' << rope->pairs << ' ' << rope->factor;
    for (const std::vector<double> *all : {&rope->frequencies, &rope->longFrequencies})
      for (double frequency : *all)
        text << ' ' << frequency;
  }
  return text.str();
}

/// The node by which a table can be compared: itself, or the first that adds it to other tables;
/// -1 if there is none.
static int comparedFor(const onnx::RaisedGraph &graph, int table) {
  static const std::set<RaisedKind> cheap = {RaisedKind::Embedding, RaisedKind::PositionEmbedding,
                                             RaisedKind::Add,       RaisedKind::AddVector,
                                             RaisedKind::Scale,     RaisedKind::MultiplyVector};
  std::vector<bool> fromTables(graph.nodes.size());
  std::vector<bool> holds(graph.nodes.size(), false);
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    const RaisedNode &node = graph.nodes[i];
    fromTables[i] = node.kind == RaisedKind::Input || cheap.count(node.kind);
    holds[i] = static_cast<int>(i) == table;
    for (int input : node.inputs) {
      fromTables[i] = fromTables[i] && fromTables[input];
      holds[i] = holds[i] || holds[input];
    }
    if (holds[i] && fromTables[i] && !node.output.empty())
      return static_cast<int>(i);
  }
  return -1;
}

/// Every row of a table, in steps the model can take.
static void checkTable(SideBySide &sides, const Plan &plan, const onnx::RaisedGraph &graph,
                       int number, int table) {
  const RaisedNode &node = graph.nodes[table];
  int64_t rows = graph.weights[node.weight].rows;
  if (node.kind == RaisedKind::PositionEmbedding) {
    int64_t positions = std::max<int64_t>(rows - std::max<int64_t>(node.integer, 0), 1);
    if (graph.context > 0)
      positions = std::min(positions, graph.context);
    if (plan.isFixed()) {
      sides.runEmbedding(number, plan.tableStep(positions), "", {});
      return;
    }
    int64_t each = std::max<int64_t>(kMostCache / std::max<int64_t>(node.width, 1), 1);
    for (int64_t first = 0; first < positions && (first == 0 || plan.canStep()); first += each)
      sides.runEmbedding(number, {1, first, std::min(each, positions - first), {}}, "", {});
    return;
  }
  constexpr int64_t kRows = 1024, kMostRuns = 256;
  CheckStep step = plan.tableStep(std::min(rows, kRows));
  int64_t each = step.batch * step.length, runs = (rows + each - 1) / each;
  int64_t most = std::min(runs, kMostRuns); // A graph for one id at a time: some of them.
  for (int64_t run = 0; run < most; ++run) {
    int64_t first = run * runs / most * each;
    std::vector<int64_t> ids(each);
    for (int64_t i = 0; i < each; ++i)
      ids[i] = std::min(first + i, rows - 1);
    if (!sides.runEmbedding(number, step, graph.nodes[node.inputs[0]].text, ids))
      return;
  }
}

void llmc::checkImport(ModuleOp module, const onnx::RaisedGraph &graph,
                       const std::vector<Value> &values, const onnx::OnnxModel &model,
                       bool floatActivations,
                       const std::function<void(const std::string &)> &progress) {
  SideBySide sides(module, graph, values, model, floatActivations);
  Plan plan(graph, model);
  std::vector<std::pair<int, CheckStep>> far; // Attention and where to look at it.
  std::map<std::string, std::vector<int>> kinds;
  std::vector<std::pair<int, int>> tables; // The node to compare, and that of the table.
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    const RaisedNode &node = graph.nodes[i];
    int number = static_cast<int>(i);
    if (node.kind == RaisedKind::Attention)
      kinds[kindOf(node)].push_back(number);
    if (node.kind == RaisedKind::Embedding || node.kind == RaisedKind::PositionEmbedding)
      if (int compared = comparedFor(graph, number); compared >= 0)
        tables.push_back({compared, number});
  }
  for (const auto &entry : kinds)
    for (int number : std::set<int>{entry.second.front(), entry.second.back()})
      for (CheckStep &step : plan.farSteps(graph.nodes[number]))
        far.push_back({number, std::move(step)});
  std::vector<CheckStep> whole = plan.wholeSteps();
  size_t steps = whole.size() + far.size() + tables.size(), done = 0;
  auto say = [&](const std::string &what) {
    if (progress)
      progress("comparing the module with the original: " + what + " (" + std::to_string(++done) +
               " of " + std::to_string(steps) + ")");
  };
  double products = kFirstProducts;
  for (const CheckStep &step : whole) {
    bool part = static_cast<double>(step.batch * step.length) * sides.productsPerRow() > products;
    say(std::to_string(step.length) + " tokens behind " + std::to_string(step.past) +
        (part ? ", some columns of each linear" : ""));
    sides.run(step, products);
    products = kLaterProducts;
  }
  for (auto [number, table] : tables) {
    say("table of '" + graph.nodes[table].location + "'");
    checkTable(sides, plan, graph, number, table);
  }
  for (auto &[number, step] : far) {
    say("attention '" + graph.nodes[number].location + "', " + std::to_string(step.length) +
        " tokens behind " + std::to_string(step.past));
    sides.runAttention(number, step);
  }
}
