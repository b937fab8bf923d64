//===- BlockPlan.h - a model as blocks that run one after another -------------------------===//
//
// Calibration and compression go block by block, so that memory is that of one block, whatever the
// depth. A block ends where only one value goes over to what follows: the hidden states.
//
//===----------------------------------------------------------------------------------------===//
#ifndef LLMC_CALIBRATE_BLOCKPLAN_H
#define LLMC_CALIBRATE_BLOCKPLAN_H

#include "llmc/IR/LLMCDialect.h"

#include <vector>

namespace llmc {

/// Operations of the entry function that belong together: a layer, what comes in front of the
/// first, or what comes behind the last.
struct ModelBlock {
  std::vector<Operation *> ops; ///< In order, without weights.
  Value input;                  ///< Rows [batch, sequence, width] from the block before; null: the
                                ///< arguments of the function.
  Value output;                 ///< Rows for the next block; null for the last.
};

/// Cuts a function with a role (step or run) into blocks with one attention each. A graph whose
/// layers share more than one value is one block.
std::vector<ModelBlock> planBlocks(func::FuncOp entry);

/// The function as one block.
std::vector<ModelBlock> wholeModel(func::FuncOp entry);

/// A value of a block that whoever runs it wants to see.
struct ObservedValue {
  std::string name;
  Value value;
};

/// A module with one function, of the same role, that computes the block alone: from rows called
/// `rows` where the block has an input, and from those arguments that it reads. It returns the
/// output of the block or, where that is null, the last of `observed`. What neither needs is left
/// out; weights share their data with the model.
OwningOpRef<ModuleOp> extractBlock(func::FuncOp entry, const ModelBlock &block,
                                   ArrayRef<ObservedValue> observed);

} // namespace llmc

#endif // LLMC_CALIBRATE_BLOCKPLAN_H
