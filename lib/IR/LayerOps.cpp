//===- LayerOps.cpp - layers as functions: syntax and verifiers --------------------------===//
//
// The labels C1, C2, ... are those of the operations' descriptions.
//
#include "llmc/IR/Layers.h"

#include "mlir/IR/Builders.h"
#include "mlir/Interfaces/FunctionImplementation.h"

using namespace mlir;
using namespace llmc;

LogicalResult PerLayerAttr::verify(function_ref<InFlightDiagnostic()> emitError, int64_t number) {
  if (number < 0)
    return emitError() << "expects a number of 0 or more, got " << number;
  return success();
}

std::string llmc::valueNameOf(StringRef weight) {
  SmallVector<StringRef> parts;
  weight.split(parts, '.');
  std::string name;
  for (StringRef part : ArrayRef(parts).take_back(2)) {
    if (!name.empty())
      name += "_";
    for (char c : part)
      name += llvm::isAlnum(c) || c == '_' ? c : '_';
  }
  return name;
}

int64_t llmc::countPerLayer(LayerOp layer) {
  int64_t count = 0;
  for (Operation &op : layer.getBody().front())
    for (NamedAttribute attribute : op.getDiscardableAttrs())
      if (auto own = dyn_cast<PerLayerAttr>(attribute.getValue()))
        count = std::max(count, own.getNumber() + 1);
  return count;
}

//===----------------------------------------------------------------------===//
// llmc.layer
//===----------------------------------------------------------------------===//

ParseResult LayerOp::parse(OpAsmParser &parser, OperationState &result) {
  auto type = [](Builder &builder, ArrayRef<Type> arguments, ArrayRef<Type> results,
                 function_interface_impl::VariadicFlag,
                 std::string &) { return builder.getFunctionType(arguments, results); };
  return function_interface_impl::parseFunctionOp(
      parser, result, /*allowVariadic=*/false, getFunctionTypeAttrName(result.name), type,
      getArgAttrsAttrName(result.name), getResAttrsAttrName(result.name));
}

void LayerOp::print(OpAsmPrinter &printer) {
  function_interface_impl::printFunctionOp(printer, *this, /*isVariadic=*/false,
                                           getFunctionTypeAttrName(), getArgAttrsAttrName(),
                                           getResAttrsAttrName());
}

void LayerOp::getAsmBlockArgumentNames(Region &region, OpAsmSetValueNameFn setName) {
  if (region.empty() || region.getNumArguments() != getNumArguments())
    return; // While it is parsed, or broken.
  for (BlockArgument argument : region.getArguments())
    if (auto name = getArgAttrOfType<StringAttr>(argument.getArgNumber(), "llmc.name"))
      setName(argument, valueNameOf(name));
}

LogicalResult LayerOp::verifyRegions() {
  if (!isPrivate()) // C1
    return emitOpError("expects private visibility: entry points are func.func");
  if (getBody().empty())
    return emitOpError("expects a body");
  for (Operation &op : getBody().front())
    if (isa<WeightOp, LayerCallOp>(op)) // C2
      return op.emitOpError("cannot stand in llmc.layer @")
             << getSymName() << ": it belongs to the entry point that calls the layer";
  return success();
}

LogicalResult LayerReturnOp::verify() {
  auto layer = cast<LayerOp>((*this)->getParentOp());
  if (TypeRange(getOperandTypes()) != TypeRange(layer.getResultTypes())) // C1
    return emitOpError("expects the results of llmc.layer @")
           << layer.getSymName() << ", " << layer.getFunctionType();
  return success();
}

//===----------------------------------------------------------------------===//
// llmc.call
//===----------------------------------------------------------------------===//

LogicalResult LayerCallOp::verify() {
  for (int64_t place : getPlaces().value_or(ArrayRef<int64_t>()))
    if (place < 0) // C5
      return emitOpError("expects places of 0 or more, got ") << place;
  return success();
}

LogicalResult LayerCallOp::verifySymbolUses(SymbolTableCollection &symbols) {
  auto layer = symbols.lookupNearestSymbolFrom<LayerOp>(*this, getCalleeAttr());
  if (!layer || layer.getBody().empty()) // C1
    return emitOpError("expects llmc.layer ") << getCalleeAttr() << " in the module";
  if (TypeRange(getOperandTypes()) != TypeRange(layer.getArgumentTypes()) ||
      TypeRange(getResultTypes()) != TypeRange(layer.getResultTypes())) // C2
    return emitOpError("expects operands and results of ")
           << getCalleeAttr() << ", " << layer.getFunctionType() << ", got "
           << FunctionType::get(getContext(), getOperandTypes(), getResultTypes());
  SmallVector<CacheOp> wanted(layer.getBody().front().getOps<CacheOp>());
  ArrayRef<Attribute> given;
  if (ArrayAttr caches = getCachesAttr())
    given = caches.getValue();
  if (given.size() != wanted.size()) // C3
    return emitOpError("expects ")
           << wanted.size() << " caches for " << getCalleeAttr() << ", got " << given.size();
  for (auto [name, inside] : llvm::zip_equal(given, wanted)) {
    auto cache = symbols.lookupNearestSymbolFrom<CacheOp>(*this, cast<FlatSymbolRefAttr>(name));
    if (!cache) // C3
      return emitOpError("expects llmc.cache ") << name << " in the module";
    if (cache.getType() != inside.getType() ||
        cache.getByteProducts() != inside.getByteProducts()) // C3
      return emitOpError("expects ")
             << name << " to be a cache like @" << inside.getSymName() << " of " << getCalleeAttr()
             << ", " << inside.getType() << (inside.getByteProducts() ? " with byte_products" : "")
             << ", got " << cache.getType()
             << (cache.getByteProducts() ? " with byte_products" : "");
  }
  const int64_t named = countPerLayer(layer);
  const auto has = static_cast<int64_t>(getPerLayer() ? getPerLayer()->size() : 0);
  if (has < named) // C4
    return emitOpError("expects per_layer of ")
           << named << " entries for " << getCalleeAttr() << ", got " << has;
  return success();
}
