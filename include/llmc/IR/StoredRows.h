//===- StoredRows.h - the reader of stored weights --------------------------------------===//
//
// Rows of a stored matrix as codes, scales and zero points (what kernels are packed from) or as the
// floats they mean; and codes between their stored and their plain form.
//
//===------------------------------------------------------------------------------------===//
#ifndef LLMC_IR_STOREDROWS_H
#define LLMC_IR_STOREDROWS_H

#include "llmc/IR/DecodePlan.h"

namespace llmc {

/// Reads one row at a time; `data` must outlive the reader.
class StoredRows {
public:
  /// `data` in the order of planComponents.
  StoredRows(const DecodePlan &plan, int64_t rows, int64_t columns, ArrayRef<ArrayRef<char>> data);
  /// Codes that lie in memory, of a plan without masks.
  StoredRows(const DecodePlan &plan, int64_t rows, int64_t columns, const PlainCodes &plain);

  /// Reads a row. Rows in order are fastest: with `masked` any other counts what lies before it.
  void read(int64_t row);
  /// What the row means; pruned weights are 0.
  void decode(MutableArrayRef<float> out) const;

  std::vector<uint32_t> codes;  ///< codes (the zero point where pruned), or values as bit patterns
                                ///< (one for each `vector` inputs)
  std::vector<uint8_t> kept;    ///< 1 where the weight is stored
  std::vector<uint32_t> scales; ///< bit patterns of the row's scales, as they are stored
  std::vector<uint8_t> zeros;   ///< of each scale: the zero point, also where no byte is stored

private:
  void readParts(ArrayRef<ArrayRef<char>> parts);
  void readStream(size_t begin, int64_t count);
  float scaleAt(ArrayRef<char> stored, ArrayRef<char> supers, int64_t index) const;

  DecodePlan plan;
  int64_t columns;
  int64_t group;                ///< inputs that share a scale
  int64_t next = 0;             ///< the row after the one that was read
  size_t joined = 0;            ///< masked: weights stored before row `next`
  int64_t firstScale = 0;       ///< of the row
  std::vector<uint32_t> stream; ///< the stored codes or values of the row
  std::vector<float> table;     ///< levels of the row's codes
  ArrayRef<char> maskBytes, codeBytes, scaleBytes, superBytes, offsetBytes, minimumBytes,
      superMinimumBytes, zeroBytes, levelBytes;
  ArrayRef<uint8_t> plainCodes;
};

/// How many of the inputs [begin, end) of a row the mask keeps.
int64_t countMask(ArrayRef<char> mask, int64_t columns, int64_t row, int64_t begin, int64_t end);

/// The codes of a stored matrix, the zero point where pruned; `keep` becomes [rows, columns], 0
/// where pruned, or empty if the plan has no mask. A plan of values leaves `codes` empty.
PlainCodes unpackCodes(const DecodePlan &plan, int64_t rows, int64_t columns,
                       ArrayRef<ArrayRef<char>> data, std::vector<uint8_t> &keep);

/// The components of codes under `keep`, which is empty if the plan has no mask. Fails on a code
/// that does not fit.
Result<std::vector<std::vector<char>>> packCodes(const DecodePlan &plan, int64_t rows,
                                                 int64_t columns, const PlainCodes &plain,
                                                 Span<const uint8_t> keep);

/// Bits of a mask, rows aligned to bytes.
std::vector<char> packMask(Span<const uint8_t> keep, int64_t rows, int64_t columns);

/// What codes mean. The plan has no masks.
std::vector<float> decodeCodes(const DecodePlan &plan, int64_t rows, int64_t columns,
                               const PlainCodes &plain);

/// Sets codes to the zero point where `keep` is 0. Other codes and all scales stay. The plan has a
/// code for each weight.
void pruneStored(const DecodePlan &plan, int64_t rows, int64_t columns, PlainCodes &plain,
                 Span<const uint8_t> keep);

} // namespace llmc

#endif // LLMC_IR_STOREDROWS_H
