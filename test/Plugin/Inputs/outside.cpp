//===- outside.cpp - a scheme and a pass from outside the tree ------------------------------===//
//
// Dialect `outside` with the scheme `#outside.fixed` (a byte for each weight, in 64ths), the passes
// --outside-fixed, which stores weights with it, and --outside-count, and the scheme
// `#outside.pairs` (a codebook), which says by a plan what it stores and how it rounds, and leaves
// the rest to llmc.
//
#include "llmc/Compress/CompressLayers.h"
#include "llmc/IR/Layers.h"
#include "llmc/IR/WeightData.h"

#include "mlir/IR/DialectImplementation.h"
#include "mlir/Pass/Pass.h"
#include "mlir/Tools/Plugins/DialectPlugin.h"
#include "mlir/Tools/Plugins/PassPlugin.h"

#include <cmath>

using namespace mlir;
using namespace llmc;

namespace outside {

class FixedAttr : public Attribute::AttrBase<FixedAttr, Attribute, AttributeStorage,
                                             SchemeAttrInterface::Trait> {
public:
  using Base::Base;
  static constexpr StringLiteral name = "outside.fixed";
  static constexpr float kSteps = 64;

  // Without a plan a scheme answers the rest itself.
  std::optional<DecodePlan> decodePlan() const { return std::nullopt; }
  SmallVector<SchemeComponent> components(int64_t rows, int64_t columns) const {
    return {{"codes", IntegerType::get(getContext(), 8), {rows, columns}}};
  }
  double bitsPerWeight(int64_t, int64_t, double) const { return 8; }
  LogicalResult verifyData(int64_t, int64_t, ArrayRef<ArrayRef<char>> components,
                           function_ref<InFlightDiagnostic()> emitError) const {
    if (llvm::is_contained(components[0], char(-128)))
      return emitError() << "outside.fixed: expects codes from -127 to 127, found -128";
    return success();
  }
  void decodeRows(int64_t, int64_t columns, ArrayRef<ArrayRef<char>> components, int64_t first,
                  MutableArrayRef<float> out) const {
    for (size_t i = 0; i < out.size(); ++i)
      out[i] = static_cast<signed char>(components[0][first * columns + i]) / kSteps;
  }
};

/// A code of 4 bits for two consecutive weights: 16 points of the plane, in units of a scale of
/// each row.
class PairsAttr : public Attribute::AttrBase<PairsAttr, Attribute, AttributeStorage,
                                             SchemeAttrInterface::Trait> {
public:
  using Base::Base;
  static constexpr StringLiteral name = "outside.pairs";
  // A hexagonal lattice has no point farther from any other place than it must.
  static constexpr float kPoints[32] = {0,    0,      1,   0,      -1,   0,      0.5, 0.875,
                                        -0.5, 0.875,  0.5, -0.875, -0.5, -0.875, 2,   0,
                                        -2,   0,      1.5, 0.875,  -1.5, 0.875,  1.5, -0.875,
                                        -1.5, -0.875, 0,   1.75,   0,    -1.75,  1,   1.75};

  std::optional<DecodePlan> decodePlan() const {
    DecodePlan plan;
    plan.level = DecodePlan::Level::Table;
    plan.bits = 4;
    plan.codes = 16;
    plan.vector = 2;
    plan.levels = kPoints;
    plan.tableName = "pairs";
    plan.scaleType = Float32Type::get(getContext());
    return plan;
  }
  Result<PlainCodes> encode(Span<const float> weight, int64_t rows, int64_t columns,
                            Span<const uint8_t>) const {
    PlainCodes plain;
    std::vector<float> scales;
    for (int64_t row = 0; row < rows; ++row) {
      const float *values = weight.data() + row * columns;
      float largest = 0;
      for (int64_t i = 0; i < columns; ++i)
        largest = std::max(largest, std::fabs(values[i]));
      float scale = largest == 0 ? 1 : largest / 2;
      scales.push_back(scale);
      for (int64_t i = 0; i < columns; i += 2) {
        float x = values[i] / scale, y = i + 1 < columns ? values[i + 1] / scale : 0;
        auto distance = [&](int point) {
          return std::hypot(kPoints[2 * point] - x, kPoints[2 * point + 1] - y);
        };
        int best = 0;
        for (int point = 1; point < 16; ++point)
          if (distance(point) < distance(best))
            best = point;
        plain.codes.push_back(static_cast<uint8_t>(best));
      }
    }
    plain.parts = {storeFloats(scales, Float32Type::get(getContext()))};
    return plain;
  }
};

class OutsideDialect : public Dialect {
public:
  static constexpr StringLiteral getDialectNamespace() { return "outside"; }
  explicit OutsideDialect(MLIRContext *context)
      : Dialect(getDialectNamespace(), context, TypeID::get<OutsideDialect>()) {
    context->loadDialect<LLMCDialect>();
    addAttributes<FixedAttr, PairsAttr>();
  }

  Attribute parseAttribute(DialectAsmParser &parser, Type) const override {
    StringRef word;
    if (parser.parseKeyword(&word))
      return {};
    if (word == "fixed")
      return FixedAttr::get(getContext());
    if (word == "pairs")
      return PairsAttr::get(getContext());
    parser.emitError(parser.getNameLoc(), "expects a scheme fixed or pairs, got ") << word;
    return {};
  }
  void printAttribute(Attribute attribute, DialectAsmPrinter &printer) const override {
    printer << (isa<FixedAttr>(attribute) ? "fixed" : "pairs");
  }
};

struct StoreFixed : public PassWrapper<StoreFixed, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(StoreFixed)
  StringRef getArgument() const override { return "outside-fixed"; }
  StringRef getDescription() const override { return "Store weights in 64ths"; }
  void getDependentDialects(DialectRegistry &registry) const override {
    registry.insert<OutsideDialect>();
  }

  void runOnOperation() override {
    ModuleOp module = getOperation();
    FlatLayers flat(module); // Layers of an imported model are functions.
    auto selection = selectWeights(module, getArgument(), /*include=*/"", /*exclude=*/"");
    if (failed(selection))
      return signalPassFailure();
    for (WeightUse &use : *selection) {
      FailureOr<std::vector<float>> values = readWeight(use.op());
      if (failed(values))
        return signalPassFailure();
      PackedWeight packed;
      packed.type = CompressedType::get(&getContext(), getWeightShape(use.op().getType()),
                                        getWeightElementType(use.op().getType()),
                                        FixedAttr::get(&getContext()));
      packed.components.emplace_back();
      for (float value : *values) {
        float code = std::nearbyint(value * FixedAttr::kSteps);
        if (!(std::abs(code) <= 127)) {
          use.op().emitError("outside-fixed: expects weights of at most 127/64, found ") << value;
          return signalPassFailure();
        }
        packed.components[0].push_back(static_cast<char>(code));
      }
      replaceWeight(use, packed, blobSuffix(module));
    }
  }
};

/// Looks for weights and forgets that layers may be functions.
struct CountWeights : public PassWrapper<CountWeights, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(CountWeights)
  StringRef getArgument() const override { return "outside-count"; }
  StringRef getDescription() const override { return "Say how many matrices there are"; }

  void runOnOperation() override {
    auto weights = collectWeights(getOperation());
    if (failed(weights))
      return signalPassFailure();
    getOperation().emitRemark("outside-count: ") << weights->size();
  }
};

} // namespace outside

extern "C" LLVM_ATTRIBUTE_WEAK DialectPluginLibraryInfo mlirGetDialectPluginInfo() {
  return {MLIR_PLUGIN_API_VERSION, "outside", "1",
          [](DialectRegistry *registry) { registry->insert<outside::OutsideDialect>(); }};
}

extern "C" LLVM_ATTRIBUTE_WEAK PassPluginLibraryInfo mlirGetPassPluginInfo() {
  return {MLIR_PLUGIN_API_VERSION, "outside", "1", [] {
            PassRegistration<outside::StoreFixed>();
            PassRegistration<outside::CountWeights>();
          }};
}
