//===- BuildProgram.cpp - the program of a graph, and what it declares ------------------===//
//
// Weights move into the program, each in the forms that its readers want; a value of the graph
// becomes a buffer.
//
#include "ProgramBuilder.h"

#include "mlir/IR/TypeUtilities.h"

using namespace mlir;
using namespace llmc;
using exec::BufferType;
using exec::Form;
using exec::PackedType;
using exec::Space;

std::vector<double> llmc::ropeKey(RopeOp rope, ArrayRef<double> frequencies) {
  std::vector<double> key(frequencies.begin(), frequencies.end());
  key.push_back(rope.getAttentionFactor().convertToDouble());
  return key;
}

static WeightSlot slotOf(OpOperand &use) {
  auto user = dyn_cast<WeightUserOpInterface>(use.getOwner());
  return user ? user.getWeightSlot(use.getOperandNumber()) : WeightSlot::None;
}

/// What one use of a weight wants of the weight file.
static Form wantedForm(OpOperand &use) {
  switch (slotOf(use)) {
  case WeightSlot::Matrix:
    return Form::Linear;
  case WeightSlot::Bias:
    return Form::Bias;
  case WeightSlot::Vector:
    return Form::Vector;
  case WeightSlot::Table:
    return Form::Embedding;
  case WeightSlot::Rows:
  case WeightSlot::None:
    return Form::Rows;
  }
  llvm_unreachable("all slots are above");
}

/// The forms a weight is wanted in, in the order of the enumeration. A table that products read
/// serves ids as well.
static SmallVector<Form> wantedForms(WeightOp weight) {
  llvm::SmallDenseSet<unsigned> wanted;
  for (OpOperand &use : weight->getUses())
    wanted.insert(static_cast<unsigned>(wantedForm(use)));
  if (wanted.contains(static_cast<unsigned>(Form::Linear)))
    wanted.erase(static_cast<unsigned>(Form::Embedding));
  SmallVector<Form> forms;
  for (Form form : {Form::Linear, Form::Embedding, Form::Bias, Form::Vector, Form::Rows})
    if (wanted.contains(static_cast<unsigned>(form)))
      forms.push_back(form);
  return forms;
}

/// Rows are read as they are; what else readers want, their verifiers have asked for.
static bool hasForm(Type content, Form form) {
  auto tensor = dyn_cast<RankedTensorType>(content);
  return form != Form::Rows || (tensor && tensor.getRank() > 0 && tensor.getNumElements() > 0);
}

void ProgramBuilder::declareWeights() {
  for (WeightOp weight : llvm::make_early_inc_range(entry.getOps<WeightOp>())) {
    SmallVector<Form> wanted = wantedForms(weight);
    if (wanted.empty())
      continue;
    weight->moveBefore(region, region->end());
    declare.setInsertionPointToEnd(region);
    for (Form form : wanted) {
      Type content = weight.getResult().getType();
      if (!hasForm(content, form))
        continue; // Its reader says what it misses.
      forms[{weight.getResult(), form}] = exec::WeightOp::create(
          declare, weight.getLoc(), PackedType::get(declare.getContext(), form, content),
          weight.getResult(), IntegerAttr(), IntegerAttr());
    }
  }
}

/// Null where no sequence becomes so long.
DenseF64ArrayAttr ProgramBuilder::longFrequencies(RopeOp rope) const {
  bool isReached = static_cast<int64_t>(rope.getOriginalContext()) < config.context;
  return isReached ? rope.getLongFrequenciesAttr() : DenseF64ArrayAttr();
}

void ProgramBuilder::declareRopeTables() {
  for (const PlacedOp &placed : plan.order) {
    auto rope = dyn_cast<RopeOp>(placed.op);
    if (!rope)
      continue;
    for (DenseF64ArrayAttr frequencies : {rope.getFrequenciesAttr(), longFrequencies(rope)}) {
      if (!frequencies)
        continue;
      Value &table = ropeTables[ropeKey(rope, frequencies)];
      if (table)
        continue;
      int64_t columns = 2 * frequencies.size();
      auto content = RankedTensorType::get({config.context, columns}, declare.getF32Type());
      table = exec::RopeTableOp::create(
          declare, rope.getLoc(), PackedType::get(declare.getContext(), Form::Rope, content),
          frequencies, rope.getAttentionFactorAttr(), IntegerAttr(), IntegerAttr());
    }
  }
}

/// Whether a value has a row for each sequence; one that is fused has no buffer, and the rows of
/// its input.
bool ProgramBuilder::isPerSequence(Value value) const {
  if (Value held = buffer(value))
    return exec::getBufferType(held).getPerSequence();
  Operation *op = value.getDefiningOp();
  return op && plan.fused.contains(op) && isPerSequence(op->getOperand(0));
}

BufferType ProgramBuilder::bufferType(Value value, Space space) const {
  auto type = cast<RankedTensorType>(value.getType());
  MLIRContext *context = type.getContext();
  Operation *op = value.getDefiningOp();
  bool perSequence =
      op && llvm::any_of(op->getOperands(), [&](Value operand) { return isPerSequence(operand); });
  if (!isa<FloatType>(type.getElementType()))
    return BufferType::get(context, ShapedType::kDynamic, 1, IntegerType::get(context, 32), 1,
                           space, perSequence);
  int64_t width = type.getShape().back();
  int64_t stride = space == Space::Caller ? width : paddedStride(width);
  return BufferType::get(context, ShapedType::kDynamic, width, Float32Type::get(context), stride,
                         space, perSequence);
}

Value ProgramBuilder::newBuffer(Location loc, Value value, Space space) {
  return exec::BufferOp::create(declare, loc, bufferType(value, space), IntegerAttr());
}

void ProgramBuilder::declareInputs() {
  for (BlockArgument argument : entry.getArguments())
    buffers[argument] =
        exec::InputOp::create(declare, entry.getLoc(), bufferType(argument, Space::Arena),
                              declare.getI64IntegerAttr(argument.getArgNumber()), IntegerAttr());
}

/// A weight used like an activation (in tests) is copied to the arena first.
void ProgramBuilder::declareWeightRows() {
  for (auto weight : region->getOps<WeightOp>()) {
    Value rows = packed(weight.getResult(), Form::Rows);
    if (!rows || llvm::all_of(weight->getUses(), [](OpOperand &use) {
          return isa<exec::WeightOp>(use.getOwner()) || slotOf(use) != WeightSlot::None;
        }))
      continue;
    Value target = newBuffer(weight.getLoc(), weight.getResult());
    buffers[weight.getResult()] = target;
    startStage(weight.getLoc(), 0);
    exec::CopyOp::create(kernels, weight.getLoc(), rows, target, exec::ShareAttr());
  }
}

FailureOr<exec::ProgramOp> ProgramBuilder::build() {
  auto terminator = cast<func::ReturnOp>(entry.getBody().front().getTerminator());
  if (step && (terminator.getNumOperands() != 1 ||
               !isa<FloatType>(getElementTypeOrSelf(terminator.getOperand(0).getType()))))
    return entry.emitError("expects a step to return the logits and nothing else");
  OpBuilder b(entry);
  program = exec::ProgramOp::create(
      b, entry.getLoc(), entry.getName(), step ? exec::Role::Step : exec::Role::Run,
      step ? config.chunk : config.maxTokens, IntegerAttr(), IntegerAttr(), IntegerAttr());
  region = &program.getBody().emplaceBlock();
  declare.setInsertionPointToEnd(region);
  declareWeights();
  declareRopeTables();
  declareInputs();
  declareWeightRows();
  ArrayRef<PlacedOp> ops = plan.order;
  ArrayRef<PlacedOp> body =
      ops.take_while([&](const PlacedOp &placed) { return !plan.tail.contains(placed.op); });
  for (const PlacedOp &placed : body)
    if (failed(emit(placed)))
      return failure();
  if (step) {
    if (failed(emitTail(ops.drop_front(body.size()), terminator.getOperand(0))))
      return failure();
    return program;
  }
  OpBuilder outputs = OpBuilder::atBlockEnd(region);
  for (Value output : terminator.getOperands()) {
    if (!isa<FloatType>(getElementTypeOrSelf(output.getType())))
      return entry.emitError("returns ") << output.getType() << ", expected rows of floats";
    Value rows = buffer(output);
    const bool isFlat = cast<RankedTensorType>(output.getType()).getRank() == 2 &&
                        exec::getBufferType(rows).getPerSequence();
    exec::OutputOp::create(outputs, entry.getLoc(), rows,
                           outputs.getI64IntegerAttr(isFlat ? 2 : 3));
  }
  return program;
}

FailureOr<exec::ProgramOp> llmc::buildProgram(func::FuncOp entry, const CompileConfig &config,
                                              const StagePlan &plan) {
  ProgramBuilder builder(entry, config, plan);
  return builder.build();
}
