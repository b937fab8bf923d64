//===- Provenance.h - what each pass did to each layer ------------------------------------===//
//
// `llmc.provenance` on the module: an array with one dictionary for each compression pass that ran.
// Reports, the change record and resume read it; nobody parses logs.
//
//   pass      the flag                 options   all options, also those left at their defaults
//   input     hash over the layers' inputs (XXH64, hexadecimal)
//   layers    array of: name, input (hash of the stored weight and its statistics), bytes_before,
//             bytes_after, bits_per_weight, measure ("hessian": tr(D H D^T), "diagonal": the same
//             with only the diagonal of H, "plain": sum of squares), error, relative_error
//             (error over that of a weight of zeros), baseline (the method compared with: "rtn",
//             "magnitude", "svd") and baseline_error in the same measure
//
//===----------------------------------------------------------------------------------------===//
#ifndef LLMC_COMPRESS_PROVENANCE_H
#define LLMC_COMPRESS_PROVENANCE_H

#include "llmc/IR/LLMCDialect.h"
#include "llmc/Numerics/Span.h"
#include "llmc/Numerics/Statistics.h"

#include <optional>

namespace llmc {

/// Name of the module attribute.
constexpr llvm::StringLiteral kProvenanceAttr = "llmc.provenance";

/// The entry of one layer.
struct LayerRecord {
  std::string name;
  uint64_t inputHash = 0;
  int64_t bytesBefore = 0, bytesAfter = 0;
  double bitsPerWeight = 0;
  std::string measure = "plain";
  double error = 0, relativeError = 0;
  std::string baseline;
  double baselineError = 0;
};

/// The errors of an approximation of `weight` and of the baseline's, in the best measure the
/// statistics allow.
void measure(LayerRecord &record, Span<const float> weight, int64_t rows, int64_t columns,
             Span<const float> approximation, Span<const float> baseline,
             const std::optional<ChannelStatistics> &statistics);

/// Hash of what a layer is made from: type and data of its weight and statistics.
uint64_t hashLayer(WeightOp weight, const std::optional<ChannelStatistics> &statistics);

/// How many passes are recorded.
int64_t provenanceSteps(ModuleOp module);

/// Suffix for the blobs of the pass that runs now: no earlier state of a weight used it, in this
/// process or in an earlier one.
std::string blobSuffix(ModuleOp module);

/// Appends the entry of a pass.
void appendProvenance(ModuleOp module, StringRef pass, StringRef options,
                      ArrayRef<LayerRecord> layers);

} // namespace llmc

#endif // LLMC_COMPRESS_PROVENANCE_H
