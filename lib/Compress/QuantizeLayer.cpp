//===- QuantizeLayer.cpp - what the quantizing passes share -------------------------------===//
//
// Options and rounding.
//
#include "llmc/Compress/QuantizeLayer.h"

#include "mlir/IR/Diagnostics.h"
#include "llvm/Support/raw_ostream.h"

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

FailureOr<DynamicQuantAttr> llmc::readActivations(ModuleOp module, StringRef pass,
                                                  StringRef activations, int64_t group) {
  MLIRContext *context = module.getContext();
  Type i8 = IntegerType::get(context, 8);
  if (activations == "float")
    return DynamicQuantAttr();
  if (activations == "i8-token")
    return DynamicQuantAttr::get(context, i8, 0);
  if (activations == "i8-group" && group > 0)
    return DynamicQuantAttr::get(context, i8, group);
  if (activations == "i8-group")
    return mlir::emitError(module.getLoc())
           << pass << ": activations=i8-group needs groups of weights, and there are none here; "
           << "use i8-token";
  return mlir::emitError(module.getLoc()) << pass << ": expected activations=float, i8-token or "
                                          << "i8-group, found '" << activations << "'";
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

void llmc::setActivations(ArrayRef<WeightUse> selection, DynamicQuantAttr activations) {
  for (const WeightUse &use : selection)
    for (LinearOp linear : use.linears)
      if (activations)
        linear.setActivationsAttr(activations);
      else
        linear.removeActivationsAttr();
}
