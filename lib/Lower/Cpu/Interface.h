//===- Interface.h - the C interface around the step ------------------------------------===//
//
// Private to Lower/Cpu: what LowerStep hands to the writer of the C interface.
//
#ifndef LLMC_LIB_LOWER_CPU_INTERFACE_H
#define LLMC_LIB_LOWER_CPU_INTERFACE_H

#include "llmc/Lower/CompileConfig.h"

namespace llmc {

/// One input of a plain graph, as P_run must check and convert it.
struct InterfaceInput {
  int64_t buffer = 0;      ///< Offset of its rows in the arena, of i32 or f32.
  int64_t limit = 0;       ///< Ids must be in [0, limit); 0: a mask, any value but 0 is 1.
  bool inSequence = false; ///< Ids are positions of the sequence, whose length is a limit too.
  int64_t width = 0;       ///< Rows of so many floats; 0: ids or a mask.
  int64_t stride = 0;      ///< Floats from one row in the arena to the next.
};

/// One f32 output of a plain graph.
struct InterfaceOutput {
  int64_t buffer = 0, width = 0, stride = 0;
  bool perSequence = false; ///< One row for each sequence.
  int64_t rank = 3;         ///< 2: without the sequence, which is 1.
};

/// Everything the C interface needs to know of the step.
struct InterfaceFacts {
  std::string prefix;
  bool isStep = true;
  bool embedWeights = false; ///< P_init takes NULL for the weights in the object.
  int64_t context = 0, chunk = 0, maxTokens = 0;
  int64_t vocabulary = 0;
  int64_t idsBuffer = 0;     ///< Step: offset of the ids in the arena.
  int64_t arenaBytes = 0;    ///< Without scratch.
  int64_t scratchBytes = 0;  ///< For each thread.
  int64_t kvBlockBytes = 0;  ///< 16 positions of all caches.
  int64_t sequenceLimit = 0; ///< Run: longest sequence the model allows.
  int64_t fixedRows = 0,
          fixedSequence = 0; ///< Run without inputs (tests): rows of the weights it starts from.
  SmallVector<InterfaceInput> inputs;
  SmallVector<InterfaceOutput> outputs;
  SmallVector<int64_t> flags; ///< Offsets of the i32 results of checks.
};

/// Fills in what the program says of inputs, outputs and checks. Errors name an input that is
/// neither ids nor a mask.
LogicalResult collectInterface(exec::ProgramOp program, const CompileConfig &config,
                               InterfaceFacts &facts);

/// What is left on the module for who runs the code.
exec::ArtifactAttr describeArtifact(exec::ProgramOp program, const InterfaceFacts &facts);

/// Adds the worker, the barrier and the public functions to the module, which has @<prefix>_step
/// already.
LogicalResult emitInterface(ModuleOp module, const InterfaceFacts &facts);

} // namespace llmc

#endif // LLMC_LIB_LOWER_CPU_INTERFACE_H
