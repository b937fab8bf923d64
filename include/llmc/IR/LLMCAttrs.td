// Enumerations and attributes that are no schemes; includes Schemes.td so that one generated file holds them all.
#ifndef LLMC_IR_ATTRS_TD
#define LLMC_IR_ATTRS_TD

include "llmc/IR/LLMCDialect.td"
include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/EnumAttr.td"
include "llmc/IR/Schemes.td"

def ActivationKind : I32EnumAttr<"ActivationKind", "pointwise nonlinearity", [
    I32EnumAttrCase<"Relu", 0, "relu">, I32EnumAttrCase<"Gelu", 1, "gelu">,
    I32EnumAttrCase<"GeluTanh", 2, "gelu_tanh">, I32EnumAttrCase<"Silu", 3, "silu">,
    I32EnumAttrCase<"QuickGelu", 4, "quick_gelu">, I32EnumAttrCase<"Sigmoid", 5, "sigmoid">,
    I32EnumAttrCase<"Tanh", 6, "tanh">, I32EnumAttrCase<"Relu2", 7, "relu2">]> {
  let cppNamespace = "::llmc";
  let genSpecializedAttr = 0;
}
def ActivationKindAttr : EnumAttr<LLMC_Dialect, ActivationKind, "activation_kind"> {
  let assemblyFormat = "`<` $value `>`";
}

def RopeLayout : I32EnumAttr<"RopeLayout", "which elements of a head rotate together", [
    I32EnumAttrCase<"Half", 0, "half">, I32EnumAttrCase<"Interleaved", 1, "interleaved">]> {
  let cppNamespace = "::llmc";
  let genSpecializedAttr = 0;
}
def RopeLayoutAttr : EnumAttr<LLMC_Dialect, RopeLayout, "rope_layout"> {
  let assemblyFormat = "`<` $value `>`";
}

def CachePart : I32EnumAttr<"CachePart", "half of a cache", [
    I32EnumAttrCase<"Keys", 0, "keys">, I32EnumAttrCase<"Values", 1, "values">]> {
  let cppNamespace = "::llmc";
  let genSpecializedAttr = 0;
}
def CachePartAttr : EnumAttr<LLMC_Dialect, CachePart, "cache_part"> {
  let assemblyFormat = "`<` $value `>`";
}

def ReduceKind : I32EnumAttr<"ReduceKind", "what many elements become", [
    I32EnumAttrCase<"Sum", 0, "sum">, I32EnumAttrCase<"Mean", 1, "mean">, I32EnumAttrCase<"Max", 2, "max">,
    I32EnumAttrCase<"Min", 3, "min">, I32EnumAttrCase<"Product", 4, "product">]> {
  let cppNamespace = "::llmc";
  let genSpecializedAttr = 0;
}
def ReduceKindAttr : EnumAttr<LLMC_Dialect, ReduceKind, "reduce_kind"> {
  let assemblyFormat = "`<` $value `>`";
}

class LLMC_Attr<string name, string mnemonic_> : AttrDef<LLMC_Dialect, name> {
  let mnemonic = mnemonic_;
}

def DynamicQuantAttr : LLMC_Attr<"DynamicQuant", "dynamic"> {
  let summary = "activations quantized while running";
  let description = [{
    Rows are quantized symmetrically, with scale absmax / 127 and codes x / scale rounded half to even: one scale for each token
    (`per_token`) or one for each block of consecutive channels (`per_group<block>`; a short last block is legal). A block of
    zeros has scale 0 and codes 0.

    Example:
    ```mlir
    #llmc.dynamic<i8, per_token>
    #llmc.dynamic<i8, per_group<32>>
    ```
  }];
  let parameters = (ins "::mlir::Type":$elementType, "int64_t":$group);
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
}

def PerLayerAttr : LLMC_Attr<"PerLayer", "per_layer"> {
  let summary = "an attribute that each layer has of its own";
  let description = [{
    Within `llmc.layer`, as a discardable attribute of an operation: entry `number` of the list `per_layer` of each call.

    Example:
    ```mlir
    #llmc.per_layer<0>
    ```
  }];
  let parameters = (ins "int64_t":$number);
  let assemblyFormat = "`<` $number `>`";
  let genVerifyDecl = 1;
}

def StaticQuantAttr : LLMC_Attr<"StaticQuant", "static"> {
  let summary = "activations quantized with a scale that is known before";
  let description = [{
    One scale for all rows, an operand of `llmc.quantize`: codes are x / scale rounded half to even, and what is outside -127 to 127
    becomes the nearer of these.

    Example:
    ```mlir
    #llmc.static<i8>
    ```
  }];
  let parameters = (ins "::mlir::Type":$elementType);
  let assemblyFormat = "`<` $elementType `>`";
  let genVerifyDecl = 1;
}

#endif // LLMC_IR_ATTRS_TD
