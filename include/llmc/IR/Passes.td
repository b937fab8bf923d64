// Passes on the form of the graph, inverse to each other.
#ifndef LLMC_IR_PASSES_TD
#define LLMC_IR_PASSES_TD

include "mlir/Pass/PassBase.td"

def OutlineLayers : Pass<"outline-layers", "::mlir::ModuleOp"> {
  let summary = "Make layers that are alike one function, called with the weights of each";
  let description = [{
    Cuts each entry point where fewest values go over, takes what lies between one attention and the next for a layer (in a graph without, what is
    repeated most), and makes an `llmc.layer` of each kind: layers whose operations, attributes and types are the same. Weights stay in the entry point and are operands of the
    call, so their names and data are untouched; caches, locations, statistics and other discardable attributes are on the call. A layer that
    differs (a window, a pruned weight, another scheme) has a body of its own.

    Does nothing where that saves no operations. Layers that are there already are made anew. `--inline-layers` gives the flat graph back, to the last
    location; llmc-import runs this pass at its end, and passes that look into layers leave a model as it came: flat, or with the layers that it has now.

    (* example test/IR/outline-layers.mlir *)
  }];
  let dependentDialects = ["::llmc::LLMCDialect"];
}

def InlineLayers : Pass<"inline-layers", "::mlir::ModuleOp"> {
  let summary = "Put the body of each llmc.layer in the place of its calls";
  let description = [{
    Inverse of `--outline-layers`: the flat graph, with the names, caches, locations, statistics and places of weights that it had. Lowering begins with it.

    (* example test/IR/inline-layers.mlir *)
  }];
  let dependentDialects = ["::llmc::LLMCDialect"];
}

#endif // LLMC_IR_PASSES_TD
