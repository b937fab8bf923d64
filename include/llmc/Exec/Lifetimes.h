//===- Lifetimes.h - in which stages buffers hold something -----------------------------===//
//
// What memory planning needs, and what shows that a plan is right.
//
#ifndef LLMC_EXEC_LIFETIMES_H
#define LLMC_EXEC_LIFETIMES_H

#include "llmc/Exec/ExecDialect.h"

namespace llmc::exec {

/// Stages in which a buffer holds something, both inclusive; they count from 1, as they run.
struct Lifetime {
  int64_t begin = 0, end = 0;
  bool meets(Lifetime other) const { return begin <= other.end && other.begin <= end; }
};

/// Whether both hold something in one stage. Each list is in order, without overlap.
bool meet(ArrayRef<Lifetime> a, ArrayRef<Lifetime> b);

/// Lifetimes of all buffers of a program, from its stages in the order they run.
class Lifetimes {
public:
  explicit Lifetimes(ProgramOp program);

  /// From each time that a buffer is written anew to the last that what was written is read.
  ArrayRef<Lifetime> of(Value buffer) const;

private:
  void add(KernelOpInterface kernel, const Turn &turn, int64_t stage);

  DenseMap<Value, SmallVector<Lifetime, 1>> lives;
};

} // namespace llmc::exec

#endif // LLMC_EXEC_LIFETIMES_H
