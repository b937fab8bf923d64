//===- FoldSites.h - where input channels can be scaled without changing the model --------===//
//
// Scaling the input channels of some linears by s changes nothing if whatever makes their input is
// divided by s. This finds the places where that is exact, for AWQ and methods like it:
//
//   norm -> linears that read it              (scale, and bias of a layer norm)
//   value projection -> output projection     (through attention; grouped heads share a scale)
//   up projection -> down projection          (through a gated activation)
//
// A projection may be a slice of a fused one (llmc.split). A site counts only if every reader of
// the scaled value is a linear of the site, and the weights belong to nobody else.
//
//===----------------------------------------------------------------------------------------===//
#ifndef LLMC_COMPRESS_FOLDSITES_H
#define LLMC_COMPRESS_FOLDSITES_H

#include "llmc/Compress/Selection.h"
#include "llmc/Numerics/AWQ.h"

namespace llmc {

/// One site; where several entry points hold the same weights, all their operations.
struct FoldSite {
  SmallVector<size_t> consumers;   ///< weights whose columns are scaled, by index
  SmallVector<LinearOp> linears;   ///< that read the scaled value
  SmallVector<Operation *> norms;  ///< producers: rms_norm or layer_norm, or
  SmallVector<LinearOp> producers; ///< linears with
  size_t producer = 0;             ///< this weight, of which
  int64_t firstRow = 0;            ///< the rows from here on are divided
  HeadSharing heads;               ///< repeat > 1: consecutive heads share a scale
};

/// A linear that cannot be scaled and why, for remarks.
struct FoldRefusal {
  size_t weight;
  std::string reason;
};

/// Finds the sites with at least one consumer for which `selected` holds. A weight that is
/// not selected must be stored as floats to be scaled.
std::vector<FoldSite> findFoldSites(ModuleOp module, ArrayRef<WeightUse> weights,
                                    ArrayRef<bool> selected, std::vector<FoldRefusal> &refusals);

/// Rows [first, first + count) of a linear's result that become queries or keys of an attention.
struct RowRange {
  int64_t first, count;
};
/// Those ranges for each weight.
std::vector<SmallVector<RowRange>> findQueryKeyRows(ModuleOp module, ArrayRef<WeightUse> weights);

} // namespace llmc

#endif // LLMC_COMPRESS_FOLDSITES_H
