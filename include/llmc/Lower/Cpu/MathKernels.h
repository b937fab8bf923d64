//===- MathKernels.h - elementary functions as arithmetic -------------------------------===//
//
// A compiled model imports no libm, so kernels spell exp, tanh, erf and sigmoid in arith and vector
// operations. All take an f32 or a vector of f32 and return the same type; NaN in gives NaN out.
// Polynomials are least-squares fits reweighted to near minimax; the bounds below are checked by
// test/Unit/Lower.
//
#ifndef LLMC_LOWER_CPU_MATHKERNELS_H
#define LLMC_LOWER_CPU_MATHKERNELS_H

#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace llmc {

/// `value` in the type (f32 or vector of f32) of `like`.
mlir::Value constantLike(mlir::ImplicitLocOpBuilder &b, mlir::Value like, double value);

/// e^x, relative error below 1.5e-7 (Cody and Waite's reduction by multiples of ln 2). Below -86.9
/// it is 0, above 88.73 infinity; exp(0) is exactly 1.
mlir::Value emitExp(mlir::ImplicitLocOpBuilder &b, mlir::Value x);

/// 2^x where x is 0 or less, relative error below 2e-7 (Cody and Waite's reduction, exact here).
/// Below -126 it is denormal, below -126.5 it is 0; the power of 0 is exactly 1.
mlir::Value emitExp2NonPositive(mlir::ImplicitLocOpBuilder &b, mlir::Value x);

/// tanh x, relative error below 2.5e-7.
mlir::Value emitTanh(mlir::ImplicitLocOpBuilder &b, mlir::Value x);

/// erf x, absolute and relative error below 2e-7.
mlir::Value emitErf(mlir::ImplicitLocOpBuilder &b, mlir::Value x);

/// 1 / (1 + e^-x), relative error below 4e-7 where x > -86, 0 far below.
mlir::Value emitSigmoid(mlir::ImplicitLocOpBuilder &b, mlir::Value x);

} // namespace llmc

#endif // LLMC_LOWER_CPU_MATHKERNELS_H
