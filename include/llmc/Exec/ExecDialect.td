// The exec dialect: what lowering builds of a graph, before any target.
#ifndef LLMC_EXEC_DIALECT_TD
#define LLMC_EXEC_DIALECT_TD

include "mlir/IR/OpBase.td"

def Exec_Dialect : Dialect {
  let name = "exec";
  let cppNamespace = "::llmc::exec";
  let summary = "Stages of kernels on buffers: a model as it runs, on no target yet";
  let description = [{
    `--fuse-stages` makes an `exec.program` of an entry function. It declares weights and buffers, then lists stages: kernels in
    destination style on buffers of rows. All workers run every stage; they wait for each other between stages and nowhere else. What a
    worker may compute without waiting is part of the program, and verified: columns that belong to one worker all through a stage
    (`#exec.share`), or memory that each worker has to itself (space `private`).

    `--pack-weights` gives weights their place in the weight file, `--plan-memory` gives buffers theirs in the arena. Threads, vectors,
    scratch memory and barriers begin behind that: `--lower-step` is the way to processors.

    Attributes the dialect puts on other operations:

    * `exec.artifact` on the module, an `#exec.artifact`: what `--lower-step` leaves for who runs the code.
  }];
  let useDefaultAttributePrinterParser = 1;
  let useDefaultTypePrinterParser = 1;
  let hasOperationAttrVerify = 1;
  let extraClassDeclaration = [{
    void registerAttributes();
    void registerTypes();
  }];
  let dependentDialects = ["::llmc::LLMCDialect"];
}

#endif // LLMC_EXEC_DIALECT_TD
