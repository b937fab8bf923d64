//===- CodeFormat.cpp - how a weight is stored for the kernels --------------------------===//
//
// Descriptor of a weight's storage from its type, and its name.
//
#include "llmc/Lower/Cpu/CodeFormat.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/FormatVariadic.h"

using namespace mlir;
using namespace llmc;

// What kernels can follow: values; integers and tables of 16 levels with scales of groups; three
// levels with one scale.
static bool followPlan(CodeFormat &format, const DecodePlan &plan) {
  if (plan.superType || plan.zeroType || plan.storesMinimums || !plan.isPerWeight())
    return false;
  format.bits = plan.bits;
  format.base3 = plan.base3;
  format.element = plan.scaleType;
  format.group = plan.scaleColumns;
  format.keepN = plan.keepN;
  format.keepM = plan.keepM;
  format.masked = plan.masked;
  bool scaled = plan.scaleType && (plan.scaleType.isF16() || plan.scaleType.isF32());
  bool perRow = scaled && plan.scaleRows == 1 && !plan.base3;
  switch (plan.level) {
  case DecodePlan::Level::Value:
    format.element = plan.valueType;
    return true;
  case DecodePlan::Level::Affine:
    format.kind = CodeFormat::Kind::Ternary;
    if (!plan.storesZeros && plan.codes == 3 && plan.zeroCode == 1 && scaled &&
        plan.scaleType.isF32() && !plan.scaleRows && !plan.scaleColumns)
      return true;
    format.kind = CodeFormat::Kind::Int;
    format.symmetric = !plan.storesZeros;
    return perRow && plan.bits >= 2 && (plan.storesZeros || plan.zeroCode == 1u << (plan.bits - 1));
  case DecodePlan::Level::Table:
    format.kind = CodeFormat::Kind::Table;
    format.levels = plan.levels;
    format.integers = plan.integers;
    format.tableName = plan.tableName;
    return perRow && plan.bits == 4 && plan.levels[plan.zeroCode] == 0;
  case DecodePlan::Level::StoredTable:
    return false;
  }
  return false;
}

CodeFormat llmc::getCodeFormat(Type weightType, std::optional<int64_t> activationGroup) {
  CodeFormat format;
  std::optional<DecodePlan> plan = getDecodePlan(weightType);
  if (!plan || !followPlan(format, *plan)) {
    format = CodeFormat();
    format.element = Float32Type::get(weightType.getContext());
    format.decodedFrom = getScheme(weightType);
  }
  if (format.kind == CodeFormat::Kind::Dense && format.element.isF64())
    format.element = Float32Type::get(weightType.getContext());
  if (activationGroup) {
    format.activationGroup = *activationGroup;
    format.activations =
        *activationGroup ? CodeFormat::Activations::PerGroup : CodeFormat::Activations::PerToken;
  }
  return format;
}

static std::string typeName(Type type) {
  return type.isF32() ? "f32" : type.isF16() ? "f16" : "bf16";
}

// Names of kernels hold letters and digits between their marks.
static std::string tableName(StringRef table) {
  std::string name = table.str();
  llvm::erase(name, '_');
  return name;
}

std::string llmc::formatName(const CodeFormat &format) {
  std::string name;
  if (format.keepM)
    name += llvm::formatv("nm{0}x{1}-", format.keepN, format.keepM);
  if (format.masked)
    name += "mask-";
  switch (format.kind) {
  case CodeFormat::Kind::Dense:
    name += typeName(format.element);
    break;
  case CodeFormat::Kind::Ternary:
    name += format.base3 ? "ternary-b3" : "ternary";
    break;
  case CodeFormat::Kind::Int:
  case CodeFormat::Kind::Table:
    if (format.kind == CodeFormat::Kind::Table)
      name += tableName(format.tableName) + "-";
    else
      name += llvm::formatv("int{0}-", format.bits);
    name += format.group ? llvm::formatv("g{0}", format.group).str() : "row";
    if (format.symmetric)
      name += "-sym";
    if (format.element.isF32())
      name += "-f32scale";
    break;
  }
  if (format.activations == CodeFormat::Activations::PerToken)
    name += "-i8token";
  if (format.activations == CodeFormat::Activations::PerGroup)
    name += llvm::formatv("-i8g{0}", format.activationGroup);
  return name;
}
