//===- Lifetimes.h - in which stages buffers hold something -----------------------------===//
//
// What memory planning needs, and what shows that a plan is right.
//
#ifndef LLMC_EXEC_LIFETIMES_H
#define LLMC_EXEC_LIFETIMES_H

#include "llmc/Exec/ExecDialect.h"

namespace llmc::exec {

/// Stages in which a buffer holds something, both inclusive; they count from 1.
struct Lifetime {
  int64_t begin = 0, end = 0;
  bool meets(Lifetime other) const { return begin <= other.end && other.begin <= end; }
};

/// Lifetimes of all buffers of a program, from its stages in order.
class Lifetimes {
public:
  explicit Lifetimes(ProgramOp program);

  Lifetime of(Value buffer) const { return lives.lookup(buffer); }

private:
  void add(KernelOpInterface kernel, int64_t stage);

  DenseMap<Value, Lifetime> lives;
};

} // namespace llmc::exec

#endif // LLMC_EXEC_LIFETIMES_H
