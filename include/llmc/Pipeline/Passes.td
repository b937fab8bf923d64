// The pass that begins a compilation.
#ifndef LLMC_PIPELINE_PASSES_TD
#define LLMC_PIPELINE_PASSES_TD

include "mlir/Pass/PassBase.td"

def ConfigureLowering : Pass<"configure-lowering", "::mlir::ModuleOp"> {
  let summary = "Write down what the lowering passes are told";
  let description = [{
    Resolves the target, and puts what lowering may know onto the module. All of it: `llmc.compile` with `prefix`, `context`, `chunk`, `max_tokens`,
    `embed_weights`, and how many columns of a linear are computed together (`unit`). The emitters for processors: `llmc.cpu` with `lanes` and
    `registers` of vectors, whether f16 is converted by an instruction (`half`), what multiplies bytes (`dot`), whether there are tile registers
    (`tiles`), and the processor whose numbers choose blocks (`model`). A context beyond what the model's tables allow is refused. The passes that
    read the two refuse a key or a value that they do not know; what is left out has a default.

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

def AttachStatistics : Pass<"attach-statistics", "::mlir::ModuleOp"> {
  let summary = "Bring in the statistics that lie beside the model";
  let description = [{
    Maps the file that `llmc.statistics_file` of the module names, in `folder`, and gives every `llmc.statistics` its data back. llmc-opt runs it in
    front of all passes. With `required=false`, what is not there stays away; a pass that wants to read it says so.

    The file is safetensors (https://huggingface.co/docs/safetensors), so other programs can read it: `K.input.hessian`, `K.input.mean` ... where K is the
    name of the first weight that reads the input. Its metadata hold the hash of the data, which must be that of the module.

    (* example test/Pipeline/detach-statistics.mlir *)
  }];
  let options = [
    Option<"folder", "folder", "std::string", /*default=*/"\".\"", "where the model lies">,
    Option<"required", "required", "bool", /*default=*/"true", "fail where the file is missing or another one">];
}

def DetachStatistics : Pass<"detach-statistics", "::mlir::ModuleOp"> {
  let summary = "Put the statistics into a file beside the model";
  let description = [{
    Writes the data of every `llmc.statistics` to `file`, leaves their names in the attributes, and notes the file's name and hash in the module as
    `llmc.statistics_file`, so that a model file holds weights and provenance only. llmc-opt runs it behind all passes where the output is a file of
    bytecode; text has all in one. A file with these very statistics that the module knows in the same folder is not written again.

    (* example test/Pipeline/detach-statistics.mlir *)
  }];
  let options = [Option<"file", "file", "std::string", /*default=*/"\"\"", "the file; required">];
}

#endif // LLMC_PIPELINE_PASSES_TD
