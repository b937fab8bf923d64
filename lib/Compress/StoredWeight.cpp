//===- StoredWeight.cpp - a weight as the numerics see it, and its stored form ------------===//
//
// Packing and unpacking by the plan of a scheme.
//
#include "llmc/Compress/StoredWeight.h"

#include "llmc/IR/StoredRows.h"
#include "llmc/IR/WeightData.h"
#include "llmc/Numerics/Prune.h"

#include <cmath>

using namespace mlir;
using namespace llmc;

void StoredWeight::setCodes(SchemeAttrInterface newScheme, PlainCodes newCodes) {
  scheme = newScheme;
  codes = std::move(newCodes);
  values = decodeCodes(*scheme.decodePlan(), rows, columns, codes);
  if (isSparse())
    applyMask(values, keep);
}

void StoredWeight::setFloat(std::vector<float> newValues) {
  scheme = {};
  storage = elementType;
  values = std::move(newValues);
  codes = {};
}

void StoredWeight::prune(std::vector<uint8_t> mask, Sparsity how) {
  applyMask(values, mask);
  if (std::optional<DecodePlan> plan = scheme ? scheme.decodePlan() : std::nullopt;
      plan && plan->isPerWeight())
    pruneStored(*plan, rows, columns, codes, mask);
  else if (scheme)
    setFloat(std::move(values));
  keep = std::move(mask);
  sparsity = how;
}

int64_t PackedWeight::bytes() const {
  int64_t sum = 0;
  for (const std::vector<char> &component : components)
    sum += component.size();
  return sum;
}

double PackedWeight::bitsPerWeight() const {
  ArrayRef<int64_t> shape = getWeightShape(type);
  return 8.0 * static_cast<double>(bytes()) / (static_cast<double>(shape[0]) * shape[1]);
}

int64_t llmc::storedBytes(WeightOp weight) {
  int64_t sum = 0;
  for (NamedAttribute component : weight.getComponents())
    if (auto elements = dyn_cast<ElementsAttr>(component.getValue()))
      sum +=
          elements.getNumElements() * ((elements.getElementType().getIntOrFloatBitWidth() + 7) / 8);
  return sum;
}

Result<StoredWeight> llmc::unpackWeight(WeightOp op) {
  StoredWeight weight;
  ArrayRef<int64_t> shape = getWeightShape(op.getType());
  if (shape.size() != 2)
    return Failure{"expected a weight of two dimensions, found " + std::to_string(shape.size())};
  weight.rows = shape[0];
  weight.columns = shape[1];
  weight.elementType = getWeightElementType(op.getType());
  if (weight.elementType.isF64())
    weight.elementType = Float32Type::get(op.getContext());
  FailureOr<std::vector<float>> values = readWeight(op);
  if (failed(values))
    return Failure{"cannot be read"};
  weight.values = std::move(*values);
  weight.storage = weight.elementType;

  if (SchemeAttrInterface scheme = getScheme(op.getType())) {
    std::optional<DecodePlan> plan = scheme.decodePlan();
    weight.scheme = cast<SchemeAttrInterface>(scheme.keptScheme());
    if (plan) {
      FailureOr<StoredData> data = getStoredData(op);
      if (failed(data))
        return Failure{"cannot be read"};
      weight.codes = unpackCodes(*plan, weight.rows, weight.columns, data->bytes, weight.keep);
      weight.sparsity = plan->keepM    ? StoredWeight::Sparsity::NM
                        : plan->masked ? StoredWeight::Sparsity::Mask
                                       : StoredWeight::Sparsity::None;
      weight.n = plan->keepN;
      weight.m = plan->keepM;
    }
    if (plan && plan->level == DecodePlan::Level::Value) {
      weight.scheme = {};
      weight.storage = plan->valueType;
    }
  }
  if (Status ok = verifyFinite(weight.values, weight.rows, weight.columns); !ok)
    return ok.failure();
  return weight;
}

/// The entries that are kept, all of them without a mask.
static std::vector<float> keptValues(const StoredWeight &weight) {
  std::vector<float> kept;
  for (size_t i = 0; i < weight.values.size(); ++i)
    if (!weight.isSparse() || weight.keep[i])
      kept.push_back(weight.values[i]);
  return kept;
}

Result<PackedWeight> llmc::packWeight(const StoredWeight &weight) {
  PackedWeight packed;
  SchemeAttrInterface scheme =
      weight.isQuantized() ? weight.scheme : getValueScheme(weight.storage);
  int64_t shape[] = {weight.rows, weight.columns};
  if (weight.sparsity == StoredWeight::Sparsity::NM)
    scheme = getNMScheme(scheme, weight.n, weight.m);
  else if (weight.sparsity == StoredWeight::Sparsity::Mask)
    scheme = getMaskScheme(scheme);
  packed.type = CompressedType::get(scheme.getContext(), shape, weight.elementType, scheme);
  if (weight.isQuantized()) {
    auto components =
        packCodes(*scheme.decodePlan(), weight.rows, weight.columns, weight.codes, weight.keep);
    if (!components)
      return components.failure();
    packed.components = std::move(*components);
    return packed;
  }
  std::vector<char> stored = storeFloats(keptValues(weight), weight.storage);
  for (float value : readFloats(stored, weight.storage))
    if (!std::isfinite(value))
      return Failure{"a value is too large for its type"};
  if (weight.isSparse())
    packed.components.push_back(packMask(weight.keep, weight.rows, weight.columns));
  else if (weight.storage == weight.elementType)
    packed.type = RankedTensorType::get(shape, weight.elementType);
  packed.components.push_back(std::move(stored));
  return packed;
}
