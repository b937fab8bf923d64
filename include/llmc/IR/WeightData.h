//===- WeightData.h - reading and making the stored data of weights ----------------------===//
//
// Weights may be larger than memory: data is read in place where it lies in a mapped file, and new
// data lives in unlinked, mapped temporary files so that the kernel can page it out.
//
#ifndef LLMC_IR_WEIGHTDATA_H
#define LLMC_IR_WEIGHTDATA_H

#include "llmc/IR/LLMCDialect.h"

#include <memory>

namespace llmc {

/// Bytes of one component: a view into the module, or an own copy where the module holds a splat.
class ComponentData {
public:
  /// Row-major bytes of `elements`; empty for a resource whose blob is missing or has not the size
  /// its type asks for.
  explicit ComponentData(ElementsAttr elements);
  ComponentData(const ComponentData &) = default;
  ComponentData &operator=(const ComponentData &) = default;
  /// Gives the pages back where the bytes lie in a mapped file (MappedPages.h).
  ~ComponentData();
  ArrayRef<char> bytes() const { return view; }
  /// True if the bytes are exactly what type and shape ask for.
  bool valid() const { return isValid; }

private:
  ArrayRef<char> view;
  std::shared_ptr<std::vector<char>> owned;
  bool isValid = false;
};

/// The stored data of a weight, in the order of its components.
struct StoredData {
  SmallVector<ComponentData> components;
  SmallVector<ArrayRef<char>> bytes;
};

/// Fails, with an error that names weight and component, where there is no data.
FailureOr<StoredData> getStoredData(WeightOp weight);

/// The dense values of a weight, row-major, whatever it is stored as (f32, f16, bf16, f64 or a
/// scheme).
FailureOr<std::vector<float>> readWeight(WeightOp weight);

/// Fails, with an error that names weight and index, on the first value that is not finite.
LogicalResult verifyFiniteValues(WeightOp weight, ArrayRef<float> values);

/// Memory for `bytes` of new weight data, zero-filled, in an unlinked mapped temporary file; where
/// none can be made, in anonymous memory, with a warning.
AsmResourceBlob allocateBlob(MLIRContext *context, size_t bytes);

/// A dense_resource attribute over `blob`, named `key` (weight name plus component).
ElementsAttr makeResource(RankedTensorType type, StringRef key, AsmResourceBlob blob);

/// A dense_resource attribute with a copy of `data`.
ElementsAttr makeResource(RankedTensorType type, StringRef key, ArrayRef<char> data);

/// The values of `bytes`, an array of f32, f16, bf16 or f64 elements of `type`.
std::vector<float> readFloats(ArrayRef<char> bytes, Type type);
/// The inverse for f32, f16 and bf16, rounded half to even.
std::vector<char> storeFloats(ArrayRef<float> values, Type type);

/// The component dictionary of a weight of `type`; `components` as below. Blob keys are `name`, the
/// component, and `suffix`, which passes choose so that no key of an earlier state of the same
/// weight is met again.
DictionaryAttr makeComponents(MLIRContext *context, StringRef name, Type type,
                              ArrayRef<ArrayRef<char>> components, StringRef suffix = {});

/// Builds an llmc.weight called `name` of `type`; `components` are in the order of the scheme (one,
/// `values`, for a tensor).
WeightOp createWeight(OpBuilder &builder, Location loc, StringRef name, Type type,
                      ArrayRef<ArrayRef<char>> components);

/// Same for dense f32 values; the shape is that of `type`.
WeightOp createDenseWeight(OpBuilder &builder, Location loc, StringRef name, RankedTensorType type,
                           ArrayRef<float> values);

} // namespace llmc

#endif // LLMC_IR_WEIGHTDATA_H
