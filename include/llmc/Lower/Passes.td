// Passes from the graph to one function per step, in the order they run.
#ifndef LLMC_LOWER_PASSES_TD
#define LLMC_LOWER_PASSES_TD

include "mlir/Pass/PassBase.td"

def FuseStages : Pass<"fuse-stages", "::mlir::ModuleOp"> {
  let summary = "Make an exec.program of the entry function: stages of kernels on buffers";
  let description = [{
    Joins an activation and its product into one, lets a linear add the residual it is added to, and puts what is left into stages; threads wait for
    each other between stages only, five times in a layer of a decoder. A kernel is one stage behind the latest of its operands, unless it needs
    only what its own thread has computed: a norm that only linears read is computed by every thread (a `private` buffer), and a chain of kernels
    by columns (linear, rotation, storing keys and values; gate, up and their product) is shared out by whole heads and tiles (`#exec.share`).
    Linears that read equally long rows are shared out as one matrix.

    What comes after the last attention of a step and feeds only the logits goes into `exec.tail`: it runs only for the rows whose logits are
    wanted.

    What has no kernel becomes an `exec.generic`: the linalg body that the operation has, or that follows from its being pointwise.

    Assumes every value of the function is a row of a token or of a sequence, or an id of it, which holds for all llmc operations. The rows of a call
    and the height of a tile come from the module's `llmc.compile`.

    (* example test/Lower/fuse-stages.mlir *)
  }];
  let dependentDialects = ["::llmc::LLMCDialect", "::llmc::exec::ExecDialect", "::mlir::linalg::LinalgDialect", "::mlir::scf::SCFDialect",
                           "::mlir::math::MathDialect"];
}

def PackWeights : Pass<"pack-weights", "::mlir::ModuleOp"> {
  let summary = "Lay out the weight file for the target's vectors";
  let description = [{
    Gives each `exec.weight` and `exec.rope_table` its place in the weight file: an offset and, from its form and the shape of the target's vectors,
    a size. The data itself is written later, tile by tile, straight into the file.

    (* example test/Lower/pack-weights.mlir *)
  }];
  let dependentDialects = ["::llmc::LLMCDialect", "::llmc::exec::ExecDialect"];
}

def PlanMemory : Pass<"plan-memory", "::mlir::ModuleOp"> {
  let summary = "Give every buffer an offset in the arena";
  let description = [{
    Buffers live from the stage that writes them to the last that reads them; within a stage nothing is reused, so threads need no
    barrier but the one between stages. First fit in the order of declarations, for the most rows that a call, or a block of the tail, may have.
    Private buffers lie in memory that each thread has to itself. What is observed, given back or read in every block of the tail stays.

    (* example test/Lower/plan-memory.mlir *)
  }];
  let dependentDialects = ["::llmc::LLMCDialect", "::llmc::exec::ExecDialect"];
}

def LowerBodies : Pass<"lower-bodies", "::mlir::ModuleOp"> {
  let summary = "Bodies of what has no kernel: from linalg on tensors to vectors on memory";
  let description = [{
    Bufferizes the body of each `exec.generic`, gives what it allocates a place in the scratch memory of a thread, and turns its linalg operations into loops
    over vectors of the target, with a shorter one for the rest of a row (where upstream's vectoriser cannot: over elements). exp, tanh and erf become
    arithmetic. What is left in a body that nobody lowers is refused by name.

    (* example test/Lower/lower-bodies.mlir *)
  }];
  let dependentDialects = ["::llmc::LLMCDialect", "::llmc::exec::ExecDialect", "::mlir::affine::AffineDialect",
                           "::mlir::bufferization::BufferizationDialect", "::mlir::linalg::LinalgDialect", "::mlir::math::MathDialect",
                           "::mlir::memref::MemRefDialect", "::mlir::scf::SCFDialect", "::mlir::vector::VectorDialect"];
}

def RollLayers : Pass<"roll-layers", "::mlir::ModuleOp"> {
  let summary = "Give layers that are alike one body, in a loop over their weights";
  let description = [{
    Stages that repeat with a period and differ in nothing but weights, buffers and caches become an `exec.repeat`: a body once, and for each turn what its
    arguments are. So code and the time to make it do not grow with depth. Layers that differ (another scheme, another window, a pattern of sparsity) have
    bodies of their own; where two kinds take turns, a body holds one of each. Buffers of different layers that lie in one place become one buffer.

    Results do not change, and nothing moves: expects weights and buffers with places, and leaves them there.

    (* example test/Lower/roll-layers.mlir *)
  }];
  let dependentDialects = ["::llmc::LLMCDialect", "::llmc::exec::ExecDialect"];
}

def LowerStep : Pass<"lower-step", "::mlir::ModuleOp"> {
  let summary = "Replace the program by one step function, its kernels and the C interface";
  let description = [{
    The way to processors. Emits the kernels (one for each signature: layers of the same shape share code), the step that calls them stage by
    stage with a barrier between stages and a loop for repeated ones, and the functions of the C interface under the module's symbol prefix. What is left
    is upstream dialects, what instruction sets have for products and tables (`llmc.dot_i8` and its like), and `exec.artifact` on the module. Expects
    weights and buffers with places.

    (* example test/Lower/lower-step.mlir *)
  }];
  let dependentDialects = ["::llmc::LLMCDialect", "::llmc::exec::ExecDialect", "::mlir::scf::SCFDialect",
                           "::mlir::memref::MemRefDialect", "::mlir::vector::VectorDialect",
                           "::mlir::math::MathDialect", "::mlir::LLVM::LLVMDialect"];
}

#endif // LLMC_LOWER_PASSES_TD
