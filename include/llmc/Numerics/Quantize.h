//===- Quantize.h - integer quantization of a weight --------------------------------------===//
//
// Round-to-nearest group quantization to 2..8 bits, the grid every integer method shares. Weights
// are row-major [N, K]: N outputs, K inputs; groups run along K and never cross a row.
//
//   asymmetric   lo = min(0, min w), hi = max(0, max w), scale = (hi - lo) / (2^b - 1)
//                zero = clamp(round(-lo / scale), 0, 2^b - 1)
//                code = clamp(round(w / scale) + zero, 0, 2^b - 1),  value = (code - zero) * scale
//   symmetric    e = the weight of largest magnitude (the first of several), zero = 2^(b-1)
//                scale = -e / 2^(b-1), code and value as above
//
// Rounding is half to even. The asymmetric range holds 0 as in GPTQ (arXiv 2210.17323, quant.py),
// so 0 is always exact and a group of one sign keeps its largest weights; for groups with both
// signs it is the rule of llm-awq (arXiv 2306.00978, quantizer.py) without its floor on the range.
// The symmetric scale carries the sign of the extreme weight, as ggml's Q4_0 and ONNX Runtime do,
// so all 2^b levels are used (19.7 dB instead of 18.6 dB for absmax / 7 on normal weights, 4 bits,
// group 128); hence it may be negative.
//
// Scales are rounded to their stored type before codes are computed. A scale too small for its type
// becomes the type's least value (2^-24 for f16, 2^-126 for f32) with its sign. A group of zeros
// has scale 1, codes at the zero point, and an asymmetric zero point of 0.
//
//===----------------------------------------------------------------------------------------===//
#ifndef LLMC_NUMERICS_QUANTIZE_H
#define LLMC_NUMERICS_QUANTIZE_H

#include "llmc/Numerics/Result.h"
#include "llmc/Numerics/Span.h"
#include <cstdint>
#include <vector>

namespace llmc {

enum class ScaleType { F16, F32 };

/// Inputs per group of a weight with `cols` inputs; a group of 0 is the whole row.
inline int64_t groupSize(int64_t group, int64_t cols) {
  return group == 0 || group > cols ? cols : group;
}
/// Groups per row, at least 1 when cols is.
inline int64_t groupCount(int64_t group, int64_t cols) {
  int64_t size = groupSize(group, cols);
  return size == 0 ? 0 : (cols + size - 1) / size;
}

/// How a weight is quantized. The last group of a row may be short.
struct IntFormat {
  int bits = 4;           ///< 2..8
  int64_t group = 32;     ///< inputs per group; 0: the whole row (per output channel)
  bool symmetric = false; ///< no stored zero points
  ScaleType scale = ScaleType::F16;

  /// Largest code, 2^bits - 1.
  int maxCode() const { return (1 << bits) - 1; }
  /// The implied zero point of a symmetric format, 2^(bits-1).
  int symmetricZero() const { return 1 << (bits - 1); }
  int64_t groupSize(int64_t cols) const { return llmc::groupSize(group, cols); }
  int64_t groupCount(int64_t cols) const { return llmc::groupCount(group, cols); }
  /// Fails when bits or group is out of range.
  Status verify() const;
};

/// A quantized weight. Codes are unpacked, one per byte; see BitPack.h for the stored form.
struct IntWeight {
  IntFormat format;
  int64_t rows = 0;           ///< N
  int64_t cols = 0;           ///< K
  std::vector<uint8_t> codes; ///< [N, K], unsigned also when symmetric
  std::vector<float> scales;  ///< [N, G], exactly representable in format.scale
  std::vector<uint8_t> zeros; ///< [N, G]; empty when symmetric

  int64_t groups() const { return format.groupCount(cols); }
  /// The zero point of a group, stored or implied.
  int zero(int64_t row, int64_t group) const {
    return zeros.empty() ? format.symmetricZero() : zeros[row * groups() + group];
  }
};

/// The grid of one group.
struct GroupGrid {
  float scale = 1.0f;
  int zero = 0;
};

/// Fits the grid of `n` weights. Weights are limited to [-limit, limit] first (infinity: no limit).
/// The weights must be finite. The scale may overflow f16: then it is infinite, which the caller
/// reports.
GroupGrid fitGroup(const float *weights, int64_t n, const IntFormat &format, float limit);

/// The code of a weight (which may lie outside the grid) and its value.
int encodeValue(float weight, GroupGrid grid, int maxCode);
inline float decodeValue(int code, GroupGrid grid) {
  return static_cast<float>(code - grid.zero) * grid.scale;
}

struct QuantizeOptions {
  /// [N, K], 0: pruned. A pruned weight does not enter the fit, and decodes to exactly 0.
  Span<const uint8_t> keep;
  /// [N, G] limits on magnitude, applied before the fit and the rounding (see searchClip in AWQ.h).
  Span<const float> limits;
  int threads = 1;
};

/// Quantizes a weight [rows, cols]. Fails on a bad format, on sizes that disagree, on the first
/// weight that is not finite and on the first group whose scale overflows f16 (both named by row
/// and column).
Result<IntWeight> quantizeRtn(Span<const float> weight, int64_t rows, int64_t cols,
                              const IntFormat &format, const QuantizeOptions &options = {});

/// The values of a quantized weight, [N, K].
std::vector<float> dequantize(const IntWeight &weight, int threads = 1);

/// Prunes a quantized weight: where keep is 0 the code becomes the zero point. Other codes, scales
/// and zero points stay. Fails when keep is not [N, K].
Status pruneCodes(IntWeight &weight, Span<const uint8_t> keep);

/// A positive or negative scale rounded to its stored type: never 0, infinite if it overflows.
float storedScale(double scale, ScaleType type);

/// Fails when a group is negative.
Status verifyGroup(int64_t group);

/// Fails when `keep` has not as many entries.
Status verifyMask(Span<const uint8_t> keep, size_t entries);

/// Fails when a weight is not finite, naming the first by row and column.
Status verifyFinite(Span<const float> weight, int64_t rows, int64_t cols);

} // namespace llmc

#endif // LLMC_NUMERICS_QUANTIZE_H
