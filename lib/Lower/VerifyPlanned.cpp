//===- VerifyPlanned.cpp - programs whose weights and buffers have places ---------------===//
//
// What passes behind --pack-weights and --plan-memory rely on, also in text that somebody wrote.
//
#include "llmc/Lower/CompileConfig.h"

#include "llmc/Exec/Lifetimes.h"

using namespace mlir;
using namespace llmc;
using exec::ProgramOp;

namespace {

/// A buffer where the plan has put it.
struct Planned {
  Value buffer;
  ArrayRef<exec::Lifetime> lives;
  int64_t begin, end; ///< bytes
  bool isPrivate;
};

} // namespace

/// That no two buffers share memory while both hold something, and all lie within it.
static LogicalResult verifyMemory(ProgramOp program) {
  exec::Lifetimes lifetimes(program);
  SmallVector<Planned> buffers;
  WalkResult inside = program.walk([&](Operation *op) {
    if (!isa<exec::InputOp, exec::BufferOp>(op) || !op->hasAttr("offset"))
      return WalkResult::advance();
    Value buffer = op->getResult(0);
    bool isPrivate = exec::getBufferType(buffer).isPrivate();
    int64_t begin = exec::getPlace(buffer), end = begin + exec::getBytes(buffer);
    int64_t size = isPrivate ? *program.getPrivateBytes() : *program.getArenaBytes();
    buffers.push_back({buffer, lifetimes.of(buffer), begin, end, isPrivate});
    if (end <= size)
      return WalkResult::advance();
    op->emitError("lies at bytes ") << begin << " to " << end << ", beyond its memory of " << size;
    return WalkResult::interrupt();
  });
  if (inside.wasInterrupted())
    return failure();
  llvm::sort(buffers, [](const Planned &a, const Planned &b) { return a.begin < b.begin; });
  for (size_t i = 0; i < buffers.size(); ++i)
    for (size_t j = i + 1; j < buffers.size() && buffers[j].begin < buffers[i].end; ++j) {
      if (buffers[i].isPrivate != buffers[j].isPrivate ||
          !exec::meet(buffers[i].lives, buffers[j].lives))
        continue;
      InFlightDiagnostic error =
          emitError(buffers[j].buffer.getLoc(), "shares memory with a buffer of the same stage");
      error.attachNote(buffers[i].buffer.getLoc()) << "the other is here";
      return error;
    }
  return success();
}

LogicalResult llmc::verifyPlanned(ProgramOp program) {
  if (!program.getWeightBytes())
    return program.emitError("expects weights with places in the weight file; run --pack-weights");
  if (!program.getArenaBytes() || !program.getPrivateBytes())
    return program.emitError("expects buffers with places in memory; run --plan-memory");
  WalkResult result = program.walk([&](Operation *op) {
    if (isa<exec::BufferOp>(op) &&
        exec::getBufferType(op->getResult(0)).getSpace() == exec::Space::Caller)
      return WalkResult::advance();
    if (!isa<exec::InputOp, exec::BufferOp, exec::WeightOp, exec::RopeTableOp>(op) ||
        op->hasAttr("offset"))
      return WalkResult::advance();
    op->emitError("has no place; run --pack-weights and --plan-memory behind what made it");
    return WalkResult::interrupt();
  });
  return result.wasInterrupted() ? failure() : verifyMemory(program);
}
