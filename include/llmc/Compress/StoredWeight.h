//===- StoredWeight.h - a weight as the numerics see it, and its stored form --------------===//
//
// Between the components of an llmc.weight (packed bits, typed floats) and plain vectors. Every
// pass unpacks a weight, changes the plain form, and packs it again. What codes mean and how they
// are stored is the scheme's business.
//
//===----------------------------------------------------------------------------------------===//
#ifndef LLMC_COMPRESS_STOREDWEIGHT_H
#define LLMC_COMPRESS_STOREDWEIGHT_H

#include "llmc/IR/Schemes.h"

namespace llmc {

/// A weight [rows, columns] in plain form.
struct StoredWeight {
  enum class Sparsity { None, NM, Mask };

  int64_t rows = 0, columns = 0;
  Type elementType; ///< what the values mean: f32, f16 or bf16

  SchemeAttrInterface scheme; ///< of the kept weights; null: floats of type `storage`
  Type storage;
  /// Of a scheme with a plan; pruned codes are at the zero point. A scheme without one is known by
  /// its values only.
  PlainCodes codes;

  Sparsity sparsity = Sparsity::None;
  int64_t n = 0, m = 0;      ///< NM
  std::vector<uint8_t> keep; ///< [rows, columns], empty when dense

  std::vector<float> values; ///< [rows, columns], what the stored data means

  bool isSparse() const { return sparsity != Sparsity::None; }
  bool isQuantized() const { return static_cast<bool>(scheme); }
  /// Replaces how kept weights are stored; `values` become what the codes mean.
  void setCodes(SchemeAttrInterface newScheme, PlainCodes newCodes);
  void setFloat(std::vector<float> newValues);
  /// Prunes the weights for which `mask` is 0, and those only. Codes and scales of the others stay;
  /// without a plan, or where a code stands for several weights, they become floats.
  void prune(std::vector<uint8_t> mask, Sparsity how);
};

/// The stored form: a tensor type or !llmc.compressed, and its components in order.
struct PackedWeight {
  Type type;
  std::vector<std::vector<char>> components;

  int64_t bytes() const;
  /// Stored bits per weight as the scheme counts them.
  double bitsPerWeight() const;
};

/// Plain form of a weight of two dimensions. Fails on the first value that is not finite (row and
/// column).
Result<StoredWeight> unpackWeight(WeightOp weight);

/// Stored form. Fails when a value does not fit its storage type.
Result<PackedWeight> packWeight(const StoredWeight &weight);

/// Bytes of the components of a weight.
int64_t storedBytes(WeightOp weight);

} // namespace llmc

#endif // LLMC_COMPRESS_STOREDWEIGHT_H
