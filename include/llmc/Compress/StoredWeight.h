//===- StoredWeight.h - a weight as the numerics see it, and its stored form --------------===//
//
// Between the components of an llmc.weight (packed bits, typed floats) and the plain vectors of
// Numerics. Every pass unpacks a weight, changes the plain form, and packs it again, so that the
// layout of a scheme is known here and in lib/IR/Schemes.cpp only.
//
//===----------------------------------------------------------------------------------------===//
#ifndef LLMC_COMPRESS_STOREDWEIGHT_H
#define LLMC_COMPRESS_STOREDWEIGHT_H

#include "llmc/IR/LLMCDialect.h"
#include "llmc/Numerics/CodeTable.h"
#include "llmc/Numerics/Quantize.h"
#include "llmc/Numerics/Ternary.h"

namespace llmc {

/// A weight [rows, columns] in plain form.
struct StoredWeight {
  enum class Coding { Float, Int, Table, Ternary };
  enum class Sparsity { None, NM, Mask };

  int64_t rows = 0, columns = 0;
  Type elementType; ///< what the values mean: f32, f16 or bf16

  Coding coding = Coding::Float;
  Type storage;          ///< Float: the stored type
  IntWeight ints;        ///< Int: pruned codes are at the zero point
  TableWeight table;     ///< Table: pruned codes are kTableZeroCode
  TernaryWeight ternary; ///< Ternary: pruned codes are 0
  bool base3 = false;    ///< Ternary: stored five codes to a byte

  Sparsity sparsity = Sparsity::None;
  int64_t n = 0, m = 0;      ///< NM
  std::vector<uint8_t> keep; ///< [rows, columns], empty when dense

  std::vector<float> values; ///< [rows, columns], what the stored data means

  bool isSparse() const { return sparsity != Sparsity::None; }
  /// Replaces the coding; `values` become what the codes mean.
  void setInt(IntWeight codes);
  void setTable(TableWeight codes);
  void setTernary(TernaryWeight codes);
  void setFloat(std::vector<float> newValues);
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

/// Scheme of a plain quantized weight, and back.
IntSchemeAttr makeIntScheme(MLIRContext *context, const IntFormat &format);
IntFormat intFormat(IntSchemeAttr scheme);
TableSchemeAttr makeTableScheme(MLIRContext *context, const TableFormat &format);
TableFormat tableFormat(TableSchemeAttr scheme);

} // namespace llmc

#endif // LLMC_COMPRESS_STOREDWEIGHT_H
