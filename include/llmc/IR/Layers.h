//===- Layers.h - a layer is a function ---------------------------------------------------===//
//
// A module has layers that are alike as one llmc.layer and calls, or it is flat. Both mean the
// same, and each becomes the other exactly. Who looks at the graph looks at the flat one.
//
//===----------------------------------------------------------------------------------------===//
#ifndef LLMC_IR_LAYERS_H
#define LLMC_IR_LAYERS_H

#include "llmc/IR/LLMCDialect.h"

namespace llmc {

/// Makes a function of each kind of layer in a flat module, and calls of the layers: where that
/// makes the module shorter, or `always` where there are layers. False if the module stays flat.
bool outlineLayers(ModuleOp module, bool always = false);

/// Puts the body of each layer in the place of its calls, and drops the layers. The module verifies
/// or is a failed pass's. True if there were any.
bool inlineLayers(ModuleOp module);

/// The module is flat as long as this lives, and has layers again afterwards if it had before:
/// those that have become different have a body each, those that have become alike share one.
class FlatLayers {
public:
  explicit FlatLayers(ModuleOp module) : module(module), hadLayers(inlineLayers(module)) {}
  ~FlatLayers() {
    if (hadLayers)
      outlineLayers(module, /*always=*/true);
  }
  FlatLayers(const FlatLayers &) = delete;
  FlatLayers &operator=(const FlatLayers &) = delete;

private:
  ModuleOp module;
  bool hadLayers;
};

/// How a value with the name of a weight is printed: q_proj.weight is %q_proj_weight.
std::string valueNameOf(StringRef weight);

/// Entries that the calls of a layer must have in per_layer.
int64_t countPerLayer(LayerOp layer);

/// What stands for an attribute that an operation does not have in one of its layers: `none`.
Attribute absentInLayer(MLIRContext *context);

/// Before which operation of the layer each of `weights`, in front of a call with `operands`,
/// stands where nothing else is said: the first that reads it, or else the first of all. `reads`
/// are the numbers of the operations that read each operand first.
SmallVector<int64_t> defaultPlaces(ArrayRef<WeightOp> weights, Operation *call,
                                   ArrayRef<int64_t> reads);

/// The weights directly in front of an operation, in their order.
SmallVector<WeightOp> weightsInFrontOf(Operation *op);

} // namespace llmc

#endif // LLMC_IR_LAYERS_H
