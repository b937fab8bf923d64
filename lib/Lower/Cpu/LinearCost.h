//===- LinearCost.h - how long a linear should take -------------------------------------===//
//
// What --explain expects of a linear on one thread, from the numbers of a processor. Made to say
// what bounds it and whether a measurement is far off, not to predict the last tenth.
//
#ifndef LLMC_LIB_LOWER_CPU_LINEARCOST_H
#define LLMC_LIB_LOWER_CPU_LINEARCOST_H

#include "TileLinear.h"

namespace llmc {

/// Seconds of one call.
struct LinearCost {
  double memory;     ///< to read the weights once, from memory.
  double arithmetic; ///< of the loop's instructions, operands at hand.
  double seconds() const { return std::max(memory, arithmetic); }
};

/// `rows` rows of x: up to plan.decodeRows by the decode path, more by panels.
LinearCost estimateLinear(const LinearLayout &layout, const LinearPlan &plan, VectorShape shape,
                          int64_t rows);

/// Up to how many rows the decode path is expected to take no longer than panels.
int64_t chooseDecodeRows(const LinearLayout &layout, const LinearPlan &plan, VectorShape shape);

} // namespace llmc

#endif // LLMC_LIB_LOWER_CPU_LINEARCOST_H
