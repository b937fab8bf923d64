//===- FarLook.cpp - Masks, angles and shapes at one far length -----------===//
//
// Everything here is asked of the lazy evaluator element by element. Masks are read for a few rows
// and all keys up to some ten thousand, beyond that for a sample that is dense at both ends; where
// such a sample leaves open where a window ends, the end is found by bisection.
//
//===----------------------------------------------------------------------===//

#include "FarLook.h"
#include "Onnx.pb.h"
#include "Raiser.h"
#include "llmc/Import/ImportError.h"

#include <algorithm>
#include <cmath>
#include <set>

using namespace llmc::onnx;

/// Rows that are looked at: both ends and places that are no powers of two.
static std::vector<int64_t> sampledRows(int64_t length, int64_t count) {
  std::set<int64_t> rows;
  for (int64_t row : {length - 1, int64_t(0), length - 2, length * 3 / 5, length / 7, int64_t(1),
                      length / 3, length - 3})
    if (row >= 0 && row < length && static_cast<int64_t>(rows.size()) < count)
      rows.insert(row);
  for (int64_t row = 0; static_cast<int64_t>(rows.size()) < count && row < length; ++row)
    rows.insert(row);
  return {rows.begin(), rows.end()};
}

FarLook::FarLook(const OnnxModel &model, const SizeLaws &laws, const Sizes &small, int64_t past,
                 int64_t length, std::vector<int64_t> looked)
    : small(small), past(past), length(length),
      rows(looked.empty() ? sampledRows(length, small.length) : std::move(looked)), laws(laws) {
  std::map<std::string, LazyTensor> known;
  std::map<std::string, std::pair<ElementType, Shape>> shapes;
  Sizes far = small;
  far.past = past;
  far.length = length;
  far.padding = 0;
  Raiser::lazyInputs(model, far, known, shapes);
  evaluator = std::make_unique<LazyEvaluator>(
      model, std::move(known), std::move(shapes),
      [this](const std::string &name, ElementType &type, Shape &shape) {
        type = ElementType::F32;
        return this->laws.shapeAt(name, this->past, this->length, shape);
      });
}

const OnnxTensor &FarLook::sample(const std::string &name, const OnnxTensor &near) {
  auto found = samples.find(name);
  if (found != samples.end())
    return found->second;
  const LazyTensor &value = evaluator->value(name);
  const Shape &from = value.shape(), &to = near.shape();
  if (from == to)
    return samples[name] = value.whole();
  if (from.size() != to.size())
    fail("value '", name, "': ", from.size(), " dimensions at ", total(), " positions, ", to.size(),
         " at ", small.total());
  // A table of positions, not rows of this step.
  bool isTable = false;
  for (size_t d = 0; d < to.size(); ++d)
    isTable |= from[d] != to[d] && !(to[d] == small.length && from[d] == length) &&
               !(to[d] == small.total() && from[d] == total());
  if (isTable)
    return samples[name] = value.whole();
  OnnxTensor result(near.type(), to);
  std::vector<int64_t> strides = rowMajorStrides(from), nearStrides = rowMajorStrides(to);
  for (int64_t i = 0; i < result.size(); ++i) {
    int64_t at = 0;
    for (size_t d = 0; d < to.size(); ++d) {
      int64_t index = i / nearStrides[d] % to[d];
      if (from[d] != to[d]) {
        bool isRow = to[d] == small.length && from[d] == length;
        // Keys before the new rows are those from the start on.
        index = isRow ? rows[index] : index < small.past ? index : past + rows[index - small.past];
      }
      at += index * strides[d];
    }
    if (result.isInteger())
      result.mutableInts()[i] = value.intAt(at);
    else
      result.set(i, value.at(at));
  }
  return samples[name] = result;
}

void FarLook::checkShapes() {
  constexpr int64_t most = 4096;
  for (const std::string &name : laws.operands()) {
    const LazyTensor &value = evaluator->value(name);
    int64_t count = value.size(), step = std::max<int64_t>(1, count / most);
    for (int64_t i = 0; i < count; i += step) {
      int64_t expected, found = value.intAt(i);
      if (!laws.valueAt(name, past, length, i, expected))
        fail("value '", name, "' moves elements in a way that follows no law");
      if (found != expected)
        fail("value '", name, "' moves elements in another way at ", total(), " positions (", found,
             ", expected ", expected, ")");
    }
  }
}

FarLook::ScannedMask FarLook::scanned(const MaskSource &source) {
  ScannedMask mask;
  mask.name = source.name;
  mask.hides = source.hides;
  mask.tensor = &evaluator->value(source.name);
  const Shape &shape = mask.tensor->shape();
  std::vector<int64_t> strides = rowMajorStrides(shape);
  size_t rank = shape.size();
  auto dim = [&](size_t fromBack) { return fromBack < rank ? shape[rank - 1 - fromBack] : 1; };
  auto stride = [&](size_t fromBack) {
    return dim(fromBack) > 1 ? strides[rank - 1 - fromBack] : 0;
  };
  int64_t leading = mask.tensor->size();
  for (size_t d = 0; d < 2; ++d)
    leading /= std::max<int64_t>(1, dim(d));
  bool fits = (dim(0) == total() || dim(0) == 1) && (dim(1) == length || dim(1) == 1) &&
              leading == dim(2) * dim(3) && (dim(3) == 1 || dim(3) == small.batch);
  if (!fits || mask.tensor->size() == 0)
    fail("mask '", source.name, "' of shape ", shapeString(shape), " for ", length, " queries and ",
         total(), " keys");
  mask.keyStride = stride(0);
  mask.rowStride = stride(1);
  mask.heads = dim(2);
  mask.headStride = stride(2);
  return mask;
}

bool FarLook::isVisible(const std::vector<ScannedMask> &masks, int64_t head, int64_t row,
                        int64_t key) {
  for (const ScannedMask &mask : masks) {
    int64_t at =
        (mask.heads > 1 ? head * mask.headStride : 0) + row * mask.rowStride + key * mask.keyStride;
    double value = mask.tensor->at(at);
    if (mask.tensor->type() == ElementType::Bool) {
      if ((value != 0) == mask.hides)
        return false;
      continue;
    }
    if (value == 0)
      continue;
    if (!(value < -9000))
      fail("mask '", mask.name, "' adds a bias (", value, "); position biases are not supported");
    return false;
  }
  return true;
}

MaskFacts FarLook::scan(const std::vector<MaskSource> &sources) {
  MaskFacts facts;
  std::vector<ScannedMask> masks;
  int64_t heads = 1;
  for (const MaskSource &source : sources) {
    masks.push_back(scanned(source));
    heads = std::max(heads, masks.back().heads);
  }
  constexpr int64_t dense = 16384, nearby = 2048, spread = 4096;
  auto note = [&](int64_t head, int64_t row, int64_t key) {
    bool visible = isVisible(masks, head, row, key);
    int64_t distance = past + row - key;
    if (distance < 0)
      (visible ? facts.seesFuture : facts.hidesFuture) = true;
    else if (visible)
      facts.farthestSeen = std::max(facts.farthestSeen, distance);
    else
      facts.nearestHidden = std::min(facts.nearestHidden, distance);
    return visible;
  };
  std::vector<int64_t> looked = sampledRows(length, heads > 1 ? 3 : 6);
  for (int64_t head = 0; head < heads; ++head)
    for (int64_t row : looked) {
      int64_t position = past + row, step = 1;
      for (int64_t key = 0; key < total(); key += step) {
        note(head, row, key);
        bool isNear = key < nearby || key > total() - nearby || std::llabs(key - position) < nearby;
        // An odd step meets every residue of even periods.
        step = total() <= dense || isNear ? 1 : (total() / spread) | 1;
      }
      // Where the sample leaves a gap, the end of the window lies in it.
      int64_t seen = facts.farthestSeen, hidden = facts.nearestHidden;
      while (hidden != std::numeric_limits<int64_t>::max() && hidden - seen > 1 &&
             hidden <= position && seen >= 0) {
        int64_t middle = seen + (hidden - seen) / 2;
        (note(head, row, position - middle) ? seen : hidden) = middle;
      }
    }
  return facts;
}
