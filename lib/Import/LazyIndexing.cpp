//===- LazyIndexing.cpp - Gather and OneHot, by element -------------------===//
//
// Reads at computed places need only the index of the element asked for.
//
//===----------------------------------------------------------------------===//

#include "LazyNode.h"

#include <algorithm>
#include <cmath>

using namespace llmc::onnx;

static int64_t rankOf(const LazyPtr &x) { return static_cast<int64_t>(x->shape.size()); }

static int64_t product(const Shape &shape, int64_t begin, int64_t end) {
  return elementCount(Shape(shape.begin() + begin, shape.begin() + end));
}

int64_t llmc::onnx::lazyIndex(const NodeProto &node, int64_t index, int64_t length) {
  if (index < -length || index >= length)
    fail(describeNode(node), ": index ", index, " is outside a dimension of ", length);
  return index < 0 ? index + length : index;
}

static void requireIntegers(const LazyPtr &indices) {
  if (!indices->isInteger())
    fail("expected integer indices, got ", elementTypeName(indices->type));
}

static void gather(LazyCall &call) {
  const LazyPtr &x = call.input(0), &indices = call.input(1);
  requireIntegers(indices);
  int64_t axis = normalizeAxis(call.attributes.getInt("axis", 0), rankOf(x));
  int64_t inner = product(x->shape, axis + 1, rankOf(x)), length = x->shape[axis];
  Shape shape(x->shape.begin(), x->shape.begin() + axis);
  shape.insert(shape.end(), indices->shape.begin(), indices->shape.end());
  shape.insert(shape.end(), x->shape.begin() + axis + 1, x->shape.end());
  int64_t total = elementCount(shape);
  FastDivider byInner(inner, total), byCount(indices->size, total);
  const LazyNode *data = x.get(), *at = indices.get();
  const NodeProto *node = &call.node;
  call.set(0, lazyPick(x->type, shape, {x, indices}, [=](int64_t i) {
             int64_t position = byInner.split(i), outer = byCount.split(position);
             int64_t index = lazyIndex(*node, at->intAt(position), length);
             return std::make_pair(data, (outer * length + index) * inner + i);
           }));
}

/// Where element i of `indices`, walked along `axis`, lies in a tensor of shape `shape`: the map
/// gives all but the part along the axis.
static IndexMap besideAxis(const Shape &indices, const Shape &shape, int64_t axis) {
  std::vector<int64_t> strides = rowMajorStrides(shape);
  strides[axis] = 0;
  return IndexMap(indices, strides);
}

void llmc::onnx::lazyRequireFit(const LazyPtr &indices, const LazyPtr &x, int64_t axis) {
  requireIntegers(indices);
  if (rankOf(indices) != rankOf(x))
    fail("indices have ", rankOf(indices), " dimensions, expected ", rankOf(x));
  for (int64_t d = 0; d < rankOf(x) && indices->size; ++d)
    if (d != axis && indices->shape[d] > x->shape[d])
      fail("indices of shape ", shapeString(indices->shape), " do not fit data of shape ",
           shapeString(x->shape));
}

static void gatherElements(LazyCall &call) {
  const LazyPtr &x = call.input(0), &indices = call.input(1);
  int64_t axis = normalizeAxis(call.attributes.getInt("axis", 0), rankOf(x));
  lazyRequireFit(indices, x, axis);
  int64_t length = x->shape[axis], stride = rowMajorStrides(x->shape)[axis];
  IndexMap map = besideAxis(indices->shape, x->shape, axis);
  const LazyNode *data = x.get(), *at = indices.get();
  const NodeProto *node = &call.node;
  call.set(0, lazyPick(x->type, indices->shape, {x, indices}, [=](int64_t i) {
             return std::make_pair(data, map(i) + lazyIndex(*node, at->intAt(i), length) * stride);
           }));
}

int64_t llmc::onnx::lazyTupleDepth(const LazyPtr &x, const LazyPtr &indices, int64_t batch) {
  requireIntegers(indices);
  if (rankOf(indices) < 1 || batch < 0 || batch >= std::min(rankOf(indices), rankOf(x)) ||
      batch + indices->shape.back() > rankOf(x))
    fail("indices of shape ", shapeString(indices->shape), " do not fit data of shape ",
         shapeString(x->shape));
  for (int64_t d = 0; d < batch; ++d)
    if (indices->shape[d] != x->shape[d])
      fail("batch dimension ", d, " differs between data and indices");
  return indices->shape.back();
}

static void gatherND(LazyCall &call) {
  const LazyPtr &x = call.input(0), &indices = call.input(1);
  int64_t batch = call.attributes.getInt("batch_dims", 0),
          depth = lazyTupleDepth(x, indices, batch);
  int64_t inner = product(x->shape, batch + depth, rankOf(x));
  Shape shape(indices->shape.begin(), indices->shape.end() - 1);
  shape.insert(shape.end(), x->shape.begin() + batch + depth, x->shape.end());
  int64_t total = elementCount(shape);
  FastDivider byInner(inner, total),
      byBatch(product(indices->shape, batch, rankOf(indices) - 1), total);
  int64_t perBatch = product(x->shape, batch, rankOf(x));
  std::vector<int64_t> strides = rowMajorStrides(x->shape),
                       lengths(x->shape.begin() + batch, x->shape.begin() + batch + depth);
  strides.erase(strides.begin(), strides.begin() + batch);
  const LazyNode *data = x.get(), *at = indices.get();
  const NodeProto *node = &call.node;
  call.set(0, lazyPick(x->type, shape, {x, indices}, [=](int64_t i) {
             int64_t tuple = byInner.split(i), within = tuple;
             int64_t from = byBatch.split(within) * perBatch + i;
             for (int64_t k = 0; k < depth; ++k)
               from += lazyIndex(*node, at->intAt(tuple * depth + k), lengths[k]) * strides[k];
             return std::make_pair(data, from);
           }));
}

static void oneHot(LazyCall &call) {
  const LazyPtr &indices = call.input(0), &depthInput = call.input(1), &values = call.input(2);
  if (depthInput->size != 1 || values->size != 2)
    fail("expected a scalar depth and two values");
  if (depthInput->unknown)
    fail(*depthInput->unknown);
  int64_t depth = truncated(lazyMaterialize(*depthInput, 1).at(0));
  int64_t axis = normalizeAxis(call.attributes.getInt("axis", -1), rankOf(indices) + 1);
  Shape shape = indices->shape;
  shape.insert(shape.begin() + axis, depth);
  int64_t total = elementCount(shape), inner = product(indices->shape, axis, rankOf(indices));
  FastDivider byInner(inner, total), byDepth(depth, total);
  const LazyNode *at = indices.get(), *from = values.get();
  call.set(0, lazyPick(values->type, shape, {indices, values}, [=](int64_t i) {
             int64_t k = byInner.split(i), outer = byDepth.split(k);
             int64_t index = at->intAt(outer * inner + i);
             return std::make_pair(from, int64_t(index == k || index + depth == k));
           }));
}

void llmc::onnx::registerLazyIndexing(LazyTable &table) {
  table["Gather"] = gather;
  table["GatherElements"] = gatherElements;
  table["GatherND"] = gatherND;
  table["OneHot"] = oneHot;
}
