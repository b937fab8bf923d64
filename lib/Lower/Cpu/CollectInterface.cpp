//===- CollectInterface.cpp - what the C interface needs to know of a program -----------===//
//
// Inputs by what reads them, outputs, and what can be found in the arena after a call.
//
#include "Interface.h"

#include "llvm/Support/Path.h"

using namespace mlir;
using namespace llmc;
using exec::BufferType;
using exec::ProgramOp;

/// The kernel that writes a buffer, or null.
template <typename Kernel> static Kernel writerOf(Value buffer) {
  for (Operation *user : buffer.getUsers())
    if (auto kernel = dyn_cast<Kernel>(user); kernel && kernel.getOutput() == buffer)
      return kernel;
  return {};
}

/// What bodies read an input as.
static void collectBodyReads(exec::GenericOp body, Value input, InterfaceInput &facts,
                             bool &isMask) {
  for (auto [i, operand] : llvm::enumerate(body.getInputs())) {
    if (operand != input)
      continue;
    const int64_t limit = body.getIndexLimits() ? (*body.getIndexLimits())[i] : 0;
    if (limit > 0)
      facts.limit = facts.limit ? std::min(facts.limit, limit) : limit;
    facts.inSequence |= limit < 0;
    isMask |= limit == 0;
  }
}

/// What an input means: rows of floats, ids of a table, positions of the sequence, or a mask.
static LogicalResult collectInput(exec::InputOp op, InterfaceFacts &facts) {
  BufferType type = exec::getBufferType(op.getResult());
  uint64_t index = op.getIndex();
  if (!type.getElementType().isInteger(32) && !type.getElementType().isF32())
    return op.emitError("input ") << index << " is " << type
                                  << ", expected rows of f32, or ids or a mask as i32";
  if (index != facts.inputs.size())
    return op.emitError("expects inputs in order, got ")
           << index << " as number " << facts.inputs.size();
  InterfaceInput input;
  input.buffer = *op.getOffset();
  if (type.getElementType().isF32()) {
    input.width = type.getWidth();
    input.stride = type.getStride();
    facts.inputs.push_back(input);
    return success();
  }
  bool isMask = false;
  for (Operation *user : op->getUsers()) {
    if (auto embedding = dyn_cast<exec::EmbeddingOp>(user)) {
      int64_t rows = getWeightShape(exec::getPackedType(embedding.getTable()).getContent())[0];
      input.limit = input.limit ? std::min(input.limit, rows) : rows;
    }
    isMask |= isa<exec::AttentionOp>(user);
    if (auto body = dyn_cast<exec::GenericOp>(user))
      collectBodyReads(body, op.getResult(), input, isMask);
  }
  if (isMask && (input.limit || input.inSequence))
    return op.emitError("input ") << index << " is both ids and a mask";
  facts.inputs.push_back(input);
  return success();
}

/// The longest sequence that tables of rotations and of positions allow.
static void limitSequence(ProgramOp program, InterfaceFacts &facts) {
  auto limit = [&](int64_t rows) { facts.sequenceLimit = std::min(facts.sequenceLimit, rows); };
  program.walk([&](exec::RopeTableOp table) {
    limit(getWeightShape(exec::getPackedType(table.getResult()).getContent())[0]);
  });
  program.walk([&](exec::EmbeddingOp embedding) {
    if (auto positions = writerOf<exec::PositionsOp>(embedding.getIds()))
      limit(getWeightShape(exec::getPackedType(embedding.getTable()).getContent())[0] -
            static_cast<int64_t>(positions.getOffset()));
  });
}

/// What goes to the caller: logits by a copy in the tail, outputs, rows of weights that tests start
/// from.
static void collectOutputs(ProgramOp program, InterfaceFacts &facts) {
  program.walk([&](exec::OutputOp output) {
    BufferType type = exec::getBufferType(output.getInput());
    facts.outputs.push_back({exec::getPlace(output.getInput()), type.getWidth(), type.getStride(),
                             type.getPerSequence(), static_cast<int64_t>(output.getRank())});
  });
  program.walk([&](exec::CopyOp copy) {
    if (auto packed = dyn_cast<exec::PackedType>(copy.getInput().getType())) {
      auto type = cast<RankedTensorType>(packed.getContent());
      facts.fixedRows = type.getNumElements() / type.getShape().back();
      facts.fixedSequence = type.getRank() > 1 ? type.getDimSize(type.getRank() - 2) : 1;
    } else {
      facts.vocabulary = exec::getBufferType(copy.getInput()).getWidth();
    }
  });
  program.walk(
      [&](exec::ExpectOp expect) { facts.flags.push_back(exec::getPlace(expect.getOutput())); });
}

LogicalResult llmc::collectInterface(ProgramOp program, const CompileConfig &config,
                                     InterfaceFacts &facts) {
  facts.isStep = program.getRole() == exec::Role::Step;
  facts.sequenceLimit = config.maxTokens;
  if (auto stated =
          program->getParentOfType<ModuleOp>()->getAttrOfType<IntegerAttr>("llmc.context"))
    facts.sequenceLimit = std::min(facts.sequenceLimit, stated.getInt());
  for (auto input : program.getBody().front().getOps<exec::InputOp>())
    if (failed(collectInput(input, facts)))
      return failure();
  limitSequence(program, facts);
  collectOutputs(program, facts);
  if (!facts.isStep)
    return success();
  if (facts.inputs.size() != 1 || (!facts.inputs[0].limit && !facts.inputs[0].width))
    return program.emitError("expects a step to take the ids, or rows of floats, and nothing else");
  if (!facts.vocabulary)
    return program.emitError("expects a step to copy logits to the caller in its tail");
  facts.idsBuffer = facts.inputs[0].buffer;
  return success();
}

/// Where a check stands in the source, without the folder: the artifact must not depend on it.
static std::string placeInSource(Location loc) {
  auto file = loc->findInstanceOf<FileLineColLoc>();
  if (!file)
    return "";
  return (llvm::sys::path::filename(file.getFilename().getValue()) + ":" +
          llvm::Twine(file.getLine()))
      .str();
}

static exec::CheckAttr describeCheck(exec::ExpectOp op) {
  Builder b(op.getContext());
  auto packed = op.getExpected().getDefiningOp<exec::WeightOp>();
  StringRef expected =
      packed ? packed.getWeight().getDefiningOp<WeightOp>().getWeightName() : StringRef();
  return exec::CheckAttr::get(
      op.getContext(), b.getStringAttr(op.getExact() ? "expect_eq" : "expect_close"),
      b.getStringAttr(expected), b.getStringAttr(placeInSource(op.getLoc())),
      exec::getPlace(op.getOutput()), exec::getBufferType(op.getActual()).getWidth());
}

exec::ArtifactAttr llmc::describeArtifact(ProgramOp program, const InterfaceFacts &facts) {
  Builder b(program.getContext());
  SmallVector<Attribute> observations, checks;
  program.walk([&](exec::ObserveOp op) {
    BufferType type = exec::getBufferType(op.getInput());
    observations.push_back(exec::ObservationAttr::get(
        b.getContext(), op.getObserverAttr(), exec::getPlace(op.getInput()), type.getWidth(),
        type.getStride(), type.getPerSequence()));
  });
  program.walk([&](exec::ExpectOp op) { checks.push_back(describeCheck(op)); });
  // Ids are below the rows of the table, which need not be as many as the logits.
  const InterfaceInput *ids =
      llvm::find_if(facts.inputs, [](const InterfaceInput &input) { return input.limit > 0; });
  return exec::ArtifactAttr::get(
      b.getContext(), facts.arenaBytes, facts.scratchBytes, facts.kvBlockBytes, facts.vocabulary,
      ids == facts.inputs.end() ? 0 : ids->limit, facts.isStep ? 0 : facts.sequenceLimit,
      b.getArrayAttr(observations), b.getArrayAttr(checks));
}
