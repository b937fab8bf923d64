//===- RaiseAttention.cpp - Attention, its heads, cache and mask ----------===//
//
// Where queries meet keys, the views say everything: which features are which head, which keys come
// from a past tensor, how heads are shared, and what was rotated by what angle. Masks are
// classified by what they hide at these sizes.
//
//===----------------------------------------------------------------------===//

#include "Raiser.h"

#include <algorithm>
#include <cmath>

using namespace llmc::onnx;

View Raiser::swapLast(const View &view) const {
  int64_t rank = static_cast<int64_t>(view.shape.size());
  if (rank < 2)
    notUnderstood("a product of data with data that is no attention");
  std::vector<int64_t> perm(rank);
  for (int64_t d = 0; d < rank; ++d)
    perm[d] = d;
  std::swap(perm[rank - 1], perm[rank - 2]);
  View result;
  for (const Term &term : view.terms) {
    Term moved;
    moved.uniform = term.uniform;
    moved.index = transpose(term.index, perm);
    if (term.factor)
      moved.factor = transpose(*term.factor, perm);
    result.shape = moved.index.shape();
    result.terms.push_back(std::move(moved));
  }
  return result;
}

/// [batch, heads, rows, size] of a view with these dimensions, or with the first two merged, or
/// [batch, rows, heads * size].
View Raiser::headView(const View &view, int64_t heads) const {
  View result = view;
  Shape shape = view.shape;
  bool flat = shape.size() == 3 && heads > 0 && shape[0] == sizes.batch;
  if (flat) {
    if (shape[2] % heads != 0)
      notUnderstood("its width is no multiple of its heads");
    shape = {shape[0], shape[1], heads, shape[2] / heads};
  } else if (shape.size() == 3 && shape[0] % sizes.batch == 0) {
    shape = {sizes.batch, shape[0] / sizes.batch, shape[1], shape[2]};
  }
  if (shape.size() != 4 || shape[0] != sizes.batch)
    notUnderstood("an operand of shape " + shapeString(view.shape));
  for (Term &term : result.terms) {
    term.index = term.index.reshaped(shape);
    if (term.factor)
      term.factor = term.factor->reshaped(shape);
    if (flat) {
      term.index = transpose(term.index, {0, 2, 1, 3});
      if (term.factor)
        term.factor = transpose(*term.factor, {0, 2, 1, 3});
    }
    result.shape = term.index.shape();
  }
  return result;
}

namespace {
struct Contribution {
  int64_t feature;
  double factor;
};
} // namespace

Raiser::HeadOperand Raiser::headOperand(const View &view, const char *what) {
  const Shape &s = view.shape;
  int64_t batch = s[0], heads = s[1], rows = s[2], size = s[3], first = rows - sizes.length;
  if (batch != sizes.batch || first < 0 || (first > 0 && first != sizes.past))
    notUnderstood(std::string(what) + " of shape " + shapeString(s));
  HeadOperand out;
  out.size = size;
  auto element = [&](int64_t b, int64_t h, int64_t r, int64_t d) {
    return ((b * heads + h) * rows + r) * size + d;
  };
  auto contributions = [&](int64_t i, int &source, int64_t &row) {
    std::vector<Contribution> found;
    for (const Term &term : view.terms) {
      double factor = term.at(i);
      if (factor == 0)
        continue;
      int64_t index = term.index.ints()[i];
      int from = sourceOf(index);
      if (from < 0 || from >= pastBase || (source >= 0 && from != source))
        notUnderstood(std::string(what) + " does not come from one tensor");
      source = from;
      int64_t width = graph.nodes[from].width, feature = elementOf(index) % width;
      row = elementOf(index) / width;
      auto same = std::find_if(found.begin(), found.end(),
                               [&](const Contribution &c) { return c.feature == feature; });
      if (same == found.end())
        found.push_back({feature, factor});
      else
        same->factor += factor;
    }
    return found;
  };

  // Which features belong to each head: those that its elements at the first row come from.
  int source = -1;
  std::vector<int64_t> base(heads, std::numeric_limits<int64_t>::max());
  for (int64_t h = 0; h < heads; ++h)
    for (int64_t r = first; r < rows; ++r)
      for (int64_t d = 0; d < size; ++d) {
        int64_t row;
        for (const Contribution &c : contributions(element(0, h, r, d), source, row))
          base[h] = std::min(base[h], c.feature);
      }
  std::vector<int64_t> distinct;
  for (int64_t b : base)
    if (distinct.empty() || distinct.back() != b)
      distinct.push_back(b);
  out.heads = static_cast<int64_t>(distinct.size());
  if (heads % out.heads != 0)
    notUnderstood(std::string(what) + " heads are shared unevenly");
  int64_t shared = heads / out.heads;
  for (int64_t h = 0; h < heads; ++h)
    if (base[h] != distinct[h / shared])
      notUnderstood(std::string(what) + " heads are shared unevenly");

  // own[r][d], other[r][d]: factors of the element itself and of its partner in the rotation.
  std::vector<std::vector<double>> own(sizes.length, std::vector<double>(size, 0)), other = own;
  std::vector<int64_t> partner(size, -1);
  for (int64_t b = 0; b < batch; ++b)
    for (int64_t h = 0; h < heads; ++h)
      for (int64_t r = 0; r < sizes.length; ++r)
        for (int64_t d = 0; d < size; ++d) {
          int64_t row = -1;
          double mine = 0, theirs = 0;
          for (const Contribution &c : contributions(element(b, h, first + r, d), source, row)) {
            int64_t at = c.feature - base[h];
            if (row != b * sizes.length + r || at >= size)
              notUnderstood(std::string(what) + " mixes positions or heads");
            if (at == d) {
              mine = c.factor;
            } else if (partner[d] < 0 || partner[d] == at) {
              partner[d] = at;
              theirs = c.factor;
            } else {
              notUnderstood(std::string(what) + " mixes more than two features");
            }
          }
          if (b == 0 && h == 0) {
            own[r][d] = mine;
            other[r][d] = theirs;
          } else if (own[r][d] != mine || other[r][d] != theirs) {
            notUnderstood(std::string(what) + " is treated differently in different heads");
          }
        }

  int64_t rotated = size - std::count(partner.begin(), partner.end(), -1);
  out.multiplier = own[0][size - 1];
  // cos and sin may be rounded to 16 bits.
  double grain = nodeGrain, loose = std::max(1e-6, 4 * grain);
  if (rotated > 0) {
    RaisedRope &rope = out.rope;
    rope.present = true;
    rope.pairs = rotated / 2;
    rope.interleaved = rotated > 2 && partner[0] == 1;
    rope.samples.resize(rope.pairs);
    double length = 0;
    for (int64_t r = 0; r < sizes.length; ++r)
      for (int64_t d = 0; d < size; ++d)
        if (partner[d] >= 0)
          length += std::hypot(own[r][d], other[r][d]);
    length /= static_cast<double>(sizes.length * rotated);
    if (std::fabs(length - 1) < std::max(1e-6, 2 * grain))
      length = 1;
    // What a wholly rotated operand is multiplied by goes into the scale, whatever comes before or
    // behind the cache.
    if (rotated == size)
      out.multiplier = length;
    // Beyond this many positions a rounded angle does not tell one from the next.
    rope.coarse = nodeAngleGrain > 0;
    if (rope.coarse)
      limitContext(std::llround(1 / nodeAngleGrain), "its angles are computed in 16 bits");
    rope.factor = length / out.multiplier;
    for (int64_t i = 0; i < rope.pairs; ++i) {
      int64_t a = rope.interleaved ? 2 * i : i, b = rope.interleaved ? 2 * i + 1 : i + rope.pairs;
      if (rotated % 2 || partner[a] != b || partner[b] != a)
        notUnderstood(std::string(what) + " is rotated in an unknown layout");
      for (int64_t r = 0; r < sizes.length; ++r) {
        bool rotation =
            std::fabs(own[r][a] - own[r][b]) <= loose * length &&
            std::fabs(other[r][a] + other[r][b]) <= loose * length &&
            std::fabs(std::hypot(own[r][a], other[r][b]) - length) <= 10 * loose * length;
        if (!rotation)
          notUnderstood(std::string(what) + " is multiplied by something that is no rotation");
        rope.samples[i].push_back({position(r), std::atan2(other[r][b], own[r][a]),
                                   std::max(1e-6, 2 * grain),
                                   std::max(0x1p-22, 1.5 * nodeAngleGrain)});
      }
    }
  }
  for (int64_t r = 0; r < sizes.length; ++r)
    for (int64_t d = 0; d < size; ++d)
      if (partner[d] < 0 && own[r][d] != out.multiplier)
        notUnderstood(std::string(what) + " is scaled unevenly");

  // Earlier rows come from a past tensor, in the same order of heads.
  for (int64_t b = 0; b < batch && first > 0; ++b)
    for (int64_t h = 0; h < heads; ++h)
      for (int64_t r = 0; r < first; ++r)
        for (int64_t d = 0; d < size; ++d) {
          int64_t i = element(b, h, r, d),
                  expected = ((b * out.heads + h / shared) * first + r) * size + d;
          int past = -1;
          double factor = 0;
          for (const Term &term : view.terms) {
            if (term.at(i) == 0)
              continue;
            if (factor != 0 || sourceOf(term.index.ints()[i]) < pastBase ||
                elementOf(term.index.ints()[i]) != expected)
              notUnderstood(std::string(what) + " does not take the cache as it is");
            past = sourceOf(term.index.ints()[i]);
            factor = term.at(i);
          }
          if (past < 0)
            notUnderstood(std::string(what) + " does not take the cache as it is");
          const std::string &name = pastNames[past - pastBase];
          if (out.past.empty()) {
            out.past = name;
            out.pastFactor = factor;
          }
          if (out.past != name || factor != out.pastFactor)
            notUnderstood(std::string(what) + " treats cached positions differently");
        }
  // What the file keeps must be what this factor makes a new row from.
  if (!out.past.empty())
    presentFactors[out.past] = out.multiplier / out.pastFactor;

  View canonical;
  canonical.shape = {batch, sizes.length, out.heads * size};
  Term term;
  term.index = OnnxTensor(ElementType::I64, canonical.shape);
  int64_t width = graph.nodes[source].width;
  for (int64_t i = 0; i < canonical.size(); ++i) {
    int64_t f = i % (out.heads * size), row = i / (out.heads * size);
    term.index.mutableInts()[i] = makeIndex(source, row * width + distinct[f / size] + f % size);
  }
  canonical.terms.push_back(std::move(term));
  out.source = materialize(canonical);
  return out;
}

/// Masks scores, or masks them further: a key is visible where every mask shows it.
void Raiser::addMask(Value &scores, const OnnxTensor &mask, const std::string &name,
                     bool hides) const {
  auto additive = [](const OnnxTensor &m) {
    if (m.type() != ElementType::Bool)
      return castTo(m, ElementType::F64);
    OnnxTensor result(ElementType::F64, m.shape());
    for (int64_t i = 0; i < m.size(); ++i)
      result.mutableDoubles()[i] = m.ints()[i] ? 0 : -std::numeric_limits<double>::infinity();
    return result;
  };
  OnnxTensor added = additive(mask);
  if (scores.masked) {
    OnnxTensor before = scores.mask;
    Shape shape = broadcastShapes(before.shape(), added.shape());
    BroadcastIndex a(before.shape(), shape), b(added.shape(), shape);
    OnnxTensor both(ElementType::F64, shape);
    for (int64_t i = 0; i < both.size(); ++i)
      both.mutableDoubles()[i] = before.doubles()[a[i]] + added.doubles()[b[i]];
    added = both;
  }
  scores.masked = true;
  scores.mask = added;
  scores.maskSources.push_back({name, hides});
}

MaskFacts Raiser::maskFacts(const OnnxTensor &mask, int64_t heads) const {
  MaskFacts facts;
  Shape full = {sizes.batch, heads, sizes.length, sizes.total()};
  if (broadcastShapes(mask.shape(), full) != full)
    notUnderstood("a mask of shape " + shapeString(mask.shape()) + " for scores of " +
                  shapeString(full));
  BroadcastIndex at(mask.shape(), full);
  bool isBool = mask.type() == ElementType::Bool;
  for (int64_t i = 0; i < elementCount(full); ++i) {
    double value = mask.at(at[i]);
    bool visible = isBool ? value != 0 : value == 0;
    if (!visible && !isBool && !(value < -9000))
      notUnderstood("the mask adds a bias (" + std::to_string(value) +
                    "); position biases are not supported");
    int64_t key = i % full[3], query = i / full[3] % full[2], b = i / (full[1] * full[2] * full[3]);
    int64_t distance = sizes.past + query - key;
    if (b == sizes.batch - 1 && key >= sizes.total() - sizes.padding) {
      // A padded key; a later position of its own row is hidden for that reason too.
      (visible ? facts.seesPadding : facts.hidesPadding) |= distance >= 0 || visible;
    } else if (distance < 0) {
      (visible ? facts.seesFuture : facts.hidesFuture) = true;
    } else if (visible) {
      facts.farthestSeen = std::max(facts.farthestSeen, distance);
    } else {
      facts.nearestHidden = std::min(facts.nearestHidden, distance);
    }
  }
  return facts;
}

/// softmax(f(q k) + mask) v, where f is known by its values on the grid. `shape` is that of the
/// result, [batch, heads, positions, size].
Value Raiser::attention(const View &query, const View &key, const View &value,
                        const std::vector<double> &scores, const Value *mask, bool causal,
                        int64_t window, Shape &shape) {
  HeadOperand q = headOperand(query, "query"), k = headOperand(key, "key"),
              v = headOperand(value, "value");
  if (q.size != k.size || !q.past.empty() || v.rope.present || k.heads != v.heads ||
      v.size != q.size || k.past.empty() != v.past.empty() || query.shape[1] % k.heads != 0 ||
      q.heads != query.shape[1])
    notUnderstood("query, key and value do not fit");
  double product = q.multiplier * k.multiplier;
  RaisedNode node =
      makeNode(RaisedKind::Attention, {q.source, k.source, v.source}, q.heads * v.size);
  node.heads = q.heads;
  node.kvHeads = k.heads;
  // f is a factor, or softcap * tanh(factor * x / softcap).
  double slope = scores[1] / pointwiseGrid()[1];
  bool isLinear = true;
  for (size_t i = 0; i < scores.size(); ++i)
    isLinear &= std::fabs(scores[i] - slope * pointwiseGrid()[i]) <=
                1e-6 * std::fabs(slope * pointwiseGrid()[i]);
  if (!isLinear) {
    node.softcap = scores[3];
    // Far from zero the cap is reached; near it only the slope shows, to third order.
    slope = node.softcap * std::atanh(scores[1] / node.softcap) / pointwiseGrid()[1];
    for (size_t i = 0; i < scores.size(); ++i) {
      double expected = node.softcap * std::tanh(slope * pointwiseGrid()[i] / node.softcap);
      if (!(std::fabs(scores[i] - expected) <= 1e-6 * (1 + node.softcap)))
        notUnderstood("scores are an unknown function of query and key");
    }
  }
  node.scale = slope * product;
  node.grain = nodeGrain;
  // Constants in 16 bits: what was meant is 1 / sqrt(size).
  double natural = 1 / std::sqrt(static_cast<double>(q.size));
  if (std::fabs(node.scale / natural - 1) <= 4 * node.grain)
    node.scale = natural;
  node.queryRope = q.rope;
  node.keyRope = k.rope;
  node.pastKey = k.past;
  node.pastValue = v.past;
  node.keyFactor = k.multiplier / k.pastFactor;
  node.valueFactor = v.multiplier / v.pastFactor;
  if (causal) {
    node.mask.hidesFuture = true;
    if (window > 0) {
      node.mask.nearestHidden = window;
      node.mask.farthestSeen = window - 1;
    }
  }
  if (mask) {
    MaskFacts facts = maskFacts(mask->tensor, query.shape[1]);
    if (causal)
      facts.seesFuture = false;
    facts.hidesFuture |= causal;
    node.mask = facts;
    node.maskValues = mask->maskSources;
    node.hidesByItself = causal;
  } else if (!causal) {
    node.mask.seesFuture = sizes.length > 1;
    node.mask.seesPadding = sizes.padding > 0;
  }
  if (!mask && sizes.padding > 0)
    node.mask.seesPadding = true;
  int made = addNode(std::move(node));
  shape = {sizes.batch, q.heads, sizes.length, v.size};
  // The canonical result is [batch, positions, heads * size].
  Value result;
  result.kind = Value::Kind::Data;
  result.shape = shape;
  View flat = viewOf(made, {sizes.batch, sizes.length, q.heads, v.size});
  Term term;
  term.index = transpose(flat.terms[0].index, {0, 2, 1, 3});
  term.uniform = v.multiplier;
  result.view.shape = shape;
  result.view.terms.push_back(std::move(term));
  return result;
}

void Raiser::scoresTimesValue(const NodeProto &node, const Value &probs, const View &value) {
  View query = headView(probs.view, 0), key = headView(probs.key, 0), v = headView(value, 0);
  Value mask;
  mask.tensor = probs.mask;
  mask.maskSources = probs.maskSources;
  if (probs.masked && probs.view.shape.size() == 3 && probs.mask.rank() == 3 &&
      probs.mask.shape()[0] > 1)
    mask.tensor = probs.mask.reshaped({sizes.batch, probs.mask.shape()[0] / sizes.batch,
                                       probs.mask.shape()[1], probs.mask.shape()[2]});
  Shape shape;
  Value result =
      attention(query, key, v, probs.samples, probs.masked ? &mask : nullptr, false, 0, shape);
  if (probs.view.shape.size() == 3) {
    Shape merged = {shape[0] * shape[1], shape[2], shape[3]};
    result.view.terms[0].index = result.view.terms[0].index.reshaped(merged);
    result.view.shape = result.shape = merged;
  }
  set(node, 0, std::move(result));
}
