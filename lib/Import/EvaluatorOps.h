//===- EvaluatorOps.h - What operator implementations share ---------------===//
//
// One call of an operator, its attributes, broadcasting, and the table that families add themselves
// to.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_LIB_IMPORT_EVALUATOROPS_H
#define LLMC_LIB_IMPORT_EVALUATOROPS_H

#include "Onnx.pb.h"
#include "ReadRecord.h"
#include "llmc/Import/Evaluator.h"
#include "llmc/Import/ImportError.h"

#include <array>
#include <map>
#include <utility>

namespace llmc::onnx {

/// Typed access to the attributes of a node; what is looked at is recorded. Throws ImportError
/// where an attribute has another type.
class Attributes {
public:
  explicit Attributes(const NodeProto &node) : node(node) {}
  const AttributeProto *find(const char *name) const;
  bool has(const char *name) const { return find(name) != nullptr; }
  int64_t getInt(const char *name, int64_t otherwise) const;
  int64_t requireInt(const char *name) const;
  float getFloat(const char *name, float otherwise) const;
  std::string getString(const char *name, const std::string &otherwise) const;
  std::vector<int64_t> getInts(const char *name) const;

private:
  const AttributeProto *find(const char *name, AttributeProto::AttributeType type) const;

  const NodeProto &node;
};

struct OpCall {
  const NodeProto &node;
  Attributes attributes;
  const OnnxModel &model;
  const EvaluatorOptions &options;
  int64_t opset;
  const std::vector<const OnnxTensor *> &inputs;
  std::vector<OnnxTensor> outputs;
  std::vector<bool> written = {};

  const OnnxTensor *optional(size_t i) const {
    ReadRecord::inputRead(i);
    return i < inputs.size() ? inputs[i] : nullptr;
  }
  const OnnxTensor &input(size_t i) const {
    if (const OnnxTensor *tensor = optional(i))
      return *tensor;
    fail("input ", i, " is missing");
  }
  bool wants(int i) const { return i < node.output_size() && !node.output(i).empty(); }
  void set(size_t i, OnnxTensor tensor) {
    if (i >= outputs.size())
      return;
    outputs[i] = std::move(tensor);
    written.resize(outputs.size(), false);
    written[i] = true;
  }
  /// Integers of input `i`, or of the attribute that older opsets have instead.
  bool intsFrom(size_t i, const char *attribute, std::vector<int64_t> &values) const;
};

using OpFunction = void (*)(OpCall &);
/// Keyed by (domain, operator); the default domain is "".
using OpTable = std::map<std::pair<std::string, std::string>, OpFunction>;

void registerElementwise(OpTable &table);
void registerActivations(OpTable &table);
void registerLogic(OpTable &table);
void registerShape(OpTable &table);
void registerIndexing(OpTable &table);
void registerReductions(OpTable &table);
void registerNorms(OpTable &table);
void registerEinsum(OpTable &table);
void registerMatMul(OpTable &table);
void registerAttention(OpTable &table);
void registerRotary(OpTable &table);
void registerQuantized(OpTable &table);

/// `axis` counted from the front; throws when it is outside [-rank, rank).
int64_t normalizeAxis(int64_t axis, int64_t rank);
Shape broadcastShapes(const Shape &a, const Shape &b);

/// For each element of `out`, the element of a tensor of shape `in` that broadcasts to it.
class BroadcastIndex {
public:
  BroadcastIndex(const Shape &in, const Shape &out);
  int64_t operator[](int64_t i) const {
    return identity ? i : period ? i % period : scalar ? 0 : offsets[i];
  }

private:
  bool identity = false, scalar = false;
  int64_t period = 0; ///< `in` is the last dimensions of `out`.
  std::vector<int64_t> offsets;
};

/// How far the element of a tensor of shape `in` moves when a dimension of `out`, which it
/// broadcasts to, counts on.
std::vector<int64_t> broadcastStrides(const Shape &in, const Shape &out);

/// Walks the elements of `shape` in row-major order beside N tensors, each with its own strides, in
/// rows as long as possible: row(first element, where each tensor is, its step in the row, length).
template <size_t N, typename F>
void walkRows(const Shape &shape, std::array<std::vector<int64_t>, N> strides, F row) {
  // Dimensions of one are left out; neighbours that every tensor walks evenly become one.
  std::vector<int64_t> lengths;
  size_t rank = 0;
  for (size_t d = 0; d < shape.size(); ++d) {
    if (shape[d] == 0)
      return;
    if (shape[d] == 1)
      continue;
    bool merges = rank > 0;
    for (size_t n = 0; n < N && merges; ++n)
      merges = strides[n][rank - 1] == strides[n][d] * shape[d];
    if (!merges) {
      lengths.push_back(1);
      ++rank;
    }
    lengths[rank - 1] *= shape[d];
    for (size_t n = 0; n < N; ++n)
      strides[n][rank - 1] = strides[n][d];
  }
  std::array<int64_t, N> at{}, step{};
  if (rank == 0)
    return row(int64_t(0), at, step, int64_t(1));
  int64_t count = lengths[rank - 1], first = 0;
  for (size_t n = 0; n < N; ++n)
    step[n] = strides[n][rank - 1];
  std::vector<int64_t> counter(rank, 0);
  while (true) {
    row(first, at, step, count);
    first += count;
    size_t d = rank - 1;
    while (true) {
      if (d-- == 0)
        return;
      for (size_t n = 0; n < N; ++n)
        at[n] += strides[n][d];
      if (++counter[d] < lengths[d])
        break;
      for (size_t n = 0; n < N; ++n)
        at[n] -= strides[n][d] * lengths[d];
      counter[d] = 0;
    }
  }
}

/// The elements of x from `start` on, where each dimension of `shape` moves by its stride.
OnnxTensor copyStrided(const OnnxTensor &x, const Shape &shape, const std::vector<int64_t> &strides,
                       int64_t start = 0);
OnnxTensor broadcastTo(const OnnxTensor &x, const Shape &shape);

/// y[n] = f(x[n]) computed in double, in the type of `x`.
template <typename F> OnnxTensor mapFloat(const OnnxTensor &x, F f) {
  OnnxTensor y = OnnxTensor::unset(x.type(), x.shape());
  int64_t n = x.size();
  if (x.type() == ElementType::F32) {
    const float *in = x.floats();
    float *out = y.mutableFloats();
    for (int64_t i = 0; i < n; ++i)
      out[i] = roundToType(static_cast<float>(f(static_cast<double>(in[i]))), x.type());
  } else {
    for (int64_t i = 0; i < n; ++i)
      y.set(i, f(x.at(i)));
  }
  return y;
}

/// All elements as double.
std::vector<double> toDoubles(const OnnxTensor &tensor);
/// A tensor of `type` from doubles.
OnnxTensor fromDoubles(const std::vector<double> &values, Shape shape, ElementType type);

/// c[M,N] = a[M,K] * b[K,N], accumulated in f64; `b` may be read transposed ([N,K]).
void multiplyMatrices(const float *a, const float *b, float *c, int64_t m, int64_t n, int64_t k,
                      bool transposedB, int threads);
/// As many threads as a product may use.
int productThreads();

/// What of the result of a call is computed: everything but where the options say otherwise.
const SampledProducts *sampledFor(const OpCall &call);
std::vector<int64_t> pickedRows(const SampledProducts *sampled, int64_t count);
std::vector<std::pair<int64_t, int64_t>> pickedColumns(const SampledProducts *sampled,
                                                       int64_t count, const std::string &name);

/// `sampled`, if not null, says in which part a product with a constant is computed; `name` is that
/// of its result.
OnnxTensor matMul(const OnnxTensor &a, const OnnxTensor &b, const SampledProducts *sampled,
                  const std::string &name);
OnnxTensor castTo(const OnnxTensor &x, ElementType type);
OnnxTensor transpose(const OnnxTensor &x, const std::vector<int64_t> &perm);
OnnxTensor concat(const std::vector<const OnnxTensor *> &parts, int64_t axis);

/// Rotates `x` [batch, seq, heads, size] in place: the first `rotaryDim` elements of each head, by
/// cos/sin tables [positions, rotaryDim / 2] at row `position(b, s)`.
void rotate(std::vector<double> &x, int64_t batch, int64_t seq, int64_t heads, int64_t size,
            int64_t rotaryDim, bool interleaved,
            const std::function<double(int64_t, int64_t, int64_t)> &cosAt,
            const std::function<double(int64_t, int64_t, int64_t)> &sinAt);

} // namespace llmc::onnx

#endif // LLMC_LIB_IMPORT_EVALUATOROPS_H
