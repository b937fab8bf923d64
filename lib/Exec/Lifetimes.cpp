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

bool exec::meet(ArrayRef<Lifetime> a, ArrayRef<Lifetime> b) {
  while (!a.empty() && !b.empty()) {
    if (a.front().meets(b.front()))
      return true;
    (a.front().end < b.front().end ? a : b).consume_front();
  }
  return false;
}

Lifetimes::Lifetimes(ProgramOp program) {
  // There before the first stage, and for the next call to overwrite.
  program.walk([&](InputOp input) { lives[input.getResult()] = {{0, kForever}}; });
  int64_t number = 0;
  forEachStage(program, [&](StageOp stage, const Turn &turn) {
    ++number;
    for (auto kernel : stage.getBody().front().getOps<KernelOpInterface>())
      add(kernel, turn, number);
  });
  program.walk([&](Operation *op) {
    if (isa<OutputOp, exec::ObserveOp>(op)) { // Read by the caller after the last stage.
      auto &lifetimes = lives[getViewed(op->getOperand(0)).buffer];
      if (lifetimes.empty())
        lifetimes.push_back({});
      lifetimes.back().end = kForever;
    }
  });
}

ArrayRef<Lifetime> Lifetimes::of(Value buffer) const {
  static constexpr Lifetime kUnused;
  auto found = lives.find(buffer);
  return found == lives.end() ? ArrayRef(kUnused) : ArrayRef(found->second);
}

void Lifetimes::add(KernelOpInterface kernel, const Turn &turn, int64_t stage) {
  auto tail = kernel->getParentOfType<TailOp>();
  for (Value read : kernel.getReads()) {
    Value buffer = turn.of(getViewed(read).buffer);
    // The tail is a loop: its next block reads what is from outside again.
    bool again = tail && buffer.getDefiningOp()->getParentOp() != tail;
    auto &lifetimes = lives[buffer];
    if (lifetimes.empty())
      lifetimes.push_back({});
    lifetimes.back().end = std::max(lifetimes.back().end, again ? kForever : stage);
  }
  for (Value written : kernel.getWrites()) {
    auto &lifetimes = lives[turn.of(getViewed(written).buffer)];
    if (lifetimes.empty() || lifetimes.back().end < stage)
      lifetimes.push_back({stage, stage});
    if (isa<ExpectOp>(kernel)) // The caller reads all outcomes after the last stage.
      lifetimes = {{0, kForever}};
  }
}
