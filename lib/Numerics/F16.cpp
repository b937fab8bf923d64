//===- F16.cpp - float16 and bfloat16 conversion ---------------------------------------------===//
//
// Done on the bits with integers, so the result does not depend on the rounding mode, the
// compiler's half type, or flush-to-zero.
//
//===----------------------------------------------------------------------------------------===//
#include "llmc/Numerics/F16.h"
#include <cstring>

namespace llmc {

static uint32_t bitsOf(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

static float floatOf(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

/// value >> shift, rounded half to even.
static uint32_t shiftRound(uint32_t value, int shift) {
  uint32_t half = 1u << (shift - 1);
  uint32_t rest = value & ((1u << shift) - 1);
  uint32_t result = value >> shift;
  return result + (rest > half || (rest == half && (result & 1)));
}

uint16_t floatToHalf(float value) {
  uint32_t bits = bitsOf(value);
  uint32_t sign = (bits >> 16) & 0x8000;
  uint32_t magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) // NaN: quiet, top payload bits kept
    return sign | 0x7e00 | ((magnitude >> 13) & 0x1ff);
  if (magnitude >= 0x477ff000) // 65520 and above round to infinity
    return sign | 0x7c00;
  if (magnitude >= 0x38800000) // normal: rebias; a carry out of the mantissa is the next exponent
    return sign | shiftRound(magnitude - 0x38000000, 13);
  int exponent = magnitude >> 23;
  if (exponent < 102) // below half of the least subnormal
    return sign;
  uint32_t mantissa = (magnitude & 0x7fffff) | 0x800000;
  return sign | shiftRound(mantissa, 126 - exponent);
}

float halfToFloat(uint16_t half) {
  uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
  uint32_t exponent = (half >> 10) & 0x1f, mantissa = half & 0x3ff;
  if (exponent == 0x1f)
    return floatOf(sign | 0x7f800000 | (mantissa ? 0x400000 | (mantissa << 13) : 0));
  if (exponent != 0)
    return floatOf(sign | ((exponent + 112) << 23) | (mantissa << 13));
  if (mantissa == 0)
    return floatOf(sign);
  // Subnormal: normalise by hand, since the value is mantissa * 2^-24.
  int shift = 0;
  while (!(mantissa & 0x400)) {
    mantissa <<= 1;
    ++shift;
  }
  return floatOf(sign | ((113 - shift) << 23) | ((mantissa & 0x3ff) << 13));
}

uint16_t floatToBFloat16(float value) {
  uint32_t bits = bitsOf(value);
  if ((bits & 0x7fffffff) > 0x7f800000)
    return (bits >> 16) | 0x40;
  return (bits >> 16) + ((bits & 0x8000) && (bits & 0x17fff));
}

float bfloat16ToFloat(uint16_t half) {
  uint32_t bits = static_cast<uint32_t>(half) << 16;
  if ((bits & 0x7fffffff) > 0x7f800000)
    bits |= 0x400000;
  return floatOf(bits);
}

static CastReport cast(Span<const float> in, Span<uint16_t> out, uint16_t (*convert)(float),
                       uint16_t infinity) {
  CastReport report;
  for (size_t i = 0; i < in.size(); ++i) {
    out[i] = convert(in[i]);
    uint16_t magnitude = out[i] & 0x7fff;
    uint32_t source = bitsOf(in[i]) & 0x7fffffff;
    if (magnitude == infinity && source < 0x7f800000) {
      if (report.overflows++ == 0)
        report.firstOverflow = static_cast<int64_t>(i);
    }
    report.underflows += magnitude == 0 && source != 0;
  }
  return report;
}

CastReport castToHalf(Span<const float> in, Span<uint16_t> out) {
  return cast(in, out, floatToHalf, 0x7c00);
}

CastReport castToBFloat16(Span<const float> in, Span<uint16_t> out) {
  return cast(in, out, floatToBFloat16, 0x7f80);
}

} // namespace llmc
