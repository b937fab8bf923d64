//===- EvaluatorShape.cpp - Operators that move or describe elements ------===//
//
// Shapes, views, joins and splits; constants and ranges.
//
//===----------------------------------------------------------------------===//

#include "OperatorShapes.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

using namespace llmc::onnx;

template <typename T>
static void copyRows(const T *in, T *out, const Shape &shape, const std::vector<int64_t> &strides) {
  walkRows<1>(shape, {strides},
              [&](int64_t first, const auto &at, const auto &step, int64_t count) {
                const T *from = in + at[0];
                if (step[0] == 1)
                  std::memcpy(out + first, from, count * sizeof(T));
                else if (step[0] == 0)
                  std::fill_n(out + first, count, *from);
                else
                  for (int64_t k = 0; k < count; ++k)
                    out[first + k] = from[k * step[0]];
              });
}

OnnxTensor llmc::onnx::copyStrided(const OnnxTensor &x, const Shape &shape,
                                   const std::vector<int64_t> &strides, int64_t start) {
  if (shape == x.shape() && start == 0 && strides == rowMajorStrides(shape))
    return x;
  OnnxTensor y = OnnxTensor::unset(x.type(), shape);
  if (y.size() == 0)
    return y;
  if (x.isFloat32Like())
    copyRows(x.floats() + start, y.mutableFloats(), shape, strides);
  else if (x.isDouble())
    copyRows(x.doubles() + start, y.mutableDoubles(), shape, strides);
  else
    copyRows(x.ints() + start, y.mutableInts(), shape, strides);
  return y;
}

OnnxTensor llmc::onnx::broadcastTo(const OnnxTensor &x, const Shape &shape) {
  return copyStrided(x, shape, broadcastStrides(x.shape(), shape));
}

OnnxTensor llmc::onnx::transpose(const OnnxTensor &x, const std::vector<int64_t> &perm) {
  Shape shape;
  std::vector<int64_t> strides = rowMajorStrides(x.shape()), walk;
  for (int64_t from : checkedPermutation(perm, x.rank())) {
    shape.push_back(x.shape()[from]);
    walk.push_back(strides[from]);
  }
  bool isMatrix = x.rank() == 2 && x.isFloat32Like() && x.source().data;
  if (isMatrix)
    return shape == x.shape() && walk == strides ? x : x.swapped();
  return copyStrided(x, shape, walk);
}

static void transposeOp(OpCall &call) {
  const OnnxTensor &x = call.input(0);
  call.set(0, transpose(x, permutationOf(call.attributes, x.rank())));
}

static void shapeOp(OpCall &call) {
  call.set(0, dimensionsOf(call.attributes, call.input(0).shape()));
}

static void sizeOp(OpCall &call) { call.set(0, OnnxTensor::scalar(call.input(0).size())); }

static void reshape(OpCall &call) {
  const OnnxTensor &x = call.input(0);
  call.set(0,
           x.reshaped(reshapedShape(call.attributes, x.shape(), x.size(), call.input(1).toInts())));
}

static void flatten(OpCall &call) {
  const OnnxTensor &x = call.input(0);
  call.set(0, x.reshaped(flattenedShape(call.attributes, x.shape())));
}

static void squeeze(OpCall &call) {
  const OnnxTensor &x = call.input(0);
  std::vector<int64_t> axes;
  bool given = call.intsFrom(1, "axes", axes);
  call.set(0, x.reshaped(squeezedShape(x.shape(), given, axes)));
}

static void unsqueeze(OpCall &call) {
  const OnnxTensor &x = call.input(0);
  std::vector<int64_t> axes;
  if (!call.intsFrom(1, "axes", axes))
    fail("axes are missing");
  call.set(0, x.reshaped(unsqueezedShape(x.shape(), axes)));
}

static void expand(OpCall &call) {
  const OnnxTensor &x = call.input(0);
  Shape shape = broadcastShapes(x.shape(), call.input(1).toInts());
  call.set(0, broadcastTo(x, shape));
}

static void tile(OpCall &call) {
  const OnnxTensor &x = call.input(0);
  std::vector<int64_t> repeats = call.input(1).toInts();
  Shape shape = tiledShape(x.shape(), repeats);
  // Each dimension counts repeats outside and its own elements inside.
  std::vector<int64_t> own = rowMajorStrides(x.shape()), strides;
  Shape walked;
  for (int64_t d = 0; d < x.rank(); ++d) {
    walked.insert(walked.end(), {repeats[d], x.shape()[d]});
    strides.insert(strides.end(), {0, own[d]});
  }
  call.set(0, copyStrided(x, walked, strides).reshaped(shape));
}

OnnxTensor llmc::onnx::concat(const std::vector<const OnnxTensor *> &parts, int64_t axis) {
  if (parts.empty() || !parts[0])
    fail("nothing to concatenate");
  Shape shape = parts[0]->shape();
  axis = normalizeAxis(axis, parts[0]->rank());
  shape[axis] = 0;
  for (const OnnxTensor *part : parts) {
    if (!part || part->rank() != parts[0]->rank() || part->type() != parts[0]->type())
      fail("concatenated tensors differ in type or rank");
    for (int64_t d = 0; d < part->rank(); ++d)
      if (d != axis && part->shape()[d] != shape[d])
        fail("concatenated shapes ", shapeString(parts[0]->shape()), " and ",
             shapeString(part->shape()), " differ outside axis ", axis);
    if (__builtin_add_overflow(shape[axis], part->shape()[axis], &shape[axis]))
      fail("concatenated dimension overflows");
  }
  OnnxTensor out = OnnxTensor::unset(parts[0]->type(), shape);
  int64_t outer = 1, inner = 1;
  for (int64_t d = 0; d < static_cast<int64_t>(shape.size()); ++d)
    if (d != axis)
      (d < axis ? outer : inner) *= shape[d];
  int64_t done = 0;
  size_t width = out.isFloat32Like() ? 4 : 8;
  auto bytes = [](const OnnxTensor &t) {
    return t.isFloat32Like() ? reinterpret_cast<const char *>(t.floats())
           : t.isDouble()    ? reinterpret_cast<const char *>(t.doubles())
                             : reinterpret_cast<const char *>(t.ints());
  };
  char *target = const_cast<char *>(bytes(out));
  for (const OnnxTensor *part : parts) {
    int64_t run = part->shape()[axis] * inner;
    for (int64_t o = 0; o < outer && run; ++o)
      std::memcpy(target + (o * shape[axis] * inner + done * inner) * width,
                  bytes(*part) + o * run * width, run * width);
    done += part->shape()[axis];
  }
  return out;
}

static void concatOp(OpCall &call) {
  for (size_t i = 0; i < call.inputs.size(); ++i)
    call.input(i);
  call.set(0, concat(call.inputs, call.attributes.requireInt("axis")));
}

static OnnxTensor slice(const OnnxTensor &x, const std::vector<int64_t> &starts, const Shape &shape,
                        const std::vector<int64_t> &steps) {
  std::vector<int64_t> strides = rowMajorStrides(x.shape());
  int64_t start = 0;
  for (int64_t d = 0; d < x.rank(); ++d) {
    start += starts[d] * strides[d];
    strides[d] *= steps[d];
  }
  return copyStrided(x, shape, strides, start);
}

static void split(OpCall &call) {
  const OnnxTensor &x = call.input(0);
  int64_t axis = normalizeAxis(call.attributes.getInt("axis", 0), x.rank());
  int64_t length = x.shape()[axis], count = call.node.output_size();
  std::vector<int64_t> sizes;
  bool given = call.intsFrom(1, "split", sizes);
  sizes = splitSizes(call.attributes, call.opset, length, count, given, sizes);
  std::vector<int64_t> starts(x.rank(), 0), steps(x.rank(), 1);
  for (int64_t i = 0; i < count; ++i) {
    Shape shape = x.shape();
    shape[axis] = sizes[i];
    call.set(i, slice(x, starts, shape, steps));
    starts[axis] += sizes[i];
  }
}

static void sliceOp(OpCall &call) {
  const OnnxTensor &x = call.input(0);
  std::vector<int64_t> begins = call.input(1).toInts(), ends = call.input(2).toInts(), axes,
                       strides;
  if (const OnnxTensor *given = call.optional(3))
    axes = given->toInts();
  else
    for (size_t i = 0; i < begins.size(); ++i)
      axes.push_back(static_cast<int64_t>(i));
  strides = call.optional(4) ? call.optional(4)->toInts() : std::vector<int64_t>(axes.size(), 1);
  if (begins.size() != axes.size() || ends.size() != axes.size() || strides.size() != axes.size())
    fail("starts, ends, axes and steps differ in length");
  std::vector<int64_t> starts(x.rank(), 0), steps(x.rank(), 1);
  Shape shape = x.shape();
  for (size_t i = 0; i < axes.size(); ++i) {
    int64_t axis = normalizeAxis(axes[i], x.rank()), length = x.shape()[axis], step = strides[i];
    if (step == 0 || step == std::numeric_limits<int64_t>::min())
      fail("bad step ", step);
    int64_t begin = begins[i] < 0 ? begins[i] + length : begins[i];
    int64_t end = ends[i] < 0 ? ends[i] + length : ends[i];
    begin = std::clamp<int64_t>(begin, 0, step > 0 ? length : length - 1);
    end = std::clamp<int64_t>(end, step > 0 ? 0 : -1, length);
    starts[axis] = begin;
    steps[axis] = step;
    int64_t span = step > 0 ? end - begin : begin - end, size = step > 0 ? step : -step;
    shape[axis] = span <= 0 ? 0 : (span - 1) / size + 1;
  }
  call.set(0, slice(x, starts, shape, steps));
}

static void constant(OpCall &call) {
  const Attributes &attributes = call.attributes;
  if (const AttributeProto *value = attributes.find("value"))
    call.set(0, call.model.decode(value->t(), "attribute 'value'"));
  else if (attributes.has("value_int"))
    call.set(0, OnnxTensor::scalar(attributes.requireInt("value_int")));
  else if (attributes.has("value_float"))
    call.set(0, OnnxTensor::fromFloats({attributes.getFloat("value_float", 0)}, {}));
  else if (attributes.has("value_ints")) {
    std::vector<int64_t> values = attributes.getInts("value_ints");
    Shape shape = {static_cast<int64_t>(values.size())};
    call.set(0, OnnxTensor::fromInts(std::move(values), shape));
  } else if (const AttributeProto *value = attributes.find("value_floats"))
    call.set(0, OnnxTensor::fromFloats({value->floats().begin(), value->floats().end()},
                                       {value->floats_size()}));
  else
    fail("constant without a supported value attribute");
}

static void constantOfShape(OpCall &call) {
  OnnxTensor value = OnnxTensor::fromFloats({0.0f}, {1});
  if (const AttributeProto *attribute = call.attributes.find("value"))
    value = call.model.decode(attribute->t(), "attribute 'value'");
  if (value.size() != 1)
    fail("expected one value, got ", value.size());
  Shape shape = call.input(0).toInts();
  call.set(0, copyStrided(value, shape, std::vector<int64_t>(shape.size(), 0)));
}

static void range(OpCall &call) {
  const OnnxTensor &start = call.input(0), &limit = call.input(1), &delta = call.input(2);
  if (start.size() != 1 || limit.size() != 1 || delta.size() != 1 || delta.at(0) == 0)
    fail("expected scalar start, limit and a delta that is not zero");
  double count = std::ceil((limit.at(0) - start.at(0)) / delta.at(0));
  if (!(count < 1e9))
    failLimit("range of ", count, " elements");
  OnnxTensor out(start.type(), {count > 0 ? static_cast<int64_t>(count) : 0});
  for (int64_t i = 0; i < out.size(); ++i) {
    if (out.isInteger())
      out.mutableInts()[i] = wrapToType(start.ints()[0] + i * delta.ints()[0], out.type());
    else
      out.set(i, start.at(0) + static_cast<double>(i) * delta.at(0));
  }
  call.set(0, out);
}

static void trilu(OpCall &call) {
  const OnnxTensor &x = call.input(0);
  if (x.rank() < 2)
    fail("expected at least 2 dimensions, got ", x.rank());
  bool upper = call.attributes.getInt("upper", 1) != 0;
  int64_t k = call.optional(1) ? call.optional(1)->ints()[0] : 0;
  int64_t rows = x.shape()[x.rank() - 2], columns = x.shape()[x.rank() - 1];
  OnnxTensor y(x.type(), x.shape());
  for (int64_t i = 0; i < x.size(); ++i) {
    int64_t row = i / columns % rows, column = i % columns;
    bool keep = upper ? column - row >= k : column - row <= k;
    if (!keep)
      continue;
    if (y.isInteger())
      y.mutableInts()[i] = x.ints()[i];
    else
      y.set(i, x.at(i));
  }
  call.set(0, y);
}

static void pad(OpCall &call) {
  const OnnxTensor &x = call.input(0);
  std::string mode = call.attributes.getString("mode", "constant");
  if (mode != "constant")
    fail("padding mode '", mode, "' is not supported");
  std::vector<int64_t> pads = call.input(1).toInts(), axes(x.rank());
  std::iota(axes.begin(), axes.end(), 0);
  if (const OnnxTensor *given = call.optional(3))
    axes = given->toInts();
  if (pads.size() != 2 * axes.size())
    fail("expected ", 2 * axes.size(), " pads, got ", pads.size());
  std::vector<int64_t> before(x.rank(), 0);
  Shape shape = x.shape();
  for (size_t i = 0; i < axes.size(); ++i) {
    int64_t axis = normalizeAxis(axes[i], x.rank());
    before[axis] = pads[i];
    shape[axis] += pads[i] + pads[axes.size() + i];
  }
  OnnxTensor y(x.type(), shape);
  const OnnxTensor *value = call.optional(2);
  std::vector<int64_t> strides = rowMajorStrides(shape), inStrides = rowMajorStrides(x.shape());
  for (int64_t i = 0; i < y.size(); ++i) {
    int64_t source = 0, rest = i;
    bool inside = true;
    for (int64_t d = 0; d < x.rank(); ++d) {
      int64_t at = rest / strides[d] - before[d];
      rest %= strides[d];
      inside &= at >= 0 && at < x.shape()[d];
      source += at * inStrides[d];
    }
    if (y.isInteger())
      y.mutableInts()[i] = inside ? x.ints()[source] : value ? value->ints()[0] : 0;
    else
      y.set(i, inside ? x.at(source) : value ? value->at(0) : 0);
  }
  call.set(0, y);
}

void llmc::onnx::registerShape(OpTable &table) {
  table[{"", "Shape"}] = shapeOp;
  table[{"", "Size"}] = sizeOp;
  table[{"", "Reshape"}] = reshape;
  table[{"", "Flatten"}] = flatten;
  table[{"", "Squeeze"}] = squeeze;
  table[{"", "Unsqueeze"}] = unsqueeze;
  table[{"", "Transpose"}] = transposeOp;
  table[{"", "Expand"}] = expand;
  table[{"", "Tile"}] = tile;
  table[{"", "Concat"}] = concatOp;
  table[{"", "Split"}] = split;
  table[{"", "Slice"}] = sliceOp;
  table[{"", "Constant"}] = constant;
  table[{"", "ConstantOfShape"}] = constantOfShape;
  table[{"", "Range"}] = range;
  table[{"", "Trilu"}] = trilu;
  table[{"", "Pad"}] = pad;
}
