// Passes from the graph to a program for no machine yet, in the order they run. Emitters for processors: Cpu/Passes.td.
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
    and the unit that columns are shared out in come from the module's `llmc.compile`.

    (* example test/Lower/fuse-stages.mlir *)
  }];
  let dependentDialects = ["::llmc::LLMCDialect", "::llmc::exec::ExecDialect", "::mlir::linalg::LinalgDialect", "::mlir::scf::SCFDialect",
                           "::mlir::math::MathDialect"];
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

#endif // LLMC_LOWER_PASSES_TD
