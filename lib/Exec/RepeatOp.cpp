//===- RepeatOp.cpp - stages that run several times -------------------------------------===//
//
// Syntax and verifier. C2 and C4 let stages be verified once for all turns: what has two names in
// the body is two things in every turn.
//
#include "llmc/Exec/ExecDialect.h"

#include "llvm/ADT/StringSet.h"

using namespace mlir;
using namespace llmc;
using namespace llmc::exec;

ArrayAttr RepeatOp::getCachesOf(StringRef name) {
  if (!getCaches())
    return {};
  for (auto list : getCaches()->getAsRange<ArrayAttr>())
    if (cast<FlatSymbolRefAttr>(list[0]).getValue() == name)
      return list;
  return {};
}

//===----------------------------------------------------------------------===//
// Syntax: exec.repeat 2 (%w = [%w0, %w1] : type, ...) caches [[@a, @b]] attributes {...} { ... }
//===----------------------------------------------------------------------===//

ParseResult RepeatOp::parse(OpAsmParser &parser, OperationState &result) {
  Builder &b = parser.getBuilder();
  int64_t turns = 0;
  SmallVector<OpAsmParser::Argument> arguments;
  auto parseBound = [&]() -> ParseResult {
    OpAsmParser::Argument &argument = arguments.emplace_back();
    SmallVector<OpAsmParser::UnresolvedOperand> values;
    SMLoc loc = parser.getCurrentLocation();
    if (parser.parseArgument(argument) || parser.parseEqual() ||
        parser.parseOperandList(values, OpAsmParser::Delimiter::Square) ||
        parser.parseColonType(argument.type))
      return failure();
    if (static_cast<int64_t>(values.size()) != turns)
      return parser.emitError(loc, "expects a value for each of ")
             << turns << " turns, got " << values.size();
    return parser.resolveOperands(values, argument.type, result.operands);
  };
  if (parser.parseInteger(turns) ||
      parser.parseCommaSeparatedList(OpAsmParser::Delimiter::OptionalParen, parseBound))
    return failure();
  result.addAttribute(getTurnsAttrName(result.name), b.getI64IntegerAttr(turns));
  if (succeeded(parser.parseOptionalKeyword("caches"))) {
    ArrayAttr caches;
    if (parser.parseAttribute(caches, getCachesAttrName(result.name), result.attributes))
      return failure();
  }
  if (parser.parseOptionalAttrDictWithKeyword(result.attributes))
    return failure();
  Region *body = result.addRegion();
  if (parser.parseRegion(*body, arguments))
    return failure();
  if (body->empty())
    body->emplaceBlock();
  return success();
}

void RepeatOp::print(OpAsmPrinter &printer) {
  printer << " " << getTurns();
  if (getBody().getNumArguments() != 0) {
    printer << " (";
    llvm::interleaveComma(getBody().getArguments(), printer, [&](BlockArgument argument) {
      printer.printRegionArgument(argument, {}, /*omitType=*/true);
      printer << " = [" << getBound(argument) << "] : " << argument.getType();
    });
    printer << ")";
  }
  if (getCaches())
    printer << " caches " << *getCaches();
  printer.printOptionalAttrDictWithKeyword((*this)->getAttrs(),
                                           {getTurnsAttrName(), getCachesAttrName()});
  printer << " ";
  printer.printRegion(getBody(), /*printEntryBlockArgs=*/false);
}

//===----------------------------------------------------------------------===//
// Verifier: the labels are those of the description
//===----------------------------------------------------------------------===//

/// Buffers that the body names without an argument.
static DenseSet<Value> namedBuffers(RepeatOp op) {
  DenseSet<Value> named;
  op.getBody().walk([&](KernelOpInterface kernel) {
    for (Value operand : kernel->getOperands())
      if (isa<BufferType>(operand.getType()))
        named.insert(getViewed(operand).buffer);
  });
  return named;
}

static LogicalResult verifyBound(RepeatOp op) {
  const int64_t turns = op.getTurns();
  if (turns < 2) // C1
    return op.emitOpError("expects at least two turns, got ") << turns;
  const int64_t arguments = op.getBody().getNumArguments();
  if (static_cast<int64_t>(op.getValues().size()) != arguments * turns)
    return op.emitOpError("expects ") << turns << " values for each of " << arguments
                                      << " arguments, got " << op.getValues().size();
  for (BlockArgument argument : op.getBody().getArguments())
    for (Value value : op.getBound(argument)) {
      if (value.getType() != argument.getType())
        return op.emitOpError("expects a value of ")
               << argument.getType() << ", got " << value.getType();
      if (!isa_and_present<exec::WeightOp, RopeTableOp, BufferOp>(value.getDefiningOp())) // C2
        return op.emitOpError("expects values made by exec.weight, exec.rope_table or exec.buffer");
      auto buffer = dyn_cast<BufferType>(value.getType());
      if (buffer && buffer.getSpace() == Space::Caller) // C2
        return op.emitOpError("cannot bind the caller's memory, got ") << buffer;
    }
  const DenseSet<Value> named = namedBuffers(op);
  for (int64_t turn = 0; turn < turns; ++turn) {
    DenseSet<Value> bound;
    for (BlockArgument argument : op.getBody().getArguments()) {
      Value value = op.getBound(argument)[turn];
      if (isa<BufferType>(value.getType()) &&
          (named.contains(value) || !bound.insert(value).second)) // C2
        return op.emitOpError("has one buffer under two names in turn ") << turn;
    }
  }
  return success();
}

LogicalResult RepeatOp::verify() {
  if (failed(verifyBound(*this)))
    return failure();
  bool hasStage = false;
  for (Operation &op : getBody().front()) {
    if (!isa<ViewOp, StageOp>(op)) // C3
      return op.emitOpError("has no place in a repeat, which has views and stages");
    hasStage |= isa<StageOp>(op);
  }
  if (!hasStage)
    return emitOpError("expects at least one stage");
  WalkResult result = getBody().walk([&](KernelOpInterface kernel) {
    if (!isOfCaller(kernel))
      return WalkResult::advance();
    kernel->emitOpError("is done once in a call and cannot be repeated");
    return WalkResult::interrupt();
  });
  if (result.wasInterrupted())
    return failure();
  for (Attribute list : getCaches().value_or(ArrayAttr::get(getContext(), {}))) { // C4
    auto names = dyn_cast<ArrayAttr>(list);
    if (!names || !llvm::all_of(names, llvm::IsaPred<FlatSymbolRefAttr>) ||
        names.size() != static_cast<size_t>(getTurns()))
      return emitOpError("expects a cache for each of ") << getTurns() << " turns, got " << list;
  }
  return success();
}

LogicalResult RepeatOp::verifySymbolUses(SymbolTableCollection &symbols) {
  llvm::StringSet<> own; // Caches that the body means by their names.
  getBody().walk([&](Operation *op) {
    if (auto cache = op->getAttrOfType<FlatSymbolRefAttr>("cache"))
      if (!getCachesOf(cache.getValue()))
        own.insert(cache.getValue());
  });
  std::vector<llvm::StringSet<>> standing(getTurns(), own);
  for (Attribute list : getCaches().value_or(ArrayAttr::get(getContext(), {}))) { // C4
    CacheOp first;
    for (auto [turn, name] :
         llvm::enumerate(cast<ArrayAttr>(list).getAsRange<FlatSymbolRefAttr>())) {
      auto cache = symbols.lookupNearestSymbolFrom<CacheOp>(*this, name);
      if (!cache)
        return emitOpError("refers to ") << name << ", which is no llmc.cache";
      if (!first)
        first = cache;
      if (cache.getType() != first.getType() || cache.getByteProducts() != first.getByteProducts())
        return emitOpError("expects caches like @") << first.getSymName() << ", got " << name;
      if (!standing[turn].insert(name.getValue()).second)
        return emitOpError("has cache ") << name << " under two names in turn " << turn;
    }
  }
  return success();
}
