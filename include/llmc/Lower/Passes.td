// Passes from the graph to one function per step, in the order they run.
#ifndef LLMC_LOWER_PASSES_TD
#define LLMC_LOWER_PASSES_TD

include "mlir/Pass/PassBase.td"

def FuseStages : Pass<"fuse-stages", "::mlir::ModuleOp"> {
  let summary = "Order the graph into stages between which threads wait for each other";
  let description = [{
    Joins an activation and its product into `llmc.gated_activation`, lets a linear add the residual it is added to, and
    numbers the operations of each entry function; threads wait for each other between stages only, five times in a layer
    of a decoder. An operation is one stage behind the latest of its operands, unless it needs only what its own thread has
    computed: a norm that only linears read is computed by every thread (`llmc.private`), and a chain of operations by columns
    (linear, rotation, storing keys and values; gate, up and their product) is shared out by whole heads and tiles. `llmc.share`
    = [unit, total, first, width, column] says how: thread t of n has the columns of a chain of `width` from
    total * t / n - first on, rounded up to units; the operation's own start at `column` of these. Linears that read equally
    long rows are shared out as one matrix of `total` columns.

    What comes after the last attention of a step and feeds only the logits is marked `llmc.tail`: it runs only for the rows
    whose logits are wanted.

    Assumes every value of the function is a row of a token or an id of it, which holds for all llmc operations.

    (* example test/Lower/fuse-stages.mlir *)
  }];
  let dependentDialects = ["::llmc::LLMCDialect"];
}

def PackWeights : Pass<"pack-weights", "::mlir::ModuleOp"> {
  let summary = "Lay out the weight file for the target's vectors";
  let description = [{
    Decides the form in which each weight is stored (packed for a linear, rows of an embedding, plain vectors) and where,
    and where the tables of rotations lie: attribute `llmc.packed` = {form = [offset, bytes]}. A tied matrix is stored once,
    as the linear wants it. The data itself is written later, tile by tile, straight into the file. Vector shape
    and context come from the module's `llmc.compile`.

    (* example test/Lower/pack-weights.mlir *)
  }];
  let dependentDialects = ["::llmc::LLMCDialect"];
}

def PlanMemory : Pass<"plan-memory", "::mlir::ModuleOp"> {
  let summary = "Give every value an offset in the arena";
  let description = [{
    Values live from their stage to the last stage that reads them; within a stage nothing is reused, so threads need no
    barrier but the one between stages. First fit in program order, for the most rows a call may have (`chunk` of a step,
    `max_tokens` of a run; 64 for the tail). Attributes: `llmc.buffer` = [offset of each result], `llmc.arena_bytes`. Private
    values lie in memory that each thread has to itself (`llmc.private_bytes`).

    (* example test/Lower/plan-memory.mlir *)
  }];
  let dependentDialects = ["::llmc::LLMCDialect"];
}

def LowerStep : Pass<"lower-step", "::mlir::ModuleOp"> {
  let summary = "Replace the graph by one step function, its kernels and the C interface";
  let description = [{
    Emits the kernels (one for each signature: layers of the same shape share code), the step that calls them stage by
    stage with a barrier between stages, and the functions of the C interface under the module's symbol prefix. What is left
    is upstream dialects only.

    (* example test/Lower/lower-step.mlir *)
  }];
  let dependentDialects = ["::llmc::LLMCDialect", "::mlir::scf::SCFDialect", "::mlir::memref::MemRefDialect",
                           "::mlir::vector::VectorDialect", "::mlir::math::MathDialect",
                           "::mlir::LLVM::LLVMDialect"];
}

#endif // LLMC_LOWER_PASSES_TD
