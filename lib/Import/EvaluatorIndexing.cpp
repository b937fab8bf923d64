//===- EvaluatorIndexing.cpp - Gather, scatter, and ordering --------------===//
//
// Operators that read or write at computed places. Every index is checked against its dimension.
//
//===----------------------------------------------------------------------===//

#include "EvaluatorOps.h"

#include <algorithm>
#include <cmath>
#include <numeric>

using namespace llmc::onnx;

static void copyElement(OnnxTensor &y, int64_t to, const OnnxTensor &x, int64_t from) {
  if (x.isFloat32Like())
    y.mutableFloats()[to] = x.floats()[from];
  else if (x.isDouble())
    y.mutableDoubles()[to] = x.doubles()[from];
  else
    y.mutableInts()[to] = x.ints()[from];
}

static OnnxTensor deepCopy(const OnnxTensor &x) {
  OnnxTensor y(x.type(), x.shape());
  for (int64_t i = 0; i < x.size(); ++i)
    copyElement(y, i, x, i);
  return y;
}

static int64_t checkIndex(int64_t index, int64_t length) {
  if (index < -length || index >= length)
    fail("index ", index, " is outside a dimension of ", length);
  return index < 0 ? index + length : index;
}

static int64_t product(const Shape &shape, int64_t begin, int64_t end) {
  int64_t result = 1;
  for (int64_t d = begin; d < end; ++d)
    result *= shape[d];
  return result;
}

static void gather(OpCall &call) {
  const OnnxTensor &x = call.input(0), &indices = call.input(1);
  int64_t axis = normalizeAxis(call.attributes.getInt("axis", 0), x.rank());
  int64_t outer = product(x.shape(), 0, axis), inner = product(x.shape(), axis + 1, x.rank());
  Shape shape(x.shape().begin(), x.shape().begin() + axis);
  shape.insert(shape.end(), indices.shape().begin(), indices.shape().end());
  shape.insert(shape.end(), x.shape().begin() + axis + 1, x.shape().end());
  OnnxTensor y = OnnxTensor::unset(x.type(), shape);
  int64_t count = indices.size(), length = x.shape()[axis];
  const int64_t *at = indices.ints();
  auto copy = [&](const auto *in, auto *out) {
    for (int64_t o = 0; o < outer; ++o)
      for (int64_t i = 0; i < count; ++i)
        std::copy_n(in + (o * length + checkIndex(at[i], length)) * inner, inner,
                    out + (o * count + i) * inner);
  };
  if (x.isDouble())
    copy(x.doubles(), y.mutableDoubles());
  else if (!x.isFloat32Like())
    copy(x.ints(), y.mutableInts());
  else if (x.source().data && outer == 1 && count * inner < x.size())
    // Rows of a table in a file are read where they lie.
    for (int64_t i = 0; i < count; ++i)
      for (int64_t k = 0, from = checkIndex(at[i], length) * inner; k < inner; ++k)
        y.mutableFloats()[i * inner + k] = static_cast<float>(x.at(from + k));
  else
    copy(x.floats(), y.mutableFloats());
  call.set(0, y);
}

/// The element of `shape` that position `i` of `indices` (walked along `axis`) names.
static int64_t elementAt(const OnnxTensor &indices, int64_t i, const Shape &shape, int64_t axis) {
  std::vector<int64_t> strides = rowMajorStrides(indices.shape()), target = rowMajorStrides(shape);
  int64_t offset = 0, rest = i;
  for (int64_t d = 0; d < indices.rank(); ++d) {
    int64_t at = rest / strides[d];
    rest %= strides[d];
    if (d == axis)
      at = checkIndex(indices.ints()[i], shape[d]);
    else
      checkIndex(at, shape[d]);
    offset += at * target[d];
  }
  return offset;
}

static void gatherElements(OpCall &call) {
  const OnnxTensor &x = call.input(0), &indices = call.input(1);
  if (indices.rank() != x.rank())
    fail("indices have ", indices.rank(), " dimensions, expected ", x.rank());
  int64_t axis = normalizeAxis(call.attributes.getInt("axis", 0), x.rank());
  OnnxTensor y(x.type(), indices.shape());
  for (int64_t i = 0; i < y.size(); ++i)
    copyElement(y, i, x, elementAt(indices, i, x.shape(), axis));
  call.set(0, y);
}

static double combine(const std::string &reduction, double old, double update) {
  if (reduction == "add")
    return old + update;
  if (reduction == "mul")
    return old * update;
  if (reduction == "min")
    return std::min(old, update);
  if (reduction == "max")
    return std::max(old, update);
  if (reduction == "none")
    return update;
  fail("unknown reduction '", reduction, "'");
}

static void updateElement(OnnxTensor &y, int64_t to, const OnnxTensor &updates, int64_t from,
                          const std::string &reduction) {
  if (reduction == "none")
    copyElement(y, to, updates, from);
  else
    y.set(to, combine(reduction, y.at(to), updates.at(from)));
}

static void scatterElements(OpCall &call) {
  const OnnxTensor &x = call.input(0), &indices = call.input(1), &updates = call.input(2);
  if (indices.shape() != updates.shape() || indices.rank() != x.rank() ||
      updates.type() != x.type())
    fail("indices and updates do not match the data");
  int64_t axis = normalizeAxis(call.attributes.getInt("axis", 0), x.rank());
  std::string reduction = call.attributes.getString("reduction", "none");
  OnnxTensor y = deepCopy(x);
  for (int64_t i = 0; i < indices.size(); ++i)
    updateElement(y, elementAt(indices, i, x.shape(), axis), updates, i, reduction);
  call.set(0, y);
}

/// Start of the slice of x that tuple `t` of `indices` names below `batch` leading dimensions.
static int64_t sliceAt(const OnnxTensor &indices, int64_t t, const Shape &shape, int64_t batch) {
  int64_t depth = indices.shape().back();
  std::vector<int64_t> strides = rowMajorStrides(shape);
  int64_t offset = 0;
  if (batch > 0) {
    int64_t perBatch = product(indices.shape(), batch, indices.rank() - 1);
    offset = t / perBatch * product(shape, batch, static_cast<int64_t>(shape.size()));
  }
  for (int64_t k = 0; k < depth; ++k)
    offset += checkIndex(indices.ints()[t * depth + k], shape[batch + k]) * strides[batch + k];
  return offset;
}

static int64_t tupleDepth(const OnnxTensor &x, const OnnxTensor &indices, int64_t batch) {
  if (indices.rank() < 1 || batch < 0 || batch >= std::min(indices.rank(), x.rank()) ||
      batch + indices.shape().back() > x.rank())
    fail("indices of shape ", shapeString(indices.shape()), " do not fit data of shape ",
         shapeString(x.shape()));
  for (int64_t d = 0; d < batch; ++d)
    if (indices.shape()[d] != x.shape()[d])
      fail("batch dimension ", d, " differs between data and indices");
  return indices.shape().back();
}

static void gatherND(OpCall &call) {
  const OnnxTensor &x = call.input(0), &indices = call.input(1);
  int64_t batch = call.attributes.getInt("batch_dims", 0), depth = tupleDepth(x, indices, batch);
  int64_t inner = product(x.shape(), batch + depth, x.rank());
  Shape shape(indices.shape().begin(), indices.shape().end() - 1);
  shape.insert(shape.end(), x.shape().begin() + batch + depth, x.shape().end());
  OnnxTensor y(x.type(), shape);
  int64_t tuples = product(indices.shape(), 0, indices.rank() - 1);
  for (int64_t t = 0; t < tuples && inner; ++t) {
    int64_t from = sliceAt(indices, t, x.shape(), batch);
    for (int64_t k = 0; k < inner; ++k)
      copyElement(y, t * inner + k, x, from + k);
  }
  call.set(0, y);
}

static void scatterND(OpCall &call) {
  const OnnxTensor &x = call.input(0), &indices = call.input(1), &updates = call.input(2);
  int64_t depth = tupleDepth(x, indices, 0), inner = product(x.shape(), depth, x.rank());
  int64_t tuples = product(indices.shape(), 0, indices.rank() - 1);
  if (updates.size() != tuples * inner || updates.type() != x.type())
    fail("updates of shape ", shapeString(updates.shape()), " do not match ", tuples, " slices of ",
         inner, " elements");
  std::string reduction = call.attributes.getString("reduction", "none");
  OnnxTensor y = deepCopy(x);
  for (int64_t t = 0; t < tuples; ++t) {
    int64_t to = sliceAt(indices, t, x.shape(), 0);
    for (int64_t k = 0; k < inner; ++k)
      updateElement(y, to + k, updates, t * inner + k, reduction);
  }
  call.set(0, y);
}

/// Writes `update` along one axis of a cache from a start per batch entry (opset 24).
static void tensorScatter(OpCall &call) {
  const OnnxTensor &x = call.input(0), &update = call.input(1), *starts = call.optional(2);
  int64_t axis = normalizeAxis(call.attributes.getInt("axis", -2), x.rank());
  bool circular = call.attributes.getString("mode", "linear") == "circular";
  if (axis == 0 || update.rank() != x.rank() || update.type() != x.type())
    fail("the update does not match the cache");
  for (int64_t d = 0; d < x.rank(); ++d)
    if (d != axis && update.shape()[d] != x.shape()[d])
      fail("dimension ", d, " of cache and update differ");
  if (starts && starts->size() != x.shape()[0])
    fail("expected ", x.shape()[0], " write indices, got ", starts->size());
  int64_t batch = x.shape()[0], middle = product(x.shape(), 1, axis);
  int64_t inner = product(x.shape(), axis + 1, x.rank());
  int64_t length = x.shape()[axis], count = update.shape()[axis];
  OnnxTensor y = deepCopy(x);
  for (int64_t b = 0; b < batch; ++b)
    for (int64_t m = 0; m < middle; ++m)
      for (int64_t t = 0; t < count; ++t) {
        int64_t row = (starts ? starts->ints()[b] : 0) + t;
        if (circular && length)
          row %= length;
        row = checkIndex(row, length);
        for (int64_t k = 0; k < inner; ++k)
          copyElement(y, ((b * middle + m) * length + row) * inner + k, update,
                      ((b * middle + m) * count + t) * inner + k);
      }
  call.set(0, y);
}

static void oneHot(OpCall &call) {
  const OnnxTensor &indices = call.input(0), &values = call.input(2);
  if (call.input(1).size() != 1 || values.size() != 2)
    fail("expected a scalar depth and two values");
  int64_t depth = static_cast<int64_t>(call.input(1).at(0));
  int64_t axis = normalizeAxis(call.attributes.getInt("axis", -1), indices.rank() + 1);
  Shape shape = indices.shape();
  shape.insert(shape.begin() + axis, depth);
  OnnxTensor y(values.type(), shape);
  int64_t inner = product(indices.shape(), axis, indices.rank());
  for (int64_t i = 0; i < y.size(); ++i) {
    int64_t outer = i / (inner * depth), k = i / inner % depth;
    int64_t index = static_cast<int64_t>(indices.at(outer * inner + i % inner));
    copyElement(y, i, values, index == k || index + depth == k);
  }
  call.set(0, y);
}

static void nonZero(OpCall &call) {
  const OnnxTensor &x = call.input(0);
  std::vector<int64_t> strides = rowMajorStrides(x.shape()), found;
  for (int64_t i = 0; i < x.size(); ++i)
    if (x.at(i) != 0)
      found.push_back(i);
  int64_t count = static_cast<int64_t>(found.size());
  OnnxTensor y(ElementType::I64, {x.rank(), count});
  for (int64_t n = 0; n < count; ++n)
    for (int64_t d = 0; d < x.rank(); ++d)
      y.mutableInts()[d * count + n] = found[n] / strides[d] % x.shape()[d];
  call.set(0, y);
}

static void cumSum(OpCall &call) {
  const OnnxTensor &x = call.input(0);
  if (call.input(1).size() != 1)
    fail("expected a scalar axis");
  int64_t axis = normalizeAxis(call.input(1).ints()[0], x.rank());
  bool exclusive = call.attributes.getInt("exclusive", 0) != 0;
  bool reverse = call.attributes.getInt("reverse", 0) != 0;
  int64_t outer = product(x.shape(), 0, axis), inner = product(x.shape(), axis + 1, x.rank());
  int64_t length = x.shape()[axis];
  OnnxTensor y(x.type(), x.shape());
  for (int64_t o = 0; o < outer; ++o)
    for (int64_t k = 0; k < inner; ++k) {
      double sum = 0;
      uint64_t whole = 0;
      for (int64_t t = 0; t < length; ++t) {
        int64_t i = (o * length + (reverse ? length - 1 - t : t)) * inner + k;
        double before = sum;
        uint64_t wholeBefore = whole;
        if (x.isInteger()) {
          whole += static_cast<uint64_t>(x.ints()[i]);
          y.mutableInts()[i] = wrapToType(int64_t(exclusive ? wholeBefore : whole), x.type());
        } else {
          sum += x.at(i);
          y.set(i, exclusive ? before : sum);
        }
      }
    }
  call.set(0, y);
}

static void topK(OpCall &call) {
  const OnnxTensor &x = call.input(0);
  int64_t axis = normalizeAxis(call.attributes.getInt("axis", -1), x.rank());
  bool largest = call.attributes.getInt("largest", 1) != 0;
  int64_t count = call.input(1).ints()[0], length = x.shape()[axis];
  if (count < 0 || count > length)
    fail("cannot take ", count, " of ", length, " elements");
  int64_t outer = product(x.shape(), 0, axis), inner = product(x.shape(), axis + 1, x.rank());
  Shape shape = x.shape();
  shape[axis] = count;
  OnnxTensor values(x.type(), shape), indices(ElementType::I64, shape);
  std::vector<int64_t> order(length);
  for (int64_t o = 0; o < outer; ++o)
    for (int64_t k = 0; k < inner; ++k) {
      auto at = [&](int64_t t) { return (o * length + t) * inner + k; };
      std::iota(order.begin(), order.end(), 0);
      std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
        if (x.isInteger() && x.type() != ElementType::U64) {
          int64_t first = x.ints()[at(a)], second = x.ints()[at(b)];
          return first != second ? (first > second) == largest : a < b;
        }
        double first = x.at(at(a)), second = x.at(at(b));
        if (std::isnan(first) || std::isnan(second)) // Behind all numbers, or it would be no order.
          return std::isnan(first) == std::isnan(second) ? a < b : std::isnan(second);
        return first != second ? (first > second) == largest : a < b;
      });
      for (int64_t t = 0; t < count; ++t) {
        int64_t to = (o * count + t) * inner + k;
        copyElement(values, to, x, at(order[t]));
        indices.mutableInts()[to] = order[t];
      }
    }
  call.set(0, values);
  call.set(1, indices);
}

static void argExtreme(OpCall &call, bool largest) {
  const OnnxTensor &x = call.input(0);
  int64_t axis = normalizeAxis(call.attributes.getInt("axis", 0), x.rank());
  bool last = call.attributes.getInt("select_last_index", 0) != 0;
  int64_t outer = product(x.shape(), 0, axis), inner = product(x.shape(), axis + 1, x.rank());
  int64_t length = x.shape()[axis];
  Shape shape = x.shape();
  if (call.attributes.getInt("keepdims", 1) != 0)
    shape[axis] = 1;
  else
    shape.erase(shape.begin() + axis);
  if (length == 0)
    fail("no element to choose from");
  OnnxTensor y(ElementType::I64, shape);
  for (int64_t o = 0; o < outer; ++o)
    for (int64_t k = 0; k < inner; ++k) {
      int64_t best = 0;
      for (int64_t t = 1; t < length; ++t) {
        double a = x.at((o * length + t) * inner + k), b = x.at((o * length + best) * inner + k);
        if ((largest ? a > b : a < b) || (last && a == b))
          best = t;
      }
      y.mutableInts()[o * inner + k] = best;
    }
  call.set(0, y);
}
static void argMax(OpCall &call) { argExtreme(call, true); }
static void argMin(OpCall &call) { argExtreme(call, false); }

void llmc::onnx::registerIndexing(OpTable &table) {
  table[{"", "Gather"}] = gather;
  table[{"", "GatherElements"}] = gatherElements;
  table[{"", "GatherND"}] = gatherND;
  table[{"", "ScatterElements"}] = scatterElements;
  table[{"", "ScatterND"}] = scatterND;
  table[{"", "TensorScatter"}] = tensorScatter;
  table[{"", "OneHot"}] = oneHot;
  table[{"", "NonZero"}] = nonZero;
  table[{"", "CumSum"}] = cumSum;
  table[{"", "TopK"}] = topK;
  table[{"", "ArgMax"}] = argMax;
  table[{"", "ArgMin"}] = argMin;
}
