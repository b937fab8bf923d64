//===- LazyNode.cpp - Leaves, caches and index arithmetic -----------------===//
//
// What every lazy operator is made of.
//
//===----------------------------------------------------------------------===//

#include "LazyNode.h"

#include <algorithm>
#include <cmath>

using namespace llmc::onnx;

int64_t llmc::onnx::truncated(double value) {
  if (std::isnan(value))
    return 0;
  if (value >= 9223372036854775807.0)
    return INT64_MAX;
  if (value <= -9223372036854775808.0)
    return INT64_MIN;
  return static_cast<int64_t>(value);
}

LazyNode::LazyNode(ElementType type, Shape shape, std::vector<LazyPtr> reading, int64_t reads)
    : type(type), shape(std::move(shape)), size(elementCount(this->shape)),
      inputs(std::move(reading)) {
  int64_t sum = 0;
  for (const LazyPtr &input : inputs) {
    sum = std::min<int64_t>(sum + input->cost, INT32_MAX);
    depth = std::max(depth, input->depth + 1);
    if (input->unknown && !unknown)
      unknown = input->unknown;
  }
  for (int64_t dim : this->shape)
    varies.push_back(dim != 1);
  cost = 1 + sum * std::clamp<int64_t>(reads, 1, INT32_MAX);
}

static thread_local int64_t stepsOfElement = 0;

void llmc::onnx::countLazySteps(int64_t steps) {
  constexpr int64_t limit = int64_t(1) << 28;
  stepsOfElement += steps;
  if (stepsOfElement > limit)
    failLimit("one element needs more than ", limit, " steps");
}

namespace {
/// All elements lie in memory.
class HeldNode final : public LazyNode {
public:
  explicit HeldNode(OnnxTensor given)
      : LazyNode(given.type(), given.shape(), {}), tensor(std::move(given)) {
    // Large tensors of narrow types are read where they lie, not widened.
    const OnnxTensor::Source &source = tensor.source();
    bool array = !source.data || tensor.size() <= lazySmallSize ||
                 (source.type == ElementType::F32 && !source.swapped);
    if (!array)
      return;
    if (tensor.isFloat32Like())
      floats = tensor.floats();
    else if (tensor.isDouble())
      doubles = tensor.doubles();
    else
      integers = tensor.ints();
  }
  double at(int64_t i) const override {
    if (floats)
      return floats[i];
    if (integers)
      return asDouble(integers[i]);
    return doubles ? doubles[i] : tensor.at(i);
  }
  int64_t intAt(int64_t i) const override { return integers ? integers[i] : truncated(at(i)); }
  const OnnxTensor *held() const override { return &tensor; }

private:
  OnnxTensor tensor;
  const float *floats = nullptr;
  const double *doubles = nullptr;
  const int64_t *integers = nullptr;
};

/// Contents that nobody knows: only the shape is asked for.
class UnknownNode final : public LazyNode {
public:
  UnknownNode(ElementType type, Shape shape, std::shared_ptr<const std::string> reason)
      : LazyNode(type, std::move(shape), {}) {
    unknown = std::move(reason);
  }
  double at(int64_t) const override { fail(*unknown); }
  int64_t intAt(int64_t) const override { fail(*unknown); }
};

/// Elements that were asked for before, by index modulo the number of slots (hashed, where there
/// are fewer slots than elements).
class CachedNode final : public LazyNode {
public:
  CachedNode(const LazyPtr &source, unsigned slotBits)
      : LazyNode(source->type, source->shape, {source}), node(source.get()), slotBits(slotBits),
        exact(node->size <= int64_t(1) << slotBits), integer(isInteger()) {
    cost = 1;
    varies = node->varies;
  }
  const LazyNode *behindCache() const override { return node; }
  double at(int64_t i) const override {
    const Slot &slot = find(i);
    return integer ? asDouble(slot.whole) : slot.real;
  }
  int64_t intAt(int64_t i) const override {
    const Slot &slot = find(i);
    return integer ? slot.whole : truncated(slot.real);
  }

private:
  struct Slot {
    int64_t index;
    union {
      double real;
      int64_t whole;
    };
  };
  const Slot &find(int64_t i) const {
    if (slots.empty())
      slots.assign(size_t(1) << slotBits, Slot{-1, {0}});
    uint64_t key = static_cast<uint64_t>(i);
    if (!exact)
      key = (key * 0x9e3779b97f4a7c15u) >> (64 - slotBits);
    Slot &slot = slots[key];
    if (slot.index == i)
      return slot;
    countLazySteps(node->cost);
    Slot fresh{i, {0}};
    if (integer)
      fresh.whole = node->intAt(i);
    else
      fresh.real = node->at(i);
    return slot = fresh;
  }

  const LazyNode *node;
  unsigned slotBits;
  bool exact, integer;
  mutable std::vector<Slot> slots;
};

class GivenNode final : public LazyNode {
public:
  GivenNode(ElementType type, Shape shape, std::function<double(int64_t)> element)
      : LazyNode(type, std::move(shape), {}), element(std::move(element)) {}
  double at(int64_t i) const override {
    return isInteger() ? asDouble(intAt(i)) : roundedTo(element(i), type);
  }
  int64_t intAt(int64_t i) const override {
    int64_t value = truncated(element(i));
    return isInteger() ? wrappedTo(value, type) : value;
  }

private:
  std::function<double(int64_t)> element;
};
} // namespace

LazyPtr llmc::onnx::lazyByElement(std::shared_ptr<LazyNode> node) {
  node->varies.assign(node->shape.size(), false);
  for (const LazyPtr &input : node->inputs) {
    if (input->size == 1)
      continue;
    size_t lead = node->shape.size() - input->shape.size();
    for (size_t d = 0; d < input->shape.size(); ++d)
      node->varies[lead + d] = node->varies[lead + d] || input->varies[d];
  }
  return node;
}

LazyPtr llmc::onnx::lazyHeld(OnnxTensor tensor) {
  return std::make_shared<HeldNode>(std::move(tensor));
}

LazyPtr llmc::onnx::lazyUnknown(ElementType type, Shape shape,
                                std::shared_ptr<const std::string> reason) {
  return std::make_shared<UnknownNode>(type, std::move(shape), std::move(reason));
}

LazyPtr llmc::onnx::lazyCached(LazyPtr node) {
  constexpr int64_t cheap = 16, heavy = 1024;
  if (node->held() || node->unknown || node->cost <= cheap)
    return node;
  // What is dear (a sum over a row) is kept for every element of a row of 2^18.
  unsigned most = node->cost > heavy ? 18 : 6, bits = 1;
  while (bits < most && node->size > int64_t(1) << bits)
    ++bits;
  return std::make_shared<CachedNode>(std::move(node), bits);
}

OnnxTensor llmc::onnx::lazyMaterialize(const LazyNode &node, int64_t limit) {
  if (const OnnxTensor *tensor = node.held())
    return *tensor;
  if (node.size > limit)
    failLimit("a value of shape ", shapeString(node.shape), " has more than ", limit, " elements");
  OnnxTensor tensor(node.type, node.shape);
  for (int64_t i = 0; i < node.size; ++i) {
    stepsOfElement = 0;
    if (tensor.isInteger())
      tensor.mutableInts()[i] = node.intAt(i);
    else
      tensor.set(i, node.at(i));
  }
  return tensor;
}

LazyTensor llmc::onnx::lazyRange(ElementType type, Shape shape,
                                 std::function<double(int64_t)> element) {
  return LazyTensor(std::make_shared<GivenNode>(type, std::move(shape), std::move(element)));
}

LazyTensor llmc::onnx::lazyWhole(OnnxTensor tensor) {
  return LazyTensor(lazyHeld(std::move(tensor)));
}

ElementType LazyTensor::type() const { return node->type; }
const Shape &LazyTensor::shape() const { return node->shape; }
int64_t LazyTensor::size() const { return node->size; }
bool LazyTensor::isWhole() const { return node->held() != nullptr; }

static void checkElement(const LazyNode &node, int64_t i) {
  if (i < 0 || i >= node.size)
    fail("element ", i, " of a value of shape ", shapeString(node.shape), " does not exist");
  stepsOfElement = 0;
}

double LazyTensor::at(int64_t i) const {
  checkElement(*node, i);
  return node->at(i);
}

int64_t LazyTensor::intAt(int64_t i) const {
  checkElement(*node, i);
  return node->intAt(i);
}

OnnxTensor LazyTensor::whole() const { return lazyMaterialize(*node, int64_t(1) << 24); }

FastDivider::FastDivider(int64_t divisor, int64_t greatest)
    : divisor(std::max<int64_t>(divisor, 1)) {
  // With m = floor(2^64 / d) + 1, i * m / 2^64 exceeds i / d by less than i / 2^64, so its floor is
  // the quotient while i * d < 2^64.
  int64_t bound;
  if (divisor > 1 && !__builtin_mul_overflow(divisor, greatest, &bound))
    magic = static_cast<uint64_t>((static_cast<unsigned __int128>(1) << 64) / divisor) + 1;
}

IndexMap::IndexMap(const Shape &shape, const std::vector<int64_t> &strides, int64_t base)
    : base(base) {
  int64_t count = elementCount(shape);
  // Neighbours that are walked as one dimension are one.
  std::vector<std::pair<int64_t, int64_t>> dims;
  for (size_t d = 0; d < shape.size(); ++d) {
    if (shape[d] == 1)
      continue;
    if (!dims.empty() && dims.back().second == strides[d] * shape[d])
      dims.back() = {dims.back().first * shape[d], strides[d]};
    else
      dims.push_back({shape[d], strides[d]});
  }
  if (count == 0 || dims.empty())
    return;
  innermost = dims.back().second;
  identity = dims.size() == 1 && innermost == 1 && base == 0;
  int64_t inner = dims.back().first;
  for (size_t d = dims.size() - 1; d-- > 0;) {
    outer.insert(outer.begin(), {FastDivider(inner, count), dims[d].second});
    inner *= dims[d].first;
  }
}

IndexMap IndexMap::broadcast(const Shape &in, const Shape &out) {
  std::vector<int64_t> inStrides = rowMajorStrides(in), strides(out.size(), 0);
  size_t lead = out.size() - in.size();
  for (size_t d = 0; d < in.size(); ++d)
    strides[lead + d] = in[d] == 1 ? 0 : inStrides[d];
  return IndexMap(out, strides);
}

std::vector<int64_t> LazyCall::ints(size_t i) const {
  const LazyPtr &value = input(i);
  if (value->unknown)
    fail("input ", i, ": ", *value->unknown);
  if (!value->isInteger())
    fail("input ", i, ": expected integers, got ", elementTypeName(value->type));
  return lazyMaterialize(*value, lazySmallSize).toInts();
}

bool LazyCall::intsFrom(size_t i, const char *attribute, std::vector<int64_t> &values) const {
  if (optional(i)) {
    values = ints(i);
    return true;
  }
  values = attributes.getInts(attribute);
  return attributes.has(attribute);
}
