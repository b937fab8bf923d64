//===- RaiseMerge.h - What several looks at a graph have in common --------===//

#ifndef LLMC_LIB_IMPORT_RAISEMERGE_H
#define LLMC_LIB_IMPORT_RAISEMERGE_H

#include "RaisedGraph.h"
#include "llmc/Import/OnnxModel.h"

namespace llmc::onnx {

/// Drops nodes that no output needs (a linear before its bias was found).
void dropUnused(RaisedGraph &graph);

/// Fails where the graphs are not the same but for masks and angles; takes angles over. `withMasks`
/// also takes over what masks hide.
void mergeGraphs(RaisedGraph &into, const RaisedGraph &from, bool withMasks,
                 const std::string &path);

void mergeMask(MaskFacts &into, const MaskFacts &from);
/// Fails where no causal, windowed or open mask hides what was seen.
void checkMask(const MaskFacts &mask, const std::string &where);
/// Sets what the mask of an attention node is.
void classifyMask(RaisedNode &node, bool hasCache);

/// Solves the frequencies of all rotations from their samples and drops the samples; fails where
/// angles are no multiples of the position. Later samples sharpen what is known.
void solveRotations(RaisedGraph &graph);
/// Frequencies usually stand in the file, or follow from a base that is a round number; takes them
/// from there where that agrees.
void snapFrequencies(RaisedRope &rope, const OnnxModel &model);

} // namespace llmc::onnx

#endif // LLMC_LIB_IMPORT_RAISEMERGE_H
