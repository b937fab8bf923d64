// The llmc dialect: the graph of a transformer and its compressed weights.
#ifndef LLMC_IR_DIALECT_TD
#define LLMC_IR_DIALECT_TD

include "mlir/IR/OpBase.td"

def LLMC_Dialect : Dialect {
  let name = "llmc";
  let cppNamespace = "::llmc";
  let summary = "Transformers whose weights are values with a compression scheme";
  let description = [{
    A model is a module of `func.func` entry points over dynamic batch and sequence. Weights are SSA values made by
    `llmc.weight`, so that a tied matrix is one value with two uses; their type says how they are stored
    (`tensor<...>` or `!llmc.compressed<..., #scheme>`). Layers that are alike are one `llmc.layer`, called with the weights of
    each; the flat graph without calls means the same. The key/value cache is state named by `llmc.cache`. Nothing in
    the dialect names a target.

    Attributes the dialect puts on other operations:

    * `llmc.role` on functions: `"step"` (with cache), `"run"` (without) or `"encode"`;
    * `llmc.name` and `llmc.dims` on arguments and results: the ONNX name, and the names of the dimensions; of a layer, what the
      names of its weights have in common;
    * `llmc.context` on the module: the number of positions up to which the model is what it says (its tables end there, or
      its rotation changes), a hard bound of `llmc-compile --context`; `llmc.context_reason` says why;
    * `llmc.stop_ids` on the module (`array<i64: 2, 3>`): the ids that end a text, which `llmc-run` and `Model.generate` stop at;
    * `llmc.statistics` on `llmc.linear`: what calibration saw at the input;
    * `llmc.provenance` on the module: what each compression pass did to each layer;
    * `llmc.any_machine` on functions of the C interface: compiled for every processor of the architecture, as they run
      before it is known what the machine has. Without a body: the check of the processor, which the target writes.
  }];
  let useDefaultAttributePrinterParser = 1;
  let useDefaultTypePrinterParser = 1;
  let hasOperationAttrVerify = 1;
  let extraClassDeclaration = [{
    void registerAttributes();
    void registerTypes();
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::tensor::TensorDialect",
                           "::mlir::func::FuncDialect"];
}

#endif // LLMC_IR_DIALECT_TD
