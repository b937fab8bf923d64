//===- StoredRows.cpp - the reader of stored weights ------------------------------------===//
//
// Masks hand out the kept weights of a row one after the other, so a row is read as a short stream
// and then spread over its inputs.
//
#include "llmc/IR/StoredRows.h"

#include "llmc/Numerics/BitPack.h"
#include "llmc/Numerics/F16.h"
#include "llmc/Numerics/TritPack.h"

#include <cstring>

using namespace mlir;
using namespace llmc;

static uint32_t readPattern(const char *bytes, size_t index, size_t width) {
  uint32_t value = 0;
  std::memcpy(&value, bytes + index * width, width);
  return value;
}

static float floatOfBits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

static float toFloat(uint32_t pattern, Type type) {
  if (type.isF16())
    return halfToFloat(static_cast<uint16_t>(pattern));
  if (type.isBF16())
    return bfloat16ToFloat(static_cast<uint16_t>(pattern));
  return floatOfBits(pattern);
}

static bool maskBit(ArrayRef<char> mask, int64_t columns, int64_t row, int64_t column) {
  int64_t stride = (columns + 7) / 8;
  return (static_cast<uint8_t>(mask[row * stride + column / 8]) >> (column % 8)) & 1;
}

int64_t llmc::countMask(ArrayRef<char> mask, int64_t columns, int64_t row, int64_t begin,
                        int64_t end) {
  int64_t kept = 0;
  for (int64_t k = begin; k < end; ++k)
    kept += maskBit(mask, columns, row, k);
  return kept;
}

StoredRows::StoredRows(const DecodePlan &plan, int64_t /*rows*/, int64_t columns,
                       ArrayRef<ArrayRef<char>> data)
    : plan(plan), columns(columns) {
  if (plan.isSparse()) {
    maskBytes = data.front();
    data = data.drop_front();
  }
  codeBytes = data.front();
  readParts(data.drop_front());
}

StoredRows::StoredRows(const DecodePlan &plan, int64_t /*rows*/, int64_t columns,
                       const PlainCodes &plain)
    : plan(plan), columns(columns), plainCodes(plain.codes) {
  SmallVector<ArrayRef<char>> parts(plain.parts.begin(), plain.parts.end());
  readParts(parts);
}

void StoredRows::readParts(ArrayRef<ArrayRef<char>> parts) {
  auto take = [&](bool present, ArrayRef<char> &bytes) {
    if (!present)
      return;
    bytes = parts.front();
    parts = parts.drop_front();
  };
  take(static_cast<bool>(plan.scaleType), scaleBytes);
  take(static_cast<bool>(plan.superType), superBytes);
  take(plan.superOffset, offsetBytes);
  take(plan.storesMinimums, minimumBytes);
  take(plan.storesMinimums && plan.superType, superMinimumBytes);
  take(plan.storesZeros, zeroBytes);
  take(plan.level == DecodePlan::Level::StoredTable, levelBytes);
  group = plan.scaleColumns ? plan.scaleColumns : columns;
  int64_t groups = plan.scaleBlocksAcross(columns);
  codes.resize(plan.symbols(columns));
  kept.assign(columns, 1);
  stream.resize(plan.symbols(columns));
  scales.resize(plan.scaleType ? groups : 0);
  zeros.assign(groups, plan.zeroCode);
  table.assign(plan.levels.begin(), plan.levels.end());
}

// The stored codes or values of a row whose first is number `index` of the stream that starts at
// byte `begin`.
void StoredRows::readStream(size_t begin, int64_t count) {
  const char *bytes = codeBytes.data() + begin;
  size_t index = plan.masked ? joined : 0;
  if (plan.level == DecodePlan::Level::Value) {
    size_t width = plan.valueType.getIntOrFloatBitWidth() / 8;
    for (int64_t i = 0; i < count; ++i) {
      if (width == 8) { // f64 means the f32 nearest to it.
        double value;
        std::memcpy(&value, bytes + 8 * (index + i), 8);
        float narrow = static_cast<float>(value);
        std::memcpy(&stream[i], &narrow, 4);
      } else {
        stream[i] = readPattern(bytes, index + i, width);
      }
    }
    return;
  }
  if (plan.base3) {
    for (int64_t i = 0; i < count; ++i)
      stream[i] = tritOfByte(static_cast<uint8_t>(bytes[(index + i) / 5]), (index + i) % 5);
    return;
  }
  size_t bit = index * plan.bits;
  uint32_t mask = (1u << plan.bits) - 1;
  for (int64_t i = 0; i < count; ++i, bit += plan.bits) {
    uint32_t two = static_cast<uint8_t>(bytes[bit / 8]);
    if (bit % 8 + plan.bits > 8)
      two |= static_cast<uint32_t>(static_cast<uint8_t>(bytes[bit / 8 + 1])) << 8;
    stream[i] = (two >> (bit % 8)) & mask;
  }
}

/// Number `index` of the scales, or of the minimums, which are stored as they are.
float StoredRows::scaleAt(ArrayRef<char> stored, ArrayRef<char> supers, int64_t index) const {
  auto number = [](ArrayRef<char> bytes, int64_t at, Type type) {
    return toFloat(readPattern(bytes.data(), at, type.getIntOrFloatBitWidth() / 8), type);
  };
  if (!plan.superType)
    return number(stored, index, plan.scaleType);
  auto byte = static_cast<uint8_t>(stored[index]);
  float scale = plan.scaleLevels.empty() ? static_cast<float>(byte) : plan.scaleLevels[byte];
  scale *= number(supers, plan.superBlock ? index / plan.superBlock : 0, plan.superType);
  return plan.superOffset ? scale + number(offsetBytes, 0, plan.superType) : scale;
}

void StoredRows::read(int64_t row) {
  if (plan.masked && row != next) {
    joined = 0;
    for (int64_t before = 0; before < row; ++before)
      joined += countMask(maskBytes, columns, before, 0, columns);
  }
  next = row + 1;
  int64_t groups = plan.scaleBlocksAcross(columns);
  int64_t block = (plan.scaleRows ? row / plan.scaleRows : 0) * groups;
  firstScale = block;
  if (plan.scaleType)
    for (int64_t g = 0; g < groups; ++g)
      scales[g] =
          readPattern(scaleBytes.data(), block + g, plan.scaleType.getIntOrFloatBitWidth() / 8);
  if (plan.storesZeros && !plan.zeroType)
    std::memcpy(zeros.data(), zeroBytes.data() + block, groups);
  if (plan.level == DecodePlan::Level::StoredTable) {
    size_t width = plan.valueType.getIntOrFloatBitWidth() / 8;
    size_t count = static_cast<size_t>(plan.codes) * plan.vector;
    size_t first = (plan.tableRows ? row / plan.tableRows : 0) * count;
    table.resize(count);
    for (size_t i = 0; i < count; ++i)
      table[i] = toFloat(readPattern(levelBytes.data(), first + i, width), plan.valueType);
  }
  if (!plainCodes.empty()) {
    int64_t symbols = plan.symbols(columns);
    std::copy_n(plainCodes.begin() + row * symbols, symbols, codes.begin());
    return;
  }
  if (!plan.isSparse()) {
    readStream(row * plan.streamBytes(columns), plan.symbols(columns));
    codes.swap(stream);
    return;
  }
  int64_t count = 0;
  for (int64_t i = 0; i < columns; ++i)
    count += kept[i] = maskBit(maskBytes, columns, row, i);
  readStream(plan.masked ? 0 : row * plan.streamBytes(plan.keptPerRow(columns)), count);
  int64_t at = 0;
  for (int64_t i = 0; i < columns; ++i)
    codes[i] = kept[i] ? stream[at++] : zeros[i / group];
  if (plan.masked)
    joined += count;
}

void StoredRows::decode(MutableArrayRef<float> out) const {
  if (plan.level == DecodePlan::Level::Value) {
    auto fill = [&](auto convert) {
      for (int64_t i = 0; i < columns; ++i)
        out[i] = kept[i] ? convert(codes[i]) : 0.0f;
    };
    if (plan.valueType.isF16())
      fill([](uint32_t bits) { return halfToFloat(static_cast<uint16_t>(bits)); });
    else if (plan.valueType.isBF16())
      fill([](uint32_t bits) { return bfloat16ToFloat(static_cast<uint16_t>(bits)); });
    else
      fill(floatOfBits);
    return;
  }
  for (int64_t begin = 0, g = 0; begin < columns; begin += group, ++g) {
    float scale = plan.scaleType ? scaleAt(scaleBytes, superBytes, firstScale + g) : 1.0f;
    float minimum =
        plan.storesMinimums ? scaleAt(minimumBytes, superMinimumBytes, firstScale + g) : 0.0f;
    auto zero = static_cast<float>(zeros[g]);
    if (plan.storesZeros && plan.zeroType)
      zero = toFloat(
          readPattern(zeroBytes.data(), firstScale + g, plan.zeroType.getIntOrFloatBitWidth() / 8),
          plan.zeroType);
    int64_t end = std::min(begin + group, columns);
    auto fill = [&](auto levelOf) {
      for (int64_t i = begin; i < end; ++i)
        out[i] = kept[i] ? levelOf(i) * scale : 0.0f;
    };
    if (plan.level == DecodePlan::Level::Affine)
      fill([&](int64_t i) { return static_cast<float>(codes[i]) - zero; });
    else if (plan.isPerWeight())
      fill([&](int64_t i) { return table[codes[i]]; });
    else
      fill([&](int64_t i) {
        size_t first = static_cast<size_t>(codes[i / plan.vector]) * plan.vector;
        return table[first + i % plan.vector];
      });
    for (int64_t i = begin; plan.storesMinimums && i < end; ++i)
      out[i] = kept[i] ? out[i] - minimum : 0.0f;
  }
}

PlainCodes llmc::unpackCodes(const DecodePlan &plan, int64_t rows, int64_t columns,
                             ArrayRef<ArrayRef<char>> data, std::vector<uint8_t> &keep) {
  PlainCodes plain;
  StoredRows reader(plan, rows, columns, data);
  bool codes = plan.level != DecodePlan::Level::Value;
  plain.codes.reserve(codes ? rows * columns : 0);
  keep.clear();
  for (int64_t row = 0; row < rows; ++row) {
    reader.read(row);
    if (codes)
      plain.codes.insert(plain.codes.end(), reader.codes.begin(), reader.codes.end());
    if (plan.isSparse())
      keep.insert(keep.end(), reader.kept.begin(), reader.kept.end());
  }
  for (ArrayRef<char> part : data.drop_front(plan.isSparse() ? 2 : 1))
    plain.parts.emplace_back(part.begin(), part.end());
  return plain;
}

std::vector<char> llmc::packMask(Span<const uint8_t> keep, int64_t rows, int64_t columns) {
  int64_t stride = (columns + 7) / 8;
  std::vector<char> mask(rows * stride);
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j)
      if (keep[i * columns + j])
        mask[i * stride + j / 8] |= static_cast<char>(1 << (j % 8));
  return mask;
}

Result<std::vector<std::vector<char>>> llmc::packCodes(const DecodePlan &plan, int64_t rows,
                                                       int64_t columns, const PlainCodes &plain,
                                                       Span<const uint8_t> keep) {
  std::vector<uint8_t> kept;
  for (size_t i = 0; i < plain.codes.size(); ++i)
    if (keep.empty() || keep[i])
      kept.push_back(plain.codes[i]);
  int64_t streams = plan.masked ? 1 : rows;
  auto perStream = static_cast<int64_t>(kept.size()) / streams;
  auto packed = plan.base3 ? packTrits(kept, streams, perStream)
                           : packBits(kept, streams, perStream, static_cast<int>(plan.bits));
  if (!packed)
    return packed.failure();
  std::vector<std::vector<char>> components;
  if (plan.isSparse())
    components.push_back(packMask(keep, rows, columns));
  components.emplace_back(packed->begin(), packed->end());
  components.insert(components.end(), plain.parts.begin(), plain.parts.end());
  return components;
}

std::vector<float> llmc::decodeCodes(const DecodePlan &plan, int64_t rows, int64_t columns,
                                     const PlainCodes &plain) {
  std::vector<float> values(rows * columns);
  StoredRows reader(plan, rows, columns, plain);
  for (int64_t row = 0; row < rows; ++row) {
    reader.read(row);
    reader.decode({values.data() + row * columns, static_cast<size_t>(columns)});
  }
  return values;
}

void llmc::pruneStored(const DecodePlan &plan, int64_t rows, int64_t columns, PlainCodes &plain,
                       Span<const uint8_t> keep) {
  StoredRows reader(plan, rows, columns, plain);
  int64_t group = plan.scaleColumns ? plan.scaleColumns : columns;
  for (int64_t row = 0; row < rows; ++row) {
    reader.read(row);
    for (int64_t i = 0; i < columns; ++i)
      if (!keep[row * columns + i])
        plain.codes[row * columns + i] = reader.zeros[i / group];
  }
}
