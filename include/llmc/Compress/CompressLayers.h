//===- CompressLayers.h - run a method over the selected weights --------------------------===//
//
// Numbers are computed in parallel, one weight at a time, and the module is edited serially in
// order of the weights: the output does not depend on the number of threads. Errors and remarks
// come out in that order too.
//
//===----------------------------------------------------------------------------------------===//
#ifndef LLMC_COMPRESS_COMPRESSLAYERS_H
#define LLMC_COMPRESS_COMPRESSLAYERS_H

#include "llmc/Compress/Provenance.h"
#include "llmc/Compress/Selection.h"
#include "llmc/Compress/StoredWeight.h"

#include <functional>

namespace llmc {

/// What a method sees of a weight.
struct Layer {
  size_t index = 0; ///< in the selection
  StringRef name;
  StoredWeight weight;
  std::optional<ChannelStatistics> statistics; ///< of the inputs of all its linears
};

/// What a method makes of it.
struct LayerResult {
  std::optional<StoredWeight> weight; ///< none: left as it is
  std::string baseline;               ///< see Provenance.h
  std::vector<float> baselineValues;
  /// What errors are measured against, with layer.statistics as the method left them; empty: the
  /// weight as it came in.
  std::vector<float> reference;
  /// Things to tell the user; equal notes of several layers become one remark.
  SmallVector<std::string, 1> notes;
};

using LayerMethod = std::function<Result<LayerResult>(Layer &)>;

/// The pass that runs.
struct PassRun {
  StringRef flag;      ///< rtn-quantize
  std::string options; ///< for the provenance record
};

/// Runs fn(i) for every i in parallel; then emits the errors at `locations` in order, if any. A
/// returned string is an error. On a terminal the line of progress says which `step` this is.
LogicalResult runInParallel(ModuleOp module, const PassRun &run, ArrayRef<WeightUse> selection,
                            std::function<std::optional<std::string>(size_t)> fn,
                            StringRef step = {});

/// Reads a layer: plain weight and merged statistics.
Result<Layer> readLayer(const WeightUse &use, size_t index);

/// Adds a note if a method decides by statistics of too few ids.
void noteFewIds(const Layer &layer, SmallVectorImpl<std::string> &notes);

/// Emits each distinct note once, with the layers it is about.
void emitNotes(ModuleOp module, const PassRun &run, ArrayRef<WeightUse> selection,
               ArrayRef<SmallVector<std::string, 1>> notes);

/// Gives all operations of a weight a new type and data (blobs named with `suffix`).
void replaceWeight(WeightUse &use, const PackedWeight &packed, StringRef suffix);

/// A hash of what a method depends on beside the options and the layer as readLayer gives it.
using LayerDependencies = std::function<uint64_t(const Layer &)>;

/// The whole of a pass that only changes how weights are stored: computes, replaces, records. What
/// took long is kept for a run that is begun again (Checkpoint.h).
LogicalResult compressLayers(ModuleOp module, const PassRun &run, std::vector<WeightUse> &selection,
                             LayerMethod method, LayerDependencies dependencies = {});

} // namespace llmc

#endif // LLMC_COMPRESS_COMPRESSLAYERS_H
