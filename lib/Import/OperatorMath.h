//===- OperatorMath.h - What operators compute of one element -------------===//
//
// The same functions for the evaluator that computes whole tensors and the one that computes single
// elements, so that both give the same bits.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_LIB_IMPORT_OPERATORMATH_H
#define LLMC_LIB_IMPORT_OPERATORMATH_H

#include <cmath>
#include <cstdint>

namespace llmc::onnx {

inline double negate(double x) { return -x; }
inline int64_t negateInt(int64_t x) { return int64_t(0 - uint64_t(x)); }
inline double absolute(double x) { return std::fabs(x); }
inline int64_t absoluteInt(int64_t x) { return x < 0 ? negateInt(x) : x; }
inline double signOf(double x) { return std::isnan(x) ? x : double((x > 0) - (x < 0)); }
inline int64_t signOfInt(int64_t x) { return (x > 0) - (x < 0); }
inline double reciprocal(double x) { return 1.0 / x; }
inline double squareRoot(double x) { return std::sqrt(x); }
inline double exponential(double x) { return std::exp(x); }
inline double logarithm(double x) { return std::log(x); }
inline double cosine(double x) { return std::cos(x); }
inline double sine(double x) { return std::sin(x); }
inline double floorOf(double x) { return std::floor(x); }
inline double ceilOf(double x) { return std::ceil(x); }
inline double roundEven(double x) { return std::nearbyint(x); }

/// Steps of reductions: what was reduced so far, and the next element.
inline double plus(double a, double x) { return a + x; }
inline double plusSquare(double a, double x) { return a + x * x; }
inline double plusAbsolute(double a, double x) { return a + std::fabs(x); }
inline double plusExp(double a, double x) { return a + std::exp(x); }
inline double times(double a, double x) { return a * x; }
inline double smaller(double a, double x) { return std::isnan(x) || x < a ? x : a; }
inline double larger(double a, double x) { return std::isnan(x) || x > a ? x : a; }

/// Their ends: what was reduced, and the number of elements.
inline double same(double a, double) { return a; }
inline double average(double a, double n) { return a / n; }
inline double root(double a, double) { return std::sqrt(a); }
inline double logOf(double a, double) { return std::log(a); }

} // namespace llmc::onnx

#endif // LLMC_LIB_IMPORT_OPERATORMATH_H
