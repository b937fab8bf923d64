// The types of compressed weights and of quantized rows.
#ifndef LLMC_IR_TYPES_TD
#define LLMC_IR_TYPES_TD

include "llmc/IR/LLMCDialect.td"
include "mlir/IR/AttrTypeBase.td"

def CompressedType : TypeDef<LLMC_Dialect, "Compressed"> {
  let mnemonic = "compressed";
  let summary = "a weight matrix and the scheme it is stored with";
  let description = [{
    A matrix of `rows` outputs by `columns` inputs whose elements mean `elementType` and whose storage `scheme` decides.
    Sparsity is part of the type, so a pass that would break a mask cannot build its result.

    Example:
    ```mlir
    !llmc.compressed<64x64xf32, #llmc.nm<2:4, #llmc.int<4, group = 32, symmetric, scale = f16>>>
    ```
  }];
  let parameters = (ins ArrayRefParameter<"int64_t">:$shape, "::mlir::Type":$elementType, "::mlir::Attribute":$scheme);
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
  let extraClassDeclaration = [{
    int64_t getRows() const { return getShape()[0]; }
    int64_t getColumns() const { return getShape()[1]; }
    ::llmc::SchemeAttrInterface getSchemeInterface() const;
    /// The dense tensor this type means.
    ::mlir::RankedTensorType getDenseType() const {
      return ::mlir::RankedTensorType::get(getShape(), getElementType());
    }
  }];
}

def QuantizedType : TypeDef<LLMC_Dialect, "Quantized"> {
  let mnemonic = "quantized";
  let summary = "rows of activations as codes and scales";
  let description = [{
    A tensor of `shape` whose elements mean `elementType` and are held as codes of bytes times scales: `quantization` says how many
    elements share a scale and where it comes from. The last dimension, a row, is static.

    Example:
    ```mlir
    !llmc.quantized<?x?x64xf32, #llmc.dynamic<i8, per_token>>
    !llmc.quantized<?x?x64xf32, #llmc.static<i8>>
    ```
  }];
  let parameters = (ins ArrayRefParameter<"int64_t">:$shape, "::mlir::Type":$elementType, "::mlir::Attribute":$quantization);
  let builders = [TypeBuilderWithInferredContext<(ins "::mlir::RankedTensorType":$rows, "::mlir::Attribute":$quantization), [{
    return $_get(rows.getContext(), rows.getShape(), rows.getElementType(), quantization);
  }]>];
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
  let extraClassDeclaration = [{
    /// The tensor that was quantized.
    ::mlir::RankedTensorType getDenseType() const {
      return ::mlir::RankedTensorType::get(getShape(), getElementType());
    }
    /// Elements of a row.
    int64_t getWidth() const { return getShape().back(); }
    /// Consecutive elements that share a scale; 0: the whole row.
    int64_t getGroup() const;
    /// Whether the scale is given, the same for all rows.
    bool isStatic() const;
  }];
}

#endif // LLMC_IR_TYPES_TD
