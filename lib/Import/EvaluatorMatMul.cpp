//===- EvaluatorMatMul.cpp - Matrix products ------------------------------===//
//
// MatMul, FusedMatMul, Gemm and MatMulInteger. Row sums are kept in f64; loops run along rows of
// the right operand.
//
//===----------------------------------------------------------------------===//

#include "EvaluatorOps.h"

#include <algorithm>

using namespace llmc::onnx;

void llmc::onnx::multiplyMatrices(const float *a, const float *b, float *c, int64_t m, int64_t n,
                                  int64_t k, bool transposedB) {
  std::vector<double> sums(n);
  for (int64_t i = 0; i < m; ++i) {
    if (transposedB) {
      for (int64_t j = 0; j < n; ++j) {
        double sum = 0;
        for (int64_t p = 0; p < k; ++p)
          sum += double(a[i * k + p]) * b[j * k + p];
        sums[j] = sum;
      }
    } else {
      std::fill(sums.begin(), sums.end(), 0.0);
      for (int64_t p = 0; p < k; ++p) {
        double x = a[i * k + p];
        const float *row = b + p * n;
        for (int64_t j = 0; j < n; ++j)
          sums[j] += x * row[j];
      }
    }
    for (int64_t j = 0; j < n; ++j)
      c[i * n + j] = static_cast<float>(sums[j]);
  }
}

OnnxTensor llmc::onnx::matMul(const OnnxTensor &left, const OnnxTensor &right) {
  if (left.rank() == 0 || right.rank() == 0)
    fail("operands of MatMul need at least one dimension");
  if (left.type() != right.type())
    fail("operand types ", elementTypeName(left.type()), " and ", elementTypeName(right.type()),
         " differ");
  Shape sa = left.shape(), sb = right.shape();
  bool vectorA = sa.size() == 1, vectorB = sb.size() == 1;
  if (vectorA)
    sa.insert(sa.begin(), 1);
  if (vectorB)
    sb.push_back(1);
  int64_t m = sa[sa.size() - 2], k = sa.back(), n = sb.back();
  if (sb[sb.size() - 2] != k)
    fail("inner dimensions of ", shapeString(left.shape()), " and ", shapeString(right.shape()),
         " differ");
  Shape batchA(sa.begin(), sa.end() - 2), batchB(sb.begin(), sb.end() - 2);
  Shape batch = broadcastShapes(batchA, batchB), shape = batch;
  if (!vectorA)
    shape.push_back(m);
  if (!vectorB)
    shape.push_back(n);
  OnnxTensor out(left.type(), shape);
  BroadcastIndex ia(batchA, batch), ib(batchB, batch);
  int64_t count = elementCount(batch);
  for (int64_t i = 0; i < count && out.size(); ++i) {
    int64_t oa = ia[i] * m * k, ob = ib[i] * k * n, oc = i * m * n;
    if (left.isFloat32Like()) {
      multiplyMatrices(left.floats() + oa, right.floats() + ob, out.mutableFloats() + oc, m, n, k,
                       false);
      for (int64_t j = 0; left.type() != ElementType::F32 && j < m * n; ++j)
        out.mutableFloats()[oc + j] = roundToType(out.floats()[oc + j], left.type());
      continue;
    }
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

static void matMulOp(OpCall &call) { call.set(0, matMul(call.input(0), call.input(1))); }

/// alpha * A * B; the first dimension of an operand may stand for the one before its rows, and its
/// last two may be exchanged.
static void fusedMatMul(OpCall &call) {
  auto operand = [&](size_t i, const char *moved, const char *swapped) {
    OnnxTensor x = call.input(i);
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
  OnnxTensor y = matMul(operand(0, "transBatchA", "transA"), operand(1, "transBatchB", "transB"));
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
    b = transpose(b, {1, 0});
  double alpha = call.attributes.getFloat("alpha", 1), beta = call.attributes.getFloat("beta", 1);
  OnnxTensor y = matMul(a, b);
  const OnnxTensor *c = call.optional(2);
  if (c && broadcastShapes(c->shape(), y.shape()) != y.shape())
    fail("addend of shape ", shapeString(c->shape()), " does not fit ", shapeString(y.shape()));
  static const Shape none;
  BroadcastIndex index(c ? c->shape() : none, y.shape());
  for (int64_t i = 0; i < y.size(); ++i)
    y.set(i, alpha * y.at(i) + (c ? beta * c->at(index[i]) : 0));
  call.set(0, y);
}

static void matMulInteger(OpCall &call) {
  OnnxTensor a = castTo(call.input(0), ElementType::I32),
             b = castTo(call.input(1), ElementType::I32);
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
  subtractZero(b, call.optional(3), false);
  call.set(0, matMul(a, b));
}

void llmc::onnx::registerMatMul(OpTable &table) {
  table[{"", "MatMul"}] = matMulOp;
  table[{"", "Gemm"}] = gemm;
  table[{"com.microsoft", "FusedMatMul"}] = fusedMatMul;
  table[{"", "MatMulInteger"}] = matMulInteger;
}
