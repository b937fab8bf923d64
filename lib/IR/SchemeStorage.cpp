//===- SchemeStorage.cpp - what follows from a decode plan ------------------------------===//
//
// Components, sizes, checks and the meaning of what a scheme with a plan stores.
//
#include "llmc/IR/StoredRows.h"

#include "llmc/IR/WeightData.h"
#include "llmc/Numerics/BitPack.h"
#include "llmc/Numerics/TritPack.h"

#include <cmath>

using namespace mlir;
using namespace llmc;

using Level = DecodePlan::Level;

int64_t DecodePlan::streamBytes(int64_t count) const {
  if (level == Level::Value)
    return count * (valueType.getIntOrFloatBitWidth() / 8);
  return base3 ? packedTritBytes(count) : packedRowBytes(symbols(count), static_cast<int>(bits));
}

SmallVector<SchemeComponent> llmc::planComponents(const DecodePlan &plan, MLIRContext *context,
                                                  int64_t rows, int64_t columns) {
  SmallVector<SchemeComponent> result;
  Type byte = IntegerType::get(context, 8, IntegerType::Unsigned);
  if (plan.isSparse())
    result.push_back({"mask", byte, {rows, (columns + 7) / 8}});
  bool values = plan.level == Level::Value;
  int64_t perRow = plan.keptPerRow(columns);
  SchemeComponent stream = {values ? "values" : "codes", values ? plan.valueType : byte, {}};
  if (plan.masked)
    stream.shape = {ShapedType::kDynamic};
  else
    stream.shape = {rows, values ? perRow : plan.streamBytes(perRow)};
  result.push_back(std::move(stream));
  SmallVector<int64_t, 2> blocks = {plan.scaleBlocksDown(rows), plan.scaleBlocksAcross(columns)};
  if (!plan.scaleRows && !plan.scaleColumns)
    blocks = {1};
  auto addScales = [&](const char *name, const char *super) {
    result.push_back({name, plan.scaleType, blocks});
    if (plan.superType)
      result.push_back({super, plan.superType, {plan.supers(rows, columns)}});
  };
  if (plan.scaleType)
    addScales("scales", "super_scales");
  if (plan.superOffset)
    result.push_back({"offset", plan.superType, {1}});
  if (plan.storesMinimums)
    addScales("minimums", "super_minimums");
  if (plan.storesZeros)
    result.push_back({"zeros", plan.zeroType ? plan.zeroType : byte, blocks});
  if (plan.level == Level::StoredTable) {
    result.push_back({"levels", plan.valueType, {plan.tables(rows), int64_t(plan.codes)}});
    if (!plan.isPerWeight())
      result.back().shape.push_back(plan.vector);
  }
  return result;
}

double llmc::planBits(const DecodePlan &plan, int64_t rows, int64_t columns, double density) {
  if (plan.keepM)
    density = static_cast<double>(plan.keptPerRow(columns)) / static_cast<double>(columns);
  double weights = static_cast<double>(rows) * static_cast<double>(columns);
  double perWeight = plan.level == Level::Value ? plan.valueType.getIntOrFloatBitWidth()
                     : plan.base3               ? 1.6
                                                : static_cast<double>(plan.bits) *
                                                      static_cast<double>(plan.symbols(columns)) /
                                                      static_cast<double>(columns);
  double blocks = static_cast<double>(plan.scaleBlocksDown(rows)) *
                  static_cast<double>(plan.scaleBlocksAcross(columns));
  double shared = 0;
  if (plan.scaleType) {
    double scales = blocks * plan.scaleType.getIntOrFloatBitWidth();
    if (plan.superType)
      scales +=
          static_cast<double>(plan.supers(rows, columns)) * plan.superType.getIntOrFloatBitWidth();
    shared += plan.storesMinimums ? 2 * scales : scales;
  }
  if (plan.superOffset)
    shared += plan.superType.getIntOrFloatBitWidth();
  if (plan.storesZeros)
    shared += blocks * (plan.zeroType ? plan.zeroType.getIntOrFloatBitWidth() : 8);
  if (plan.level == Level::StoredTable)
    shared += static_cast<double>(plan.tables(rows)) * plan.codes * plan.vector *
              plan.valueType.getIntOrFloatBitWidth();
  return (plan.isSparse() ? 1.0 : 0.0) + density * perWeight + shared / weights;
}

void llmc::decodePlanRows(const DecodePlan &plan, int64_t rows, int64_t columns,
                          ArrayRef<ArrayRef<char>> data, int64_t first,
                          MutableArrayRef<float> out) {
  StoredRows reader(plan, rows, columns, data);
  int64_t count = static_cast<int64_t>(out.size()) / columns;
  for (int64_t i = 0; i < count; ++i) {
    reader.read(first + i);
    reader.decode(out.slice(i * columns, columns));
  }
}

//===----------------------------------------------------------------------===//
// Checks
//===----------------------------------------------------------------------===//

using EmitError = function_ref<InFlightDiagnostic()>;

static LogicalResult verifyFiniteData(ArrayRef<char> data, Type type, StringRef what,
                                      EmitError emit) {
  for (auto [i, value] : llvm::enumerate(readFloats(data, type)))
    if (!std::isfinite(value))
      return emit() << "expects finite " << what << ", got " << value << " at index " << i;
  return success();
}

// Exactly keepN of each keepM; `kept` becomes how many weights there are in all.
static LogicalResult verifyMaskData(const DecodePlan &plan, int64_t rows, int64_t columns,
                                    ArrayRef<char> mask, int64_t &kept, EmitError emit) {
  kept = 0;
  int64_t pattern = plan.keepM ? plan.keepM : columns;
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t start = 0; start < columns; start += pattern) {
      int64_t length = std::min(pattern, columns - start);
      int64_t found = countMask(mask, columns, row, start, start + length);
      if (plan.keepM && found != std::min(plan.keepN, length))
        return emit() << "breaks its " << plan.keepN << ":" << plan.keepM << " mask: row " << row
                      << ", inputs " << start << " to " << start + length - 1 << " keep " << found
                      << " weights, expected " << std::min(plan.keepN, length);
      kept += found;
    }
  return success();
}

// Codes in range, with a finite level.
static LogicalResult verifyCodes(const DecodePlan &plan, int64_t rows, int64_t columns,
                                 ArrayRef<char> codes, EmitError emit) {
  for (size_t i = 0; plan.base3 && i < codes.size(); ++i)
    if (!isTritByte(static_cast<uint8_t>(codes[i])))
      return emit() << "expects bytes of five ternary codes, got "
                    << static_cast<int>(static_cast<uint8_t>(codes[i])) << " at byte " << i;
  auto isLevel = [&](uint32_t code) {
    if (code >= plan.codes || plan.level != Level::Table)
      return code < plan.codes;
    size_t first = static_cast<size_t>(code) * plan.vector;
    return llvm::all_of(plan.levels.slice(first, plan.vector),
                        [](float level) { return std::isfinite(level); });
  };
  bool allValid = true;
  for (uint32_t code = 0; code < (1u << plan.bits); ++code)
    allValid &= isLevel(code);
  if (allValid || plan.base3)
    return success();
  DecodePlan only = plan.kept(); // Nothing but the codes.
  only.level = Level::Affine;
  only.scaleType = only.superType = only.zeroType = {};
  only.superOffset = only.storesZeros = only.storesMinimums = false;
  StoredRows reader(only, rows, columns, codes);
  for (int64_t row = 0; row < rows; ++row) {
    reader.read(row);
    for (int64_t i = 0; i < plan.symbols(columns); ++i)
      if (!isLevel(reader.codes[i])) {
        auto error = emit();
        if (plan.level == Level::Table)
          error << "expects codes of finite levels, got ";
        else
          error << "expects codes 0 to " << plan.codes - 1 << ", got ";
        return error << reader.codes[i] << " at row " << row << ", index " << i;
      }
  }
  return success();
}

// Scales that are stored as they are, or bytes and what scales them.
static LogicalResult verifyScales(const DecodePlan &plan, function_ref<ArrayRef<char>()> next,
                                  StringRef what, EmitError emit) {
  ArrayRef<char> stored = next();
  if (!plan.superType)
    return verifyFiniteData(stored, plan.scaleType, what, emit);
  if (!plan.scaleLevels.empty())
    for (auto [i, byte] : llvm::enumerate(stored))
      if (uint8_t code = static_cast<uint8_t>(byte);
          code >= plan.scaleLevels.size() || !std::isfinite(plan.scaleLevels[code]))
        return emit() << "expects " << what << " of finite levels, got " << static_cast<int>(code)
                      << " at index " << i;
  return verifyFiniteData(next(), plan.superType, ("super_" + what).str(), emit);
}

LogicalResult llmc::verifyPlanData(const DecodePlan &plan, int64_t rows, int64_t columns,
                                   ArrayRef<ArrayRef<char>> data, EmitError emit) {
  int64_t kept = rows * columns;
  if (plan.isSparse()) {
    if (failed(verifyMaskData(plan, rows, columns, data.front(), kept, emit)))
      return failure();
    data = data.drop_front();
  }
  auto next = [&] {
    ArrayRef<char> bytes = data.front();
    data = data.drop_front();
    return bytes;
  };
  ArrayRef<char> stream = next();
  int64_t bytes =
      plan.masked ? plan.streamBytes(kept) : rows * plan.streamBytes(plan.keptPerRow(columns));
  if (plan.level == Level::Value) {
    int64_t width = plan.valueType.getIntOrFloatBitWidth() / 8;
    if (static_cast<int64_t>(stream.size()) != bytes)
      return emit() << "expects " << kept << " kept values, got " << stream.size() / width;
    return verifyFiniteData(stream, plan.valueType, "values", emit);
  }
  if (static_cast<int64_t>(stream.size()) != bytes)
    return emit() << "expects " << bytes << " bytes of codes for " << kept << " kept weights, got "
                  << stream.size();
  int64_t streams = plan.masked ? 1 : rows;
  if (failed(verifyCodes(plan, streams, kept / streams, stream, emit)))
    return failure();
  if (plan.scaleType && failed(verifyScales(plan, next, "scales", emit)))
    return failure();
  if (plan.superOffset && failed(verifyFiniteData(next(), plan.superType, "offset", emit)))
    return failure();
  if (plan.storesMinimums && failed(verifyScales(plan, next, "minimums", emit)))
    return failure();
  if (plan.storesZeros && plan.zeroType) {
    if (failed(verifyFiniteData(next(), plan.zeroType, "zero points", emit)))
      return failure();
  } else if (plan.storesZeros) {
    for (auto [i, zero] : llvm::enumerate(next()))
      if (static_cast<uint8_t>(zero) >> plan.bits)
        return emit() << "expects zero points of " << plan.bits << " bits, got "
                      << static_cast<int>(static_cast<uint8_t>(zero)) << " at index " << i;
  }
  if (plan.level == Level::StoredTable)
    return verifyFiniteData(next(), plan.valueType, "levels", emit);
  return success();
}
