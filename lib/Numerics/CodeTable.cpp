//===- CodeTable.cpp - 4-bit codes into a table of levels -------------------------------------===//
//
// The tables, and rounding to them.
//
//===----------------------------------------------------------------------------------------===//
#include "llmc/Numerics/CodeTable.h"

#include <algorithm>
#include <cmath>

namespace llmc {

static constexpr std::array<float, 16> kNF4 = {-1.0f,
                                               -0.6961928009986877f,
                                               -0.5250730514526367f,
                                               -0.39491748809814453f,
                                               -0.28444138169288635f,
                                               -0.18477343022823334f,
                                               -0.09105003625154495f,
                                               0.0f,
                                               0.07958029955625534f,
                                               0.16093020141124725f,
                                               0.24611230194568634f,
                                               0.33791524171829224f,
                                               0.44070982933044434f,
                                               0.5626170039176941f,
                                               0.7229568362236023f,
                                               1.0f};

// round(127 * level).
static constexpr std::array<int8_t, 16> kNF4Integers = {-127, -88, -67, -50, -36, -23, -12, 0,
                                                        10,   20,  31,  43,  56,  71,  92,  127};

static constexpr CodeTable kTables[] = {CodeTable::NF4, CodeTable::NF4I8, CodeTable::BnbFP4};

const char *codeTableName(CodeTable table) {
  return table == CodeTable::NF4 ? "nf4" : table == CodeTable::NF4I8 ? "nf4_i8" : "bnb_fp4";
}

std::optional<CodeTable> parseCodeTable(const std::string &name) {
  for (CodeTable table : kTables)
    if (name == codeTableName(table))
      return table;
  return std::nullopt;
}

std::string codeTableNames() {
  std::string names;
  for (const CodeTable &table : kTables) {
    if (!names.empty())
      names += &table == std::end(kTables) - 1 ? " or " : ", ";
    names += codeTableName(table);
  }
  return names;
}

int tableZeroCode(CodeTable table) {
  const std::array<float, 16> &levels = tableLevels(table);
  return static_cast<int>(std::find(levels.begin(), levels.end(), 0.0f) - levels.begin());
}

const std::array<float, 16> &tableLevels(CodeTable table) {
  static const std::array<float, 16> rounded = [] {
    std::array<float, 16> levels{};
    for (size_t i = 0; i < levels.size(); ++i)
      levels[i] = static_cast<float>(kNF4Integers[i]) / 127.0f;
    return levels;
  }();
  static const std::array<float, 16> floats = [] {
    constexpr float kTwelfths[] = {0.0f, 0.0625f, 8.0f, 12.0f, 4.0f, 6.0f, 2.0f, 3.0f};
    std::array<float, 16> levels{};
    for (size_t i = 0; i < levels.size(); ++i)
      levels[i] = (i < 8 ? kTwelfths[i] : -kTwelfths[i - 8]) / 12.0f;
    return levels;
  }();
  return table == CodeTable::NF4 ? kNF4 : table == CodeTable::NF4I8 ? rounded : floats;
}

const std::array<int8_t, 16> *integerLevels(CodeTable table) {
  return table == CodeTable::NF4I8 ? &kNF4Integers : nullptr;
}

int nearestLevel(float value, CodeTable table) {
  const std::array<float, 16> &levels = tableLevels(table);
  int code = 0;
  if (table == CodeTable::BnbFP4) {
    for (int i = 1; i < 16; ++i)
      if (std::fabs(value - levels[i]) < std::fabs(value - levels[code]))
        code = i;
    return code;
  }
  for (size_t i = 0; i + 1 < levels.size(); ++i)
    code += value > (levels[i] + levels[i + 1]) * 0.5f;
  return code;
}

Result<TableWeight> quantizeTable(Span<const float> weight, int64_t rows, int64_t cols,
                                  const TableFormat &format, Span<const uint8_t> keep) {
  if (Status ok = verifyGroup(format.group); !ok)
    return ok.failure();
  if (Status ok = verifyFinite(weight, rows, cols); !ok)
    return ok.failure();
  if (Status ok = verifyMask(keep, weight.size()); !keep.empty() && !ok)
    return ok.failure();
  int64_t size = format.groupSize(cols), groups = format.groupCount(cols);
  TableWeight result;
  result.format = format;
  result.rows = rows;
  result.cols = cols;
  result.codes.resize(weight.size());
  result.scales.resize(rows * groups);
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t g = 0; g < groups; ++g) {
      int64_t first = row * cols + g * size, last = first + std::min(size, cols - g * size);
      auto kept = [&](int64_t i) { return keep.empty() || keep[i] ? weight[i] : 0.0f; };
      float largest = 0;
      for (int64_t i = first; i < last; ++i)
        largest = std::max(largest, std::fabs(kept(i)));
      float scale = largest == 0 ? 1.0f : storedScale(largest, format.scale);
      if (!std::isfinite(scale))
        return Failure{"the scale of the group at row " + std::to_string(row) + ", column " +
                       std::to_string(g * size) + " is too large for f16; expected scale=f32"};
      result.scales[row * groups + g] = scale;
      float inverse = 1.0f / scale;
      for (int64_t i = first; i < last; ++i)
        result.codes[i] = static_cast<uint8_t>(nearestLevel(kept(i) * inverse, format.table));
    }
  return result;
}

std::vector<float> dequantize(const TableWeight &weight) {
  const std::array<float, 16> &levels = tableLevels(weight.format.table);
  std::vector<float> values(weight.codes.size());
  int64_t size = weight.format.groupSize(weight.cols),
          groups = weight.format.groupCount(weight.cols);
  for (int64_t row = 0; row < weight.rows; ++row)
    for (int64_t j = 0; j < weight.cols; ++j) {
      int64_t i = row * weight.cols + j;
      values[i] = levels[weight.codes[i]] * weight.scales[row * groups + j / size];
    }
  return values;
}

} // namespace llmc
