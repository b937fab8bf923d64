//===- LazyNode.h - Operators over lazy values ----------------------------===//
//
// One node per value: closures over the nodes of its inputs, with every stride and pointer resolved
// when it is made, so that an element costs a virtual call and some arithmetic per operator.
//
// An element may be read through many paths (a value that is used twice by each of forty operators
// in a row has 2^40), so a node knows how many others one of its elements reads, and one that reads
// many gets a cache of elements in front.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_LIB_IMPORT_LAZYNODE_H
#define LLMC_LIB_IMPORT_LAZYNODE_H

#include "EvaluatorOps.h"
#include "LazyEvaluator.h"

namespace llmc::onnx {

using LazyPtr = std::shared_ptr<const LazyNode>;

/// Largest value that is evaluated whole by the reference evaluator as a matter of course.
constexpr int64_t lazySmallSize = 4096;
/// Largest value that is made whole for an operator that is not followed by elements.
constexpr int64_t lazyWholeSize = int64_t(1) << 20;

/// `value` rounded to a float type, as OnnxTensor::set does.
inline double roundedTo(double value, ElementType type) {
  if (type == ElementType::F32)
    return static_cast<float>(value);
  if (type == ElementType::F64)
    return value;
  return roundToType(static_cast<float>(value), type);
}
inline int64_t wrappedTo(int64_t value, ElementType type) {
  return type == ElementType::I64 ? value : wrapToType(value, type);
}
/// As a Cast to int64 does: truncated; NaN is 0, what is outside saturates.
int64_t truncated(double value);

class LazyNode {
public:
  LazyNode(ElementType type, Shape shape, std::vector<LazyPtr> inputs, int64_t reads = 1);
  virtual ~LazyNode() = default;
  virtual double at(int64_t i) const = 0;
  virtual int64_t intAt(int64_t i) const = 0;
  /// All elements, where they are held.
  virtual const OnnxTensor *held() const { return nullptr; }
  /// The node itself, from before a cache.
  virtual const LazyNode *behindCache() const { return this; }
  /// The dimension along which the inputs lie one after the other; -1 for other operators.
  virtual int64_t joinedAlong() const { return -1; }

  bool isInteger() const { return !isFloat(type); }
  double asDouble(int64_t value) const {
    return type == ElementType::U64 ? static_cast<double>(static_cast<uint64_t>(value))
                                    : static_cast<double>(value);
  }

  const ElementType type;
  const Shape shape;
  const int64_t size;
  /// The nodes whose elements are read.
  const std::vector<LazyPtr> inputs;
  /// Elements of other nodes that one element reads, through all paths down to caches.
  int64_t cost = 1;
  /// Operators between an element and the leaves.
  int depth = 0;
  /// Dimensions along which elements may differ; made exact where an operator knows.
  std::vector<bool> varies;
  /// Why the contents are not known; null when they are.
  std::shared_ptr<const std::string> unknown;
};

/// Steps that the element asked for has taken so far; throws beyond 2^28.
void countLazySteps(int64_t steps);

template <typename F> class LazyFloat final : public LazyNode {
public:
  LazyFloat(ElementType type, Shape shape, std::vector<LazyPtr> inputs, int64_t reads, F f)
      : LazyNode(type, std::move(shape), std::move(inputs), reads), f(std::move(f)) {}
  double at(int64_t i) const override { return f(i); }
  int64_t intAt(int64_t i) const override { return truncated(f(i)); }

private:
  F f;
};

template <typename F> class LazyInteger final : public LazyNode {
public:
  LazyInteger(ElementType type, Shape shape, std::vector<LazyPtr> inputs, int64_t reads, F f)
      : LazyNode(type, std::move(shape), std::move(inputs), reads), f(std::move(f)) {}
  double at(int64_t i) const override { return asDouble(f(i)); }
  int64_t intAt(int64_t i) const override { return f(i); }

private:
  F f;
};

/// An element of one of the inputs: f(i) gives its node and index.
template <typename F> class LazyPick final : public LazyNode {
public:
  LazyPick(ElementType type, Shape shape, std::vector<LazyPtr> inputs, int64_t reads, F f)
      : LazyNode(type, std::move(shape), std::move(inputs), reads), f(std::move(f)) {}
  double at(int64_t i) const override {
    std::pair<const LazyNode *, int64_t> from = f(i);
    return from.first->at(from.second);
  }
  int64_t intAt(int64_t i) const override {
    std::pair<const LazyNode *, int64_t> from = f(i);
    return from.first->intAt(from.second);
  }

private:
  F f;
};

/// f(i) gives elements already rounded to `type`.
template <typename F>
std::shared_ptr<LazyNode> lazyFloat(ElementType type, Shape shape, std::vector<LazyPtr> inputs, F f,
                                    int64_t reads = 1) {
  return std::make_shared<LazyFloat<F>>(type, std::move(shape), std::move(inputs), reads,
                                        std::move(f));
}
template <typename F>
std::shared_ptr<LazyNode> lazyInteger(ElementType type, Shape shape, std::vector<LazyPtr> inputs,
                                      F f, int64_t reads = 1) {
  return std::make_shared<LazyInteger<F>>(type, std::move(shape), std::move(inputs), reads,
                                          std::move(f));
}
template <typename F>
std::shared_ptr<LazyNode> lazyPick(ElementType type, Shape shape, std::vector<LazyPtr> inputs,
                                   F f) {
  return std::make_shared<LazyPick<F>>(type, std::move(shape), std::move(inputs), 1, std::move(f));
}

/// For a node whose inputs are broadcast to its shape: it varies where one of them does.
LazyPtr lazyByElement(std::shared_ptr<LazyNode> node);

LazyPtr lazyHeld(OnnxTensor tensor);
LazyPtr lazyUnknown(ElementType type, Shape shape, std::shared_ptr<const std::string> reason);
/// `node`, behind a cache where an element of it reads many others.
LazyPtr lazyCached(LazyPtr node);
/// All elements; throws (ResourceLimit) above `limit` of them.
OnnxTensor lazyMaterialize(const LazyNode &node, int64_t limit);

/// Division by a number that is not known when compiled, by multiplication.
class FastDivider {
public:
  FastDivider() = default;
  /// For dividends of at most `greatest`.
  FastDivider(int64_t divisor, int64_t greatest);
  int64_t quotient(int64_t i) const {
    return magic ? static_cast<int64_t>((static_cast<unsigned __int128>(i) * magic) >> 64)
                 : i / divisor;
  }
  /// i becomes the remainder; returns the quotient.
  int64_t split(int64_t &i) const {
    int64_t q = quotient(i);
    i -= q * divisor;
    return q;
  }

private:
  int64_t divisor = 1;
  uint64_t magic = 0;
};

/// The index in a source of element i of a result whose dimension d walks it by strides[d].
class IndexMap {
public:
  IndexMap(const Shape &shape, const std::vector<int64_t> &strides, int64_t base = 0);
  /// For a source of shape `in` that is broadcast to `out`.
  static IndexMap broadcast(const Shape &in, const Shape &out);
  int64_t operator()(int64_t i) const {
    if (identity)
      return i;
    int64_t index = base;
    for (const Outer &dim : outer)
      index += dim.inner.split(i) * dim.stride;
    return index + i * innermost;
  }
  bool isIdentity() const { return identity; }

private:
  struct Outer {
    FastDivider inner;
    int64_t stride;
  };
  bool identity = false;
  int64_t base = 0, innermost = 0;
  std::vector<Outer> outer;
};

/// One operator being turned into nodes.
struct LazyCall {
  const NodeProto &node;
  Attributes attributes;
  const OnnxModel &model;
  const std::vector<LazyPtr> &inputs;
  std::vector<LazyPtr> outputs;

  LazyPtr optional(size_t i) const { return i < inputs.size() ? inputs[i] : nullptr; }
  const LazyPtr &input(size_t i) const {
    if (i >= inputs.size() || !inputs[i])
      fail("input ", i, " is missing");
    return inputs[i];
  }
  void set(size_t i, LazyPtr value) {
    if (i < outputs.size())
      outputs[i] = std::move(value);
  }
  /// All integers of an input that says how (axes, a shape); it must be known.
  std::vector<int64_t> ints(size_t i) const;
  bool intsFrom(size_t i, const char *attribute, std::vector<int64_t> &values) const;
};

/// `index` counted from the front; throws an error that names the node.
int64_t lazyIndex(const NodeProto &node, int64_t index, int64_t length);
/// Refuses indices that do not fit, and returns the length of their tuples.
int64_t lazyTupleDepth(const LazyPtr &x, const LazyPtr &indices, int64_t batch);
void lazyRequireFit(const LazyPtr &indices, const LazyPtr &x, int64_t axis);

using LazyFunction = void (*)(LazyCall &);
/// Operators of the default domain.
using LazyTable = std::map<std::string, LazyFunction>;
void registerLazyElementwise(LazyTable &table);
void registerLazyShape(LazyTable &table);
void registerLazyFill(LazyTable &table);
void registerLazyIndexing(LazyTable &table);
void registerLazyScatter(LazyTable &table);
void registerLazyReductions(LazyTable &table);

/// `source` under another shape of as many elements.
LazyPtr lazyReshaped(const LazyPtr &source, Shape shape);
/// Elements of `source` in another order; `varies` by dimension of the result.
LazyPtr lazyView(const LazyPtr &source, Shape shape, const IndexMap &map, std::vector<bool> varies);
LazyPtr lazyCast(const LazyPtr &source, ElementType type);

} // namespace llmc::onnx

#endif // LLMC_LIB_IMPORT_LAZYNODE_H
