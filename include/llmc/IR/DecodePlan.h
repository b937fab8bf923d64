//===- DecodePlan.h - how stored codes become weights -----------------------------------===//
//
// What readers, passes and kernels need to know of a scheme that stores one code, or one value, for
// each weight or each few consecutive ones. Whoever has a plan names no scheme: components, sizes,
// checks and the meaning of the data follow from it, and a kernel serves every scheme whose plan it
// can follow.
//
//===------------------------------------------------------------------------------------===//
#ifndef LLMC_IR_DECODEPLAN_H
#define LLMC_IR_DECODEPLAN_H

#include "llmc/Numerics/Result.h"
#include "llmc/Numerics/Span.h"

#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Diagnostics.h"

#include <string>
#include <vector>

namespace llmc {
using namespace mlir;

/// One stored array of a compressed weight.
struct SchemeComponent {
  std::string name; ///< Key in the weight's dictionary: codes, scales, zeros, mask, values, ...
  Type elementType; ///< ui8 for bit streams.
  SmallVector<int64_t, 2> shape; ///< kDynamic where the data decides.
};

/// How the weights of a matrix are stored and what they mean:
/// `weight = level(code) * scale - minimum`, or the stored value itself.
struct DecodePlan {
  enum class Level {
    Value,      ///< no codes: values of `valueType`, no scales
    Affine,     ///< code - zero point
    Table,      ///< levels[code], the same table for the whole matrix
    StoredTable ///< a table for each `tableRows` rows (0: all), in the component `levels`
  };

  Level level = Level::Value;
  Type valueType; ///< Value: of the stored values; StoredTable: of the stored levels.

  // Codes, a little-endian bit stream for each row.
  unsigned bits = 0;   ///< of a code, 1 to 8.
  unsigned codes = 0;  ///< how many there are, at most 2^bits.
  unsigned vector = 1; ///< consecutive inputs that a code stands for: it has as many levels.
  bool base3 = false;  ///< five codes of 0 to 2 to a byte (TritPack.h) instead.

  // Tables.
  ArrayRef<float> levels;    ///< Table: `vector` of each code; not finite where it is not valid.
  ArrayRef<int8_t> integers; ///< Table: 127 times the levels where those are integers, or empty.
  StringRef tableName;       ///< Table: for names of formats; no other table has it.
  int64_t tableRows = 0;     ///< StoredTable.

  // Scales: one for each block of scaleRows x scaleColumns weights.
  Type scaleType;           ///< null: there are none; ui8 where scales have scales.
  int64_t scaleRows = 1;    ///< 0: all.
  int64_t scaleColumns = 0; ///< 0: all.

  // Scales of scales: a byte is stored, and `scale = scaleLevel(byte) * super + offset`.
  Type superType;              ///< null: scales are what is stored.
  int64_t superBlock = 0;      ///< Consecutive scales, row by row, that share one; 0: all.
  ArrayRef<float> scaleLevels; ///< What a byte means, as with levels; empty: itself.
  bool superOffset = false;    ///< One number for the matrix, of superType.

  // Zero points, minimums, and what stands for 0.
  bool storesZeros = false;    ///< Affine: a zero point beside each scale.
  Type zeroType;               ///< of stored zero points; null: bytes.
  bool storesMinimums = false; ///< beside each scale, and stored as scales are.
  uint8_t zeroCode = 0; ///< Code of a pruned weight, and the zero point, where no byte is stored.

  // What is in front: which weights are stored at all (component `mask`).
  int64_t keepN = 0, keepM = 0; ///< keepN of each keepM consecutive inputs of a row; or 0.
  bool masked = false;          ///< those of any mask, as one stream for the whole matrix.

  bool isSparse() const { return keepM || masked; }
  /// Each weight has a code or value of its own, so masks can hand them out.
  bool isPerWeight() const { return vector == 1; }
  /// Every weight is stored as a value.
  bool isDense() const { return level == Level::Value && !isSparse(); }
  /// Weights that are stored of a row, where rows have as many.
  int64_t keptPerRow(int64_t columns) const {
    return keepM ? columns / keepM * keepN + std::min(keepN, columns % keepM) : columns;
  }
  /// Codes or values of `count` consecutive weights.
  int64_t symbols(int64_t count) const { return (count + vector - 1) / vector; }
  /// Bytes of them.
  int64_t streamBytes(int64_t count) const;
  /// Blocks of scales in a matrix, down and across.
  int64_t scaleBlocksDown(int64_t rows) const {
    return scaleRows ? (rows + scaleRows - 1) / scaleRows : 1;
  }
  int64_t scaleBlocksAcross(int64_t columns) const {
    return scaleColumns ? (columns + scaleColumns - 1) / scaleColumns : 1;
  }
  /// Scales of scales in a matrix.
  int64_t supers(int64_t rows, int64_t columns) const {
    int64_t scales = scaleBlocksDown(rows) * scaleBlocksAcross(columns);
    return superBlock ? (scales + superBlock - 1) / superBlock : 1;
  }
  /// Stored tables of a matrix.
  int64_t tables(int64_t rows) const { return tableRows ? (rows + tableRows - 1) / tableRows : 1; }
  /// The same without masks.
  DecodePlan kept() const {
    DecodePlan plan = *this;
    plan.keepN = plan.keepM = 0;
    plan.masked = false;
    return plan;
  }
};

/// The data of a plan without masks, with a byte for each code.
struct PlainCodes {
  std::vector<uint8_t> codes;           ///< [rows, plan.symbols(columns)]
  std::vector<std::vector<char>> parts; ///< the other components, as they are stored
};

// What SchemeAttrInterface answers for a scheme that has a plan.
SmallVector<SchemeComponent> planComponents(const DecodePlan &plan, MLIRContext *context,
                                            int64_t rows, int64_t columns);
double planBits(const DecodePlan &plan, int64_t rows, int64_t columns, double density);
LogicalResult verifyPlanData(const DecodePlan &plan, int64_t rows, int64_t columns,
                             ArrayRef<ArrayRef<char>> data,
                             function_ref<InFlightDiagnostic()> emitError);
void decodePlanRows(const DecodePlan &plan, int64_t rows, int64_t columns,
                    ArrayRef<ArrayRef<char>> data, int64_t first, MutableArrayRef<float> out);

} // namespace llmc

#endif // LLMC_IR_DECODEPLAN_H
