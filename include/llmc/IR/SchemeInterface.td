// What every compression scheme must be able to answer.
#ifndef LLMC_IR_SCHEMEINTERFACE_TD
#define LLMC_IR_SCHEMEINTERFACE_TD

include "mlir/IR/OpBase.td"

def SchemeAttrInterface : AttrInterface<"SchemeAttrInterface"> {
  let cppNamespace = "::llmc";
  let description = [{
    A compression scheme: which components a weight of a given shape is stored as, what they cost, when they are valid
    and what they mean. Weights are matrices of `rows` outputs by `columns` inputs. Schemes nest: `nm` and `mask` store
    the kept weights with their inner scheme.
  }];
  let methods = [
    InterfaceMethod<[{
      The stored components of a `rows` x `columns` weight, in a fixed order. A dynamic dimension (`kDynamic`) marks a
      length that depends on the data (the kept weights of `mask`).
    }], "::llvm::SmallVector<::llmc::SchemeComponent>", "components", (ins "int64_t":$rows, "int64_t":$columns)>,
    InterfaceMethod<[{
      Stored bits per weight of the dense matrix, scales, zero points and masks included. `density` is the share of
      kept weights where the data decides it.
    }], "double", "bitsPerWeight", (ins "int64_t":$rows, "int64_t":$columns, "double":$density)>,
    InterfaceMethod<[{
      Checks the stored data: ranges of codes, masks, no NaN or infinity in scales. `components` is in the order of
      `components()`.
    }], "::llvm::LogicalResult", "verifyData", (ins "int64_t":$rows, "int64_t":$columns,
        "::llvm::ArrayRef<::llvm::ArrayRef<char>>":$components,
        "::llvm::function_ref<::mlir::InFlightDiagnostic()>":$emitError)>,
    InterfaceMethod<[{
      The dense matrix, row-major: what the stored data means.
    }], "::std::vector<float>", "decompress", (ins "int64_t":$rows, "int64_t":$columns,
        "::llvm::ArrayRef<::llvm::ArrayRef<char>>":$components)>,
  ];
}

#endif // LLMC_IR_SCHEMEINTERFACE_TD
