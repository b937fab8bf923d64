//===- CodeFormat.h - how a weight is stored for the kernels ----------------------------===//
//
// A weight's type and the activations of its linear, boiled down to what a kernel needs to know.
// Kernels and packing are generated from this descriptor; there is no kernel per format.
//
#ifndef LLMC_LOWER_CPU_CODEFORMAT_H
#define LLMC_LOWER_CPU_CODEFORMAT_H

#include "llmc/IR/LLMCDialect.h"

#include <optional>
#include <string>

namespace llmc {

struct CodeFormat {
  enum class Kind { Dense, Int, Table, Ternary };
  enum class Activations { Float, PerToken, PerGroup };

  Kind kind = Kind::Dense;
  /// Dense: stored element (f32, f16, bf16). Int, Table: type of the scales. Ternary: f32.
  Type element;
  unsigned bits = 0;         ///< Int: 2 to 8; Table: 4; Ternary: 2.
  int64_t group = 0;         ///< Int, Table: inputs that share a scale; 0: the whole row.
  bool symmetric = false;    ///< Int: the zero point is 2^(bits-1) everywhere.
  ArrayRef<float> levels;    ///< Table: of its 16 codes.
  ArrayRef<int8_t> integers; ///< Table: 127 times them where those are integers, or empty.
  StringRef tableName;       ///< Table.
  bool base3 = false;        ///< Ternary: stored five codes to a byte.
  int64_t keepN = 0;         ///< N:M sparsity, or 0.
  int64_t keepM = 0;
  bool masked = false;   ///< unstructured mask.
  Attribute decodedFrom; ///< no kernel follows this scheme: packed as the f32 values it means.
  Activations activations = Activations::Float;
  int64_t activationGroup = 0; ///< PerGroup: consecutive inputs that share a scale.

  bool quantizedActivations() const { return activations != Activations::Float; }
  /// The zero point where it is the same for the whole matrix (symmetric, ternary). What dot
  /// products take for a code of a table is 128 more than its integer level.
  int64_t constantZero() const {
    return kind == Kind::Ternary ? 1 : kind == Kind::Table ? 128 : int64_t(1) << (bits - 1);
  }
  /// Scales belong to groups of inputs.
  bool isGrouped() const { return kind == Kind::Int || kind == Kind::Table; }
  /// The products of codes with integers are integers.
  bool isInteger() const {
    return kind != Kind::Dense && (kind != Kind::Table || !integers.empty());
  }
  bool storesZeros() const { return kind == Kind::Int && !symmetric; }
};

/// The format of a weight of `weightType` (tensor or llmc.compressed) whose inputs are codes, of
/// which each `activationGroup` share a scale (0: those of a row), or floats. f64 tensors are
/// packed as f32.
CodeFormat getCodeFormat(Type weightType, std::optional<int64_t> activationGroup = std::nullopt);

/// Short name of the format, unique among formats: "f16", "int4-g32", "int8-row-sym-f32scale",
/// "nm2x4-int4-g32-i8token".
std::string formatName(const CodeFormat &format);

} // namespace llmc

#endif // LLMC_LOWER_CPU_CODEFORMAT_H
