//===- LayerPlan.h - what the layers of an entry point are, and which are alike -----------===//
//
// Between the graph and --outline-layers, which makes functions of what is planned here.
//
#ifndef LLMC_LIB_IR_LAYERPLAN_H
#define LLMC_LIB_IR_LAYERPLAN_H

#include "llmc/IR/Layers.h"

namespace llmc {

/// Operations of a function that follow each other, but for the weights between them.
struct PlannedLayer {
  /// An operand: of which operation, and which of its operands.
  using Read = std::pair<size_t, unsigned>;

  SmallVector<Operation *> ops;
  SmallVector<Read> inputs;   ///< where each value from elsewhere that is no weight is read first
  SmallVector<Read> weights;  ///< where each weight is
  SmallVector<Value> outputs; ///< of theirs, what is read elsewhere
  SmallVector<FlatSymbolRefAttr> caches;
  /// Equal for layers that differ only in what a call says. Looked up, never ordered by: it has
  /// addresses.
  std::vector<const void *> key;

  /// What a call is given: as it is now, since layers in front may have become calls.
  SmallVector<Value> operands() const {
    SmallVector<Value> all;
    for (const auto &reads : {inputs, weights})
      for (auto [number, operand] : reads)
        all.push_back(ops[number]->getOperand(operand));
    return all;
  }
  /// The operation that reads each of them first.
  SmallVector<int64_t> firstReads() const {
    SmallVector<int64_t> all;
    for (const auto &reads : {inputs, weights})
      for (auto [number, operand] : reads)
        all.push_back(static_cast<int64_t>(number));
    return all;
  }
};

/// The layers of all functions of a module, in order.
std::vector<PlannedLayer> planLayers(ModuleOp module);

/// The cache that an operation of the graph names, or null.
FlatSymbolRefAttr getNamedCache(Operation *op);

} // namespace llmc

#endif // LLMC_LIB_IR_LAYERPLAN_H
