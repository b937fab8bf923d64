//===- PlanMemory.cpp - give every buffer an offset in the arena ------------------------===//
//
// Static and stage by stage: memory is free again only in the stage after its last reader, so that
// workers of one stage can never meet in it.
//
#include "llmc/Lower/Passes.h"

#include "llmc/Exec/Lifetimes.h"
#include "llvm/ADT/Statistic.h"

#define DEBUG_TYPE "plan-memory"

namespace llmc {
#define GEN_PASS_DEF_PLANMEMORY
#include "llmc/Lower/Passes.h.inc"
} // namespace llmc

using namespace mlir;
using namespace llmc;
using exec::Lifetime;

ALWAYS_ENABLED_STATISTIC(bytesShared, "Bytes of the arena that all workers share");
ALWAYS_ENABLED_STATISTIC(bytesPrivate, "Bytes of the arena for each worker");

namespace {

struct Interval {
  ArrayRef<Lifetime> lives;
  int64_t offset, bytes; ///< in the arena
};

class Planner {
public:
  int64_t place(ArrayRef<Lifetime> lives, int64_t bytes) {
    bytes = (bytes + 63) / 64 * 64;
    SmallVector<Interval *> live;
    for (Interval &other : intervals)
      if (exec::meet(other.lives, lives))
        live.push_back(&other);
    llvm::sort(live, [](Interval *a, Interval *b) { return a->offset < b->offset; });
    int64_t offset = 0;
    for (Interval *other : live) {
      if (offset + bytes <= other->offset)
        break;
      offset = std::max(offset, other->offset + other->bytes);
    }
    intervals.push_back({lives, offset, bytes});
    peak = std::max(peak, offset + bytes);
    return offset;
  }
  int64_t peak = 0;

private:
  std::vector<Interval> intervals;
};

struct PlanMemoryPass : public llmc::impl::PlanMemoryBase<PlanMemoryPass> {
  void runOnOperation() override;
};

void PlanMemoryPass::runOnOperation() {
  FailureOr<exec::ProgramOp> program = exec::getProgram(getOperation());
  if (failed(program))
    return signalPassFailure();
  exec::Lifetimes lifetimes(*program);
  Planner arena, own; // Memory of all workers; what each worker has to itself.
  auto place = [&](auto op) {
    Value buffer = op.getResult();
    Planner &memory = exec::getBufferType(buffer).isPrivate() ? own : arena;
    op.setOffset(memory.place(lifetimes.of(buffer), exec::getBytes(buffer)));
  };
  program->walk([&](exec::InputOp input) { place(input); });
  program->walk([&](exec::BufferOp buffer) {
    if (exec::getBufferType(buffer.getResult()).getSpace() != exec::Space::Caller)
      place(buffer);
  });
  program->setArenaBytes(arena.peak);
  program->setPrivateBytes(own.peak);
  bytesShared += arena.peak;
  bytesPrivate += own.peak;
}

} // namespace
