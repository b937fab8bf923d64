//===- GraphOps.cpp - verifiers and shape inference of the graph ------------------------===//
//
// The labels C1, C2, ... are those of the operations' descriptions.
//
#include "llmc/IR/Layers.h"
#include "llmc/IR/WeightData.h"

#include "mlir/IR/Builders.h"
#include "llvm/ADT/TypeSwitch.h"

#include <cmath>

using namespace mlir;
using namespace llmc;

#include "llmc/IR/GraphInterfaces.cpp.inc"
#define GET_OP_CLASSES
#include "llmc/IR/LLMCOps.cpp.inc"

static int64_t lastDim(Value value) {
  auto type = cast<RankedTensorType>(value.getType());
  return type.getRank() ? type.getShape().back() : 1;
}

// `like` with another last dimension.
static RankedTensorType withLastDim(Type like, int64_t last, Type element) {
  auto type = cast<RankedTensorType>(like);
  SmallVector<int64_t> shape(type.getShape());
  if (shape.empty())
    shape.push_back(last);
  shape.back() = last;
  return RankedTensorType::get(shape, element);
}

/// An attribute that a type is inferred from: while text is parsed it is in the dictionary, later
/// it is a property.
template <typename Attr>
static Attr readAttribute(DictionaryAttr attributes, StringRef name, Attr property) {
  auto attribute = attributes ? attributes.getAs<Attr>(name) : Attr();
  return attribute ? attribute : property;
}

//===----------------------------------------------------------------------===//
// llmc.weight, llmc.decompress
//===----------------------------------------------------------------------===//

void WeightOp::getAsmResultNames(function_ref<void(Value, StringRef)> setName) {
  setName(getResult(), valueNameOf(getWeightName()));
}

LogicalResult WeightOp::verify() {
  SmallVector<SchemeComponent> expected;
  auto compressed = dyn_cast<CompressedType>(getType());
  if (compressed) {
    expected =
        compressed.getSchemeInterface().components(compressed.getRows(), compressed.getColumns());
  } else {
    auto type = cast<RankedTensorType>(getType());
    if (!type.hasStaticShape())
      return emitOpError("expects a static shape, got ") << type;
    expected.push_back({"values", type.getElementType(), SmallVector<int64_t, 2>(type.getShape())});
  }
  if (getComponents().size() != expected.size()) { // C1
    auto diagnostic = emitOpError("\"") << getWeightName() << "\" expects components";
    for (const SchemeComponent &component : expected)
      diagnostic << " '" << component.name << "'";
    return diagnostic << ", got " << getComponents().size() << " of them";
  }
  SmallVector<ComponentData> data;
  SmallVector<ArrayRef<char>> bytes;
  for (const SchemeComponent &component : expected) {
    ElementsAttr elements = getComponent(component.name);
    if (!elements)
      return emitOpError("\"") << getWeightName() << "\" has no component '" << component.name
                               << "'";
    ArrayRef<int64_t> shape = elements.getShapedType().getShape();
    bool sameShape = shape.size() == component.shape.size();
    for (auto [have, want] : llvm::zip(shape, component.shape))
      sameShape &= want == ShapedType::kDynamic || have == want;
    if (!sameShape || elements.getElementType() != component.elementType)
      return emitOpError("\"") << getWeightName() << "\" expects component '" << component.name
                               << "' of "
                               << RankedTensorType::get(component.shape, component.elementType)
                               << ", got " << elements.getShapedType();
    data.emplace_back(elements);
    if (!data.back().valid())
      return emitOpError("\"") << getWeightName() << "\" component '" << component.name
                               << "' has no data of the size its type asks for";
    bytes.push_back(data.back().bytes());
  }
  if (!compressed)
    return success(); // Dense values may be huge: whoever reads them checks that they are finite.
  return compressed.getSchemeInterface().verifyData( // C2
      compressed.getRows(), compressed.getColumns(), bytes,
      [&] { return emitOpError("\"") << getWeightName() << "\" "; });
}

LogicalResult DecompressOp::inferReturnTypes(MLIRContext *, std::optional<Location>,
                                             ValueRange operands, DictionaryAttr, OpaqueProperties,
                                             RegionRange, SmallVectorImpl<Type> &results) {
  results.push_back(cast<CompressedType>(operands[0].getType()).getDenseType());
  return success();
}

//===----------------------------------------------------------------------===//
// llmc.linear, llmc.embedding
//===----------------------------------------------------------------------===//

// Matrix operands: a compressed weight always has two dimensions, a tensor must.
static LogicalResult checkMatrix(std::optional<Location> loc, Type type, StringRef what) {
  if (getWeightShape(type).size() != 2)
    return emitOptionalError(loc, "expects a ", what, " of two dimensions, got ", type);
  return success();
}

LogicalResult LinearOp::inferReturnTypes(MLIRContext *, std::optional<Location> loc,
                                         ValueRange operands, DictionaryAttr, OpaqueProperties,
                                         RegionRange, SmallVectorImpl<Type> &results) {
  Type weight = operands[1].getType();
  if (failed(checkMatrix(loc, weight, "weight")))
    return failure();
  auto quantized = dyn_cast<QuantizedType>(operands[0].getType());
  RankedTensorType input =
      quantized ? quantized.getDenseType() : cast<RankedTensorType>(operands[0].getType());
  results.push_back(withLastDim(input, getWeightShape(weight)[0], input.getElementType()));
  return success();
}

WeightSlot LinearOp::getWeightSlot(unsigned operand) {
  return operand == 0 ? WeightSlot::None : operand == 1 ? WeightSlot::Matrix : WeightSlot::Bias;
}

LogicalResult LinearOp::verify() {
  ArrayRef<int64_t> shape = getWeightShape(getWeight().getType());
  auto quantized = dyn_cast<QuantizedType>(getInput().getType());
  if (quantized && getActivationsAttr()) // C3
    return emitOpError("cannot quantize what is quantized already: ") << quantized;
  if ((quantized ? quantized.getWidth() : lastDim(getInput())) != shape[1]) // C1
    return emitOpError("expects an input of ")
           << shape[1] << " channels for a weight of " << shape[0] << "x" << shape[1] << ", got "
           << getInput().getType();
  if (getBias()) { // C2
    auto bias = cast<RankedTensorType>(getBias().getType());
    if (bias.getRank() != 1 || bias.getDimSize(0) != shape[0])
      return emitOpError("expects a bias of ") << shape[0] << " elements, got " << bias;
  }
  return success();
}

LogicalResult EmbeddingOp::inferReturnTypes(MLIRContext *, std::optional<Location> loc,
                                            ValueRange operands, DictionaryAttr, OpaqueProperties,
                                            RegionRange, SmallVectorImpl<Type> &results) {
  Type weight = operands[0].getType();
  if (failed(checkMatrix(loc, weight, "weight")))
    return failure();
  SmallVector<int64_t> shape(cast<RankedTensorType>(operands[1].getType()).getShape());
  shape.push_back(getWeightShape(weight)[1]);
  results.push_back(RankedTensorType::get(shape, getWeightElementType(weight)));
  return success();
}

LogicalResult EmbeddingOp::verify() { return success(); }

WeightSlot EmbeddingOp::getWeightSlot(unsigned operand) {
  return operand == 0 ? WeightSlot::Table : WeightSlot::None;
}

//===----------------------------------------------------------------------===//
// Norms, rotation, split
//===----------------------------------------------------------------------===//

LogicalResult RMSNormOp::inferReturnTypes(MLIRContext *, std::optional<Location>,
                                          ValueRange operands, DictionaryAttr, OpaqueProperties,
                                          RegionRange, SmallVectorImpl<Type> &results) {
  results.push_back(operands[0].getType());
  return success();
}

WeightSlot RMSNormOp::getWeightSlot(unsigned operand) {
  return operand == 0 ? WeightSlot::None : WeightSlot::Vector;
}

int64_t RMSNormOp::getColumnGranule() {
  return getGroups() > 1 ? lastDim(getInput()) / static_cast<int64_t>(getGroups()) : 0;
}

LogicalResult RMSNormOp::verify() {
  int64_t groups = getGroups(), width = lastDim(getInput());
  auto scale = cast<RankedTensorType>(getScale().getType());
  if (groups < 1 || width % groups != 0)
    return emitOpError("expects groups to divide the row, got ") << groups << " and " << width;
  if (scale.getRank() != 1 || scale.getDimSize(0) != width / groups) // C1
    return emitOpError("expects a scale of ") << width / groups << " elements, got " << scale;
  return success();
}

LogicalResult LayerNormOp::inferReturnTypes(MLIRContext *, std::optional<Location>,
                                            ValueRange operands, DictionaryAttr, OpaqueProperties,
                                            RegionRange, SmallVectorImpl<Type> &results) {
  results.push_back(operands[0].getType());
  return success();
}

WeightSlot LayerNormOp::getWeightSlot(unsigned operand) {
  return operand == 0 ? WeightSlot::None : WeightSlot::Vector;
}

LogicalResult LayerNormOp::verify() {
  for (Value value : getOperands().drop_front()) { // C1
    auto type = cast<RankedTensorType>(value.getType());
    if (type.getRank() != 1 || type.getDimSize(0) != lastDim(getInput()))
      return emitOpError("expects scale and bias of ")
             << lastDim(getInput()) << " elements, got " << type;
  }
  return success();
}

int64_t RopeOp::getColumnGranule() {
  return lastDim(getInput()) / static_cast<int64_t>(getHeads());
}

LogicalResult RopeOp::verify() {
  int64_t width = lastDim(getInput()), heads = getHeads();
  if (heads < 1 || width % heads != 0) // C1
    return emitOpError("expects heads to divide the row, got ") << heads << " and " << width;
  int64_t rotated = 2 * static_cast<int64_t>(getFrequencies().size());
  if (rotated == 0 || rotated > width / heads) // C2
    return emitOpError("expects 1 to ") << width / heads / 2 << " frequencies for heads of "
                                        << width / heads << ", got " << getFrequencies().size();
  ArrayRef<double> later = getLongFrequencies().value_or(ArrayRef<double>());
  int64_t original = getOriginalContext();
  if (getLongFrequencies().has_value() != (original != 0) || original < 0) // C3
    return emitOpError("expects long_frequencies together with an original_context of at least 1, "
                       "got original_context = ")
           << original << (getLongFrequencies() ? " with" : " without") << " long_frequencies";
  if (original && later.size() != getFrequencies().size()) // C3
    return emitOpError("expects as many long_frequencies as frequencies, got ")
           << later.size() << " and " << getFrequencies().size();
  for (ArrayRef<double> all : {getFrequencies(), later})
    for (double frequency : all)
      if (!std::isfinite(frequency))
        return emitOpError("expects finite frequencies");
  return success();
}

LogicalResult SplitOp::verify() {
  auto input = cast<RankedTensorType>(getInput().getType());
  int64_t sum = 0;
  for (Type type : getResultTypes()) {
    auto result = cast<RankedTensorType>(type);
    if (result.getRank() != input.getRank() ||
        result.getShape().drop_back() != input.getShape().drop_back())
      return emitOpError("expects results shaped like the input but for the last dimension, got ")
             << result << " of " << input;
    sum += result.getShape().back();
  }
  if (sum != lastDim(getInput())) // C1
    return emitOpError("expects the results' last dimensions to sum to ")
           << lastDim(getInput()) << ", got " << sum;
  return success();
}

//===----------------------------------------------------------------------===//
// llmc.attention, llmc.cache
//===----------------------------------------------------------------------===//

LogicalResult AttentionOp::inferReturnTypes(MLIRContext * /*context*/, std::optional<Location> loc,
                                            ValueRange operands, DictionaryAttr attributes,
                                            OpaqueProperties properties, RegionRange /*regions*/,
                                            SmallVectorImpl<Type> &results) {
  auto *held = properties.as<Properties *>();
  auto read = [&](StringRef name, IntegerAttr property) {
    IntegerAttr attribute = readAttribute(attributes, name, property);
    return attribute ? attribute.getInt() : 0;
  };
  int64_t heads = read("heads", held ? held->heads : IntegerAttr());
  int64_t kvHeads = read("kv_heads", held ? held->kv_heads : IntegerAttr());
  auto query = dyn_cast<RankedTensorType>(operands[0].getType());
  auto value = dyn_cast<RankedTensorType>(operands[2].getType());
  if (heads < 1 || kvHeads < 1 || !query || !value || value.getRank() < 1)
    return emitOptionalError(loc, "expects heads and kv_heads of 1 or more, got ", heads, " and ",
                             kvHeads);
  results.push_back(
      withLastDim(query, value.getShape().back() / kvHeads * heads, query.getElementType()));
  return success();
}

LogicalResult AttentionOp::verify() {
  int64_t heads = getHeads(), kvHeads = getKvHeads();
  int64_t query = lastDim(getQuery()), key = lastDim(getKey()), value = lastDim(getValue());
  if (heads < 1 || kvHeads < 1 || heads % kvHeads != 0 || query % heads != 0 ||
      key % kvHeads != 0 || value % kvHeads != 0) // C1
    return emitOpError("expects heads to divide the query, kv_heads to divide key and value and "
                       "the heads, got ")
           << heads << " heads over " << query << ", " << kvHeads << " kv_heads over " << key
           << " and " << value;
  if (query / heads != key / kvHeads) // C2
    return emitOpError("expects query and key heads of one size, got ")
           << query / heads << " and " << key / kvHeads;
  auto window = static_cast<int64_t>(getWindow());
  if (window < 0 || (window > 0 && !getCausal())) // C3
    return emitOpError("expects a window of 0 or more, and causal with a window");
  return success();
}

LogicalResult AttentionOp::verifySymbolUses(SymbolTableCollection &symbols) {
  if (!getCacheAttr())
    return success();
  auto cache = symbols.lookupNearestSymbolFrom<CacheOp>(*this, getCacheAttr());
  if (!cache) // C4
    return emitOpError("expects llmc.cache ") << getCacheAttr() << " in the module";
  auto type = cast<RankedTensorType>(cache.getType());
  int64_t headSize = lastDim(getKey()) / static_cast<int64_t>(getKvHeads());
  if (lastDim(getValue()) != lastDim(getKey()))
    return emitOpError("expects keys and values of one width with a cache, got ")
           << lastDim(getKey()) << " and " << lastDim(getValue());
  if (type.getDimSize(0) != static_cast<int64_t>(getKvHeads()) || type.getDimSize(1) != headSize)
    return emitOpError("expects a cache of ")
           << getKvHeads() << "x" << headSize << ", got " << type;
  return success();
}

void AttentionOp::getEffects(
    SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>> &effects) {
  if (!getCacheAttr())
    return;
  effects.emplace_back(MemoryEffects::Read::get(), getCacheAttr());
  effects.emplace_back(MemoryEffects::Write::get(), getCacheAttr());
}

int64_t CacheStoreOp::getColumnGranule() {
  return lastDim(getInput()) / static_cast<int64_t>(getHeads());
}

LogicalResult CacheStoreOp::verify() {
  int64_t heads = getHeads(), width = lastDim(getInput());
  if (heads < 1 || width % heads != 0) // C1
    return emitOpError("expects heads to divide the width, got ")
           << heads << " heads over " << width;
  return success();
}

LogicalResult CacheStoreOp::verifySymbolUses(SymbolTableCollection &symbols) {
  auto cache = symbols.lookupNearestSymbolFrom<CacheOp>(*this, getCacheAttr());
  if (!cache) // C2
    return emitOpError("expects llmc.cache ") << getCacheAttr() << " in the module";
  auto type = cast<RankedTensorType>(cache.getType());
  int64_t heads = getHeads(), size = lastDim(getInput()) / heads;
  if (type.getDimSize(0) != heads || type.getDimSize(1) != size)
    return emitOpError("expects a cache of ") << heads << "x" << size << ", got " << type;
  return success();
}

/// Whether the file is of this version of the dialect or later.
static bool isSince(DialectBytecodeReader &reader, uint64_t least) {
  FailureOr<const DialectVersion *> version = reader.getDialectVersion<LLMCDialect>();
  return succeeded(version) && static_cast<const LLMCDialectVersion *>(*version)->version >= least;
}

LogicalResult RopeOp::readProperties(DialectBytecodeReader &reader, OperationState &state) {
  auto &held = state.getOrAddProperties<Properties>();
  if (failed(reader.readOptionalAttribute(held.attention_factor)) ||
      failed(reader.readAttribute(held.frequencies)) || failed(reader.readAttribute(held.heads)) ||
      failed(reader.readAttribute(held.layout)))
    return failure();
  return success(!isSince(reader, 3) ||
                 (succeeded(reader.readOptionalAttribute(held.long_frequencies)) &&
                  succeeded(reader.readOptionalAttribute(held.original_context))));
}

void RopeOp::writeProperties(DialectBytecodeWriter &writer) {
  Properties &held = getProperties();
  writer.writeOptionalAttribute(held.attention_factor);
  writer.writeAttribute(held.frequencies);
  writer.writeAttribute(held.heads);
  writer.writeAttribute(held.layout);
  writer.writeOptionalAttribute(held.long_frequencies);
  writer.writeOptionalAttribute(held.original_context);
}

LogicalResult CacheOp::readProperties(DialectBytecodeReader &reader, OperationState &state) {
  auto &held = state.getOrAddProperties<Properties>();
  if (isSince(reader, 2) && failed(reader.readOptionalAttribute(held.byte_products)))
    return failure();
  return success(succeeded(reader.readAttribute(held.sym_name)) &&
                 succeeded(reader.readAttribute(held.type)));
}

void CacheOp::writeProperties(DialectBytecodeWriter &writer) {
  writer.writeOptionalAttribute(getByteProductsAttr());
  writer.writeAttribute(getSymNameAttr());
  writer.writeAttribute(getTypeAttr());
}

LogicalResult CacheOp::verify() {
  auto type = cast<RankedTensorType>(getType());
  if (type.getRank() != 2 || !type.hasStaticShape()) // C1
    return emitOpError("expects kv heads x head size, got ") << type;
  if (getByteProducts() && !type.getElementType().isInteger(8)) // C2
    return emitOpError("expects elements of i8 with byte_products, got ") << type;
  return success();
}

//===----------------------------------------------------------------------===//
// llmc.reduce, llmc.gather, llmc.top_k
//===----------------------------------------------------------------------===//

LogicalResult ReduceOp::inferReturnTypes(MLIRContext *, std::optional<Location> loc,
                                         ValueRange operands, DictionaryAttr attributes,
                                         OpaqueProperties properties, RegionRange,
                                         SmallVectorImpl<Type> &results) {
  auto *held = properties.as<Properties *>();
  auto axes = readAttribute(attributes, "axes", held ? held->axes : DenseI64ArrayAttr());
  auto input = dyn_cast<RankedTensorType>(operands[0].getType());
  if (!input || !axes)
    return emitOptionalError(loc, "expects a tensor and axes to reduce over");
  SmallVector<int64_t> shape(input.getShape());
  for (int64_t axis : axes.asArrayRef()) {
    if (axis < 1 || axis >= input.getRank()) // C1
      return emitOptionalError(loc, "expects axes from 1 to ", input.getRank() - 1, ", got ", axis);
    shape[axis] = 1;
  }
  results.push_back(RankedTensorType::get(shape, input.getElementType()));
  return success();
}

LogicalResult ReduceOp::verify() {
  ArrayRef<int64_t> axes = getAxes();
  if (axes.empty() || !llvm::is_sorted(axes, std::less_equal<>())) // C1
    return emitOpError("expects ascending axes, got [") << axes << "]";
  int64_t rank = cast<RankedTensorType>(getInput().getType()).getRank();
  if (getMask() && (rank != 3 || axes.front() != 1)) // C2
    return emitOpError("expects a mask over the sequence of [batch, sequence, width], got axes [")
           << axes << "] of " << getInput().getType();
  if (getMask() && cast<RankedTensorType>(getMask().getType()).getRank() != 2)
    return emitOpError("expects a mask of [batch, sequence], got ") << getMask().getType();
  return success();
}

LogicalResult GatherOp::inferReturnTypes(MLIRContext *, std::optional<Location> loc,
                                         ValueRange operands, DictionaryAttr, OpaqueProperties,
                                         RegionRange, SmallVectorImpl<Type> &results) {
  auto input = dyn_cast<RankedTensorType>(operands[0].getType());
  auto index = operands.size() > 1 ? dyn_cast<RankedTensorType>(operands[1].getType()) : nullptr;
  const bool isTable = input && input.getRank() == 2 && operands.size() > 1;
  if (!isTable && (!input || input.getRank() != 3)) // C2
    return emitOptionalError(loc,
                             "expects [batch, sequence, width], or with an index a table of "
                             "two dimensions, got ",
                             operands[0].getType());
  if (operands.size() > 1 && (!index || index.getRank() != 2)) // C3
    return emitOptionalError(loc, "expects an index of [batch, rows], got ", operands[1].getType());
  int64_t batch = index ? index.getDimSize(0) : input.getDimSize(0);
  int64_t rows = index ? index.getDimSize(1) : 1;
  results.push_back(
      RankedTensorType::get({batch, rows, input.getShape().back()}, input.getElementType()));
  return success();
}

WeightSlot GatherOp::getWeightSlot(unsigned operand) {
  return operand == 0 && isOfTable() ? WeightSlot::Rows : WeightSlot::None;
}

LogicalResult GatherOp::verify() {
  if ((getIndex() != nullptr) == getPosition().has_value()) // C1
    return emitOpError("expects an index or a position, got ") << (getIndex() ? "both" : "neither");
  return success();
}

LogicalResult TopKOp::inferReturnTypes(MLIRContext *, std::optional<Location> loc,
                                       ValueRange operands, DictionaryAttr attributes,
                                       OpaqueProperties properties, RegionRange,
                                       SmallVectorImpl<Type> &results) {
  auto *held = properties.as<Properties *>();
  auto k = readAttribute(attributes, "k", held ? held->k : IntegerAttr());
  auto input = dyn_cast<RankedTensorType>(operands[0].getType());
  if (!input || !k || k.getInt() < 1) // C1
    return emitOptionalError(loc, "expects a tensor and a k of at least 1");
  results.push_back(withLastDim(input, k.getInt(), input.getElementType()));
  results.push_back(withLastDim(input, k.getInt(), IntegerType::get(input.getContext(), 64)));
  return success();
}

LogicalResult TopKOp::verify() {
  if (static_cast<int64_t>(getK()) > lastDim(getInput())) // C1
    return emitOpError("expects at most ")
           << lastDim(getInput()) << " elements of a row, got " << getK();
  return success();
}
