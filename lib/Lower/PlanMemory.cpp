//===- PlanMemory.cpp - give every value an offset in the arena -------------------------===//
//
// Static and stage by stage: a buffer is free again only in the stage after its last reader, so
// that threads of one stage can never meet in memory.
//
#include "llmc/Lower/CompileConfig.h"
#include "llmc/Lower/Passes.h"

namespace llmc {
#define GEN_PASS_DEF_PLANMEMORY
#include "llmc/Lower/Passes.h.inc"
} // namespace llmc

using namespace mlir;
using namespace llmc;

namespace {

constexpr int64_t kForever = std::numeric_limits<int64_t>::max();

struct Interval {
  int64_t begin, end;    ///< stages, both inclusive
  int64_t offset, bytes; ///< in the arena
};

int64_t stageOf(Operation *op) {
  auto stage = op->getAttrOfType<IntegerAttr>("llmc.stage");
  return stage ? stage.getInt() : kForever; // Only the return has none.
}

/// Bytes of one row of a value: f32 rows padded to whole tiles, ids as i32.
int64_t rowBytes(Value value) {
  auto type = cast<RankedTensorType>(value.getType());
  if (!isa<FloatType>(type.getElementType()))
    return 4;
  return paddedStride(type.getShape().back()) * 4;
}

/// The last stage that reads a value, through the views of it and the sums that read it for a fused
/// linear.
int64_t lastUse(Value value, bool fromBody) {
  int64_t last = 0;
  for (OpOperand &use : value.getUses()) {
    Operation *user = use.getOwner();
    if (isa<ObserveOp>(user))
      return kForever; // Read by the caller after the step.
    if (fromBody && user->hasAttr("llmc.tail"))
      return kForever; // The tail is a loop: its next block reads the value again.
    if (isa<SplitOp>(user) || user->hasAttr("llmc.fused"))
      for (Value result : user->getResults())
        last = std::max(last, lastUse(result, fromBody));
    last = std::max(last, stageOf(user));
  }
  return last;
}

class Planner {
public:
  int64_t place(int64_t begin, int64_t end, int64_t bytes) {
    bytes = (bytes + 63) / 64 * 64;
    SmallVector<Interval *> live;
    for (Interval &other : intervals)
      if (other.begin <= end && begin <= other.end)
        live.push_back(&other);
    llvm::sort(live, [](Interval *a, Interval *b) { return a->offset < b->offset; });
    int64_t offset = 0;
    for (Interval *other : live) {
      if (offset + bytes <= other->offset)
        break;
      offset = std::max(offset, other->offset + other->bytes);
    }
    intervals.push_back({begin, end, offset, bytes});
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
  FailureOr<func::FuncOp> entry = getEntry(getOperation());
  if (failed(entry))
    return signalPassFailure();
  CompileConfig config = CompileConfig::get(getOperation());
  bool step = (*entry)->getAttrOfType<StringAttr>("llmc.role") == "step";
  int64_t bodyRows = step ? config.chunk : config.maxTokens;
  Builder b(&getContext());
  Planner planner, own; // of the arena; of what each thread has to itself
  for (BlockArgument argument : entry->getArguments()) {
    int64_t offset = planner.place(0, kForever, bodyRows * 4);
    entry->setArgAttr(argument.getArgNumber(), "llmc.buffer", b.getI64IntegerAttr(offset));
  }
  for (Operation &op : entry->getBody().front().without_terminator()) {
    int64_t rows = op.hasAttr("llmc.tail") ? std::min(kTailRows, bodyRows) : bodyRows;
    auto setBuffers = [&](ArrayRef<int64_t> offsets) {
      op.setAttr("llmc.buffer", b.getDenseI64ArrayAttr(offsets));
    };
    if (auto weight = dyn_cast<WeightOp>(op)) {
      // A weight used like an activation (in tests) is copied to the arena first.
      auto packed = op.getAttrOfType<DictionaryAttr>("llmc.packed");
      if (packed && packed.contains("rows"))
        setBuffers(planner.place(0, kForever, bodyRows * rowBytes(weight.getResult())));
    } else if (isa<ExpectCloseOp, ExpectEqOp>(op)) {
      setBuffers(planner.place(0, kForever, 64));
    } else if (!isa<SplitOp>(op) && !op.hasAttr("llmc.fused") && op.getNumResults()) {
      int64_t last = std::max(stageOf(&op), lastUse(op.getResult(0), !op.hasAttr("llmc.tail")));
      Planner &memory = op.hasAttr("llmc.private") ? own : planner;
      setBuffers(memory.place(stageOf(&op), last, rows * rowBytes(op.getResult(0))));
    }
  }
  (*entry)->setAttr("llmc.arena_bytes", b.getI64IntegerAttr(planner.peak));
  (*entry)->setAttr("llmc.private_bytes", b.getI64IntegerAttr(own.peak));
}

} // namespace
