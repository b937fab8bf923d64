//===- SchemeStorage.h - stored weights, read and checked -------------------------------===//
//
// What the schemes have in common: an inner scheme (dense, int, table, ternary) over the kept
// weights of a matrix.
//
#ifndef LLMC_LIB_IR_SCHEMESTORAGE_H
#define LLMC_LIB_IR_SCHEMESTORAGE_H

#include "llmc/IR/LLMCDialect.h"

namespace llmc {

using Bytes = ArrayRef<char>;
using EmitError = function_ref<InFlightDiagnostic()>;

/// How many weights of a row are kept, and where the weights of a row start in storage.
struct KeptLayout {
  int64_t rows = 0, columns = 0;
  int64_t perRow = 0;  ///< kept per row; kDynamic for `mask`.
  bool joined = false; ///< one stream for the whole matrix (`mask`), else one per row.
};

/// Every weight is kept.
inline KeptLayout denseLayout(int64_t rows, int64_t columns) {
  return {rows, columns, columns, false};
}

/// Weights that N:M keeps of a row.
int64_t keptPerRow(int64_t n, int64_t m, int64_t columns);

/// How many of the inputs [begin, end) of a row the mask keeps.
int64_t countMask(Bytes mask, int64_t columns, int64_t row, int64_t begin, int64_t end);

/// Components of an inner scheme, and of a mask in front of it.
SmallVector<SchemeComponent> innerComponents(Attribute inner, const KeptLayout &layout);
SmallVector<SchemeComponent> keptComponents(Attribute inner, const KeptLayout &layout);

/// Bits of the inner scheme for each weight of the dense matrix.
double innerBits(Attribute inner, int64_t rows, int64_t columns, double density);

/// Ranges and finiteness of an inner scheme's data holding `kept` weights in all.
LogicalResult verifyInner(Attribute inner, const KeptLayout &layout, ArrayRef<Bytes> data,
                          int64_t kept, EmitError emit);

/// The matrix that the data means; pruned weights are 0.
std::vector<float> decompressDense(Attribute scheme, int64_t rows, int64_t columns,
                                   ArrayRef<Bytes> data);
std::vector<float> decompressKept(Attribute inner, const KeptLayout &layout, Bytes mask,
                                  ArrayRef<Bytes> data);

} // namespace llmc

#endif // LLMC_LIB_IR_SCHEMESTORAGE_H
