//===- CodeTable.h - 4-bit codes into a table of levels ---------------------------------------===//
//
// Group quantization to levels that are not evenly spaced. Weights are row-major [N, K]: N outputs,
// K inputs; groups run along K and never cross a row.
//
//   scale = max |w| of the group, value = level[code] * scale
//   code  = that of the level nearest to w * (1 / scale), in f32
//
// NF4 is the 16-level code of QLoRA (Dettmers et al., arXiv 2305.14314) with the values of
// bitsandbytes; codes equal its for scales of f32. Midpoints go to the lower level. FP4 of
// bitsandbytes is no E2M1: its levels are 0, 1/16, 2, 3, 4, 6, 8 and 12 twelfths with a sign, in
// the order of its bit patterns. Of levels as near the first code is taken, as its CPU code does.
// Scales are rounded to their stored type before codes are computed. A scale too small for its type
// becomes the type's least value; a group of zeros has scale 1.
//
//===----------------------------------------------------------------------------------------===//
#ifndef LLMC_NUMERICS_CODETABLE_H
#define LLMC_NUMERICS_CODETABLE_H

#include "llmc/Numerics/Quantize.h"

#include <array>
#include <optional>
#include <string>

namespace llmc {

/// The tables there are. All have 16 levels.
enum class CodeTable {
  NF4,    ///< quantiles of a normal distribution, in [-1, 1]
  NF4I8,  ///< the same rounded to multiples of 1/127
  BnbFP4, ///< bitsandbytes' float of 4 bits
};

/// The code of the level 0, which pruned weights have.
int tableZeroCode(CodeTable table);

/// nf4, nf4_i8, bnb_fp4.
const char *codeTableName(CodeTable table);
std::optional<CodeTable> parseCodeTable(const std::string &name);
/// "nf4, nf4_i8 or bnb_fp4", for messages.
std::string codeTableNames();

/// The 16 levels.
const std::array<float, 16> &tableLevels(CodeTable table);

/// 127 times the levels where those are integers, otherwise null.
const std::array<int8_t, 16> *integerLevels(CodeTable table);

/// How a weight is quantized. The last group of a row may be short.
struct TableFormat {
  CodeTable table = CodeTable::NF4;
  int64_t group = 64; ///< inputs per group; 0: the whole row (per output channel)
  ScaleType scale = ScaleType::F16;

  int64_t groupSize(int64_t cols) const { return llmc::groupSize(group, cols); }
  int64_t groupCount(int64_t cols) const { return llmc::groupCount(group, cols); }
};

/// A quantized weight. Codes are unpacked, one per byte.
struct TableWeight {
  TableFormat format;
  int64_t rows = 0;           ///< N
  int64_t cols = 0;           ///< K
  std::vector<uint8_t> codes; ///< [N, K], 0 to 15
  std::vector<float> scales;  ///< [N, G], exactly representable in format.scale
};

/// The code of `value`, a weight over its scale.
int nearestLevel(float value, CodeTable table);

/// Quantizes a weight [rows, cols]. `keep` is empty or [N, K], 0: pruned; such a weight does not
/// enter the scale and decodes to exactly 0. Fails on a negative group, on sizes that disagree, on
/// the first weight that is not finite and on the first scale that overflows f16 (both named by row
/// and column).
Result<TableWeight> quantizeTable(Span<const float> weight, int64_t rows, int64_t cols,
                                  const TableFormat &format, Span<const uint8_t> keep = {});

/// The values of a quantized weight, [N, K].
std::vector<float> dequantize(const TableWeight &weight);

} // namespace llmc

#endif // LLMC_NUMERICS_CODETABLE_H
