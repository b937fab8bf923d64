//===- EvaluatorMatMul.cpp - Matrix products ------------------------------===//
//
// MatMul, FusedMatMul, Gemm and MatMulInteger. Row sums are kept in f64; loops run along rows of
// the right operand.
//
//===----------------------------------------------------------------------===//

#include "OperatorShapes.h"

#include "llmc/Numerics/MappedPages.h"
#include "llmc/Numerics/Parallel.h"
#include "llmc/Numerics/StoredProduct.h"

#include <algorithm>
#include <numeric>
#include <thread>

using namespace llmc::onnx;
using llmc::StoredMatrix;

int llmc::onnx::productThreads() {
  return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

std::vector<int64_t> SampledProducts::pickRows(int64_t count) const {
  std::vector<int64_t> picked;
  int64_t some = std::min(count, rows);
  for (int64_t i = 0; i < some; ++i)
    picked.push_back(some == 1 ? count - 1 : i * (count - 1) / (some - 1));
  return picked;
}

std::vector<std::pair<int64_t, int64_t>>
SampledProducts::pickColumns(int64_t count, const std::string &output) const {
  // Neighbours share pages of the file.
  constexpr int64_t kRun = 32, kLeastRuns = 2;
  int64_t runs = std::max(kLeastRuns, static_cast<int64_t>(share * double(count)) / kRun);
  if (count < 2 * runs * kRun)
    return {{0, count}};
  uint64_t seed = 14695981039346656037u; // FNV-1a
  for (char c : output)
    seed = (seed ^ static_cast<unsigned char>(c)) * 1099511628211u;
  std::vector<std::pair<int64_t, int64_t>> picked;
  int64_t stretch = count / runs;
  for (int64_t i = 0; i < runs; ++i) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    int64_t begin = i * stretch + static_cast<int64_t>((seed >> 33) % (stretch - kRun + 1));
    picked.push_back({begin, begin + kRun});
  }
  return picked;
}

const SampledProducts *llmc::onnx::sampledFor(const OpCall &call) {
  const SampledProducts *sampled = call.options.sampled;
  return sampled && sampled->contains(call.node.output(0)) ? sampled : nullptr;
}

std::vector<int64_t> llmc::onnx::pickedRows(const SampledProducts *sampled, int64_t count) {
  if (sampled)
    return sampled->pickRows(count);
  std::vector<int64_t> rows(count);
  std::iota(rows.begin(), rows.end(), 0);
  return rows;
}

std::vector<std::pair<int64_t, int64_t>>
llmc::onnx::pickedColumns(const SampledProducts *sampled, int64_t count, const std::string &name) {
  return sampled ? sampled->pickColumns(count, name)
                 : std::vector<std::pair<int64_t, int64_t>>{{0, count}};
}

void llmc::onnx::multiplyMatrices(const float *a, const float *b, float *c, int64_t m, int64_t n,
                                  int64_t k, bool transposedB, int threads) {
  std::vector<double> rows(a, a + m * k), sums(m * n);
  StoredMatrix matrix{b, StoredMatrix::Format::F32, !transposedB, n, k};
  multiplyStored(rows.data(), m, matrix, 0, n, sums.data(), n, threads);
  std::copy(sums.begin(), sums.end(), c);
}

/// Where a matrix of floats [k, n] lies, unless it must be widened first.
static bool findStored(const OnnxTensor &tensor, StoredMatrix &matrix) {
  const OnnxTensor::Source &source = tensor.source();
  if (!source.data || tensor.rank() != 2 || !tensor.isFloat32Like())
    return false;
  matrix.data = source.data;
  matrix.format = source.type == ElementType::F32   ? StoredMatrix::Format::F32
                  : source.type == ElementType::F16 ? StoredMatrix::Format::F16
                                                    : StoredMatrix::Format::BF16;
  matrix.across = !source.swapped;
  matrix.inputs = tensor.shape()[0];
  matrix.outputs = tensor.shape()[1];
  return source.type == ElementType::F32 || source.type == ElementType::F16 ||
         source.type == ElementType::BF16;
}

/// left [m, k] times a constant where it lies; in part only where `sampled` says so.
static OnnxTensor multiplyConstant(const OnnxTensor &left, const StoredMatrix &matrix, Shape shape,
                                   const SampledProducts *sampled, const std::string &name) {
  int64_t k = matrix.inputs, n = matrix.outputs, m = k ? left.size() / k : 0;
  OnnxTensor out(left.type(), std::move(shape));
  if (out.size() == 0)
    return out;
  std::vector<int64_t> rows = pickedRows(sampled, m);
  const float *from = left.floats();
  float *to = out.mutableFloats();
  int64_t count = static_cast<int64_t>(rows.size());
  std::vector<double> picked(count * k);
  for (int64_t i = 0; i < count; ++i)
    std::copy(from + rows[i] * k, from + rows[i] * k + k, picked.begin() + i * k);
  for (auto [begin, end] : pickedColumns(sampled, n, name)) {
    std::vector<double> sums(count * (end - begin));
    multiplyStored(picked.data(), count, matrix, begin, end, sums.data(), end - begin,
                   productThreads());
    for (int64_t i = 0; i < count; ++i)
      for (int64_t j = begin; j < end; ++j)
        to[rows[i] * n + j] = static_cast<float>(sums[i * (end - begin) + j - begin]);
  }
  return out;
}

/// Rounds to the tensor's own type.
static void roundElements(OnnxTensor &tensor) {
  if (tensor.type() == ElementType::F32)
    return;
  float *values = tensor.mutableFloats();
  for (int64_t i = 0; i < tensor.size(); ++i)
    values[i] = roundToType(values[i], tensor.type());
}

OnnxTensor llmc::onnx::matMul(const OnnxTensor &left, const OnnxTensor &right,
                              const SampledProducts *sampled, const std::string &name) {
  ProductShape of(left.type(), left.shape(), right.type(), right.shape());
  int64_t m = of.m, k = of.k, n = of.n;
  StoredMatrix stored;
  if (left.isFloat32Like() && !of.vectorA && findStored(right, stored)) {
    OnnxTensor out = multiplyConstant(left, stored, of.result, sampled, name);
    roundElements(out);
    return out;
  }
  OnnxTensor out(left.type(), of.result);
  BroadcastIndex ia(of.batchA, of.batch), ib(of.batchB, of.batch);
  int64_t count = elementCount(of.batch);
  if (left.isFloat32Like() && out.size()) {
    const float *a = left.floats(), *b = right.floats();
    float *c = out.mutableFloats();
    int threads = m * n * k * count > (1 << 19) ? productThreads() : 1;
    parallelFor(count, threads, [&](int64_t i) {
      multiplyMatrices(a + ia[i] * m * k, b + ib[i] * k * n, c + i * m * n, m, n, k, false,
                       count > 1 ? 1 : threads);
    });
    roundElements(out);
    return out;
  }
  for (int64_t i = 0; i < count && out.size(); ++i) {
    int64_t oa = ia[i] * m * k, ob = ib[i] * k * n, oc = i * m * n;
    for (int64_t r = 0; r < m; ++r)
      for (int64_t c = 0; c < n; ++c) {
        double sum = 0;
        uint64_t whole = 0;
        for (int64_t p = 0; p < k; ++p) {
          if (left.isDouble())
            sum += left.doubles()[oa + r * k + p] * right.doubles()[ob + p * n + c];
          else
            whole += uint64_t(left.ints()[oa + r * k + p]) * uint64_t(right.ints()[ob + p * n + c]);
        }
        if (left.isDouble())
          out.mutableDoubles()[oc + r * n + c] = sum;
        else
          out.mutableInts()[oc + r * n + c] = wrapToType(int64_t(whole), left.type());
      }
  }
  return out;
}

/// A large model's weights would otherwise all stay in memory once read.
static void dropWeight(const OpCall &call, const OnnxTensor &weight) {
  constexpr uint64_t kLarge = uint64_t(512) << 20;
  const OnnxTensor::Source &source = weight.source();
  if (source.data && call.model.weightBytes() > kLarge)
    llmc::dropPages(source.data, weight.size() * elementBits(source.type) / 8);
}

static void matMulOp(OpCall &call) {
  call.set(0, matMul(call.input(0), call.input(1), sampledFor(call), call.node.output(0)));
  dropWeight(call, call.input(1));
}

/// alpha * A * B; the first dimension of an operand may stand for the one before its rows, and its
/// last two may be exchanged.
static void fusedMatMul(OpCall &call) {
  auto operand = [&](size_t i, const char *moved, const char *swapped) {
    const OnnxTensor &x = call.input(i);
    int64_t rank = x.rank();
    std::vector<int64_t> perm;
    if (call.attributes.getInt(moved, 0) != 0 && rank > 2) {
      for (int64_t d = 1; d + 1 < rank; ++d)
        perm.push_back(d);
      perm.push_back(0);
      perm.push_back(rank - 1);
    } else {
      for (int64_t d = 0; d < rank; ++d)
        perm.push_back(d);
    }
    if (call.attributes.getInt(swapped, 0) != 0 && rank > 1)
      std::swap(perm[rank - 2], perm[rank - 1]);
    return transpose(x, perm);
  };
  OnnxTensor y = matMul(operand(0, "transBatchA", "transA"), operand(1, "transBatchB", "transB"),
                        sampledFor(call), call.node.output(0));
  double alpha = call.attributes.getFloat("alpha", 1);
  for (int64_t i = 0; alpha != 1 && i < y.size(); ++i)
    y.set(i, alpha * y.at(i));
  call.set(0, y);
}

static void gemm(OpCall &call) {
  OnnxTensor a = call.input(0), b = call.input(1);
  if (a.rank() != 2 || b.rank() != 2)
    fail("expected matrices, got ", shapeString(a.shape()), " and ", shapeString(b.shape()));
  if (call.attributes.getInt("transA", 0) != 0)
    a = transpose(a, {1, 0});
  if (call.attributes.getInt("transB", 0) != 0)
    b = b.source().data && b.isFloat32Like() ? b.swapped() : transpose(b, {1, 0});
  double alpha = call.attributes.getFloat("alpha", 1), beta = call.attributes.getFloat("beta", 1);
  OnnxTensor y = matMul(a, b, sampledFor(call), call.node.output(0));
  dropWeight(call, call.input(1));
  const OnnxTensor *c = call.optional(2);
  if (c && broadcastShapes(c->shape(), y.shape()) != y.shape())
    fail("addend of shape ", shapeString(c->shape()), " does not fit ", shapeString(y.shape()));
  static const Shape none;
  BroadcastIndex index(c ? c->shape() : none, y.shape());
  for (int64_t i = 0; i < y.size(); ++i)
    y.set(i, alpha * y.at(i) + (c ? beta * c->at(index[i]) : 0));
  call.set(0, y);
}

/// With a matrix on the right, whose codes are floats without loss, as are sums in f64.
static OnnxTensor multiplyCodes(const OnnxTensor &a, const OnnxTensor &b, const OnnxTensor *zero) {
  int64_t k = b.shape()[0], n = b.shape()[1], m = k ? a.size() / k : 0;
  std::vector<float> codes(k * n);
  const int64_t *from = b.ints();
  for (int64_t i = 0; i < k * n; ++i)
    codes[i] =
        static_cast<float>(from[i] - (zero ? zero->ints()[zero->size() == 1 ? 0 : i % n] : 0));
  std::vector<double> rows(a.ints(), a.ints() + m * k), sums(m * n);
  StoredMatrix matrix{codes.data(), StoredMatrix::Format::F32, /*across=*/true, n, k};
  multiplyStored(rows.data(), m, matrix, 0, n, sums.data(), n, productThreads());
  Shape shape = a.shape();
  shape.back() = n;
  OnnxTensor out(ElementType::I32, std::move(shape));
  for (int64_t i = 0; i < m * n; ++i)
    out.mutableInts()[i] = static_cast<int32_t>(static_cast<int64_t>(sums[i])); // Wraps around.
  return out;
}

static void matMulInteger(OpCall &call) {
  OnnxTensor a = castTo(call.input(0), ElementType::I32);
  auto subtractZero = [](OnnxTensor &x, const OnnxTensor *zero, bool rows) {
    if (!zero)
      return;
    Shape shape = zero->shape();
    if (rows && zero->rank() == 1 && zero->size() > 1)
      shape.push_back(1);
    BroadcastIndex index(shape, x.shape());
    for (int64_t i = 0; i < x.size(); ++i)
      x.mutableInts()[i] -= zero->ints()[index[i]];
  };
  subtractZero(a, call.optional(2), true);
  const OnnxTensor &codes = call.input(1), *zero = call.optional(3);
  bool fits = a.rank() >= 2 && codes.rank() == 2 && a.shape().back() == codes.shape()[0] &&
              (!zero || zero->size() == 1 || zero->size() == codes.shape()[1]);
  if (fits && codes.size() > 0 && a.size() > 0)
    return call.set(0, multiplyCodes(a, codes, zero));
  OnnxTensor b = castTo(codes, ElementType::I32);
  subtractZero(b, zero, false);
  call.set(0, matMul(a, b, nullptr, ""));
}

void llmc::onnx::registerMatMul(OpTable &table) {
  table[{"", "MatMul"}] = matMulOp;
  table[{"", "Gemm"}] = gemm;
  table[{"com.microsoft", "FusedMatMul"}] = fusedMatMul;
  table[{"", "MatMulInteger"}] = matMulInteger;
}
