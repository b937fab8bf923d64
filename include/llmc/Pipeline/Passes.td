// The pass that begins a compilation.
#ifndef LLMC_PIPELINE_PASSES_TD
#define LLMC_PIPELINE_PASSES_TD

include "mlir/Pass/PassBase.td"

def ConfigureLowering : Pass<"configure-lowering", "::mlir::ModuleOp"> {
  let summary = "Write down what the lowering passes are told";
  let description = [{
    Resolves the target, and puts what lowering may know of it onto the module as `llmc.compile`: `prefix`, `lanes` and `registers` of vectors, whether
    f16 is converted by an instruction (`half`), what multiplies bytes (`dot`), whether there are tile registers (`tiles`), the processor whose
    numbers choose blocks (`cpu`), and `context`, `chunk`, `max_tokens` and `embed_weights`. A context beyond what the model's tables allow is
    refused. The passes that read `llmc.compile` refuse a key or a value that they do not know; what it leaves out has a default.

    (* example test/Pipeline/configure-lowering.mlir *)
  }];
  let options = [
    Option<"target", "target", "std::string", /*default=*/"\"\"", "target triple; empty: this machine's">,
    Option<"cpu", "cpu", "std::string", /*default=*/"\"\"",
           "CPU as LLVM names it, or native; empty: what every machine of the triple has">,
    Option<"features", "features", "std::string", /*default=*/"\"\"", "features added or removed: +avx512vnni,-amx-int8">,
    Option<"prefix", "prefix", "std::string", /*default=*/"\"model\"", "prefix of every symbol, a C identifier">,
    Option<"context", "context", "int64_t", /*default=*/"0",
           "positions of a sequence; 0: what the model's tables cover, else 2048">,
    Option<"chunk", "chunk", "int64_t", /*default=*/"512", "rows of one pass of prefill">,
    Option<"maxTokens", "max-tokens", "int64_t", /*default=*/"0",
           "models without cache: batch x length the arena is planned for; 0: the context">,
    Option<"embedWeights", "embed-weights", "bool", /*default=*/"false", "weights are in the object">];
}

#endif // LLMC_PIPELINE_PASSES_TD
