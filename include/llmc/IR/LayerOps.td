// Layers as functions: what is the same in many layers of a model stands once, each layer is a call.
#ifndef LLMC_IR_LAYEROPS_TD
#define LLMC_IR_LAYEROPS_TD

include "llmc/IR/GraphOps.td"
include "mlir/Interfaces/CallInterfaces.td"
include "mlir/Interfaces/ControlFlowInterfaces.td"
include "mlir/Interfaces/FunctionInterfaces.td"

def FloatOrIdTensor : AnyTypeOf<[FloatTensor, IdTensor]>;
def LayerValue : AnyTypeOf<[FloatTensor, IdTensor, CompressedType]>;

def LayerOp : LLMC_Op<"layer", [IsolatedFromAbove, SymbolTable, FunctionOpInterface, HasParent<"::mlir::ModuleOp">,
    DeclareOpInterfaceMethods<OpAsmOpInterface, ["getAsmBlockArgumentNames"]>]> {
  let summary = "What layers that are alike compute, once";
  let description = [{
    A private function of the entry points, which `llmc.call` calls once for each layer with the values that go into the layer and its weights.
    What else a layer has of its own comes with the call: each `llmc.cache` in front of the body stands for one of the model's, and
    `#llmc.per_layer<N>` in an attribute of an operation for entry N of the call's list. `llmc.name` of an argument is what the names of
    the weights have in common.

    `--outline-layers` makes layers of a flat graph and `--inline-layers` the flat graph of them, as it was: to compress, calibrate or lower a layer is to do
    it to each call, so passes see the flat graph.

    * C1: it is private, and has a body.
    * C2: there is no `llmc.weight` in it, nor a call: names and data of weights belong to the entry points.

    Example:
    ```mlir
    llmc.layer private @layer.0(%x: tensor<?x?x8xf32>, %w: tensor<8x8xf32> {llmc.name = "up_proj.weight"}) -> tensor<?x?x8xf32> {
      llmc.cache @kv.0 : tensor<1x8xf32>
      %h = llmc.linear %x, %w {llmc.statistics = #llmc.per_layer<0>} : tensor<?x?x8xf32>, tensor<8x8xf32>
      %a = llmc.attention %h, %h, %h cache @kv.0 {heads = 1 : i64, kv_heads = 1 : i64, scale = 1.0 : f64, causal}
          : tensor<?x?x8xf32>, tensor<?x?x8xf32>, tensor<?x?x8xf32>
      llmc.return %a : tensor<?x?x8xf32>
    }
    ```
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, TypeAttrOf<FunctionType>:$function_type,
                       OptionalAttr<StrAttr>:$sym_visibility, OptionalAttr<DictArrayAttr>:$arg_attrs,
                       OptionalAttr<DictArrayAttr>:$res_attrs);
  let regions = (region AnyRegion:$body);
  let hasCustomAssemblyFormat = 1;
  let hasRegionVerifier = 1;
  let extraClassDeclaration = [{
    //===------------------------------------------------------------------===//
    // CallableOpInterface, FunctionOpInterface
    //===------------------------------------------------------------------===//
    ::mlir::Region *getCallableRegion() { return &getBody(); }
    ::llvm::ArrayRef<::mlir::Type> getArgumentTypes() { return getFunctionType().getInputs(); }
    ::llvm::ArrayRef<::mlir::Type> getResultTypes() { return getFunctionType().getResults(); }
  }];
}

def LayerReturnOp : LLMC_Op<"return", [Pure, Terminator, ReturnLike, HasParent<"LayerOp">]> {
  let summary = "What a layer gives to those behind it";
  let description = [{
    * C1: the types are those of the layer's results.

    Example:
    ```mlir
    llmc.return %a : tensor<?x?x8xf32>
    ```
  }];
  let arguments = (ins Variadic<FloatOrIdTensor>:$operands);
  let assemblyFormat = "($operands^ `:` type($operands))? attr-dict";
  let hasVerifier = 1;
}

def LayerCallOp : LLMC_Op<"call", [CallOpInterface, HasParent<"::mlir::func::FuncOp">,
    DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "One layer: a body with the weights of this layer";
  let description = [{
    Stands for the operations of the layer's body, with the operands in the place of its arguments, `caches` in that of its caches and `per_layer` in that
    of its `#llmc.per_layer<N>` (`none` where an operation has no such attribute in this layer). The location of the call has those of
    the operations, in the order of the locations that the layer has.

    The weights directly in front of the call go in front of the first operation that reads them when layers are inlined, or in front of the
    operation with the number that `places` says, so that the flat graph is what it was.

    * C1: the callee is a layer. C2: operands and results have its types.
    * C3: there are as many caches as the layer has, of the same types, in the module.
    * C4: `per_layer` has an entry for each number that the body names. C5: `places` are not negative.

    Example:
    ```mlir
    %y = llmc.call @layer.0(%x, %w) caches [@kv.7] {per_layer = [none]} : (tensor<?x?x8xf32>, tensor<8x8xf32>) -> tensor<?x?x8xf32>
    ```
  }];
  let arguments = (ins FlatSymbolRefAttr:$callee, Variadic<LayerValue>:$operands, OptionalAttr<FlatSymbolRefArrayAttr>:$caches,
                       OptionalAttr<ArrayAttr>:$per_layer, OptionalAttr<DenseI64ArrayAttr>:$places,
                       OptionalAttr<DictArrayAttr>:$arg_attrs, OptionalAttr<DictArrayAttr>:$res_attrs);
  let results = (outs Variadic<FloatOrIdTensor>:$results);
  let assemblyFormat = [{
    $callee `(` $operands `)` (`caches` $caches^)? attr-dict `:` functional-type($operands, $results)
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    //===------------------------------------------------------------------===//
    // CallOpInterface
    //===------------------------------------------------------------------===//
    operand_range getArgOperands() { return getOperands(); }
    ::mlir::MutableOperandRange getArgOperandsMutable() { return getOperandsMutable(); }
    ::mlir::CallInterfaceCallable getCallableForCallee() { return ::mlir::SymbolRefAttr(getCalleeAttr()); }
    void setCalleeFromCallable(::mlir::CallInterfaceCallable callee) {
      setCalleeAttr(::llvm::cast<::mlir::FlatSymbolRefAttr>(::llvm::cast<::mlir::SymbolRefAttr>(callee)));
    }
  }];
}

#endif // LLMC_IR_LAYEROPS_TD
