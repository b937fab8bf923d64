//===- QuantizeLayer.h - what the quantizing passes share ---------------------------------===//
//
// Options with their checks, rounding of a weight that may have a mask or codes already, and the
// attribute that says how inputs are quantized.
//
//===----------------------------------------------------------------------------------------===//
#ifndef LLMC_COMPRESS_QUANTIZELAYER_H
#define LLMC_COMPRESS_QUANTIZELAYER_H

#include "llmc/Compress/CompressLayers.h"

namespace llmc {

/// The options of the integer quantizers.
struct QuantizeSettings {
  IntFormat format;
  Attribute activations; ///< null: float
  std::string text;      ///< canonical form for the provenance record
};

/// Reads the options of a pass. Emits what is wrong with them.
FailureOr<QuantizeSettings> readQuantizeOptions(ModuleOp module, StringRef pass, int64_t bits,
                                                int64_t group, bool symmetric, StringRef scale,
                                                StringRef activations);

/// Reads a group and the type of scales. Emits what is wrong with them.
FailureOr<ScaleType> readGroupOptions(ModuleOp module, StringRef pass, int64_t group,
                                      StringRef scale);

/// Reads an activations option; `group` is the block of i8-group, 0 where there is none. A null
/// attribute means float.
FailureOr<Attribute> readActivations(ModuleOp module, StringRef pass, StringRef activations,
                                     int64_t group);

/// The options that choose weights, as text.
std::string selectionText(StringRef include, StringRef exclude);

/// Rounds the kept weights to a scheme; a mask stays.
Status encodeStored(StoredWeight &weight, SchemeAttrInterface scheme);

/// Rounds the kept weights to integers; a mask stays. Fails as quantizeRtn.
Status quantizeStored(StoredWeight &weight, const IntFormat &format, Span<const float> limits = {});

/// A note for a weight that has codes already, if it has.
void noteRequantized(const StoredWeight &weight, SmallVectorImpl<std::string> &notes);

/// Lets all linears of the selection read their inputs quantized so (null: as floats), those of one
/// input the same codes. A static scale is the largest magnitude that calibration has seen, / 127;
/// fails, changing nothing, where it has seen none.
LogicalResult setActivations(ModuleOp module, StringRef pass, ArrayRef<WeightUse> selection,
                             Attribute activations);

} // namespace llmc

#endif // LLMC_COMPRESS_QUANTIZELAYER_H
