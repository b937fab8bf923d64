//===- StatisticsAttr.h - calibration statistics as an attribute of llmc.linear -----------===//
//
// The store of design: one dictionary `llmc.statistics` on each linear, shared by the linears that
// read the same value. Entries:
//
//   count        i64                  rows (tokens) seen
//   mean         tensor<Kxf64>        mean of x
//   mean_abs     tensor<Kxf64>        mean of |x|
//   max_abs      tensor<Kxf64>        largest |x|
//   sum_squares  tensor<Kxf64>        sum of x^2, not divided by count
//   hessian      tensor<Txf32>        sum of x x^T, not divided by count; may be absent
//
// T = K (K + 1) / 2: the upper triangle, row after row, each from its diagonal. A whole matrix,
// tensor<KxKxf32>, is read too.
//
// x is the input in the model's own units. The Hessian is rounded to f32 because it is most of the
// file; its diagonal is also there in f64.
//
//===----------------------------------------------------------------------------------------===//
#ifndef LLMC_CALIBRATE_STATISTICSATTR_H
#define LLMC_CALIBRATE_STATISTICSATTR_H

#include "llmc/IR/LLMCDialect.h"
#include "llmc/Numerics/Statistics.h"

#include <optional>

namespace llmc {

/// Name of the attribute on llmc.linear.
constexpr llvm::StringLiteral kStatisticsAttr = "llmc.statistics";

/// Ids below which statistics say little about what a linear reads; a fraction of the 10,000 that
/// the documentation asks for.
constexpr int64_t kFewIds = 4096;

/// Stores `statistics`; the blobs are named `key`, the entry, and `suffix`.
DictionaryAttr makeStatisticsAttr(MLIRContext *context, const ChannelStatistics &statistics,
                                  StringRef key, StringRef suffix = {});

/// Reads what makeStatisticsAttr stored. Fails when an entry is missing or has the wrong shape, and
/// as ChannelStatistics::verify does.
Result<ChannelStatistics> readStatistics(DictionaryAttr attribute);

/// A hash of what makeStatisticsAttr stored.
uint64_t hashStatistics(DictionaryAttr attribute, uint64_t seed = 0);

/// The statistics of a linear, or null.
inline DictionaryAttr getStatistics(LinearOp linear) {
  return linear->getAttrOfType<DictionaryAttr>(kStatisticsAttr);
}

/// The statistics of all inputs of linears that share a weight, each distinct one counted once;
/// none unless all have them.
Result<std::optional<ChannelStatistics>> mergedStatistics(ArrayRef<LinearOp> linears);

} // namespace llmc

#endif // LLMC_CALIBRATE_STATISTICSATTR_H
