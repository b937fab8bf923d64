//===- Kernels.cpp - verifiers of the kernels of stages ---------------------------------===//
//
// The labels C1, C2, ... are those of the operations' descriptions.
//
#include "llmc/Exec/ExecDialect.h"

using namespace mlir;
using namespace llmc;
using namespace llmc::exec;

static int64_t width(Value buffer) { return getBufferType(buffer).getWidth(); }

SmallVector<Value> exec::detail::readBuffers(Operation *op, Value destination) {
  SmallVector<Value> reads;
  for (Value operand : op->getOperands())
    if (isa<BufferType>(operand.getType()) && operand != destination)
      reads.push_back(operand);
  return reads;
}

/// Kernels go by rows of one kind, but for a body for each sequence, and what each knows of a
/// position or of a sequence's other rows, tokens have.
static LogicalResult verifyRowKinds(KernelOpInterface op) {
  if (auto generic = dyn_cast<GenericOp>(*op); generic && generic.getEach() == Each::Sequence)
    return success();
  const bool needsTokens = isa<exec::EmbeddingOp, exec::PositionsOp, exec::RopeOp,
                               exec::CacheStoreOp, exec::AttentionOp, CachedAttentionOp>(op);
  BufferType first;
  for (Value operand : op->getOperands()) {
    auto buffer = dyn_cast<BufferType>(operand.getType());
    if (!buffer || buffer.getRows() != ShapedType::kDynamic)
      continue;
    if (buffer.getPerSequence() && needsTokens)
      return op->emitOpError("expects a row for each token, got ") << buffer;
    if (first && first.getPerSequence() != buffer.getPerSequence())
      return op->emitOpError("expects rows of tokens or of sequences, got both: ")
             << first << " and " << buffer;
    first = buffer;
  }
  return success();
}

LogicalResult exec::detail::verifyKernel(KernelOpInterface op) {
  ShareAttr share = op.getPartition();
  Value destination = op.getDestination();
  for (Value written : op.getWrites()) {
    if (written.getDefiningOp<ViewOp>())
      return op->emitOpError("expects to write a whole buffer, not a view");
    if (written.getDefiningOp<InputOp>())
      return op->emitOpError("cannot write what the caller gave");
  }
  if (failed(verifyRowKinds(op)))
    return failure();
  if (!share)
    return success();
  if (destination && getBufferType(destination).isPrivate())
    return op->emitOpError("cannot share out what each worker computes for itself");
  int64_t columns = op.getColumns(), granule = op.getGranule();
  if (share.getColumn() > share.getWidth() - columns)
    return op->emitOpError("expects its ")
           << columns << " columns within those of its chain, got " << share;
  if (share.getUnit() % granule != 0 || share.getColumn() % granule != 0)
    return op->emitOpError("expects shares of whole parts of ")
           << granule << " columns, got " << share;
  return success();
}

/// That all of `buffers` are as wide as the first.
static LogicalResult verifyEqualWidths(Operation *op, ValueRange buffers) {
  for (Value buffer : buffers)
    if (width(buffer) != width(buffers.front()))
      return op->emitOpError("expects rows of ")
             << width(buffers.front()) << " elements, got " << buffer.getType();
  return success();
}

/// That `heads` equal parts make up a row of `buffer`.
static LogicalResult verifyHeads(Operation *op, Value buffer, int64_t heads) {
  if (heads < 1 || width(buffer) % heads != 0)
    return op->emitOpError("expects heads to divide the row, got ")
           << heads << " and " << width(buffer);
  return success();
}

static LogicalResult verifyVector(Operation *op, Value packed, int64_t size) {
  if (packed && getWeightShape(getPackedType(packed).getContent())[0] != size)
    return op->emitOpError("expects a vector of ") << size << " elements, got " << packed.getType();
  return success();
}

LogicalResult exec::EmbeddingOp::verify() {
  int64_t columns = getWeightShape(getPackedType(getTable()).getContent())[1];
  if (columns != width(getOutput())) // C1
    return emitOpError("expects rows of ") << columns << " elements, got " << getOutput().getType();
  return success();
}

int64_t exec::RMSNormOp::getGranule() { return width(getOutput()) / getGroups(); }
SmallVector<Value> exec::RMSNormOp::getColumnReads() { return {getInput()}; }

LogicalResult exec::RMSNormOp::verify() {
  int64_t groups = getGroups();
  if (groups < 1 || width(getOutput()) % groups != 0) // C1
    return emitOpError("expects groups to divide the row, got ")
           << groups << " and " << width(getOutput());
  if (groups == 1 && getShare()) // C2
    return emitOpError("cannot share out the norm of a row by columns");
  if (failed(verifyEqualWidths(*this, {getOutput(), getInput()})))
    return failure();
  return verifyVector(*this, getScale(), width(getOutput()) / groups);
}

LogicalResult exec::LayerNormOp::verify() {
  if (failed(verifyEqualWidths(*this, {getOutput(), getInput()})) ||
      failed(verifyVector(*this, getScale(), width(getOutput()))))
    return failure();
  return verifyVector(*this, getBias(), width(getOutput())); // C1
}

/// That `scales` has one for each `group` of `columns` columns, or one for all where that is 0.
static LogicalResult verifyScales(Operation *op, Value scales, int64_t columns, int64_t group) {
  if (group < 0)
    return op->emitOpError("expects a group of 0 (the row) or more columns, got ") << group;
  int64_t count = group ? (columns + group - 1) / group : 1;
  if (width(scales) != count)
    return op->emitOpError("expects rows of ")
           << count << " scales of " << columns << " codes, got " << scales.getType();
  return success();
}

Value exec::QuantizeOp::getDestination() { return getCodes(); }
SmallVector<Value> exec::QuantizeOp::getWrites() { return {getCodes(), getScales()}; }
SmallVector<Value> exec::QuantizeOp::getReads() { return {getInput()}; }
int64_t exec::QuantizeOp::getColumns() { return width(getCodes()); }

LogicalResult exec::QuantizeOp::verify() {
  if (failed(verifyEqualWidths(*this, {getInput(), getCodes()})) ||
      failed(verifyScales(*this, getScales(), width(getCodes()), getGroup()))) // C1
    return failure();
  Space space = getBufferType(getCodes()).getSpace();
  if (space != getBufferType(getScales()).getSpace() || space == Space::Caller) // C2
    return emitOpError("expects codes and scales in the arena or private to a worker, got ")
           << getCodes().getType() << " and " << getScales().getType();
  if (getScale() && getGroup() != 0) // C3
    return emitOpError("expects a given scale to be that of whole rows, got one for each ")
           << getGroup() << " columns";
  return verifyVector(*this, getScale(), 1);
}

SmallVector<Value> exec::LinearOp::getColumnReads() {
  return getResidual() ? SmallVector<Value>{getResidual()} : SmallVector<Value>{};
}

LogicalResult exec::LinearOp::verify() {
  ArrayRef<int64_t> shape = getWeightShape(getPackedType(getWeight()).getContent());
  if (width(getInput()) != shape[1]) // C1
    return emitOpError("expects an input of ")
           << shape[1] << " columns, got " << getInput().getType();
  if (width(getOutput()) != shape[0])
    return emitOpError("expects a result of ")
           << shape[0] << " columns, got " << getOutput().getType();
  if (getResidual() && failed(verifyEqualWidths(*this, {getOutput(), getResidual()})))
    return failure();
  if (getBufferType(getInput()).getElementType().isInteger(8) !=
      static_cast<bool>(getScales())) // C2
    return emitOpError("expects scales with codes and with nothing else, got an input of ")
           << getInput().getType() << (getScales() ? " with" : " without") << " scales";
  if (!getScales() && getGroup() != 0)
    return emitOpError("expects no group without scales, got ") << getGroup();
  if (getScales() && failed(verifyScales(*this, getScales(), shape[1], getGroup())))
    return failure();
  return verifyVector(*this, getBias(), shape[0]);
}

int64_t exec::RopeOp::getGranule() { return width(getOutput()) / getHeads(); }
SmallVector<Value> exec::RopeOp::getColumnReads() { return {getInput()}; }

LogicalResult exec::RopeOp::verify() {
  if (failed(verifyHeads(*this, getOutput(), getHeads())) ||
      failed(verifyEqualWidths(*this, {getOutput(), getInput()})))
    return failure();
  int64_t rotated = getWeightShape(getPackedType(getTable()).getContent())[1];
  if (rotated > getGranule()) // C1
    return emitOpError("expects a table of at most ")
           << getGranule() << " columns, a head, got " << getTable().getType();
  int64_t original = getOriginalContext();
  if (getLongTable() ? original < 1 : original != 0) // C2
    return emitOpError("expects a long table together with an original_context of at least 1, got ")
           << original << (getLongTable() ? " with" : " without") << " one";
  if (getLongTable() && getLongTable().getType() != getTable().getType())
    return emitOpError("expects a long table of ")
           << getTable().getType() << ", got " << getLongTable().getType();
  return success();
}

Value exec::CacheStoreOp::getDestination() { return {}; }
int64_t exec::CacheStoreOp::getColumns() { return width(getInput()); }
int64_t exec::CacheStoreOp::getGranule() { return width(getInput()) / getHeads(); }
SmallVector<Value> exec::CacheStoreOp::getColumnReads() { return {getInput()}; }

LogicalResult exec::CacheStoreOp::verify() {
  return verifyHeads(*this, getInput(), getHeads()); // C1
}

/// That cache `name` has `heads` heads of `size` elements.
static LogicalResult verifyCache(Operation *op, SymbolTableCollection &symbols,
                                 FlatSymbolRefAttr name, int64_t heads, int64_t size) {
  auto cache = symbols.lookupNearestSymbolFrom<CacheOp>(op, name);
  if (!cache)
    return op->emitOpError("refers to ") << name << ", which is no llmc.cache";
  auto type = cast<RankedTensorType>(cache.getType());
  if (type.getDimSize(0) != heads || type.getDimSize(1) != size)
    return op->emitOpError("expects a cache of ")
           << heads << " heads of " << size << " elements, got " << type;
  return success();
}

LogicalResult exec::CacheStoreOp::verifySymbolUses(SymbolTableCollection &symbols) {
  return verifyCache(*this, symbols, getCacheAttr(), getHeads(), getGranule()); // C2
}

static LogicalResult verifyHeadCounts(Operation *op, int64_t heads, int64_t kvHeads) {
  if (kvHeads < 1 || heads < 1 || heads % kvHeads != 0)
    return op->emitOpError("expects heads to be a multiple of kv_heads, got ")
           << heads << " and " << kvHeads;
  return success();
}

static LogicalResult verifyWindow(Operation *op, int64_t window, bool causal) {
  if (window < 0 || (window > 0 && !causal))
    return op->emitOpError("expects a window of 0, or more with causal, got ") << window;
  return success();
}

LogicalResult exec::AttentionOp::verify() {
  int64_t heads = getHeads(), kvHeads = getKvHeads();
  if (failed(verifyHeadCounts(*this, heads, kvHeads)) ||
      failed(verifyHeads(*this, getQuery(), heads)) ||
      failed(verifyHeads(*this, getOutput(), heads)) ||
      failed(verifyHeads(*this, getKey(), kvHeads)) ||
      failed(verifyHeads(*this, getValue(), kvHeads))) // C1
    return failure();
  if (width(getQuery()) / heads != width(getKey()) / kvHeads ||
      width(getOutput()) / heads != width(getValue()) / kvHeads) // C2
    return emitOpError("expects query heads like key heads and result heads like value heads");
  return verifyWindow(*this, getWindow(), getCausal()); // C3
}

LogicalResult CachedAttentionOp::verify() {
  if (failed(verifyHeadCounts(*this, getHeads(), getKvHeads())) ||
      failed(verifyHeads(*this, getQuery(), getHeads())) ||
      failed(verifyEqualWidths(*this, {getQuery(), getOutput()}))) // C1
    return failure();
  return verifyWindow(*this, getWindow(), getCausal()); // C3
}

LogicalResult CachedAttentionOp::verifySymbolUses(SymbolTableCollection &symbols) {
  return verifyCache(*this, symbols, getCacheAttr(), getKvHeads(),
                     width(getQuery()) / static_cast<int64_t>(getHeads())); // C2
}

SmallVector<Value> GateOp::getColumnReads() { return {getGate(), getUp()}; }
LogicalResult GateOp::verify() {
  return verifyEqualWidths(*this, {getOutput(), getGate(), getUp()}); // C1
}

SmallVector<Value> exec::ActivationOp::getColumnReads() { return {getInput()}; }
LogicalResult exec::ActivationOp::verify() {
  return verifyEqualWidths(*this, {getOutput(), getInput()}); // C1
}

SmallVector<Value> exec::ScaleOp::getColumnReads() { return {getInput()}; }
LogicalResult exec::ScaleOp::verify() {
  return verifyEqualWidths(*this, {getOutput(), getInput()}); // C1
}

LogicalResult exec::SoftmaxOp::verify() {
  return verifyEqualWidths(*this, {getOutput(), getInput()}); // C1
}

SmallVector<Value> BinaryOp::getColumnReads() { return {getLhs(), getRhs()}; }
LogicalResult BinaryOp::verify() {
  return verifyEqualWidths(*this, {getOutput(), getLhs(), getRhs()}); // C1
}

/// Elements in a row, of a buffer or of the weight file.
static int64_t rowWidth(Value value) {
  auto packed = dyn_cast<PackedType>(value.getType());
  return packed ? getWeightShape(packed.getContent()).back() : width(value);
}

SmallVector<Value> CopyOp::getColumnReads() { return getReads(); }
LogicalResult CopyOp::verify() {
  if (rowWidth(getInput()) != width(getOutput())) // C1
    return emitOpError("expects rows of ")
           << rowWidth(getInput()) << " elements, got " << getOutput().getType();
  bool fromFile = isa<PackedType>(getInput().getType());
  if (getBufferType(getOutput()).getSpace() != (fromFile ? Space::Arena : Space::Caller)) // C2
    return emitOpError("expects to copy a buffer to the caller, or rows of the weight file to the "
                       "arena, got ")
           << getInput().getType() << " and " << getOutput().getType();
  return success();
}

LogicalResult ExpectOp::verify() {
  if (rowWidth(getExpected()) != width(getActual())) // C1
    return emitOpError("expects rows of ")
           << width(getActual()) << " elements, got " << getExpected().getType();
  double atol = getAtol().convertToDouble(), rtol = getRtol().convertToDouble();
  if (!(atol >= 0 && rtol >= 0) || (getExact() && (atol > 0 || rtol > 0))) // C2
    return emitOpError("expects tolerances of 0 or more, and none of an exact comparison");
  if ((*this)->getParentOfType<ProgramOp>().getRole() != Role::Run) // C3
    return emitOpError("belongs to a run, whose caller hears of its outcome");
  return success();
}

Value GenericOp::getDestination() { return getOutputs().empty() ? Value() : getOutputs().front(); }
SmallVector<Value> GenericOp::getWrites() { return SmallVector<Value>(getOutputs()); }
SmallVector<Value> GenericOp::getReads() {
  return llvm::filter_to_vector(getInputs(),
                                [](Value input) { return isa<BufferType>(input.getType()); });
}
int64_t GenericOp::getColumns() { return width(getDestination()); }

/// Whether a body may have `type` for an operand.
static bool isBodyType(Type type, Value operand, Each each) {
  auto shaped = dyn_cast<ShapedType>(type);
  if (!shaped || !shaped.hasRank())
    return false;
  ArrayRef<int64_t> shape = shaped.getShape();
  if (auto packed = dyn_cast<PackedType>(operand.getType()))
    return shaped.getElementType().isF32() && shape == getWeightShape(packed.getContent());
  BufferType buffer = getBufferType(operand);
  int64_t rows = each == Each::Row || buffer.getPerSequence() ? 1 : ShapedType::kDynamic;
  SmallVector<int64_t> whole = {1, rows, buffer.getWidth()}, ids = {1, rows},
                       row = {1, buffer.getWidth()};
  return shaped.getElementType() == buffer.getElementType() &&
         (shape == ArrayRef(whole) || (buffer.getWidth() == 1 && shape == ArrayRef(ids)) ||
          (rows == 1 && shape == ArrayRef(row)));
}

LogicalResult GenericOp::verify() {
  if (getOutputs().empty()) // C1
    return emitOpError("expects an output");
  if (std::optional<ArrayRef<int64_t>> limits = getIndexLimits();
      limits && limits->size() != getInputs().size()) // C3
    return emitOpError("expects a limit for each of ")
           << getInputs().size() << " inputs, got " << limits->size();
  if (getEach() == Each::Sequence &&
      (*this)->getParentOfType<ProgramOp>().getRole() != Role::Run) // C4
    return emitOpError("needs all rows of a sequence, of which a step sees those of a call");
  if (static_cast<int64_t>(getScratchBytes()) < 0)
    return emitOpError("expects scratch of 0 bytes or more");
  return success();
}

LogicalResult GenericOp::verifyRegions() {
  SmallVector<Value> operands(getInputs());
  auto yield = dyn_cast<YieldOp>(getBody().front().getTerminator());
  if (!yield)
    return emitOpError("expects a body that ends in exec.yield");
  ValueRange results = yield.getResults();
  if (isLowered())
    operands.append(getOutputs().begin(), getOutputs().end());
  const size_t arguments = operands.size() + (isLowered() ? 1 : 0);
  const size_t yielded = isLowered() ? 0 : getOutputs().size();
  if (getBody().getNumArguments() != arguments || results.size() != yielded) // C2
    return emitOpError("expects a body of ")
           << arguments << " arguments and " << yielded << " results, got "
           << getBody().getNumArguments() << " and " << results.size();
  for (auto [operand, argument] : llvm::zip(operands, getBody().getArguments()))
    if (!isBodyType(argument.getType(), operand, getEach()) ||
        isLowered() != isa<MemRefType>(argument.getType()))
      return emitOpError("expects one ") << stringifyEach(getEach()) << " of " << operand.getType()
                                         << " in its body, got " << argument.getType();
  if (!isLowered())
    for (auto [output, result] : llvm::zip(getOutputs(), results))
      if (!isBodyType(result.getType(), output, getEach()))
        return emitOpError("expects one ") << stringifyEach(getEach()) << " of " << output.getType()
                                           << " from its body, got " << result.getType();
  return success();
}
