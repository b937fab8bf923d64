// Passes from a program to one function per step for a processor with vectors and threads, in the order they run.
#ifndef LLMC_LOWER_CPU_PASSES_TD
#define LLMC_LOWER_CPU_PASSES_TD

include "mlir/Pass/PassBase.td"

def PackWeights : Pass<"pack-weights", "::mlir::ModuleOp"> {
  let summary = "Lay out the weight file for the target's vectors";
  let description = [{
    Gives each `exec.weight` and `exec.rope_table` its place in the weight file: an offset and, from its form and the shape of the target's vectors,
    a size. The data itself is written later, tile by tile, straight into the file.

    (* example test/Lower/pack-weights.mlir *)
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

#endif // LLMC_LOWER_CPU_PASSES_TD
