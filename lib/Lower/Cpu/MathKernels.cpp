//===- MathKernels.cpp - elementary functions as arithmetic -----------------------------===//
//
// exp, tanh, erf and sigmoid in arith operations that every target does inline: no rounding
// instruction, no table, no call.
//
#include "llmc/Lower/Cpu/MathKernels.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace llmc;

/// The integer type of the same shape as an f32 or vector of f32.
static Type integersLike(ImplicitLocOpBuilder &b, Value like) {
  if (auto vector = dyn_cast<VectorType>(like.getType()))
    return VectorType::get(vector.getShape(), b.getI32Type());
  return b.getI32Type();
}

static Value integerConstant(ImplicitLocOpBuilder &b, Type type, int32_t value) {
  TypedAttr attribute = b.getI32IntegerAttr(value);
  if (auto vector = dyn_cast<VectorType>(type))
    attribute = DenseElementsAttr::get(vector, value);
  return arith::ConstantOp::create(b, attribute);
}

Value llmc::constantLike(ImplicitLocOpBuilder &b, Value like, double value) {
  TypedAttr attribute = b.getF32FloatAttr(static_cast<float>(value));
  if (auto vector = dyn_cast<VectorType>(like.getType()))
    attribute = DenseElementsAttr::get(vector, static_cast<float>(value));
  return arith::ConstantOp::create(b, attribute);
}

static Value fusedMultiplyAdd(ImplicitLocOpBuilder &b, Value x, Value y, Value z) {
  if (isa<VectorType>(x.getType()))
    return vector::FMAOp::create(b, x, y, z);
  return math::FmaOp::create(b, x, y, z);
}

/// Horner's scheme, coefficients from the constant term up.
static Value polynomial(ImplicitLocOpBuilder &b, Value x, ArrayRef<double> coefficients) {
  Value sum = constantLike(b, x, coefficients.back());
  for (double coefficient : llvm::reverse(coefficients.drop_back()))
    sum = fusedMultiplyAdd(b, sum, x, constantLike(b, x, coefficient));
  return sum;
}

/// 2^(e - 127), where `shifted` is 1.5 * 2^23 + e and e is in [1, 254]; 0 where e is 0.
static Value powerOfTwo(ImplicitLocOpBuilder &b, Value shifted) {
  Type integers = integersLike(b, shifted);
  Value bits = arith::BitcastOp::create(b, integers, shifted);
  bits = arith::ShLIOp::create(b, bits, integerConstant(b, integers, 23));
  return arith::BitcastOp::create(b, shifted.getType(), bits);
}

Value llmc::emitExp(ImplicitLocOpBuilder &b, Value x) {
  auto constant = [&](double value) { return constantLike(b, x, value); };
  // Written so that NaN stays: a comparison with NaN is false.
  Value high = constant(89.0);
  Value above = arith::CmpFOp::create(b, arith::CmpFPredicate::OGT, x, high);
  Value clamped = arith::SelectOp::create(b, above, high, x);
  // Adding 1.5 * 2^23 + 126 leaves round(x / ln 2) + 126 in the low bits of the sum.
  Value magic = constant(12582912.0 + 126.0);
  Value shifted = fusedMultiplyAdd(b, clamped, constant(1.44269504088896), magic);
  Value n = arith::SubFOp::create(b, shifted, magic);
  Value r = fusedMultiplyAdd(b, n, constant(-0.693145751953125), clamped);
  r = fusedMultiplyAdd(b, n, constant(-1.42860682030941e-6), r);
  Value tail = polynomial(b, r,
                          {0.4999999403953552, 0.1666652113199234, 0.04166838899254799,
                           0.008368736132979393, 0.001381455804221332});
  Value squared = arith::MulFOp::create(b, r, r);
  Value p = arith::AddFOp::create(b, fusedMultiplyAdd(b, tail, squared, r), constant(1.0));
  // e^x = 2p * 2^(n-1): the factor stays a normal number up to where e^x overflows.
  Value result = arith::MulFOp::create(b, arith::AddFOp::create(b, p, p), powerOfTwo(b, shifted));
  Value below = arith::CmpFOp::create(b, arith::CmpFPredicate::OLT, x, constant(-86.9));
  return arith::SelectOp::create(b, below, constant(0.0), result);
}

Value llmc::emitExp2NonPositive(ImplicitLocOpBuilder &b, Value x) {
  auto constant = [&](double value) { return constantLike(b, x, value); };
  // As in emitExp; what is left of x is exact. The factor of -127 is 0. A comparison with NaN is
  // false, so NaN stays.
  Value least = constant(-127.0);
  Value below = arith::CmpFOp::create(b, arith::CmpFPredicate::OGT, least, x);
  x = arith::SelectOp::create(b, below, least, x);
  Value magic = constant(12582912.0 + 127.0);
  Value shifted = arith::AddFOp::create(b, x, magic);
  Value r = arith::SubFOp::create(b, x, arith::SubFOp::create(b, shifted, magic));
  Value p = polynomial(b, r,
                       {1.0, 0.6931470036506653, 0.24022242426872253, 0.05550733581185341,
                        0.009671512991189957, 0.001326472614891827});
  return arith::MulFOp::create(b, p, powerOfTwo(b, shifted));
}

Value llmc::emitTanh(ImplicitLocOpBuilder &b, Value x) {
  auto constant = [&](double value) { return constantLike(b, x, value); };
  Value magnitude = math::AbsFOp::create(b, x);
  Value power = emitExp(b, arith::AddFOp::create(b, magnitude, magnitude));
  Value one = constant(1.0);
  Value quotient = arith::DivFOp::create(b, constant(2.0), arith::AddFOp::create(b, power, one));
  Value large = math::CopySignOp::create(b, arith::SubFOp::create(b, one, quotient), x);
  // 1 - 2 / (e^2x + 1) cancels near 0.
  Value squared = arith::MulFOp::create(b, x, x);
  Value p = polynomial(b, squared,
                       {-0.3333328068256378, 0.13331441581249237, -0.05373971536755562,
                        0.02063908986747265, -0.005704990588128567});
  Value small = fusedMultiplyAdd(b, arith::MulFOp::create(b, p, squared), x, x);
  Value isSmall = arith::CmpFOp::create(b, arith::CmpFPredicate::OLT, magnitude, constant(0.625));
  return arith::SelectOp::create(b, isSmall, small, large);
}

Value llmc::emitErf(ImplicitLocOpBuilder &b, Value x) {
  auto constant = [&](double value) { return constantLike(b, x, value); };
  Value magnitude = math::AbsFOp::create(b, x);
  // erf 4 rounds to 1.
  Value four = constant(4.0);
  Value above = arith::CmpFOp::create(b, arith::CmpFPredicate::OGT, magnitude, four);
  Value clamped = arith::SelectOp::create(b, above, four, magnitude);
  // 1 - erf x = exp(-p(x)).
  Value p = polynomial(b, clamped,
                       {-0.0002148083585780114, -1.1275954246520996, -0.6373193264007568,
                        -0.10380962491035461, 0.022167375311255455, -0.0030281045474112034,
                        0.0001943801762536168});
  Value large = arith::SubFOp::create(b, constant(1.0), emitExp(b, p));
  large = math::CopySignOp::create(b, large, x);
  Value squared = arith::MulFOp::create(b, x, x);
  Value q = polynomial(b, squared,
                       {0.12837915122509003, -0.37612488865852356, 0.1128176674246788,
                        -0.02676478400826454, 0.004990446846932173, -0.0005976732354611158});
  Value small = fusedMultiplyAdd(b, q, x, x);
  Value isSmall = arith::CmpFOp::create(b, arith::CmpFPredicate::OLT, magnitude, constant(0.925));
  return arith::SelectOp::create(b, isSmall, small, large);
}

Value llmc::emitSigmoid(ImplicitLocOpBuilder &b, Value x) {
  Value one = constantLike(b, x, 1.0);
  Value power = emitExp(b, arith::NegFOp::create(b, x));
  return arith::DivFOp::create(b, one, arith::AddFOp::create(b, one, power));
}
