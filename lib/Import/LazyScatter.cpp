//===- LazyScatter.cpp - Writes at computed places, by element ------------===//
//
// An element of a scatter is the last update that went to its place. Where updates went is known in
// one of two ways: few enough are listed; many are a grid, each coordinate of the place a function
// of one dimension of the grid (an assignment to a slice, as exporters spell it), and each such
// function is inverted alone.
//
//===----------------------------------------------------------------------===//

#include "LazyNode.h"

#include <algorithm>
#include <unordered_map>

using namespace llmc::onnx;

static int64_t rankOf(const LazyPtr &x) { return static_cast<int64_t>(x->shape.size()); }

namespace {
/// Which updates went to a place of the data.
class Writes {
public:
  virtual ~Writes() = default;
  /// The last update, or -1.
  virtual int64_t last(int64_t place) const = 0;
  /// The update to the same place before `update`, or -1.
  virtual int64_t previous(int64_t update) const = 0;
};

class ListedWrites final : public Writes {
public:
  void add(int64_t place, int64_t update) {
    auto added = latest.emplace(place, update);
    if (added.second)
      return;
    before.emplace(update, added.first->second);
    added.first->second = update;
  }
  int64_t last(int64_t place) const override {
    auto found = latest.find(place);
    return found == latest.end() ? -1 : found->second;
  }
  int64_t previous(int64_t update) const override {
    auto found = before.find(update);
    return found == before.end() ? -1 : found->second;
  }

private:
  std::unordered_map<int64_t, int64_t> latest, before;
};

/// Updates of a grid. Coordinate k of the place of an update is a function of the update's position
/// along dimension `along` of the grid, which no other coordinate reads, or constant.
class GridWrites final : public Writes {
public:
  struct Coordinate {
    int64_t along = -1;
    /// By coordinate, the last position or -1. Without it, the coordinate is the position.
    std::vector<int64_t> inverse;
  };
  GridWrites(const Shape &places, const Shape &grid, std::vector<Coordinate> given)
      : coordinates(std::move(given)) {
    std::vector<int64_t> gridStrides = rowMajorStrides(grid);
    std::vector<bool> used(grid.size(), false);
    for (const Coordinate &coordinate : coordinates) {
      bool constant = coordinate.along < 0;
      strides.push_back(constant ? 0 : gridStrides[coordinate.along]);
      lengths.push_back(constant ? 1 : grid[coordinate.along]);
      if (!constant)
        used[coordinate.along] = true;
    }
    // Of updates that differ only in dimensions that no coordinate reads, the last stays.
    for (size_t d = 0; d < grid.size(); ++d)
      if (!used[d])
        base += (grid[d] - 1) * gridStrides[d];
    int64_t count = elementCount(places);
    for (int64_t stride : rowMajorStrides(places))
      byPlace.emplace_back(stride, count);
  }
  int64_t last(int64_t place) const override {
    int64_t update = base;
    for (size_t k = 0; k < coordinates.size(); ++k) {
      int64_t at = byPlace[k].split(place);
      const std::vector<int64_t> &inverse = coordinates[k].inverse;
      int64_t position = !inverse.empty() ? inverse[at] : at < lengths[k] ? at : -1;
      if (position < 0)
        return -1;
      update += position * strides[k];
    }
    return update;
  }
  int64_t previous(int64_t) const override { return -1; }

private:
  std::vector<Coordinate> coordinates;
  std::vector<int64_t> strides, lengths;
  int64_t base = 0;
  std::vector<FastDivider> byPlace;
};
} // namespace

static double combine(const std::string &reduction, double old, double update) {
  if (reduction == "add")
    return old + update;
  if (reduction == "mul")
    return old * update;
  return reduction == "min" ? std::min(old, update) : std::max(old, update);
}

/// `x` with updates of `inner` elements written at places of `inner` elements.
static LazyPtr scattered(const LazyPtr &x, const LazyPtr &updates, int64_t inner,
                         const std::shared_ptr<const Writes> &writes,
                         const std::string &reduction) {
  FastDivider byInner(inner, x->size);
  const LazyNode *data = x.get(), *from = updates.get();
  if (reduction == "none")
    return lazyPick(x->type, x->shape, {x, updates}, [=](int64_t i) {
      int64_t k = i, update = writes->last(byInner.split(k));
      return update < 0 ? std::make_pair(data, i) : std::make_pair(from, update * inner + k);
    });
  if (reduction != "add" && reduction != "mul" && reduction != "min" && reduction != "max")
    fail("unknown reduction '", reduction, "'");
  ElementType type = x->type;
  auto element = [=](int64_t i) {
    int64_t k = i, update = writes->last(byInner.split(k));
    std::vector<int64_t> order;
    for (; update >= 0; update = writes->previous(update))
      order.push_back(update);
    countLazySteps(static_cast<int64_t>(order.size()));
    double value = data->at(i);
    for (size_t n = order.size(); n-- > 0;) {
      value = combine(reduction, value, from->at(order[n] * inner + k));
      value = isFloat(type) ? roundedTo(value, type) : double(truncated(value));
    }
    return value;
  };
  if (isFloat(type))
    return lazyFloat(type, x->shape, {x, updates}, element);
  return lazyInteger(type, x->shape, {x, updates},
                     [=](int64_t i) { return truncated(element(i)); });
}

static void requireKnown(const LazyPtr &indices) {
  if (indices->unknown)
    fail("where it writes: ", *indices->unknown);
}

[[noreturn]] static void failNoGrid() {
  failLimit("writes at more than ", lazyWholeSize, " places that are no grid are not followed");
}

/// One coordinate of the places, from its values by position in the grid (and dimensions of one
/// behind it). Throws when it depends on more than one dimension.
static GridWrites::Coordinate coordinateOf(const NodeProto &node, const LazyPtr &values,
                                           const Shape &grid, int64_t length, bool mayRepeat) {
  GridWrites::Coordinate coordinate;
  for (size_t d = 0; d < grid.size(); ++d) {
    if (!values->varies[d])
      continue;
    if (coordinate.along >= 0)
      failNoGrid();
    coordinate.along = static_cast<int64_t>(d);
  }
  bool constant = coordinate.along < 0;
  int64_t count = constant ? 1 : grid[coordinate.along];
  int64_t stride = constant ? 0 : rowMajorStrides(values->shape)[coordinate.along];
  if (length > lazyWholeSize)
    failLimit("writes into a dimension of more than ", lazyWholeSize, " are not followed");
  LazyPtr line = lazyView(values, {count}, IndexMap({count}, {stride}), {true});
  OnnxTensor places = lazyMaterialize(*line, lazyWholeSize);
  coordinate.inverse.assign(length, -1);
  for (int64_t t = 0; t < count; ++t) {
    int64_t &position = coordinate.inverse[lazyIndex(node, places.ints()[t], length)];
    if (position >= 0 && !mayRepeat)
      fail("a grid that writes to a place more than once is not followed");
    position = t;
  }
  return coordinate;
}

static void scatterElements(LazyCall &call) {
  const LazyPtr &x = call.input(0), &indices = call.input(1), &updates = call.input(2);
  int64_t axis = normalizeAxis(call.attributes.getInt("axis", 0), rankOf(x));
  lazyRequireFit(indices, x, axis);
  if (indices->shape != updates->shape || updates->type != x->type)
    fail("indices and updates do not match the data");
  requireKnown(indices);
  std::string reduction = call.attributes.getString("reduction", "none");
  int64_t length = x->shape[axis], stride = rowMajorStrides(x->shape)[axis];
  if (indices->size > lazyWholeSize) {
    std::vector<GridWrites::Coordinate> coordinates(rankOf(x));
    for (int64_t d = 0; d < rankOf(x); ++d) {
      coordinates[d].along = d;
      if (d != axis && indices->varies[d])
        failNoGrid();
    }
    if (!indices->varies[axis] && indices->shape[axis] != 1)
      failNoGrid();
    coordinates[axis] =
        coordinateOf(call.node, indices, indices->shape, length, reduction == "none");
    coordinates[axis].along = axis;
    auto writes = std::make_shared<GridWrites>(x->shape, indices->shape, std::move(coordinates));
    return call.set(0, scattered(x, updates, 1, writes, reduction));
  }
  std::vector<int64_t> strides = rowMajorStrides(x->shape);
  strides[axis] = 0;
  IndexMap besideAxis(indices->shape, strides);
  OnnxTensor places = lazyMaterialize(*indices, lazyWholeSize);
  auto writes = std::make_shared<ListedWrites>();
  for (int64_t i = 0; i < places.size(); ++i)
    writes->add(besideAxis(i) + lazyIndex(call.node, places.ints()[i], length) * stride, i);
  call.set(0, scattered(x, updates, 1, writes, reduction));
}

static void scatterND(LazyCall &call) {
  const LazyPtr &x = call.input(0), &indices = call.input(1), &updates = call.input(2);
  int64_t depth = lazyTupleDepth(x, indices, 0);
  Shape places(x->shape.begin(), x->shape.begin() + depth),
      slice(x->shape.begin() + depth, x->shape.end()),
      grid(indices->shape.begin(), indices->shape.end() - 1);
  int64_t inner = elementCount(slice), tuples = elementCount(grid), expected;
  if (__builtin_mul_overflow(tuples, inner, &expected) || updates->size != expected ||
      updates->type != x->type)
    fail("updates of shape ", shapeString(updates->shape), " do not match ", tuples, " slices of ",
         inner, " elements");
  requireKnown(indices);
  std::string reduction = call.attributes.getString("reduction", "none");
  if (indices->size > lazyWholeSize) {
    const LazyNode *joined = indices->behindCache();
    int64_t last = rankOf(indices) - 1;
    bool parts =
        joined->joinedAlong() == last && static_cast<int64_t>(joined->inputs.size()) == depth;
    std::vector<GridWrites::Coordinate> coordinates;
    std::vector<bool> used(grid.size(), false);
    for (int64_t k = 0; k < depth; ++k) {
      const LazyPtr &values = parts ? joined->inputs[k] : indices;
      if (values->shape[last] != 1)
        failNoGrid();
      coordinates.push_back(
          coordinateOf(call.node, values, grid, x->shape[k], reduction == "none"));
      int64_t along = coordinates.back().along;
      if (along >= 0 && used[along])
        failNoGrid();
      if (along >= 0)
        used[along] = true;
    }
    for (size_t d = 0; d < grid.size(); ++d)
      if (!used[d] && grid[d] != 1 && reduction != "none")
        failNoGrid();
    auto writes = std::make_shared<GridWrites>(places, grid, std::move(coordinates));
    return call.set(0, scattered(x, updates, inner, writes, reduction));
  }
  std::vector<int64_t> strides = rowMajorStrides(places);
  OnnxTensor list = lazyMaterialize(*indices, lazyWholeSize);
  auto writes = std::make_shared<ListedWrites>();
  for (int64_t t = 0; t < tuples; ++t) {
    int64_t place = 0;
    for (int64_t k = 0; k < depth; ++k)
      place += lazyIndex(call.node, list.ints()[t * depth + k], x->shape[k]) * strides[k];
    writes->add(place, t);
  }
  call.set(0, scattered(x, updates, inner, writes, reduction));
}

void llmc::onnx::registerLazyScatter(LazyTable &table) {
  table["ScatterElements"] = scatterElements;
  table["ScatterND"] = scatterND;
}
