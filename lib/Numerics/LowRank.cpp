//===- LowRank.cpp - a weight as the product of two
//---------------------------------------------===//
//
// Singular value decomposition in double by Eigen, with signs fixed and Eigen's blocking pinned, so
// the factors do not depend on the caches of the machine that computes them.
//
//===----------------------------------------------------------------------------------------===//
#include "llmc/Numerics/LowRank.h"
#include "llmc/Numerics/Parallel.h"
#include "llmc/Numerics/Quantize.h"
#include <Eigen/Cholesky>
#include <Eigen/SVD>
#include <algorithm>
#include <cmath>

namespace llmc {

using Matrix = Eigen::MatrixXd;

int64_t rankForRatio(int64_t rows, int64_t cols, double ratio) {
  double n = static_cast<double>(rows), k = static_cast<double>(cols);
  return rows + cols == 0 ? 0 : static_cast<int64_t>(std::floor(n * k * ratio / (n + k)));
}

static void pinBlocking() {
  static const bool pinned = [] {
    Eigen::setNbThreads(1);
    Eigen::setCpuCacheSizes(32 << 10, 512 << 10, 4 << 20);
    return true;
  }();
  (void)pinned;
}

static Status verifyRank(Span<const float> weight, int64_t rows, int64_t cols, int64_t rank) {
  if (Status ok = verifyFinite(weight, rows, cols); !ok)
    return ok;
  if (rank >= 1 && rank <= std::min(rows, cols))
    return {};
  return Failure{"expected a rank from 1 to " + std::to_string(std::min(rows, cols)) + ", found " +
                 std::to_string(rank)};
}

static Matrix toMatrix(Span<const float> weight, int64_t rows, int64_t cols) {
  Matrix matrix(rows, cols);
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < cols; ++j)
      matrix(i, j) = weight[i * cols + j];
  return matrix;
}

/// Decomposes `target` = W S; `lower` is S, or empty for the identity.
static Result<LowRankFactors> decompose(const Matrix &target, const Matrix &lower, int64_t rank) {
  Eigen::BDCSVD<Matrix> svd(target, Eigen::ComputeThinU | Eigen::ComputeThinV);
  if (svd.info() != Eigen::Success)
    return Failure{"the singular value decomposition did not converge"};
  const Eigen::VectorXd &sigma = svd.singularValues();
  LowRankFactors factors;
  factors.rank = rank;
  factors.singular.assign(sigma.data(), sigma.data() + sigma.size());
  for (int64_t i = sigma.size() - 1; i >= 0; --i) { // small values first
    factors.energy += sigma[i] * sigma[i];
    if (i >= rank)
      factors.error += sigma[i] * sigma[i];
  }
  Matrix left = svd.matrixU().leftCols(rank), right = svd.matrixV().leftCols(rank);
  for (int64_t c = 0; c < rank; ++c) {
    Eigen::Index largest = 0;
    left.col(c).cwiseAbs().maxCoeff(&largest);
    double factor = std::copysign(std::sqrt(sigma[c]), left(largest, c));
    left.col(c) *= factor;
    right.col(c) *= factor;
  }
  // B S = right^T, so S^T B^T = right.
  if (lower.size() != 0)
    lower.transpose().triangularView<Eigen::Upper>().solveInPlace(right);
  factors.a.resize(left.size());
  factors.b.resize(right.size());
  for (int64_t i = 0; i < left.rows(); ++i)
    for (int64_t c = 0; c < rank; ++c)
      factors.a[i * rank + c] = static_cast<float>(left(i, c));
  for (int64_t c = 0; c < rank; ++c)
    for (int64_t j = 0; j < right.rows(); ++j)
      factors.b[c * right.rows() + j] = static_cast<float>(right(j, c));
  return factors;
}

Result<LowRankFactors> decomposeLowRank(Span<const float> weight, int64_t rows, int64_t cols,
                                        int64_t rank) {
  pinBlocking();
  if (Status ok = verifyRank(weight, rows, cols, rank); !ok)
    return ok.failure();
  return decompose(toMatrix(weight, rows, cols), Matrix(), rank);
}

/// The Cholesky factor of H + damping I, or nothing when a pivot is too small for B to be accurate.
static bool factorHessian(const Matrix &hessian, double mean, double damping, Matrix &lower) {
  Matrix damped = hessian;
  damped.diagonal().array() += damping;
  Eigen::LLT<Matrix> llt(damped);
  if (llt.info() != Eigen::Success)
    return false;
  lower = llt.matrixL();
  double least = lower.diagonal().minCoeff();
  return least * least > 1e-10 * mean;
}

Result<LowRankFactors> decomposeLowRankWhitened(Span<const float> weight, int64_t rows,
                                                int64_t cols, Span<const float> hessian,
                                                int64_t rank) {
  pinBlocking();
  if (Status ok = verifyRank(weight, rows, cols, rank); !ok)
    return ok.failure();
  if (hessian.size() != static_cast<size_t>(cols * cols))
    return Failure{"expected a Hessian of " + std::to_string(cols) + "x" + std::to_string(cols) +
                   ", found " + std::to_string(hessian.size()) + " values"};
  // Symmetric, so the order of its entries does not matter.
  Matrix h = Eigen::Map<const Eigen::MatrixXf>(hessian.data(), cols, cols).cast<double>();
  double mean = h.diagonal().mean();
  if (!h.allFinite() || !(mean > 0))
    return Failure{"expected a finite Hessian with a positive diagonal; its mean diagonal is " +
                   std::to_string(mean)};
  Matrix lower;
  double damping = 0;
  while (!factorHessian(h, mean, damping, lower)) {
    damping = damping == 0 ? 1e-8 * mean : damping * 10;
    if (damping > mean)
      return Failure{"the Hessian is not positive definite even with its mean diagonal added"};
  }
  Result<LowRankFactors> factors =
      decompose(toMatrix(weight, rows, cols) * lower.triangularView<Eigen::Lower>(), lower, rank);
  if (factors)
    factors->damping = damping;
  return factors;
}

std::vector<float> multiplyFactors(const LowRankFactors &factors, int64_t rows, int64_t cols,
                                   int threads) {
  std::vector<float> product(rows * cols);
  parallelFor(rows, threads, [&](int64_t i) {
    std::vector<double> sum(cols);
    for (int64_t c = 0; c < factors.rank; ++c) {
      double a = factors.a[i * factors.rank + c];
      for (int64_t j = 0; j < cols; ++j)
        sum[j] += a * factors.b[c * cols + j];
    }
    std::copy(sum.begin(), sum.end(), product.begin() + i * cols);
  });
  return product;
}

} // namespace llmc
