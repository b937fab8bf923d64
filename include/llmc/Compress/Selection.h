//===- Selection.h - which weights a pass compresses --------------------------------------===//
//
// Weights are grouped by name over all entry points of a module, so that a weight used by several
// linears is compressed once. The default leaves alone what is known to be fragile: the head that
// makes the logits (also when it is tied to the embedding), and embeddings.
//
//===----------------------------------------------------------------------------------------===//
#ifndef LLMC_COMPRESS_SELECTION_H
#define LLMC_COMPRESS_SELECTION_H

#include "llmc/IR/LLMCDialect.h"

namespace llmc {

/// Module attribute: names of the weights that passes select from for now, others stay as they are.
constexpr llvm::StringLiteral kSelectedAttr = "llmc.selected";

/// A weight matrix and everything that reads it.
struct WeightUse {
  std::string name;
  SmallVector<WeightOp> ops; ///< one for each function that has it; all alike
  SmallVector<LinearOp> linears;
  SmallVector<EmbeddingOp> embeddings;
  bool isHead = false;   ///< a linear whose result, but for elementwise steps, is only returned
  bool isOpaque = false; ///< also read by something else, so its storage cannot change

  WeightOp op() const { return ops.front(); }
};

/// All weight matrices in order of appearance. Fails when two weights of one name differ.
FailureOr<std::vector<WeightUse>> collectWeights(ModuleOp module);

/// Those that `pass` compresses: without `include` all linears but heads and embeddings, said in a
/// remark, otherwise those whose name contains a match of `include`; then without those that match
/// `exclude` (POSIX extended regular expressions; empty: none). Fails on a malformed expression and
/// on an `include` without a match. kSelectedAttr leaves out all but its names, silently.
FailureOr<std::vector<WeightUse>> selectWeights(ModuleOp module, StringRef pass, StringRef include,
                                                StringRef exclude);

} // namespace llmc

#endif // LLMC_COMPRESS_SELECTION_H
