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

    A scheme with a code, or a value, for each weight or each few consecutive inputs answers with a plan (DecodePlan.h), from
    which the rest follows; a kernel serves all plans that it can follow. A scheme without a plan says itself what its
    data is and means. What has no kernel is decoded when weights are packed.

    Passes act on what is stored by the plan. Pruning keeps codes and scales and puts a mask in front, which needs a code for
    each weight; else what is left is stored as floats. A selection of rows is `decodeRows` of them. Scaling of rows or columns
    changes what is stored only where that is exact for every scheme: floats; a site of others is left alone, with a remark.
  }];
  let methods = [
    InterfaceMethod<[{
      How codes become weights; none if blocks have mixed fields, or codes add up.
    }], "::std::optional<::llmc::DecodePlan>", "decodePlan">,
    InterfaceMethod<[{
      The stored components of a `rows` x `columns` weight, in a fixed order. A dynamic dimension (`kDynamic`) marks a
      length that depends on the data (the kept weights of `mask`).
    }], "::llvm::SmallVector<::llmc::SchemeComponent>", "components", (ins "int64_t":$rows, "int64_t":$columns), "", [{
      return ::llmc::planComponents(*$_attr.decodePlan(), $_attr.getContext(), rows, columns);
    }]>,
    InterfaceMethod<[{
      Stored bits per weight of the dense matrix, scales, zero points and masks included. `density` is the share of
      kept weights where the data decides it.
    }], "double", "bitsPerWeight", (ins "int64_t":$rows, "int64_t":$columns, "double":$density), "", [{
      return ::llmc::planBits(*$_attr.decodePlan(), rows, columns, density);
    }]>,
    InterfaceMethod<[{
      Checks the stored data: ranges of codes, masks, no NaN or infinity in scales. `components` is in the order of
      `components()`.
    }], "::llvm::LogicalResult", "verifyData", (ins "int64_t":$rows, "int64_t":$columns,
        "::llvm::ArrayRef<::llvm::ArrayRef<char>>":$components,
        "::llvm::function_ref<::mlir::InFlightDiagnostic()>":$emitError), "", [{
      return ::llmc::verifyPlanData(*$_attr.decodePlan(), rows, columns, components, emitError);
    }]>,
    InterfaceMethod<[{
      What the stored data means: rows of the dense matrix from `first` on, as many as `out` has room for.
    }], "void", "decodeRows", (ins "int64_t":$rows, "int64_t":$columns,
        "::llvm::ArrayRef<::llvm::ArrayRef<char>>":$components, "int64_t":$first,
        "::llvm::MutableArrayRef<float>":$out), "", [{
      ::llmc::decodePlanRows(*$_attr.decodePlan(), rows, columns, components, first, out);
    }]>,
    InterfaceMethod<[{
      The scheme of the kept weights behind a mask; the scheme itself if it has none.
    }], "::mlir::Attribute", "keptScheme", (ins), "", [{ return $_attr; }]>,
    InterfaceMethod<[{
      Rounds the weights for which `keep` is not 0 (all, if it is empty) to this scheme, which has a plan and no mask.
    }], "::llmc::Result<::llmc::PlainCodes>", "encode", (ins "::llmc::Span<const float>":$weight, "int64_t":$rows,
        "int64_t":$columns, "::llmc::Span<const uint8_t>":$keep), "", [{
      return ::llmc::Failure{"no rounding to this scheme is known"};
    }]>,
  ];
}

#endif // LLMC_IR_SCHEMEINTERFACE_TD
