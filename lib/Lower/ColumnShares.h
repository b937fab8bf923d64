//===- ColumnShares.h - which worker computes which columns -----------------------------===//
//
// Operations that compute a column of their result from the same column of their operands (a
// rotation: of the same head) need no barrier between them when one worker owns the column in all
// of them. This class finds such chains while stages are numbered and gives each operation its
// share. Private to Lower.
//
#ifndef LLMC_LIB_LOWER_COLUMNSHARES_H
#define LLMC_LIB_LOWER_COLUMNSHARES_H

#include "StagePlan.h"

#include "llvm/ADT/MapVector.h"

namespace llmc {

class ColumnShares {
public:
  /// `unit`: columns of a linear that one worker computes together. Of the plan, fused
  /// linears are known.
  ColumnShares(const StagePlan &plan, int64_t unit) : plan(plan), unit(unit) {}

  /// Columns that `op` computes together (a head, a tile), or 0 if it goes by rows.
  int64_t granule(Operation *op) const;
  int64_t width(Operation *op) const;

  /// Whether `op` may run in `stage` behind those of its operands that are computed there; if so it
  /// owns the same columns from now on.
  bool tryJoin(Operation *op, int64_t stage, function_ref<int64_t(Value)> stageOf);
  /// `op` starts a chain of its own.
  void start(Operation *op);

  /// The share of every operation by columns. Linears of a stage that read equally long rows are
  /// shared out together: `first` is where those of one start.
  DenseMap<Operation *, exec::ShareAttr> assign(function_ref<int64_t(Operation *)> stageOf);

private:
  /// A chain of operations whose columns belong together, by its first operation.
  struct Chain {
    int64_t unit, width;
    int64_t inputs = 0; ///< of each of its linears; 0: they differ, or there are several.
    int64_t linears = 0;
    int64_t total = 0, first = 0;
  };
  /// Where the columns of a value lie in those of its chain.
  struct Place {
    Operation *chain;
    int64_t column;
  };

  Operation *leader(Operation *op);
  std::optional<Place> placeOf(Value value);

  const StagePlan &plan;
  int64_t unit;
  llvm::MapVector<Operation *, Chain> chains;
  DenseMap<Operation *, Operation *> leaders; ///< towards the chain that took this one in.
  llvm::MapVector<Operation *, Place> places; ///< of operations by columns.
};

} // namespace llmc

#endif // LLMC_LIB_LOWER_COLUMNSHARES_H
