// The type of a compressed weight.
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

#endif // LLMC_IR_TYPES_TD
