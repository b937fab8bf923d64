//===- LazyReductions.cpp - Sums along axes, by element -------------------===//
//
// An element of a reduction, a running sum or a matrix product reads many others, in the order in
// which the reference evaluator adds them; lazyCached keeps what was computed.
//
//===----------------------------------------------------------------------===//

#include "Einsum.h"
#include "LazyNode.h"
#include "OperatorMath.h"
#include "OperatorShapes.h"

#include <algorithm>
#include <cmath>
#include <limits>

using namespace llmc::onnx;

static int64_t rankOf(const LazyPtr &x) { return static_cast<int64_t>(x->shape.size()); }

template <double (*Step)(double, double), double (*Finish)(double, double)>
static void reduce(LazyCall &call, double start) {
  const LazyPtr &x = call.input(0);
  std::vector<int64_t> axes;
  call.intsFrom(1, "axes", axes);
  bool keep = call.attributes.getInt("keepdims", 1) != 0;
  bool nothing = axes.empty() && call.attributes.getInt("noop_with_empty_axes", 0) != 0;
  std::vector<bool> gone =
      nothing ? std::vector<bool>(rankOf(x), false) : reducedAxes(axes, rankOf(x));
  std::vector<int64_t> strides = rowMajorStrides(x->shape), keptStrides, goneStrides;
  Shape shape, kept, reduced;
  for (int64_t d = 0; d < rankOf(x); ++d) {
    (gone[d] ? reduced : kept).push_back(x->shape[d]);
    (gone[d] ? goneStrides : keptStrides).push_back(strides[d]);
    if (!gone[d] || keep)
      shape.push_back(gone[d] ? 1 : x->shape[d]);
  }
  IndexMap toStart(kept, keptStrides), toElement(reduced, goneStrides);
  int64_t count = elementCount(reduced);
  const LazyNode *source = x.get();
  ElementType type = x->type;
  auto element = [=](int64_t i) {
    int64_t first = toStart(i);
    double value = start;
    for (int64_t n = 0; n < count; ++n)
      value = Step(value, source->at(first + toElement(n)));
    return Finish(value, static_cast<double>(count));
  };
  if (isFloat(type))
    call.set(
        0,
        lazyFloat(type, shape, {x}, [=](int64_t i) { return roundedTo(element(i), type); }, count));
  else
    call.set(
        0, lazyInteger(type, shape, {x}, [=](int64_t i) { return truncated(element(i)); }, count));
}

static constexpr double infinity = std::numeric_limits<double>::infinity();

static void reduceMean(LazyCall &call) { reduce<plus, average>(call, 0); }
static void reduceSum(LazyCall &call) { reduce<plus, same>(call, 0); }
static void reduceProd(LazyCall &call) { reduce<times, same>(call, 1); }
static void reduceL1(LazyCall &call) { reduce<plusAbsolute, same>(call, 0); }
static void reduceL2(LazyCall &call) { reduce<plusSquare, root>(call, 0); }
static void reduceSumSquare(LazyCall &call) { reduce<plusSquare, same>(call, 0); }
static void reduceLogSum(LazyCall &call) { reduce<plus, logOf>(call, 0); }
static void reduceLogSumExp(LazyCall &call) { reduce<plusExp, logOf>(call, 0); }

/// The extreme of no integers is a matter for the reference.
static void requireElements(LazyCall &call) {
  if (call.input(0)->isInteger() && call.input(0)->size == 0)
    fail("the extreme of no integers");
}
static void reduceMax(LazyCall &call) {
  requireElements(call);
  reduce<larger, same>(call, -infinity);
}
static void reduceMin(LazyCall &call) {
  requireElements(call);
  reduce<smaller, same>(call, infinity);
}

namespace {
/// Running sums along one axis. A line is summed as far as it was asked for and kept; a few lines
/// are held at a time.
class RunningSum final : public LazyNode {
public:
  RunningSum(const LazyPtr &x, int64_t axis, bool exclusive, bool reverse)
      : LazyNode(x->type, x->shape, {x}), source(x.get()), length(x->shape[axis]),
        exclusive(exclusive), reverse(reverse), integer(isInteger()) {
    inner = 1;
    for (size_t d = axis + 1; d < shape.size(); ++d)
      inner *= shape[d];
    byInner = FastDivider(inner, size);
    byLength = FastDivider(length, size);
    cost = 2 * x->cost;
  }
  double at(int64_t i) const override {
    Sum sum = sumAt(i);
    return integer ? asDouble(wrappedTo(int64_t(sum.whole), type)) : roundedTo(sum.real, type);
  }
  int64_t intAt(int64_t i) const override {
    Sum sum = sumAt(i);
    return integer ? wrappedTo(int64_t(sum.whole), type) : truncated(roundedTo(sum.real, type));
  }

private:
  union Sum {
    double real;
    uint64_t whole;
  };
  struct Line {
    int64_t first = -1; // index of its first element
    std::vector<Sum> sums;
  };
  Sum sumAt(int64_t i) const {
    int64_t k = i, t = byInner.split(k), outer = byLength.split(t);
    int64_t first = outer * length * inner + k;
    if (reverse)
      t = length - 1 - t;
    if (exclusive && t == 0)
      return Sum{0};
    t -= exclusive;
    Line &line = lines[static_cast<uint64_t>(outer * inner + k) % std::size(lines)];
    if (line.first != first) {
      line.first = first;
      line.sums.clear();
    }
    if (static_cast<int64_t>(line.sums.size()) <= t)
      countLazySteps((t + 1 - static_cast<int64_t>(line.sums.size())) * source->cost);
    while (static_cast<int64_t>(line.sums.size()) <= t) {
      int64_t next = static_cast<int64_t>(line.sums.size());
      int64_t from = first + (reverse ? length - 1 - next : next) * inner;
      Sum sum = line.sums.empty() ? Sum{0} : line.sums.back();
      if (integer)
        sum.whole += static_cast<uint64_t>(source->intAt(from));
      else
        sum.real += source->at(from);
      line.sums.push_back(sum);
    }
    return line.sums[t];
  }

  const LazyNode *source;
  int64_t length, inner;
  bool exclusive, reverse, integer;
  FastDivider byInner, byLength;
  mutable Line lines[8];
};
} // namespace

static void cumSum(LazyCall &call) {
  const LazyPtr &x = call.input(0);
  std::vector<int64_t> axis = call.ints(1);
  if (axis.size() != 1)
    fail("expected a scalar axis");
  call.set(0, std::make_shared<RunningSum>(x, normalizeAxis(axis[0], rankOf(x)),
                                           call.attributes.getInt("exclusive", 0) != 0,
                                           call.attributes.getInt("reverse", 0) != 0));
}

static LazyPtr product(const LazyPtr &left, const LazyPtr &right) {
  ProductShape of(left->type, left->shape, right->type, right->shape);
  int64_t m = of.m, k = of.k, n = of.n, total = elementCount(of.result);
  IndexMap ia = IndexMap::broadcast(of.batchA, of.batch);
  IndexMap ib = IndexMap::broadcast(of.batchB, of.batch);
  FastDivider byColumns(n, total), byRows(m, total);
  const LazyNode *a = left.get(), *b = right.get();
  ElementType type = left->type;
  auto places = [=](int64_t column) {
    int64_t row = byColumns.split(column), matrix = byRows.split(row);
    return std::make_pair(ia(matrix) * m * k + row * k, ib(matrix) * k * n + column);
  };
  if (!isFloat(type))
    return lazyInteger(
        type, of.result, {left, right},
        [=](int64_t i) {
          auto [x, y] = places(i);
          uint64_t sum = 0;
          for (int64_t p = 0; p < k; ++p)
            sum += uint64_t(a->intAt(x + p)) * uint64_t(b->intAt(y + p * n));
          return wrappedTo(int64_t(sum), type);
        },
        k);
  return lazyFloat(
      type, of.result, {left, right},
      [=](int64_t i) {
        auto [x, y] = places(i);
        double sum = 0;
        for (int64_t p = 0; p < k; ++p)
          sum += a->at(x + p) * b->at(y + p * n);
        return roundedTo(sum, type);
      },
      k);
}

static void matMulOp(LazyCall &call) { call.set(0, product(call.input(0), call.input(1))); }

static LazyPtr swapped(const LazyPtr &x) {
  Shape shape = {x->shape[1], x->shape[0]};
  IndexMap map(shape, {1, x->shape[1]});
  return lazyView(x, std::move(shape), map, {x->varies[1], x->varies[0]});
}

static void gemm(LazyCall &call) {
  LazyPtr a = call.input(0), b = call.input(1), c = call.optional(2);
  if (rankOf(a) != 2 || rankOf(b) != 2)
    fail("expected matrices, got ", shapeString(a->shape), " and ", shapeString(b->shape));
  if (call.attributes.getInt("transA", 0) != 0)
    a = swapped(a);
  if (call.attributes.getInt("transB", 0) != 0)
    b = swapped(b);
  double alpha = call.attributes.getFloat("alpha", 1), beta = call.attributes.getFloat("beta", 1);
  LazyPtr y = lazyCached(product(a, b));
  if (c && broadcastShapes(c->shape, y->shape) != y->shape)
    fail("addend of shape ", shapeString(c->shape), " does not fit ", shapeString(y->shape));
  if (y->isInteger())
    fail("expected floats, got ", elementTypeName(y->type));
  std::vector<LazyPtr> inputs = {y};
  if (c)
    inputs.push_back(c);
  IndexMap map = IndexMap::broadcast(c ? c->shape : Shape(), y->shape);
  const LazyNode *from = y.get(), *addend = c.get();
  ElementType type = y->type;
  call.set(0, lazyFloat(type, y->shape, inputs, [=](int64_t i) {
             double added = addend ? beta * addend->at(map(i)) : 0;
             return roundedTo(alpha * from->at(i) + added, type);
           }));
}

/// Angles are the outer product of positions and frequencies.
static void einsum(LazyCall &call) {
  std::vector<Shape> shapes;
  std::vector<const LazyNode *> from;
  for (size_t i = 0; i < call.inputs.size(); ++i) {
    shapes.push_back(call.input(i)->shape);
    from.push_back(call.input(i).get());
  }
  if (from.empty() || from[0]->isInteger())
    fail("expected floats");
  std::string equation = call.attributes.getString("equation", "");
  EinsumLoops loops = einsumLoops(planEinsum(equation, shapes), shapes);
  Shape shape = loops.shape;
  int64_t terms = loops.terms;
  ElementType type = from[0]->type;
  auto value = [=](int64_t element) {
    std::vector<int64_t> base(from.size(), 0), at(from.size());
    auto split = [&](int64_t index, size_t first, size_t last, std::vector<int64_t> &offsets) {
      for (size_t l = last; l-- > first; index /= loops.extents[l])
        for (size_t i = 0; i < from.size(); ++i)
          offsets[i] += index % loops.extents[l] * loops.strides[l][i];
    };
    split(element, 0, loops.outer, base);
    double sum = 0;
    for (int64_t t = 0; t < terms; ++t) {
      at = base;
      split(t, loops.outer, loops.extents.size(), at);
      double product = 1;
      for (size_t i = 0; i < from.size(); ++i)
        product *= from[i]->at(at[i]);
      sum += product;
    }
    return roundedTo(sum, type);
  };
  call.set(0, lazyFloat(type, std::move(shape), call.inputs, value, terms));
}

void llmc::onnx::registerLazyReductions(LazyTable &table) {
  table["ReduceMean"] = reduceMean;
  table["ReduceSum"] = reduceSum;
  table["ReduceProd"] = reduceProd;
  table["ReduceMax"] = reduceMax;
  table["ReduceMin"] = reduceMin;
  table["ReduceL1"] = reduceL1;
  table["ReduceL2"] = reduceL2;
  table["ReduceSumSquare"] = reduceSumSquare;
  table["ReduceLogSum"] = reduceLogSum;
  table["ReduceLogSumExp"] = reduceLogSumExp;
  table["CumSum"] = cumSum;
  table["Einsum"] = einsum;
  table["MatMul"] = matMulOp;
  table["Gemm"] = gemm;
}
