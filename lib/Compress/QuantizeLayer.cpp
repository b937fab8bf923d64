//===- QuantizeLayer.cpp - what the quantizing passes share -------------------------------===//
//
// Options and rounding.
//
#include "llmc/Compress/QuantizeLayer.h"

#include "llmc/Calibrate/StatisticsAttr.h"

#include "mlir/IR/Diagnostics.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Support/raw_ostream.h"

#include <cmath>

using namespace mlir;
using namespace llmc;

std::string llmc::selectionText(StringRef include, StringRef exclude) {
  std::string text;
  if (!include.empty())
    text += " include=" + include.str();
  if (!exclude.empty())
    text += " exclude=" + exclude.str();
  return text;
}

FailureOr<Attribute> llmc::readActivations(ModuleOp module, StringRef pass, StringRef activations,
                                           int64_t group) {
  MLIRContext *context = module.getContext();
  Type i8 = IntegerType::get(context, 8);
  if (activations == "float")
    return Attribute();
  if (activations == "i8-token")
    return Attribute(DynamicQuantAttr::get(context, i8, 0));
  if (activations == "i8-static")
    return Attribute(StaticQuantAttr::get(context, i8));
  if (activations == "i8-group" && group > 0)
    return Attribute(DynamicQuantAttr::get(context, i8, group));
  if (activations == "i8-group")
    return mlir::emitError(module.getLoc())
           << pass << ": activations=i8-group needs groups of weights, and there are none here; "
           << "use i8-token";
  return mlir::emitError(module.getLoc()) << pass << ": expected activations=float, i8-token, "
                                          << "i8-group or i8-static, found '" << activations << "'";
}

FailureOr<ScaleType> llmc::readGroupOptions(ModuleOp module, StringRef pass, int64_t group,
                                            StringRef scale) {
  if (group < 0)
    return mlir::emitError(module.getLoc())
           << pass << ": expected a group of 1 or more inputs, or 0 (per channel), found " << group;
  if (scale != "f16" && scale != "f32")
    return mlir::emitError(module.getLoc())
           << pass << ": expected scale=f16 or f32, found '" << scale << "'";
  return scale == "f16" ? ScaleType::F16 : ScaleType::F32;
}

FailureOr<QuantizeSettings> llmc::readQuantizeOptions(ModuleOp module, StringRef pass, int64_t bits,
                                                      int64_t group, bool symmetric,
                                                      StringRef scale, StringRef activations) {
  QuantizeSettings settings;
  if (bits < 2 || bits > 8)
    return mlir::emitError(module.getLoc())
           << pass << ": expected bits from 2 to 8, found " << bits;
  auto scaleType = readGroupOptions(module, pass, group, scale);
  if (failed(scaleType))
    return failure();
  settings.format = {static_cast<int>(bits), group, symmetric, *scaleType};
  auto quantized = readActivations(module, pass, activations, group);
  if (failed(quantized))
    return failure();
  settings.activations = *quantized;
  llvm::raw_string_ostream(settings.text)
      << "bits=" << bits << " group=" << group << " symmetric=" << (symmetric ? "true" : "false")
      << " scale=" << scale << " activations=" << activations;
  return settings;
}

Status llmc::encodeStored(StoredWeight &weight, SchemeAttrInterface scheme) {
  if (weight.isSparse() && !scheme.decodePlan()->isPerWeight())
    return Failure{"some of its weights are pruned, but codes of the scheme stand for several; "
                   "expected a scheme with a code for each weight"};
  Result<PlainCodes> codes = scheme.encode(weight.values, weight.rows, weight.columns, weight.keep);
  if (!codes)
    return codes.failure();
  weight.setCodes(scheme, std::move(*codes));
  return {};
}

Status llmc::quantizeStored(StoredWeight &weight, const IntFormat &format,
                            Span<const float> limits) {
  QuantizeOptions options;
  options.keep = weight.keep;
  options.limits = limits;
  Result<IntWeight> codes =
      quantizeRtn(weight.values, weight.rows, weight.columns, format, options);
  if (!codes)
    return codes.failure();
  MLIRContext *context = weight.elementType.getContext();
  weight.setCodes(getIntScheme(context, format), plainCodes(context, *codes));
  return {};
}

void llmc::noteRequantized(const StoredWeight &weight, SmallVectorImpl<std::string> &notes) {
  if (weight.isQuantized())
    notes.push_back("already quantized, so decompressed and quantized again, which adds to the "
                    "error of the first time");
}

/// Largest magnitude that calibration has seen at what the linear reads.
static FailureOr<double> largestInput(LinearOp linear, StringRef pass, StringRef weight) {
  DictionaryAttr attribute = getStatistics(linear);
  if (!attribute)
    return mlir::emitError(linear.getLoc())
           << pass << ": weight \"" << weight << "\" has no calibration statistics, which "
           << "activations=i8-static takes its scale from; run --calibrate first";
  Result<ChannelStatistics> statistics = readStatistics(attribute);
  if (!statistics)
    return mlir::emitError(linear.getLoc())
           << pass << ": weight \"" << weight << "\": " << statistics.message();
  double largest = 0;
  for (double magnitude : statistics->maxAbs)
    largest = std::max(largest, magnitude);
  return largest;
}

/// The scales of static quantization, one for each value that is read.
static FailureOr<DenseMap<Value, float>> findScales(ArrayRef<WeightUse> selection, StringRef pass) {
  DenseMap<Value, double> largest;
  for (const WeightUse &use : selection)
    for (LinearOp linear : use.linears) {
      FailureOr<double> own = largestInput(linear, pass, use.name);
      if (failed(own))
        return failure();
      double &known = largest[linear.getRows()];
      known = std::max(known, *own);
    }
  DenseMap<Value, float> scales;
  for (auto [rows, magnitude] : largest) {
    // Of an input that was always 0, and of one too small to be divided by, any scale is right.
    auto scale = static_cast<float>(magnitude / 127);
    scales[rows] = std::isnormal(scale) ? scale : 1.0f;
  }
  return scales;
}

/// The scale as a weight in front of `reader`, under a name that no other data has.
static WeightOp makeScale(LinearOp reader, StringRef weight, float scale,
                          llvm::StringMap<Attribute> &names) {
  OpBuilder b(reader);
  auto type = RankedTensorType::get({1}, b.getF32Type());
  DictionaryAttr components = b.getDictionaryAttr(
      b.getNamedAttr("values", DenseElementsAttr::get(type, ArrayRef<float>{scale})));
  StringRef stem = weight;
  stem.consume_back(".weight");
  std::string name = (stem + ".input_scale").str(), first = name;
  for (unsigned i = 1; names.try_emplace(name, components).first->second != components; ++i)
    name = first + "." + std::to_string(i);
  return WeightOp::create(b, reader.getLoc(), type, b.getStringAttr(name), components);
}

/// Lets the linear read floats, and removes what then nobody reads.
static void readFloats(LinearOp linear) {
  linear.removeActivationsAttr();
  auto quantize = linear.getInput().getDefiningOp<QuantizeOp>();
  if (!quantize)
    return;
  linear.getInputMutable().assign(quantize.getInput());
  if (!quantize->use_empty())
    return;
  auto scale = quantize.getScale() ? quantize.getScale().getDefiningOp<WeightOp>() : WeightOp();
  quantize.erase();
  if (scale && scale->use_empty())
    scale.erase();
}

LogicalResult llmc::setActivations(ModuleOp module, StringRef pass, ArrayRef<WeightUse> selection,
                                   Attribute activations) {
  DenseMap<Value, float> scales;
  if (isa_and_nonnull<StaticQuantAttr>(activations)) {
    FailureOr<DenseMap<Value, float>> found = findScales(selection, pass);
    if (failed(found))
      return failure();
    scales = std::move(*found);
  }
  separateActivations(module);
  for (const WeightUse &use : selection)
    for (LinearOp linear : use.linears)
      readFloats(linear);
  if (!activations)
    return success();
  llvm::StringMap<Attribute> names;
  module.walk([&](WeightOp weight) { names[weight.getWeightName()] = weight.getComponents(); });
  for (const WeightUse &use : selection)
    for (LinearOp linear : use.linears) {
      auto known = scales.find(linear.getInput());
      WeightOp scale =
          known == scales.end() ? WeightOp() : makeScale(linear, use.name, known->second, names);
      linear.getInputMutable().assign(quantizeOnce(linear.getInput(), activations, scale, linear));
      if (scale && scale->use_empty()) // Another reader's is as good.
        scale.erase();
    }
  return success();
}
