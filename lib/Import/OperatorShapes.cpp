//===- OperatorShapes.cpp - Shapes that operators make of shapes ----------===//
//
// What ONNX says of them, without a look at any element.
//
//===----------------------------------------------------------------------===//

#include "OperatorShapes.h"

#include <algorithm>

using namespace llmc::onnx;

static int64_t rankOf(const Shape &shape) { return static_cast<int64_t>(shape.size()); }

std::vector<int64_t> llmc::onnx::permutationOf(const Attributes &attributes, int64_t rank) {
  std::vector<int64_t> perm = attributes.getInts("perm");
  if (perm.empty())
    for (int64_t d = rank; d-- > 0;)
      perm.push_back(d);
  return perm;
}

std::vector<int64_t> llmc::onnx::checkedPermutation(const std::vector<int64_t> &perm,
                                                    int64_t rank) {
  if (rankOf(perm) != rank)
    fail("permutation of ", perm.size(), " axes for ", rank, " dimensions");
  std::vector<int64_t> result;
  std::vector<bool> seen(rank, false);
  for (int64_t axis : perm) {
    int64_t from = normalizeAxis(axis, rank);
    if (seen[from])
      fail("permutation names axis ", from, " twice");
    seen[from] = true;
    result.push_back(from);
  }
  return result;
}

OnnxTensor llmc::onnx::dimensionsOf(const Attributes &attributes, const Shape &shape) {
  int64_t rank = rankOf(shape);
  int64_t start = attributes.getInt("start", 0), end = attributes.getInt("end", rank);
  start = std::clamp<int64_t>(start < 0 ? start + rank : start, 0, rank);
  end = std::clamp<int64_t>(end < 0 ? end + rank : end, 0, rank);
  std::vector<int64_t> dims;
  for (int64_t d = start; d < end; ++d)
    dims.push_back(shape[d]);
  return OnnxTensor::fromInts(dims, {rankOf(dims)});
}

Shape llmc::onnx::reshapedShape(const Attributes &attributes, const Shape &shape, int64_t size,
                                Shape wanted) {
  bool allowZero = attributes.getInt("allowzero", 0) != 0;
  int64_t known = 1, open = -1;
  for (int64_t d = 0; d < rankOf(wanted); ++d) {
    if (wanted[d] == 0 && !allowZero) {
      if (d >= rankOf(shape))
        fail("reshape copies dimension ", d, " of a tensor with ", rankOf(shape));
      wanted[d] = shape[d];
    }
    if (wanted[d] == -1) {
      if (open >= 0)
        fail("reshape to ", shapeString(wanted), " has two open dimensions");
      open = d;
    } else if (wanted[d] < 0 || __builtin_mul_overflow(known, wanted[d], &known)) {
      fail("bad reshape to ", shapeString(wanted));
    }
  }
  if (open >= 0) {
    if (known == 0 || size % known != 0)
      fail("cannot reshape ", shapeString(shape), " to ", shapeString(wanted));
    wanted[open] = size / known;
  }
  return wanted;
}

Shape llmc::onnx::flattenedShape(const Attributes &attributes, const Shape &shape) {
  int64_t axis = attributes.getInt("axis", 1), rank = rankOf(shape);
  if (axis < -rank || axis > rank)
    fail("axis ", axis, " is outside the ", rank, " dimensions");
  axis = axis < 0 ? axis + rank : axis;
  int64_t outer = 1, inner = 1;
  for (int64_t d = 0; d < rank; ++d)
    (d < axis ? outer : inner) *= shape[d];
  return {outer, inner};
}

Shape llmc::onnx::squeezedShape(const Shape &shape, bool given, const std::vector<int64_t> &axes) {
  std::vector<bool> drop(shape.size(), false);
  for (int64_t axis : axes) {
    axis = normalizeAxis(axis, rankOf(shape));
    if (shape[axis] != 1)
      fail("squeezed dimension ", axis, " is ", shape[axis], ", expected 1");
    drop[axis] = true;
  }
  Shape result;
  for (int64_t d = 0; d < rankOf(shape); ++d)
    if (!(given ? drop[d] : shape[d] == 1))
      result.push_back(shape[d]);
  return result;
}

Shape llmc::onnx::unsqueezedShape(const Shape &shape, const std::vector<int64_t> &axes) {
  int64_t rank = rankOf(shape) + rankOf(axes);
  std::vector<bool> added(rank, false);
  for (int64_t axis : axes) {
    axis = normalizeAxis(axis, rank);
    if (added[axis])
      fail("axis ", axis, " is added twice");
    added[axis] = true;
  }
  Shape result;
  size_t next = 0;
  for (int64_t d = 0; d < rank; ++d)
    result.push_back(added[d] ? 1 : shape[next++]);
  return result;
}

std::vector<int64_t> llmc::onnx::splitSizes(const Attributes &attributes, int64_t opset,
                                            int64_t length, int64_t count, bool given,
                                            std::vector<int64_t> sizes) {
  if (!given) {
    int64_t parts = attributes.getInt("num_outputs", count);
    if (parts <= 0)
      fail("num_outputs is ", parts);
    if (parts != count)
      fail("num_outputs is ", parts, ", but the node has ", count, " outputs");
    if (opset < 18 && length % parts != 0)
      fail("cannot split ", length, " into ", parts, " equal parts");
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
  return sizes;
}

Shape llmc::onnx::tiledShape(const Shape &shape, const std::vector<int64_t> &repeats) {
  if (rankOf(repeats) != rankOf(shape))
    fail("expected ", rankOf(shape), " repeats, got ", repeats.size());
  Shape result(shape.size());
  for (size_t d = 0; d < shape.size(); ++d)
    if (repeats[d] < 0 || __builtin_mul_overflow(shape[d], repeats[d], &result[d]))
      fail("bad repeat ", repeats[d]);
  return result;
}

std::vector<bool> llmc::onnx::reducedAxes(const std::vector<int64_t> &axes, int64_t rank) {
  std::vector<bool> gone(rank, axes.empty());
  for (int64_t axis : axes)
    gone[normalizeAxis(axis, rank)] = true;
  return gone;
}

ProductShape::ProductShape(ElementType typeA, const Shape &a, ElementType typeB, const Shape &b)
    : vectorA(a.size() == 1), vectorB(b.size() == 1) {
  if (a.empty() || b.empty())
    fail("operands of MatMul need at least one dimension");
  if (typeA != typeB)
    fail("operand types ", elementTypeName(typeA), " and ", elementTypeName(typeB), " differ");
  Shape sa = a, sb = b;
  if (vectorA)
    sa.insert(sa.begin(), 1);
  if (vectorB)
    sb.push_back(1);
  m = sa[sa.size() - 2];
  k = sa.back();
  n = sb.back();
  if (sb[sb.size() - 2] != k)
    fail("inner dimensions of ", shapeString(a), " and ", shapeString(b), " differ");
  batchA.assign(sa.begin(), sa.end() - 2);
  batchB.assign(sb.begin(), sb.end() - 2);
  result = batch = broadcastShapes(batchA, batchB);
  if (!vectorA)
    result.push_back(m);
  if (!vectorB)
    result.push_back(n);
}
