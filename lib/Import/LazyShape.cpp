//===- LazyShape.cpp - Views, joins and made values, by element -----------===//
//
// Operators that move or describe elements: shapes as EvaluatorShape.cpp computes them, elements by
// index arithmetic.
//
//===----------------------------------------------------------------------===//

#include "LazyNode.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

using namespace llmc::onnx;

static int64_t rankOf(const LazyPtr &x) { return static_cast<int64_t>(x->shape.size()); }

LazyPtr llmc::onnx::lazyView(const LazyPtr &source, Shape shape, IndexMap map) {
  const LazyNode *node = source.get();
  if (map.isIdentity() && shape == source->shape)
    return source;
  return lazyPick(source->type, std::move(shape), {source},
                  [node, map](int64_t i) { return std::make_pair(node, map(i)); });
}

LazyPtr llmc::onnx::lazyReshaped(const LazyPtr &source, Shape shape) {
  if (shape == source->shape)
    return source;
  if (elementCount(shape) != source->size)
    fail("cannot reshape ", shapeString(source->shape), " to ", shapeString(shape));
  if (const OnnxTensor *tensor = source->held())
    return lazyHeld(tensor->reshaped(std::move(shape)));
  const LazyNode *node = source.get();
  return lazyPick(source->type, std::move(shape), {source},
                  [node](int64_t i) { return std::make_pair(node, i); });
}

static void transposeOp(LazyCall &call) {
  const LazyPtr &x = call.input(0);
  int64_t rank = rankOf(x);
  std::vector<int64_t> perm = call.attributes.getInts("perm");
  if (perm.empty())
    for (int64_t d = rank; d-- > 0;)
      perm.push_back(d);
  if (static_cast<int64_t>(perm.size()) != rank)
    fail("permutation of ", perm.size(), " axes for ", rank, " dimensions");
  Shape shape(rank);
  std::vector<int64_t> strides = rowMajorStrides(x->shape), walk(rank);
  std::vector<bool> seen(rank, false);
  for (int64_t d = 0; d < rank; ++d) {
    int64_t from = normalizeAxis(perm[d], rank);
    if (seen[from])
      fail("permutation names axis ", from, " twice");
    seen[from] = true;
    shape[d] = x->shape[from];
    walk[d] = strides[from];
  }
  IndexMap map(shape, walk);
  call.set(0, lazyView(x, std::move(shape), std::move(map)));
}

/// Shape arithmetic is small, and asked for in any case.
static void shapeOp(LazyCall &call) {
  const LazyPtr &x = call.input(0);
  int64_t rank = rankOf(x);
  int64_t start = call.attributes.getInt("start", 0), end = call.attributes.getInt("end", rank);
  start = std::clamp<int64_t>(start < 0 ? start + rank : start, 0, rank);
  end = std::clamp<int64_t>(end < 0 ? end + rank : end, 0, rank);
  std::vector<int64_t> dims;
  for (int64_t d = start; d < end; ++d)
    dims.push_back(x->shape[d]);
  Shape shape = {static_cast<int64_t>(dims.size())};
  call.set(0, lazyHeld(OnnxTensor::fromInts(dims, shape)));
}

static void sizeOp(LazyCall &call) {
  call.set(0, lazyHeld(OnnxTensor::scalar(call.input(0)->size)));
}

static void reshape(LazyCall &call) {
  const LazyPtr &x = call.input(0);
  std::vector<int64_t> wanted = call.ints(1);
  bool allowZero = call.attributes.getInt("allowzero", 0) != 0;
  int64_t known = 1, open = -1;
  for (size_t d = 0; d < wanted.size(); ++d) {
    if (wanted[d] == 0 && !allowZero) {
      if (static_cast<int64_t>(d) >= rankOf(x))
        fail("reshape copies dimension ", d, " of a tensor with ", rankOf(x));
      wanted[d] = x->shape[d];
    }
    if (wanted[d] == -1) {
      if (open >= 0)
        fail("reshape to ", shapeString(wanted), " has two open dimensions");
      open = static_cast<int64_t>(d);
    } else if (wanted[d] < 0 || __builtin_mul_overflow(known, wanted[d], &known)) {
      fail("bad reshape to ", shapeString(wanted));
    }
  }
  if (open >= 0) {
    if (known == 0 || x->size % known != 0)
      fail("cannot reshape ", shapeString(x->shape), " to ", shapeString(wanted));
    wanted[open] = x->size / known;
  }
  call.set(0, lazyReshaped(x, wanted));
}

static void flatten(LazyCall &call) {
  const LazyPtr &x = call.input(0);
  int64_t axis = call.attributes.getInt("axis", 1), rank = rankOf(x);
  if (axis < -rank || axis > rank)
    fail("axis ", axis, " is outside the ", rank, " dimensions");
  axis = axis < 0 ? axis + rank : axis;
  int64_t outer = 1, inner = 1;
  for (int64_t d = 0; d < rank; ++d)
    (d < axis ? outer : inner) *= x->shape[d];
  call.set(0, lazyReshaped(x, {outer, inner}));
}

static void squeeze(LazyCall &call) {
  const LazyPtr &x = call.input(0);
  std::vector<int64_t> axes;
  bool given = call.intsFrom(1, "axes", axes);
  std::vector<bool> drop(rankOf(x), false);
  for (int64_t axis : axes) {
    axis = normalizeAxis(axis, rankOf(x));
    if (x->shape[axis] != 1)
      fail("squeezed dimension ", axis, " is ", x->shape[axis], ", expected 1");
    drop[axis] = true;
  }
  Shape shape;
  for (int64_t d = 0; d < rankOf(x); ++d)
    if (!(given ? drop[d] : x->shape[d] == 1))
      shape.push_back(x->shape[d]);
  call.set(0, lazyReshaped(x, shape));
}

static void unsqueeze(LazyCall &call) {
  const LazyPtr &x = call.input(0);
  std::vector<int64_t> axes;
  if (!call.intsFrom(1, "axes", axes))
    fail("axes are missing");
  int64_t rank = rankOf(x) + static_cast<int64_t>(axes.size());
  std::vector<bool> added(rank, false);
  for (int64_t axis : axes) {
    axis = normalizeAxis(axis, rank);
    if (added[axis])
      fail("axis ", axis, " is added twice");
    added[axis] = true;
  }
  Shape shape;
  size_t next = 0;
  for (int64_t d = 0; d < rank; ++d)
    shape.push_back(added[d] ? 1 : x->shape[next++]);
  call.set(0, lazyReshaped(x, shape));
}

static void expand(LazyCall &call) {
  const LazyPtr &x = call.input(0);
  Shape shape = broadcastShapes(x->shape, call.ints(1));
  elementCount(shape); // refuses shapes that are too large
  IndexMap map = IndexMap::broadcast(x->shape, shape);
  call.set(0, lazyView(x, shape, map));
}

static void tile(LazyCall &call) {
  const LazyPtr &x = call.input(0);
  std::vector<int64_t> repeats = call.ints(1);
  if (static_cast<int64_t>(repeats.size()) != rankOf(x))
    fail("expected ", rankOf(x), " repeats, got ", repeats.size());
  // Each dimension as (repeat, dimension), the first of which moves nowhere.
  std::vector<int64_t> strides = rowMajorStrides(x->shape), walk;
  Shape shape(rankOf(x)), split;
  for (int64_t d = 0; d < rankOf(x); ++d) {
    if (repeats[d] < 0 || __builtin_mul_overflow(x->shape[d], repeats[d], &shape[d]))
      fail("bad repeat ", repeats[d]);
    split.insert(split.end(), {repeats[d], x->shape[d]});
    walk.insert(walk.end(), {0, strides[d]});
  }
  call.set(0, lazyView(x, shape, IndexMap(split, walk)));
}

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
  int64_t inner = 1, count = elementCount(shape);
  for (int64_t d = axis + 1; d < rankOf(first); ++d)
    inner *= shape[d];
  struct Part {
    const LazyNode *node;
    int64_t begin, end; // within one run along the axis
  };
  std::vector<Part> parts;
  int64_t run = 0;
  for (const LazyPtr &input : call.inputs) {
    int64_t length = input->shape[axis] * inner;
    if (length)
      parts.push_back({input.get(), run, run + length});
    run += length;
  }
  FastDivider byRun(run, count);
  call.set(0, lazyPick(first->type, shape, call.inputs, [=](int64_t i) {
             int64_t o = byRun.split(i);
             const Part *part = parts.data();
             while (i >= part->end)
               ++part;
             return std::make_pair(part->node, o * (part->end - part->begin) + i - part->begin);
           }));
}

static LazyPtr slice(const LazyPtr &x, const std::vector<int64_t> &starts, const Shape &shape,
                     const std::vector<int64_t> &steps) {
  std::vector<int64_t> strides = rowMajorStrides(x->shape);
  int64_t start = 0;
  for (int64_t d = 0; d < rankOf(x); ++d) {
    start += starts[d] * strides[d];
    strides[d] = static_cast<int64_t>(uint64_t(strides[d]) * uint64_t(steps[d]));
  }
  return lazyView(x, shape, IndexMap(shape, strides, start));
}

static void split(LazyCall &call) {
  const LazyPtr &x = call.input(0);
  int64_t axis = normalizeAxis(call.attributes.getInt("axis", 0), rankOf(x));
  int64_t length = x->shape[axis], count = call.node.output_size();
  std::vector<int64_t> sizes;
  if (!call.intsFrom(1, "split", sizes)) {
    int64_t parts = call.attributes.getInt("num_outputs", count);
    if (parts <= 0)
      fail("num_outputs is ", parts);
    int64_t each = length / parts + (length % parts != 0);
    for (int64_t i = 0; i < count; ++i)
      sizes.push_back(std::clamp<int64_t>(length - i * each, 0, each));
  }
  int64_t total = 0;
  for (int64_t size : sizes)
    if (size < 0 || __builtin_add_overflow(total, size, &total))
      fail("bad split sizes ", shapeString(sizes));
  if (total != length || static_cast<int64_t>(sizes.size()) != count)
    fail("split sizes ", shapeString(sizes), " do not make ", length, " in ", count, " parts");
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

static void constantOfShape(LazyCall &call) {
  OnnxTensor value = OnnxTensor::fromFloats({0.0f}, {1});
  if (const AttributeProto *attribute = call.attributes.find("value"))
    value = call.model.decode(attribute->t(), "attribute 'value'");
  if (value.size() != 1)
    fail("expected one value, got ", value.size());
  LazyPtr one = lazyHeld(value);
  const LazyNode *node = one.get();
  call.set(0, lazyPick(value.type(), call.ints(0), {one},
                       [node](int64_t) { return std::make_pair(node, int64_t(0)); }));
}

static void eyeLike(LazyCall &call) {
  const LazyPtr &x = call.input(0);
  if (rankOf(x) != 2)
    fail("expected a matrix, got ", shapeString(x->shape));
  ElementType type = x->type;
  if (call.attributes.has("dtype") &&
      !fromOnnxType(static_cast<int>(call.attributes.requireInt("dtype")), type))
    fail("unsupported element type ", call.attributes.requireInt("dtype"));
  int64_t k = call.attributes.getInt("k", 0), columns = x->shape[1];
  auto isOne = [=](int64_t i) { return int64_t(i % columns - i / columns == k); };
  if (isFloat(type))
    call.set(0, lazyFloat(type, x->shape, {}, [=](int64_t i) { return double(isOne(i)); }));
  else
    call.set(0, lazyInteger(type, x->shape, {}, isOne));
}

static void range(LazyCall &call) {
  const LazyPtr &start = call.input(0), &limit = call.input(1), &delta = call.input(2);
  if (start->size != 1 || limit->size != 1 || delta->size != 1)
    fail("expected scalar start, limit and delta");
  for (const LazyPtr &bound : {start, limit, delta})
    if (bound->unknown)
      fail(*bound->unknown);
  double from = lazyMaterialize(*start, 1).at(0), step = lazyMaterialize(*delta, 1).at(0);
  if (step == 0)
    fail("expected a delta that is not zero");
  double count = std::ceil((lazyMaterialize(*limit, 1).at(0) - from) / step);
  if (!(count < 1e9))
    failLimit("range of ", count, " elements");
  Shape shape = {count > 0 ? static_cast<int64_t>(count) : 0};
  ElementType type = start->type;
  if (start->isInteger()) {
    uint64_t first = uint64_t(start->intAt(0)), each = uint64_t(delta->intAt(0));
    return call.set(0, lazyInteger(type, shape, {}, [=](int64_t i) {
                      return wrappedTo(int64_t(first + uint64_t(i) * each), type);
                    }));
  }
  call.set(0, lazyFloat(type, shape, {}, [=](int64_t i) {
             return roundedTo(from + static_cast<double>(i) * step, type);
           }));
}

/// An element of value zero of any type.
static LazyPtr zeroOf(ElementType type) { return lazyHeld(OnnxTensor(type, {})); }

static void trilu(LazyCall &call) {
  const LazyPtr &x = call.input(0);
  if (rankOf(x) < 2)
    fail("expected at least 2 dimensions, got ", rankOf(x));
  bool upper = call.attributes.getInt("upper", 1) != 0;
  std::vector<int64_t> diagonal = {0};
  if (call.optional(1))
    diagonal = call.ints(1);
  if (diagonal.size() != 1)
    fail("expected a scalar diagonal");
  int64_t k = diagonal[0], rows = x->shape[rankOf(x) - 2], columns = x->shape[rankOf(x) - 1];
  LazyPtr zero = zeroOf(x->type);
  const LazyNode *source = x.get(), *none = zero.get();
  FastDivider byColumns(columns, x->size), byRows(rows, x->size);
  call.set(0, lazyPick(x->type, x->shape, {x, zero}, [=](int64_t i) {
             int64_t column = i, row = byColumns.split(column);
             byRows.split(row);
             bool keep = upper ? column - row >= k : column - row <= k;
             return keep ? std::make_pair(source, i) : std::make_pair(none, int64_t(0));
           }));
}

static void pad(LazyCall &call) {
  const LazyPtr &x = call.input(0);
  std::string mode = call.attributes.getString("mode", "constant");
  if (mode != "constant")
    fail("padding mode '", mode, "' is not supported");
  std::vector<int64_t> pads = call.ints(1), axes(rankOf(x));
  std::iota(axes.begin(), axes.end(), 0);
  if (call.optional(3))
    axes = call.ints(3);
  if (pads.size() != 2 * axes.size())
    fail("expected ", 2 * axes.size(), " pads, got ", pads.size());
  struct Dim {
    FastDivider inner;
    int64_t before, length, stride;
  };
  std::vector<Dim> dims(rankOf(x));
  Shape shape = x->shape;
  for (size_t i = 0; i < axes.size(); ++i) {
    int64_t axis = normalizeAxis(axes[i], rankOf(x)), both;
    dims[axis].before = pads[i];
    if (__builtin_add_overflow(pads[i], pads[axes.size() + i], &both) ||
        __builtin_add_overflow(shape[axis], both, &shape[axis]))
      fail("padded dimension ", axis, " overflows");
  }
  int64_t count = elementCount(shape);
  std::vector<int64_t> strides = rowMajorStrides(shape), from = rowMajorStrides(x->shape);
  for (int64_t d = 0; d < rankOf(x); ++d) {
    dims[d].inner = FastDivider(strides[d], count);
    dims[d].length = x->shape[d];
    dims[d].stride = from[d];
  }
  LazyPtr value = call.optional(2) ? call.optional(2) : zeroOf(x->type);
  if (value->size != 1 || value->type != x->type)
    fail("expected one value of the type of the data to pad with");
  const LazyNode *source = x.get(), *filling = value.get();
  call.set(0, lazyPick(x->type, shape, {x, value}, [=](int64_t i) {
             int64_t index = 0;
             for (const Dim &dim : dims) {
               int64_t at = dim.inner.split(i) - dim.before;
               if (at < 0 || at >= dim.length)
                 return std::make_pair(filling, int64_t(0));
               index += at * dim.stride;
             }
             return std::make_pair(source, index);
           }));
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
  table["ConstantOfShape"] = constantOfShape;
  table["EyeLike"] = eyeLike;
  table["Range"] = range;
  table["Trilu"] = trilu;
  table["Pad"] = pad;
}
