//===- Ternary.h - weights of three values
//---------------------------------------------------------===//
//
// BitNet b1.58's absmean rule (Ma et al., arXiv 2402.17764): one scale per tensor, codes -1, 0, 1.
// Meant for weights trained that way; on others it loses most of the model.
//
//===----------------------------------------------------------------------------------------===//
#ifndef LLMC_NUMERICS_TERNARY_H
#define LLMC_NUMERICS_TERNARY_H

#include "llmc/Numerics/Result.h"
#include "llmc/Numerics/Span.h"
#include <cstdint>
#include <vector>

namespace llmc {

struct TernaryWeight {
  std::vector<int8_t> codes;   ///< [N, K], -1, 0 or 1
  float scale = 1.0f;          ///< value = code * scale
  bool alreadyTernary = false; ///< the weight took only the values -s, 0, s: kept exactly
};

/// s = max(mean |w|, 1e-5) (summed in double), code = clamp(round(w / s), -1, 1), round half to
/// even. A weight that is ternary already keeps its own s, so the function is idempotent and does
/// not shrink a BitNet checkpoint. Fails on a wrong size or a weight that is not finite.
Result<TernaryWeight> quantizeTernary(Span<const float> weight, int64_t rows, int64_t cols);

/// code * scale, [N, K].
std::vector<float> dequantize(const TernaryWeight &weight);

} // namespace llmc

#endif // LLMC_NUMERICS_TERNARY_H
