//===- Lifetimes.cpp - in which stages buffers hold something ---------------------------===//
//
// A buffer is free only in the stage after its last reader, so that workers of one stage can never
// meet in memory.
//
#include "llmc/Exec/Lifetimes.h"

#include <limits>

using namespace mlir;
using namespace llmc;
using namespace llmc::exec;

static constexpr int64_t kForever = std::numeric_limits<int64_t>::max();

Lifetimes::Lifetimes(ProgramOp program) {
  int64_t stage = 0;
  program.walk<WalkOrder::PreOrder>([&](Operation *op) {
    if (isa<StageOp>(op))
      ++stage;
    else if (auto kernel = dyn_cast<KernelOpInterface>(op))
      add(kernel, stage);
    else if (isa<InputOp>(op)) // There before the first stage, and for the next call to overwrite.
      lives[op->getResult(0)] = {0, kForever};
    else if (isa<OutputOp, exec::ObserveOp>(op)) // Read by the caller after the last stage.
      lives[getViewed(op->getOperand(0)).buffer].end = kForever;
  });
}

void Lifetimes::add(KernelOpInterface kernel, int64_t stage) {
  for (Value written : kernel.getWrites()) {
    Lifetime &life = lives[getViewed(written).buffer];
    if (life.begin == 0)
      life.begin = stage;
    if (isa<ExpectOp>(kernel)) // The caller reads all outcomes after the last stage.
      life = {0, kForever};
    life.end = std::max(life.end, stage);
  }
  auto tail = kernel->getParentOfType<TailOp>();
  for (Value read : kernel.getReads()) {
    Value buffer = getViewed(read).buffer;
    // The tail is a loop: its next block reads what is from outside again.
    bool again = tail && buffer.getDefiningOp()->getParentOp() != tail;
    Lifetime &life = lives[buffer];
    life.end = std::max(life.end, again ? kForever : stage);
  }
}
