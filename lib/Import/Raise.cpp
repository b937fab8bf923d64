//===- Raise.cpp - Interpreting a graph at several sizes ------------------===//
//
// The graph is interpreted at a few small sizes, which must give the same nodes, and held against
// itself far out. Masks and rotation angles are merged into what they are at every size.
//
//===----------------------------------------------------------------------===//

#include "RaiseContext.h"
#include "RaiseMerge.h"
#include "Raiser.h"
#include "StoragePool.h"

#include <algorithm>

using namespace llmc::onnx;

namespace {
/// Sizes that the file fixes; 0 where they are free.
struct FixedSizes {
  int64_t batch = 0, past = 0, length = 0;

  explicit FixedSizes(const OnnxModel &model) {
    for (const DeclaredValue &input : model.inputs())
      if (input.dims.size() == 2 && !isFloat(input.type)) {
        batch = std::max(batch, input.dims[0].value);
        if (input.role == InputRole::Ids)
          length = std::max(length, input.dims[1].value);
      } else if (Raiser::isPast(input)) {
        past = std::max(past, input.dims[2].value);
      }
  }
  Sizes apply(Sizes sizes) const {
    if (batch > 0)
      sizes.batch = batch;
    if (length > 0)
      sizes.length = length;
    if (past > 0)
      sizes.past = past;
    return sizes;
  }
};

/// What was seen at the small sizes.
struct Seen {
  RaisedGraph graph;
  ConstantPool pool;
  std::vector<SizeLaws::Point> points;
  bool any = false;
};
} // namespace

/// The small sizes: `largest` bounds the positions. With a past, the lengths of one-position steps
/// start behind a first position, where rotations show.
static std::vector<Sizes> smallSizes(bool past, const FixedSizes &fixed, bool tiny) {
  std::vector<Sizes> points;
  if (fixed.past > 0)
    points = {{2, fixed.past, fixed.length > 0 ? fixed.length : 4, 0}};
  else if (fixed.length > 0 && !past)
    points = {{2, 0, fixed.length, 0},
              {2, 0, fixed.length, std::min<int64_t>(2, fixed.length - 1)}};
  else if (fixed.length == 1)
    points = {{1, 1, 1, 0}, {1, 2, 1, 0}, {1, 4, 1, 0}};
  else if (fixed.length > 0)
    points = {{1, 0, fixed.length, 0}, {1, 1, fixed.length, 0}, {1, 3, fixed.length, 0}};
  else if (past)
    points = tiny ? std::vector<Sizes>{{2, 1, 2, 0}, {1, 0, 3, 0}, {1, 1, 2, 0}, {1, 2, 1, 0}}
                  : std::vector<Sizes>{{2, 3, 5, 0}, {1, 0, 6, 0}, {1, 6, 2, 0}, {1, 2, 3, 0}};
  else
    points = tiny ? std::vector<Sizes>{{2, 0, 3, 0}, {1, 0, 3, 0}, {1, 0, 2, 0}, {2, 0, 3, 1}}
                  : std::vector<Sizes>{{2, 0, 7, 0}, {1, 0, 5, 0}, {1, 0, 4, 0}, {2, 0, 7, 2}};
  for (Sizes &sizes : points)
    sizes = fixed.apply(sizes);
  return points;
}

static Seen lookNear(const OnnxModel &model, bool floatActivations, const std::vector<Sizes> &sizes,
                     std::vector<Misunderstood> &problems) {
  Seen seen;
  for (const Sizes &at : sizes) {
    Raiser raiser(model, at, seen.pool, floatActivations);
    RaisedGraph graph = raiser.run(problems);
    if (!problems.empty())
      return seen;
    dropUnused(graph);
    if (seen.any)
      mergeGraphs(seen.graph, graph, /*withMasks=*/true, model.path());
    else
      seen.graph = std::move(graph);
    seen.any = true;
    if (at.padding == 0)
      seen.points.push_back(raiser.point());
  }
  return seen;
}

/// Points of the last batch size alone: laws of sizes know no batch.
static SizeLaws lawsOf(const Seen &seen) {
  std::vector<SizeLaws::Point> points;
  for (const SizeLaws::Point &point : seen.points)
    if (point.sizes.batch == seen.points.back().sizes.batch)
      points.push_back(point);
  return SizeLaws(points);
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

  FixedSizes fixed(model);
  bool past = Raiser::hasPast(model);
  Seen seen = lookNear(model, floatActivations, smallSizes(past, fixed, false), problems);
  if (!problems.empty() && fixed.length == 0) {
    // A model whose context is a few positions only fails at the others.
    std::vector<Misunderstood> again;
    seen = lookNear(model, floatActivations, smallSizes(past, fixed, true), again);
    if (again.empty())
      problems.clear();
  }
  if (!problems.empty())
    return {};
  RaisedGraph &graph = seen.graph;
  solveRotations(graph);
  bool causal = true, any = false;
  for (RaisedNode &node : graph.nodes) {
    if (node.kind == RaisedKind::PositionEmbedding) {
      int64_t rows = graph.weights[node.weight].rows - node.integer;
      if (graph.context == 0 || rows < graph.context) {
        graph.context = rows;
        graph.contextReason = "node '" + node.location + "': the table of positions ends there";
      }
    }
    if (node.kind != RaisedKind::Attention)
      continue;
    any = true;
    // A graph for one position at a time has no later ones to see.
    node.mask.hidesFuture |= past && fixed.length == 1 && !node.mask.seesFuture;
    causal &= node.mask.hidesFuture;
  }
  if (any && causal != graph.hasCache && past)
    fail(model.path(), ": a cache with attention that is not causal is not supported");
  graph.hasCache = any && causal;
  if (fixed.past == 0 && (fixed.length == 0 || (past && fixed.length == 1))) {
    SizeLaws laws = lawsOf(seen);
    findContext(graph, model, seen.pool, floatActivations, laws, laws.all().back().sizes);
  } else {
    int64_t total = 0;
    for (const SizeLaws::Point &point : seen.points)
      total = std::max(total, point.sizes.total());
    if (graph.context == 0 || graph.context > total) {
      graph.context = total;
      graph.contextReason = "the graph is made for this length";
    }
  }
  for (RaisedNode &node : graph.nodes) {
    if (node.kind != RaisedKind::Attention)
      continue;
    classifyMask(node, graph.hasCache);
    for (RaisedRope *rope : {&node.queryRope, &node.keyRope})
      snapFrequencies(*rope, model);
  }
  nameWeights(graph, model);
  seen.pool = ConstantPool();
  releasePooledStorage();
  return graph;
}
