//===- InlineLayers.cpp - the flat graph ---------------------------------------------------===//
//
// The body of a layer in the place of each call, with what the call has of its own.
//
#include "llmc/IR/Layers.h"
#include "llmc/IR/Passes.h"

#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/Statistic.h"

#define DEBUG_TYPE "inline-layers"

namespace llmc {
#define GEN_PASS_DEF_INLINELAYERS
#include "llmc/IR/Passes.h.inc"
} // namespace llmc

using namespace mlir;
using namespace llmc;

ALWAYS_ENABLED_STATISTIC(callsInlined, "Calls of layers that were inlined");

Attribute llmc::absentInLayer(MLIRContext *context) {
  return TypeAttr::get(NoneType::get(context));
}

SmallVector<WeightOp> llmc::weightsInFrontOf(Operation *op) {
  SmallVector<WeightOp> weights;
  for (Operation *front = op->getPrevNode(); front; front = front->getPrevNode()) {
    auto weight = dyn_cast<WeightOp>(front);
    if (!weight)
      break;
    weights.push_back(weight);
  }
  std::reverse(weights.begin(), weights.end());
  return weights;
}

SmallVector<int64_t> llmc::defaultPlaces(ArrayRef<WeightOp> weights, Operation *call,
                                         ArrayRef<int64_t> reads) {
  DenseMap<Value, int64_t> first;
  for (auto [operand, read] : llvm::zip_equal(call->getOperands(), reads)) {
    int64_t &place = first.try_emplace(operand, read).first->second;
    place = std::min(place, read);
  }
  SmallVector<int64_t> places;
  for (WeightOp weight : weights)
    places.push_back(first.lookup(weight.getResult())); // 0 for one that only others read.
  return places;
}

namespace {

/// The locations that a layer and its calls list, in the same order; none where somebody has
/// dropped them.
ArrayRef<Attribute> listedLocations(Location loc) {
  auto fused = dyn_cast<FusedLoc>(loc);
  auto list = dyn_cast_or_null<ArrayAttr>(fused ? fused.getMetadata() : Attribute());
  return list && llvm::all_of(list, llvm::IsaPred<LocationAttr>) ? list.getValue()
                                                                 : ArrayRef<Attribute>();
}

/// Puts one body in the place of a call.
class Inliner {
public:
  Inliner(LayerCallOp call, LayerOp layer) : call(call), layer(layer) {
    ArrayRef<Attribute> from = listedLocations(layer.getLoc()), to = listedLocations(call.getLoc());
    if (from.size() == to.size())
      for (auto [inside, outside] : llvm::zip_equal(from, to))
        locations[inside] = cast<LocationAttr>(outside);
    if (ArrayAttr given = call.getCachesAttr())
      for (auto [inside, outside] :
           llvm::zip(layer.getBody().front().getOps<CacheOp>(), given.getAsRange<Attribute>()))
        caches[inside.getSymNameAttr()] = cast<FlatSymbolRefAttr>(outside);
  }

  void run() {
    Block &body = layer.getBody().front();
    mapping.map(body.getArguments(), call.getOperands());
    OpBuilder b(call);
    for (Operation &op : body.without_terminator())
      if (!isa<CacheOp>(op))
        copies.push_back(copy(b, op));
    placeWeights();
    for (auto [result, inside] : llvm::zip(call.getResults(), body.getTerminator()->getOperands()))
      result.replaceAllUsesWith(mapping.lookup(inside));
    call.erase();
  }

private:
  Operation *copy(OpBuilder &b, Operation &op) {
    Operation *made = b.clone(op, mapping);
    made->setLoc(outside(op.getLoc()));
    SmallVector<NamedAttribute> own(op.getDiscardableAttrs());
    for (NamedAttribute attribute : own) {
      auto number = dyn_cast<PerLayerAttr>(attribute.getValue());
      if (!number)
        continue;
      Attribute value = (*call.getPerLayer())[number.getNumber()];
      if (value == absentInLayer(op.getContext()))
        made->removeDiscardableAttr(attribute.getName());
      else
        made->setDiscardableAttr(attribute.getName(), value);
    }
    if (auto name = dyn_cast_or_null<FlatSymbolRefAttr>(made->getAttr("cache")))
      if (FlatSymbolRefAttr cache = caches.lookup(name.getAttr()))
        made->setAttr("cache", cache);
    return made;
  }

  /// What a location of the body is in this layer; of one that a pass has fused, part by part.
  Location outside(Location loc) {
    if (LocationAttr found = locations.lookup(loc))
      return found;
    auto fused = dyn_cast<FusedLoc>(loc);
    if (!fused)
      return loc;
    SmallVector<Location> parts;
    for (Location part : fused.getLocations())
      parts.push_back(outside(part));
    return FusedLoc::get(parts, fused.getMetadata(), loc.getContext());
  }

  void placeWeights() {
    SmallVector<WeightOp> weights = weightsInFrontOf(copies.empty() ? call : copies.front());
    if (copies.empty())
      return;
    SmallVector<int64_t> places;
    if (auto said = call.getPlaces(); said && said->size() == weights.size())
      places.assign(said->begin(), said->end());
    else
      places = defaultPlaces(weights, call, firstReads());
    const auto last = static_cast<int64_t>(copies.size()) - 1;
    for (auto [weight, place] : llvm::zip_equal(weights, places))
      if (place > 0 && canMove(weight, std::min(place, last)))
        weight->moveBefore(copies[std::min(place, last)]);
  }

  /// Whether nothing in front of operation `place` reads the weight.
  bool canMove(WeightOp weight, int64_t place) {
    for (Operation *op : ArrayRef(copies).take_front(place))
      if (llvm::is_contained(op->getOperands(), weight.getResult()))
        return false;
    return true;
  }

  SmallVector<int64_t> firstReads() {
    SmallVector<int64_t> reads(call.getNumOperands(), 0);
    for (BlockArgument argument : layer.getBody().getArguments()) {
      int64_t number = 0;
      for (Operation *op : copies) {
        if (llvm::is_contained(op->getOperands(), call.getOperand(argument.getArgNumber()))) {
          reads[argument.getArgNumber()] = number;
          break;
        }
        ++number;
      }
    }
    return reads;
  }

  LayerCallOp call;
  LayerOp layer;
  IRMapping mapping;
  SmallVector<Operation *> copies;
  DenseMap<Attribute, LocationAttr> locations;
  DenseMap<StringAttr, FlatSymbolRefAttr> caches;
};

struct InlineLayersPass : public llmc::impl::InlineLayersBase<InlineLayersPass> {
  void runOnOperation() override { inlineLayers(getOperation()); }
};

} // namespace

bool llmc::inlineLayers(ModuleOp module) {
  SmallVector<LayerOp> layers(module.getOps<LayerOp>());
  if (layers.empty())
    return false;
  DenseMap<StringAttr, LayerOp> byName;
  for (LayerOp layer : layers)
    byName[layer.getSymNameAttr()] = layer;
  for (auto function : module.getOps<func::FuncOp>()) {
    SmallVector<LayerCallOp> calls;
    for (Block &block : function.getBody())
      llvm::append_range(calls, block.getOps<LayerCallOp>());
    for (LayerCallOp call : calls) {
      Inliner(call, byName.lookup(call.getCalleeAttr().getAttr())).run();
      ++callsInlined;
    }
  }
  for (LayerOp layer : layers)
    layer.erase();
  return true;
}
