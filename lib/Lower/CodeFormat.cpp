//===- CodeFormat.cpp - how a weight is stored for the kernels --------------------------===//
//
// Descriptor of a weight's storage from its type, and its name.
//
#include "llmc/Lower/CodeFormat.h"

#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/FormatVariadic.h"

using namespace mlir;
using namespace llmc;

static void describe(CodeFormat &format, Attribute scheme) {
  Type f32 = Float32Type::get(scheme.getContext());
  TypeSwitch<Attribute>(scheme)
      .Case<DenseSchemeAttr>([&](auto dense) {
        format.kind = CodeFormat::Kind::Dense;
        format.element = dense.getElementType();
      })
      .Case<IntSchemeAttr>([&](auto scheme) {
        format.kind = CodeFormat::Kind::Int;
        format.element = scheme.getScale();
        format.bits = scheme.getBits();
        format.group = scheme.getGroup();
        format.symmetric = scheme.getSymmetric();
      })
      .Case<TableSchemeAttr>([&](auto scheme) {
        format.kind = CodeFormat::Kind::Table;
        format.element = scheme.getScale();
        format.bits = 4;
        format.group = scheme.getGroup();
        format.table = scheme.getTable();
      })
      .Case<TernarySchemeAttr>([&](auto scheme) {
        format.base3 = scheme.getBase3();
        format.kind = CodeFormat::Kind::Ternary;
        format.element = f32;
        format.bits = 2;
      })
      .Case<NMSchemeAttr>([&](auto scheme) {
        describe(format, scheme.getInner());
        format.keepN = scheme.getN();
        format.keepM = scheme.getM();
      })
      .Case<MaskSchemeAttr>([&](auto scheme) {
        describe(format, scheme.getInner());
        format.masked = true;
      });
}

CodeFormat llmc::getCodeFormat(Type weightType, DynamicQuantAttr activations) {
  CodeFormat format;
  if (auto compressed = dyn_cast<CompressedType>(weightType)) {
    describe(format, compressed.getScheme());
  } else {
    format.element = cast<RankedTensorType>(weightType).getElementType();
    if (format.element.isF64())
      format.element = Float32Type::get(weightType.getContext());
  }
  if (activations) {
    format.activationGroup = activations.getGroup();
    format.activations = activations.getGroup() ? CodeFormat::Activations::PerGroup
                                                : CodeFormat::Activations::PerToken;
  }
  return format;
}

static std::string typeName(Type type) {
  return type.isF32() ? "f32" : type.isF16() ? "f16" : "bf16";
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
      name += format.table == CodeTable::NF4 ? "nf4-" : "nf4i8-";
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
