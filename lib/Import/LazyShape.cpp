//===- LazyShape.cpp - Views and joins, by element ------------------------===//
//
// Operators that move or describe elements: shapes as EvaluatorShape.cpp computes them, elements by
// index arithmetic.
//
//===----------------------------------------------------------------------===//

#include "LazyNode.h"
#include "OperatorShapes.h"

#include <algorithm>
#include <limits>
#include <numeric>

using namespace llmc::onnx;

static int64_t rankOf(const LazyPtr &x) { return static_cast<int64_t>(x->shape.size()); }

LazyPtr llmc::onnx::lazyView(const LazyPtr &source, Shape shape, const IndexMap &map,
                             std::vector<bool> varies) {
  const LazyNode *node = source.get();
  if (map.isIdentity() && shape == source->shape)
    return source;
  auto view = lazyPick(source->type, std::move(shape), {source},
                       [node, map](int64_t i) { return std::make_pair(node, map(i)); });
  view->varies = std::move(varies);
  return view;
}

/// Where a value varies under another shape: dimensions are matched in groups of equal products,
/// of which those of one dimension each keep what is known.
static std::vector<bool> variesReshaped(const LazyNode &source, const Shape &shape) {
  std::vector<bool> varies(shape.size(), false);
  if (source.size == 0)
    return varies;
  size_t from = 0, to = 0;
  while (from < source.shape.size() || to < shape.size()) {
    int64_t inner = 1, outer = 1;
    bool any = false;
    size_t first = to;
    do {
      if (to < shape.size() && (inner > outer || from == source.shape.size())) {
        outer *= shape[to++];
      } else {
        any = any || source.varies[from];
        inner *= source.shape[from++];
      }
    } while (inner != outer);
    for (size_t d = first; d < to; ++d)
      varies[d] = any && shape[d] != 1;
  }
  return varies;
}

LazyPtr llmc::onnx::lazyReshaped(const LazyPtr &source, Shape shape) {
  if (shape == source->shape)
    return source;
  if (elementCount(shape) != source->size)
    fail("cannot reshape ", shapeString(source->shape), " to ", shapeString(shape));
  if (const OnnxTensor *tensor = source->held())
    return lazyHeld(tensor->reshaped(std::move(shape)));
  const LazyNode *node = source.get();
  std::vector<bool> varies = variesReshaped(*source, shape);
  auto view = lazyPick(source->type, std::move(shape), {source},
                       [node](int64_t i) { return std::make_pair(node, i); });
  view->varies = std::move(varies);
  return view;
}

static void transposeOp(LazyCall &call) {
  const LazyPtr &x = call.input(0);
  std::vector<int64_t> strides = rowMajorStrides(x->shape), walk;
  Shape shape;
  std::vector<bool> varies;
  for (int64_t from : checkedPermutation(permutationOf(call.attributes, rankOf(x)), rankOf(x))) {
    shape.push_back(x->shape[from]);
    walk.push_back(strides[from]);
    varies.push_back(x->varies[from]);
  }
  IndexMap map(shape, walk);
  call.set(0, lazyView(x, std::move(shape), map, std::move(varies)));
}

/// Shape arithmetic is small, and asked for in any case.
static void shapeOp(LazyCall &call) {
  call.set(0, lazyHeld(dimensionsOf(call.attributes, call.input(0)->shape)));
}

static void sizeOp(LazyCall &call) {
  call.set(0, lazyHeld(OnnxTensor::scalar(call.input(0)->size)));
}

static void reshape(LazyCall &call) {
  const LazyPtr &x = call.input(0);
  call.set(0, lazyReshaped(x, reshapedShape(call.attributes, x->shape, x->size, call.ints(1))));
}

static void flatten(LazyCall &call) {
  const LazyPtr &x = call.input(0);
  call.set(0, lazyReshaped(x, flattenedShape(call.attributes, x->shape)));
}

static void squeeze(LazyCall &call) {
  const LazyPtr &x = call.input(0);
  std::vector<int64_t> axes;
  bool given = call.intsFrom(1, "axes", axes);
  call.set(0, lazyReshaped(x, squeezedShape(x->shape, given, axes)));
}

static void unsqueeze(LazyCall &call) {
  const LazyPtr &x = call.input(0);
  std::vector<int64_t> axes;
  if (!call.intsFrom(1, "axes", axes))
    fail("axes are missing");
  call.set(0, lazyReshaped(x, unsqueezedShape(x->shape, axes)));
}

static void expand(LazyCall &call) {
  const LazyPtr &x = call.input(0);
  Shape shape = broadcastShapes(x->shape, call.ints(1));
  elementCount(shape); // refuses shapes that are too large
  std::vector<bool> varies(shape.size() - x->shape.size(), false);
  varies.insert(varies.end(), x->varies.begin(), x->varies.end());
  IndexMap map = IndexMap::broadcast(x->shape, shape);
  call.set(0, lazyView(x, shape, map, std::move(varies)));
}

static void tile(LazyCall &call) {
  const LazyPtr &x = call.input(0);
  std::vector<int64_t> repeats = call.ints(1), strides = rowMajorStrides(x->shape), walk;
  // Each dimension as (repeat, dimension), the first of which moves nowhere.
  Shape shape = tiledShape(x->shape, repeats), split;
  for (int64_t d = 0; d < rankOf(x); ++d) {
    split.insert(split.end(), {repeats[d], x->shape[d]});
    walk.insert(walk.end(), {0, strides[d]});
  }
  call.set(0, lazyView(x, shape, IndexMap(split, walk), x->varies));
}

namespace {
/// Inputs one after the other along an axis.
class Joined final : public LazyNode {
public:
  Joined(ElementType type, Shape shape, std::vector<LazyPtr> joined, int64_t axis, int64_t inner)
      : LazyNode(type, std::move(shape), std::move(joined)), axis(axis) {
    int64_t run = 0;
    for (const LazyPtr &input : inputs) {
      int64_t length = input->shape[axis] * inner;
      if (length)
        parts.push_back({input.get(), run, run + length});
      run += length;
    }
    byRun = FastDivider(run, size);
    for (size_t d = 0; d < varies.size(); ++d)
      varies[d] = static_cast<int64_t>(d) == axis ||
                  std::any_of(inputs.begin(), inputs.end(),
                              [&](const LazyPtr &input) { return input->varies[d]; });
  }
  double at(int64_t i) const override {
    const Part &part = find(i);
    return part.node->at(i);
  }
  int64_t intAt(int64_t i) const override {
    const Part &part = find(i);
    return part.node->intAt(i);
  }
  int64_t joinedAlong() const override { return axis; }

private:
  struct Part {
    const LazyNode *node;
    int64_t begin, end; // within one run along the axis
  };
  /// The part that element i lies in; i becomes the index there.
  const Part &find(int64_t &i) const {
    int64_t outer = byRun.split(i);
    const Part *part = parts.data();
    while (i >= part->end)
      ++part;
    i += outer * (part->end - part->begin) - part->begin;
    return *part;
  }

  int64_t axis;
  std::vector<Part> parts;
  FastDivider byRun;
};
} // namespace

static void concatOp(LazyCall &call) {
  const LazyPtr &first = call.input(0);
  int64_t axis = normalizeAxis(call.attributes.requireInt("axis"), rankOf(first));
  Shape shape = first->shape;
  shape[axis] = 0;
  for (size_t p = 0; p < call.inputs.size(); ++p) {
    const LazyPtr &part = call.input(p);
    if (rankOf(part) != rankOf(first) || part->type != first->type)
      fail("concatenated tensors differ in type or rank");
    for (int64_t d = 0; d < rankOf(part); ++d)
      if (d != axis && part->shape[d] != shape[d])
        fail("concatenated shapes ", shapeString(first->shape), " and ", shapeString(part->shape),
             " differ outside axis ", axis);
    if (__builtin_add_overflow(shape[axis], part->shape[axis], &shape[axis]))
      fail("concatenated dimension overflows");
  }
  int64_t inner = 1;
  for (int64_t d = axis + 1; d < rankOf(first); ++d)
    inner *= shape[d];
  call.set(0, std::make_shared<Joined>(first->type, shape, call.inputs, axis, inner));
}

static LazyPtr slice(const LazyPtr &x, const std::vector<int64_t> &starts, const Shape &shape,
                     const std::vector<int64_t> &steps) {
  std::vector<int64_t> strides = rowMajorStrides(x->shape);
  int64_t start = 0;
  for (int64_t d = 0; d < rankOf(x); ++d) {
    start += starts[d] * strides[d];
    strides[d] = static_cast<int64_t>(uint64_t(strides[d]) * uint64_t(steps[d]));
  }
  return lazyView(x, shape, IndexMap(shape, strides, start), x->varies);
}

static void split(LazyCall &call) {
  const LazyPtr &x = call.input(0);
  int64_t axis = normalizeAxis(call.attributes.getInt("axis", 0), rankOf(x));
  int64_t length = x->shape[axis], count = call.node.output_size();
  std::vector<int64_t> sizes;
  bool given = call.intsFrom(1, "split", sizes);
  sizes = splitSizes(call.attributes, call.model.opset(call.node.domain()), length, count, given,
                     sizes);
  std::vector<int64_t> starts(rankOf(x), 0), steps(rankOf(x), 1);
  for (int64_t i = 0; i < count; ++i) {
    Shape shape = x->shape;
    shape[axis] = sizes[i];
    call.set(i, slice(x, starts, shape, steps));
    starts[axis] += sizes[i];
  }
}

static void sliceOp(LazyCall &call) {
  const LazyPtr &x = call.input(0);
  std::vector<int64_t> begins = call.ints(1), ends = call.ints(2), axes(begins.size());
  std::iota(axes.begin(), axes.end(), 0);
  if (call.optional(3))
    axes = call.ints(3);
  std::vector<int64_t> strides(axes.size(), 1);
  if (call.optional(4))
    strides = call.ints(4);
  if (begins.size() != axes.size() || ends.size() != axes.size() || strides.size() != axes.size())
    fail("starts, ends, axes and steps differ in length");
  std::vector<int64_t> starts(rankOf(x), 0), steps(rankOf(x), 1);
  Shape shape = x->shape;
  for (size_t i = 0; i < axes.size(); ++i) {
    int64_t axis = normalizeAxis(axes[i], rankOf(x)), length = x->shape[axis], step = strides[i];
    if (step == 0 || step == std::numeric_limits<int64_t>::min())
      fail("bad step ", step);
    int64_t begin = begins[i] < 0 ? begins[i] + length : begins[i];
    int64_t end = ends[i] < 0 ? ends[i] + length : ends[i];
    if (length > 0) {
      begin = std::clamp<int64_t>(begin, 0, step > 0 ? length : length - 1);
      end = std::clamp<int64_t>(end, step > 0 ? 0 : -1, length);
    } else {
      begin = end = 0;
    }
    int64_t span = step > 0 ? end - begin : begin - end, size = step > 0 ? step : -step;
    shape[axis] = span <= 0 ? 0 : (span - 1) / size + 1;
    starts[axis] = begin;
    steps[axis] = shape[axis] > 1 ? step : 1;
  }
  call.set(0, slice(x, starts, shape, steps));
}

void llmc::onnx::registerLazyShape(LazyTable &table) {
  table["Shape"] = shapeOp;
  table["Size"] = sizeOp;
  table["Reshape"] = reshape;
  table["Flatten"] = flatten;
  table["Squeeze"] = squeeze;
  table["Unsqueeze"] = unsqueeze;
  table["Transpose"] = transposeOp;
  table["Expand"] = expand;
  table["Tile"] = tile;
  table["Concat"] = concatOp;
  table["Split"] = split;
  table["Slice"] = sliceOp;
}
