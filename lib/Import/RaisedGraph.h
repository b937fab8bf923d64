//===- RaisedGraph.h - What a model is, before it is MLIR -----------------===//
//
// The result of raising: a small graph of canonical operations on tensors [batch, positions,
// features]. Nodes are numbered in topological order; `inputs` are node numbers. It is independent
// of the sizes at which the ONNX graph was looked at, so graphs of different sizes can be compared
// and merged.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_LIB_IMPORT_RAISEDGRAPH_H
#define LLMC_LIB_IMPORT_RAISEDGRAPH_H

#include "llmc/Import/OnnxTensor.h"

#include <limits>
#include <map>
#include <string>
#include <tuple>
#include <vector>

namespace llmc::onnx {

/// What a weight is made of. The parts are kept apart, since a file may call its values anything.
struct WeightKey {
  std::string name;        ///< The initializer, or another value of the file.
  bool transposed = false; ///< Used the other way round than it lies.
  std::string derived;     ///< What was made of it, or "".
  int copy = 0;            ///< Counts values that differ though everything else is the same.

  bool operator<(const WeightKey &other) const {
    return std::tie(name, transposed, derived, copy) <
           std::tie(other.name, other.transposed, other.derived, other.copy);
  }
  /// For messages and locations.
  std::string text() const { return derived.empty() ? name : name + " (" + derived + ")"; }
};

/// A parameter: dense (vector, or matrix stored [rows, columns] or transposed) or packed integers.
struct RaisedWeight {
  WeightKey key;
  std::string name; ///< Module path, given when the graph is complete.
  OnnxTensor values;
  bool transposed = false; ///< The matrix is stored [columns, rows].
  OnnxTensor codes, scales, zeros;
  int64_t bits = 0, block = 0; ///< bits > 0: codes, scales and zeros instead of values.
  bool hasZeros = false;
  int64_t rows = 0, columns = 0; ///< columns is 0 for a vector.
};

enum class RaisedKind {
  Input,
  Embedding,
  PositionEmbedding,
  Linear,
  RMSNorm,
  LayerNorm,
  Attention,
  Activation,
  Gated,
  Add,
  Multiply,
  Scale,
  AddVector,
  MultiplyVector,
  Select
};

/// cos and sin that were seen at a position: angle = position * frequency.
struct AngleSample {
  int64_t position;
  double angle;
  double error = 1e-6; ///< How far off it may be: rounding of cos and sin to 16 bits or to f32.
  double relative = 0x1p-22; ///< And as a share of itself: rounding of the angle.
};

struct RaisedRope {
  bool present = false, interleaved = false;
  bool coarse = false; ///< The original computes its angles in 16 bits.
  int64_t pairs = 0;
  double factor = 1;
  std::vector<std::vector<AngleSample>> samples; ///< Per pair.
  std::vector<double> frequencies;               ///< Computed from the samples of all sizes.
  std::vector<double> uncertainties;             ///< Of the frequencies.
  /// In calls behind which there are more positions than originalContext; 0: there are none.
  std::vector<double> longFrequencies;
  int64_t originalContext = 0;
};

/// A value that masks scores: bool (true is visible, or hidden where `hides`) or added.
struct MaskSource {
  std::string name;
  bool hides = false;
  bool operator<(const MaskSource &other) const {
    return std::tie(name, hides) < std::tie(other.name, other.hides);
  }
};

/// What a mask hides, seen at one or more sizes.
struct MaskFacts {
  bool seesFuture = false, hidesFuture = false;
  bool seesPadding = false, hidesPadding = false;
  int64_t farthestSeen = -1; ///< Largest distance back that is visible.
  int64_t nearestHidden =
      std::numeric_limits<int64_t>::max(); ///< Smallest distance back that is hidden.
};

struct RaisedNode {
  RaisedKind kind = RaisedKind::Input;
  std::vector<int> inputs;
  std::string location; ///< Name of the ONNX node.
  std::string scope;    ///< Module path, where the exporter wrote it.
  std::string output; ///< The ONNX value that this node's result equals element by element, or "".
  int64_t width = 0;  ///< Features of the result.
  int weight = -1, bias = -1;
  int64_t integer =
      0; ///< PositionEmbedding: offset. Norms: groups. Linear: block of int8 activations.
  bool roundsInput = false; ///< Linear: the original rounds its input to bytes, one scale for all.
  double grain = 0;  ///< Relative rounding of the coarsest arithmetic its numbers went through.
  double number = 0; ///< Norms: epsilon. Scale: factor.
  std::string text;  ///< Input: name. Activation and Gated: kind.
  std::vector<int64_t> selection; ///< Select: features of the input, in order.

  // Attention only.
  int64_t heads = 0, kvHeads = 0;
  double scale = 0, softcap = 0;
  RaisedRope queryRope, keyRope;
  std::string pastKey, pastValue;
  /// The file's cache holds this times what the module's holds: a factor may lie on either side.
  double keyFactor = 1, valueFactor = 1;
  std::vector<MaskSource> maskValues;
  bool causal = false, usesPadding = false;
  bool hidesByItself = false; ///< The operator is causal, whatever its mask shows.
  int64_t window = 0;
  MaskFacts mask;
};

inline RaisedNode makeNode(RaisedKind kind, std::vector<int> inputs, int64_t width) {
  RaisedNode node;
  node.kind = kind;
  node.inputs = std::move(inputs);
  node.width = width;
  return node;
}

struct RaisedOutput {
  std::string name;
  int node;
};

struct RaisedGraph {
  std::vector<RaisedNode> nodes;
  std::vector<RaisedWeight> weights;
  std::vector<RaisedOutput> outputs;
  bool hasCache = false; ///< Role step: keys and values of earlier positions are state.
  std::string idsInput, maskInput;
  std::vector<std::string> remarks; ///< What the user should know of a model that was understood.
  std::map<std::string, std::string> presents; ///< Past input to the output that continues it.
  int64_t context = 0; ///< Positions up to which the graph is what was understood, 0 without limit.
  std::string contextReason; ///< What ends the context, "" without limit.
  /// Lengths at which original and import are worth comparing, besides the sides of windows.
  std::vector<int64_t> checkLengths;
};

/// One thing that could not be imported.
struct Misunderstood {
  std::string domain, op;
  int64_t opset;
  std::string node, reason;
};

} // namespace llmc::onnx

#endif // LLMC_LIB_IMPORT_RAISEDGRAPH_H
