//===- F16.h - float16 and bfloat16 conversion ------------------------------------------------===//
//
// IEEE 754 binary16 and bfloat16, rounded half to even, independent of what the host can do.
//
//===----------------------------------------------------------------------------------------===//
#ifndef LLMC_NUMERICS_F16_H
#define LLMC_NUMERICS_F16_H

#include "llmc/Numerics/Span.h"
#include <cstdint>

namespace llmc {

/// Largest finite binary16 value and smallest positive (subnormal) one.
constexpr float halfMax = 65504.0f;
constexpr float halfMin = 5.9604644775390625e-8f;

/// binary32 -> binary16, round half to even; too large becomes infinity, NaN stays a quiet NaN
/// with its sign and the top payload bits.
uint16_t floatToHalf(float value);
/// binary16 -> binary32, exact. Signalling NaNs become quiet.
float halfToFloat(uint16_t bits);
/// binary32 -> bfloat16, round half to even, same treatment of overflow and NaN.
uint16_t floatToBFloat16(float value);
/// bfloat16 -> binary32, exact.
float bfloat16ToFloat(uint16_t bits);

/// The nearest binary16 value, as a float.
inline float roundToHalf(float value) { return halfToFloat(floatToHalf(value)); }
/// The nearest bfloat16 value, as a float.
inline float roundToBFloat16(float value) { return bfloat16ToFloat(floatToBFloat16(value)); }

/// What a cast of a whole tensor lost. Indices are -1 when there is none.
struct CastReport {
  int64_t overflows = 0;      ///< finite values that became infinite
  int64_t firstOverflow = -1; ///< index of the first of them
  int64_t underflows = 0;     ///< values other than 0 that became 0
};

/// Casts in.size() values to `out` (same size, binary16 or bfloat16 bits) and reports what was
/// lost.
CastReport castToHalf(Span<const float> in, Span<uint16_t> out);
CastReport castToBFloat16(Span<const float> in, Span<uint16_t> out);

} // namespace llmc

#endif // LLMC_NUMERICS_F16_H
