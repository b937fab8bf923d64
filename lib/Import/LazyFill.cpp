//===- LazyFill.cpp - Constants, ranges and fillings, by element ----------===//
//
// Operators that make elements from nothing, or put made ones around or in place of others.
//
//===----------------------------------------------------------------------===//

#include "LazyNode.h"

#include <cmath>
#include <numeric>

using namespace llmc::onnx;

static int64_t rankOf(const LazyPtr &x) { return static_cast<int64_t>(x->shape.size()); }

static void constantOfShape(LazyCall &call) {
  OnnxTensor value = OnnxTensor::fromFloats({0.0f}, {1});
  if (const AttributeProto *attribute = call.attributes.find("value"))
    value = call.model.decode(attribute->t(), "attribute 'value'");
  if (value.size() != 1)
    fail("expected one value, got ", value.size());
  LazyPtr one = lazyHeld(value);
  const LazyNode *node = one.get();
  auto filled = lazyPick(value.type(), call.ints(0), {one},
                         [node](int64_t) { return std::make_pair(node, int64_t(0)); });
  filled->varies.assign(filled->shape.size(), false);
  call.set(0, filled);
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

void llmc::onnx::registerLazyFill(LazyTable &table) {
  table["ConstantOfShape"] = constantOfShape;
  table["EyeLike"] = eyeLike;
  table["Range"] = range;
  table["Trilu"] = trilu;
  table["Pad"] = pad;
}
