//===- RaiseContext.cpp - Up to which length a graph is what it seems -----===//
//
// What was understood at a few positions is held against the graph at geometric lengths, up to far
// beyond the contexts in use. Where something changes, bisection finds the last length at which
// nothing has, and the context ends there; but where only the rotation is another from there on,
// both belong to the model (LongRoPE).
//
//===----------------------------------------------------------------------===//

#include "RaiseContext.h"
#include "FarLook.h"
#include "RaiseMerge.h"
#include "Raiser.h"
#include "llmc/Import/ImportError.h"

#include <algorithm>
#include <cmath>
#include <set>

using namespace llmc::onnx;

static constexpr int64_t kFarthest = int64_t(1) << 20;

namespace {
/// One call: total positions behind it, how many before, and which rows to look at (none: a few).
struct Call {
  int64_t total, past;
  std::vector<int64_t> rows = {};
};

/// Lengths from the first that nobody has looked at on.
struct Stretch {
  int64_t good = 0; ///< The last length that is known to hold.
  int64_t bad = 0;  ///< The first that does not, or 0.
  std::string reason;
};

class ContextSearch {
public:
  ContextSearch(RaisedGraph &graph, const OnnxModel &model, ConstantPool &pool,
                bool floatActivations, const SizeLaws &laws, const Sizes &small)
      : graph(graph), model(model), pool(pool), floatActivations(floatActivations), laws(laws),
        small(small), hasPast(Raiser::hasPast(model)) {}

  void run();

private:
  /// Fails where the graph in this call is not what `seen` says; learns from it where it is.
  /// Returns the context that the graph itself is bound to there, with its reason, or 0.
  int64_t look(RaisedGraph &seen, const Call &call, std::string &boundedBy);
  bool holds(RaisedGraph &seen, int64_t total, std::string &reason);
  void search(RaisedGraph &seen, Stretch &stretch, int64_t end);
  bool findLongRotation(int64_t original);

  RaisedGraph &graph;
  const OnnxModel &model;
  ConstantPool &pool;
  bool floatActivations;
  const SizeLaws &laws;
  Sizes small;
  bool hasPast;
};
} // namespace

int64_t ContextSearch::look(RaisedGraph &seen, const Call &call, std::string &boundedBy) {
  FarLook far(model, laws, small, call.past, call.total - call.past, call.rows);
  far.checkShapes();
  std::map<std::vector<MaskSource>, MaskFacts> scanned;
  std::vector<std::pair<RaisedNode *, MaskFacts>> merged;
  for (RaisedNode &node : seen.nodes) {
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
  std::vector<Misunderstood> problems;
  RaisedGraph at = Raiser(model, small, pool, floatActivations, &far).run(problems);
  if (!problems.empty())
    fail("node '", problems[0].node, "' (", problems[0].op, "): ", problems[0].reason);
  if (at.context > 0 && at.context < call.total)
    fail(at.contextReason);
  dropUnused(at);
  RaisedGraph sharper = seen;
  mergeGraphs(sharper, at, /*withMasks=*/false, model.path());
  solveRotations(sharper);
  for (size_t i = 0; i < seen.nodes.size(); ++i) {
    seen.nodes[i].queryRope = std::move(sharper.nodes[i].queryRope);
    seen.nodes[i].keyRope = std::move(sharper.nodes[i].keyRope);
  }
  for (auto &entry : merged)
    entry.first->mask = entry.second;
  boundedBy = at.contextReason;
  return at.context;
}

/// As a step behind a cache, and as one call from the start on.
bool ContextSearch::holds(RaisedGraph &seen, int64_t total, std::string &reason) {
  try {
    std::string boundedBy;
    if (hasPast)
      look(seen, {total, total - small.length}, boundedBy);
    look(seen, {total, 0}, boundedBy);
    return true;
  } catch (const ImportError &error) {
    if (error.kind() == ImportError::Kind::Internal)
      throw;
    reason = error.what();
    return false;
  }
}

void ContextSearch::search(RaisedGraph &seen, Stretch &stretch, int64_t end) {
  int64_t &good = stretch.good, &bad = stretch.bad;
  // Lengths that are no powers of two, since tables and switches like those.
  for (int64_t total = std::max<int64_t>(good + 1, 16); good < end && !bad;
       total = total * 2 - total / 3) {
    total = std::min(total, end);
    (holds(seen, total, stretch.reason) ? good : bad) = total;
  }
  while (bad && bad - good > 1) {
    int64_t middle = good + (bad - good) / 2;
    (holds(seen, middle, stretch.reason) ? good : bad) = middle;
  }
}

/// Whether two estimates of the same rotation may be of one.
static bool isSameRotation(const RaisedRope &a, const RaisedRope &b) {
  for (size_t i = 0; i < a.frequencies.size(); ++i) {
    double error = a.uncertainties[i] + b.uncertainties[i];
    if (!(std::fabs(a.frequencies[i] - b.frequencies[i]) <= 2 * error + 1e-6 * a.frequencies[i]))
      return false;
  }
  return true;
}

/// Beyond `original` positions nothing but the rotation may be another. True where that is so; the
/// graph then has both, and the context of the longer one.
bool ContextSearch::findLongRotation(int64_t original) {
  bool rotates = false, hasTable = false; // A table of positions ends where it ends.
  for (const RaisedNode &node : graph.nodes) {
    rotates |= node.queryRope.present || node.keyRope.present;
    hasTable |= node.kind == RaisedKind::PositionEmbedding;
  }
  if (!rotates || hasTable)
    return false;
  RaisedGraph later = graph;
  for (RaisedNode &node : later.nodes)
    for (RaisedRope *rope : {&node.queryRope, &node.keyRope}) {
      rope->frequencies.clear();
      rope->uncertainties.clear();
    }
  Stretch stretch;
  stretch.good = original + 1;
  int64_t bound = 0;
  std::string boundedBy;
  try {
    // One call from the start on: small positions come first, each next one sharpens.
    for (int64_t row = 1; row < stretch.good;) {
      Call call = {stretch.good, 0};
      for (int64_t i = 0; i < small.length; ++i, row = std::min(2 * row, stretch.good))
        call.rows.push_back(std::min(row, original));
      bound = look(later, call, boundedBy);
    }
  } catch (const ImportError &error) {
    if (error.kind() == ImportError::Kind::Internal)
      throw;
    return false;
  }
  search(later, stretch, bound ? std::min(bound, kFarthest) : kFarthest);
  // One that goes on changing (dynamic NTK) is no second rotation.
  if (stretch.good < 2 * original)
    return false;
  bool any = false;
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    RaisedRope *ropes[] = {&graph.nodes[i].queryRope, &graph.nodes[i].keyRope};
    RaisedRope *others[] = {&later.nodes[i].queryRope, &later.nodes[i].keyRope};
    for (int k : {0, 1}) {
      if (!ropes[k]->present || isSameRotation(*ropes[k], *others[k]))
        continue;
      snapFrequencies(*others[k], model);
      ropes[k]->longFrequencies = others[k]->frequencies;
      ropes[k]->originalContext = original;
      any = true;
    }
  }
  if (!any)
    return false;
  for (size_t i = 0; i < graph.nodes.size(); ++i)
    graph.nodes[i].mask = later.nodes[i].mask;
  graph.context = stretch.bad ? stretch.good : bound;
  graph.contextReason = stretch.bad ? stretch.reason : boundedBy;
  return true;
}

void ContextSearch::run() {
  int64_t stated = graph.context > 0 ? std::min(graph.context, kFarthest) : kFarthest;
  Stretch stretch;
  for (const SizeLaws::Point &point : laws.all())
    stretch.good = std::max(stretch.good, point.sizes.total());
  search(graph, stretch, stated);
  // A cache keeps what was turned before; without one, a rotation that changes is for good.
  if (hasPast && stretch.good < kFarthest && findLongRotation(stretch.good))
    return;
  if (!stretch.bad)
    return;
  graph.context = stretch.good;
  graph.contextReason = stretch.reason;
}

void llmc::onnx::findContext(RaisedGraph &graph, const OnnxModel &model, ConstantPool &pool,
                             bool floatActivations, const SizeLaws &laws, const Sizes &small) {
  ContextSearch(graph, model, pool, floatActivations, laws, small).run();
}
