//===- RaiseContext.cpp - Up to which length a graph is what it seems -----===//
//
// What was understood at a few positions is held against the graph at geometric lengths, up to far
// beyond the contexts in use. Where something changes, bisection finds the last length at which
// nothing has, and the context ends there.
//
//===----------------------------------------------------------------------===//

#include "RaiseContext.h"
#include "FarLook.h"
#include "RaiseMerge.h"
#include "Raiser.h"
#include "llmc/Import/ImportError.h"

#include <algorithm>
#include <set>

using namespace llmc::onnx;

namespace {
class ContextSearch {
public:
  ContextSearch(RaisedGraph &graph, const OnnxModel &model, ConstantPool &pool,
                bool floatActivations, const SizeLaws &laws, const Sizes &small)
      : graph(graph), model(model), pool(pool), floatActivations(floatActivations), laws(laws),
        small(small), hasPast(Raiser::hasPast(model)) {}

  void run();

private:
  /// Fails where the graph at this many positions is not what `graph` says; learns from it where
  /// it is.
  void look(int64_t total, bool wholeGraph);
  bool holds(int64_t total, std::string &reason);

  RaisedGraph &graph;
  const OnnxModel &model;
  ConstantPool &pool;
  bool floatActivations;
  const SizeLaws &laws;
  Sizes small;
  bool hasPast;
};
} // namespace

void ContextSearch::look(int64_t total, bool wholeGraph) {
  int64_t past = hasPast ? total - small.length : 0;
  FarLook far(model, laws, small, past, total - past);
  far.checkShapes();
  std::map<std::vector<MaskSource>, MaskFacts> scanned;
  std::vector<std::pair<RaisedNode *, MaskFacts>> merged;
  for (RaisedNode &node : graph.nodes) {
    if (node.kind != RaisedKind::Attention || node.maskValues.empty())
      continue;
    auto entry = scanned.find(node.maskValues);
    if (entry == scanned.end()) {
      try {
        entry = scanned.emplace(node.maskValues, far.scan(node.maskValues)).first;
      } catch (const ImportError &error) {
        fail("node '", node.location, "': ", error.what());
      }
    }
    MaskFacts facts = node.mask;
    MaskFacts found = entry->second;
    // What the operator hides by itself is hidden whatever its mask shows.
    if (node.hidesByItself) {
      found.seesFuture = false;
      found.hidesFuture = true;
      found.farthestSeen = -1;
    }
    mergeMask(facts, found);
    checkMask(facts, "node '" + node.location + "'");
    merged.emplace_back(&node, facts);
  }
  if (wholeGraph) {
    std::vector<Misunderstood> problems;
    RaisedGraph at = Raiser(model, small, pool, floatActivations, &far).run(problems);
    if (!problems.empty())
      fail("node '", problems[0].node, "' (", problems[0].op, "): ", problems[0].reason);
    dropUnused(at);
    RaisedGraph sharper = graph;
    mergeGraphs(sharper, at, /*withMasks=*/false, model.path());
    solveRotations(sharper);
    for (size_t i = 0; i < graph.nodes.size(); ++i) {
      graph.nodes[i].queryRope = std::move(sharper.nodes[i].queryRope);
      graph.nodes[i].keyRope = std::move(sharper.nodes[i].keyRope);
    }
  }
  for (auto &entry : merged)
    entry.first->mask = entry.second;
}

bool ContextSearch::holds(int64_t total, std::string &reason) {
  try {
    look(total, /*wholeGraph=*/true);
    return true;
  } catch (const ImportError &error) {
    if (error.kind() == ImportError::Kind::Internal)
      throw;
    reason = error.what();
    return false;
  }
}

void ContextSearch::run() {
  constexpr int64_t farthest = int64_t(1) << 20;
  int64_t end = graph.context > 0 ? std::min(graph.context, farthest) : farthest;
  int64_t good = 0, bad = 0;
  for (const SizeLaws::Point &point : laws.all())
    good = std::max(good, point.sizes.total());
  std::string reason;
  // Lengths that are no powers of two, since tables and switches like those.
  for (int64_t total = std::max<int64_t>(good + 1, 16); good < end && !bad;
       total = total * 2 - total / 3) {
    total = std::min(total, end);
    (holds(total, reason) ? good : bad) = total;
  }
  while (bad && bad - good > 1) {
    int64_t middle = good + (bad - good) / 2;
    (holds(middle, reason) ? good : bad) = middle;
  }
  if (!bad)
    return;
  graph.context = good;
  graph.contextReason = reason;
}

void llmc::onnx::findContext(RaisedGraph &graph, const OnnxModel &model, ConstantPool &pool,
                             bool floatActivations, const SizeLaws &laws, const Sizes &small) {
  ContextSearch(graph, model, pool, floatActivations, laws, small).run();
}
