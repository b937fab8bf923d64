//===- ProgramOps.cpp - verifiers of programs, declarations and stages ------------------===//
//
// The labels C1, C2, ... are those of the operations' descriptions. C2 of a stage is what makes a
// program right on any number of workers.
//
#include "llmc/Exec/ExecDialect.h"

#include "llvm/ADT/StringSet.h"

using namespace mlir;
using namespace llmc;
using namespace llmc::exec;

/// Places start at whole lines of memory.
static constexpr int64_t kLine = 64;

static LogicalResult verifyPlace(Operation *op, std::optional<uint64_t> offset) {
  if (!offset || (static_cast<int64_t>(*offset) >= 0 && *offset % kLine == 0))
    return success();
  return op->emitOpError("expects an offset that is a multiple of ")
         << kLine << ", got " << static_cast<int64_t>(*offset);
}

/// A place in the weight file is an offset and a size, or neither.
static LogicalResult verifyFilePlace(Operation *op, std::optional<uint64_t> offset,
                                     std::optional<uint64_t> bytes) {
  if (offset.has_value() != bytes.has_value())
    return op->emitOpError("expects both an offset and a size in the weight file, or neither");
  if (bytes && static_cast<int64_t>(*bytes) < 1)
    return op->emitOpError("expects a positive size, got ") << static_cast<int64_t>(*bytes);
  return verifyPlace(op, offset);
}

FailureOr<ProgramOp> exec::getProgram(ModuleOp module) {
  ProgramOp program;
  for (auto next : module.getOps<ProgramOp>()) {
    if (program)
      return next.emitError("module has several programs (@")
             << program.getSymName() << " and @" << next.getSymName()
             << "); one is lowered at a time";
    program = next;
  }
  if (!program)
    return module.emitError("module has no exec.program; --fuse-stages makes one of a function");
  return program;
}

bool exec::isOfCaller(Operation *kernel) {
  return isa<exec::EmbeddingOp, exec::PositionsOp, CopyOp, ExpectOp>(kernel);
}

Value exec::Turn::of(Value value) const {
  auto argument = dyn_cast<BlockArgument>(value);
  return argument ? RepeatOp(repeat).getBound(argument)[number] : value;
}

void exec::forEachStage(ProgramOp program, function_ref<void(StageOp, const Turn &)> visit) {
  for (Operation &op : program.getBody().front()) {
    if (auto stage = dyn_cast<StageOp>(op)) {
      visit(stage, {});
    } else if (auto repeat = dyn_cast<RepeatOp>(op)) {
      for (int64_t turn = 0, end = repeat.getTurns(); turn < end; ++turn)
        for (auto stage : repeat.getBody().front().getOps<StageOp>())
          visit(stage, {repeat, turn});
    } else if (auto tail = dyn_cast<TailOp>(op)) {
      for (auto stage : tail.getBody().front().getOps<StageOp>())
        visit(stage, {});
    }
  }
}

int64_t exec::getFileOffset(Value packed) {
  if (auto weight = packed.getDefiningOp<exec::WeightOp>())
    return static_cast<int64_t>(*weight.getOffset());
  return static_cast<int64_t>(*packed.getDefiningOp<RopeTableOp>().getOffset());
}

BufferColumn exec::getViewed(Value value) {
  int64_t column = 0;
  while (auto view = value.getDefiningOp<ViewOp>()) {
    column += static_cast<int64_t>(view.getColumn());
    value = view.getSource();
  }
  return {value, column};
}

int64_t exec::getPlace(Value value) {
  auto [buffer, column] = getViewed(value);
  auto input = buffer.getDefiningOp<InputOp>();
  uint64_t offset =
      input ? *input.getOffset() : *cast<BufferOp>(buffer.getDefiningOp()).getOffset();
  unsigned bytes = getBufferType(value).getElementType().getIntOrFloatBitWidth() / 8;
  return static_cast<int64_t>(offset) + column * bytes;
}

int64_t exec::getBytes(Value value) {
  Operation *owner = value.getDefiningOp();
  auto tail = owner->getParentOfType<TailOp>();
  int64_t rows = tail ? tail.getRows() : owner->getParentOfType<ProgramOp>().getRows();
  BufferType type = getBufferType(value);
  return (type.getRows() == ShapedType::kDynamic ? rows : type.getRows()) * type.getRowBytes();
}

//===----------------------------------------------------------------------===//
// Program and declarations
//===----------------------------------------------------------------------===//

TailOp ProgramOp::getTail() {
  auto tails = getBody().front().getOps<TailOp>();
  return tails.empty() ? TailOp() : *tails.begin();
}

LogicalResult ProgramOp::verify() {
  for (std::optional<uint64_t> size : {getWeightBytes(), getArenaBytes(), getPrivateBytes()})
    if (size && static_cast<int64_t>(*size) < 0) // C2
      return emitOpError("expects sizes of 0 or more, got ") << static_cast<int64_t>(*size);
  if (static_cast<int64_t>(getRows()) < 1)
    return emitOpError("expects at least one row, got ") << static_cast<int64_t>(getRows());
  TailOp tail;
  for (Operation &op : getBody().front()) {
    if (!isa<llmc::WeightOp, InputOp, BufferOp, ViewOp, exec::WeightOp, RopeTableOp, StageOp,
             RepeatOp, OutputOp, ObserveOp, TailOp>(op)) // C3
      return op.emitOpError("has no place in a program, which has declarations and stages");
    if (tail && isa<StageOp, RepeatOp, TailOp>(op)) // C1
      return op.emitOpError("comes after the tail of the program");
    if (auto next = dyn_cast<TailOp>(op))
      tail = next;
  }
  if (tail && getRole() != Role::Step) // C1
    return tail.emitOpError("belongs to a step, not to a ") << stringifyRole(getRole());
  return success();
}

LogicalResult InputOp::verify() {
  if (static_cast<int64_t>(getIndex()) < 0) // C1
    return emitOpError("expects an index of 0 or more, got ") << static_cast<int64_t>(getIndex());
  BufferType type = getBufferType(getResult());
  if (type.getRows() != ShapedType::kDynamic || type.getPerSequence() ||
      type.getSpace() != Space::Arena) // C2
    return emitOpError("expects the rows of a call in the arena, got ") << type;
  return verifyPlace(*this, getOffset()); // C3
}

LogicalResult BufferOp::verify() {
  if (getOffset() && getBufferType(getResult()).getSpace() == Space::Caller) // C1
    return emitOpError("cannot have an offset in the caller's memory");
  return verifyPlace(*this, getOffset());
}

LogicalResult ViewOp::verify() {
  BufferType source = getBufferType(getSource()), view = getBufferType(getResult());
  int64_t column = getColumn();
  if (column < 0 || column > source.getWidth() - view.getWidth()) // C1
    return emitOpError("expects columns ") << column << " to " << column << " + " << view.getWidth()
                                           << " within a row of " << source.getWidth();
  if (view != source.withWidth(view.getWidth())) // C2
    return emitOpError("expects rows, element type, stride and space of ")
           << source << ", got " << view;
  return success();
}

LogicalResult exec::WeightOp::verify() {
  if (!getWeight().getDefiningOp<llmc::WeightOp>()) // C1
    return emitOpError("expects a weight made by llmc.weight");
  if (getPackedType(getResult()).getForm() == Form::Rope) // C3
    return emitOpError("cannot be the table of a rotation, which is exec.rope_table");
  return verifyFilePlace(*this, getOffset(), getBytes()); // C2
}

LogicalResult RopeTableOp::verify() {
  auto type = cast<RankedTensorType>(getPackedType(getResult()).getContent());
  int64_t columns = 2 * static_cast<int64_t>(getFrequencies().size());
  if (columns == 0 || type.getDimSize(1) != columns) // C1
    return emitOpError("expects a row of 2 * ")
           << getFrequencies().size() << " elements for each position, got " << type;
  return verifyFilePlace(*this, getOffset(), getBytes()); // C2
}

LogicalResult OutputOp::verify() {
  if ((*this)->getParentOfType<ProgramOp>().getRole() != Role::Run) // C1
    return emitOpError("belongs to a run; the logits of a step are copied in its tail");
  if (getBufferType(getInput()).getSpace() != Space::Arena)
    return emitOpError("expects rows in the arena, got ") << getInput().getType();
  if (getRank() != 3 && !(getRank() == 2 && getBufferType(getInput()).getPerSequence())) // C2
    return emitOpError("expects rank 3, or 2 for rows of sequences, got ") << getRank();
  return success();
}

LogicalResult exec::ObserveOp::verify() {
  if (getBufferType(getInput()).getSpace() != Space::Arena) // C1
    return emitOpError("expects rows in the arena, got ") << getInput().getType();
  return success();
}

LogicalResult TailOp::verify() {
  if (static_cast<int64_t>(getRows()) < 1) // C1
    return emitOpError("expects at least one row, got ") << static_cast<int64_t>(getRows());
  for (Operation &op : getBody().front())
    if (!isa<BufferOp, ViewOp, StageOp>(op)) // C2
      return op.emitOpError("has no place in a tail, which has buffers, views and stages");
  return success();
}

//===----------------------------------------------------------------------===//
// Stages
//===----------------------------------------------------------------------===//

/// Whether `reader` needs of what `writer` has written only what the same worker wrote.
static bool readsOwnColumns(KernelOpInterface writer, KernelOpInterface reader, Value read) {
  ShareAttr written = writer.getPartition(), own = reader.getPartition();
  if (!written || !own || !llvm::is_contained(reader.getColumnReads(), read))
    return false;
  auto chain = [](ShareAttr share) {
    return std::make_tuple(share.getUnit(), share.getTotal(), share.getFirst(), share.getWidth());
  };
  return chain(written) == chain(own) &&
         written.getColumn() + getViewed(read).column == own.getColumn();
}

LogicalResult StageOp::verify() {
  DenseMap<Value, KernelOpInterface> writers;
  llvm::StringSet<> stored;
  for (Operation &op : getBody().front()) {
    auto kernel = dyn_cast<KernelOpInterface>(op);
    if (!kernel) // C1
      return op.emitOpError("is no kernel, but stands in a stage");
    for (Value read : kernel.getReads()) {
      Value buffer = getViewed(read).buffer;
      auto writer = writers.find(buffer);
      if (writer == writers.end() || getBufferType(buffer).isPrivate() ||
          readsOwnColumns(writer->second, kernel, read)) // C2
        continue;
      InFlightDiagnostic error =
          op.emitOpError("reads what other workers write in this stage; it belongs to a later one");
      error.attachNote(writer->second.getLoc()) << "written here";
      return error;
    }
    if (auto store = dyn_cast<CacheStoreOp>(op))
      stored.insert(store.getCache());
    if (auto attention = dyn_cast<CachedAttentionOp>(op);
        attention && stored.contains(attention.getCache())) // C3
      return op.emitOpError("reads cache @")
             << attention.getCache() << ", which this stage stores to";
    for (Value written : kernel.getWrites())
      writers[getViewed(written).buffer] = kernel;
  }
  return success();
}
