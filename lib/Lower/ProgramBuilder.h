//===- ProgramBuilder.h - builds a program of a graph -----------------------------------===//
//
// Private to Lower: declarations are made in BuildProgram.cpp, stages and their kernels in
// BuildStages.cpp, what has no kernel in BuildBodies.cpp.
//
#ifndef LLMC_LIB_LOWER_PROGRAMBUILDER_H
#define LLMC_LIB_LOWER_PROGRAMBUILDER_H

#include "StagePlan.h"

#include <map>

namespace llmc {

class ProgramBuilder {
public:
  ProgramBuilder(func::FuncOp entry, const CompileConfig &config, const StagePlan &plan)
      : entry(entry), config(config), plan(plan), declare(entry.getContext()),
        kernels(entry.getContext()),
        step(entry->getAttrOfType<StringAttr>("llmc.role").getValue() == "step") {}

  FailureOr<exec::ProgramOp> build();

private:
  // Declarations.
  void declareWeights();
  DenseF64ArrayAttr longFrequencies(RopeOp rope) const;
  void declareRopeTables();
  void declareInputs();
  void declareWeightRows();
  Value newBuffer(Location loc, Value value, exec::Space space = exec::Space::Arena);
  exec::BufferType bufferType(Value value, exec::Space space) const;
  bool isPerSequence(Value value) const;
  Value packed(Value weight, exec::Form form) const { return forms.lookup({weight, form}); }
  Value buffer(Value value) const { return buffers.lookup(value); }

  // Stages.
  void startStage(Location loc, int64_t number);
  LogicalResult emit(const PlacedOp &placed);
  LogicalResult emitKernel(Operation *op, Value result);
  LogicalResult emitLinear(LinearOp op, Value residual, Value result, exec::ShareAttr share);
  LogicalResult emitQuantize(QuantizeOp op);
  LogicalResult emitAttention(AttentionOp op, Value result);
  LogicalResult emitExpect(Operation *op, FloatAttr atol, FloatAttr rtol, bool exact);
  void emitSplit(SplitOp op);
  LogicalResult emitReshape(Operation *op);
  LogicalResult emitBody(Operation *op);
  FailureOr<RankedTensorType> bodyType(OpOperand &operand, bool eachRow);
  LogicalResult emitTail(ArrayRef<PlacedOp> ops, Value logits);

  func::FuncOp entry;
  const CompileConfig &config;
  const StagePlan &plan;
  exec::ProgramOp program;
  OpBuilder declare;       ///< Behind the declarations of the program, or of its tail.
  OpBuilder kernels;       ///< At the end of the stage at work.
  Block *region = nullptr; ///< Of the program, or of its tail.
  int64_t stage = -1;      ///< Number of the stage at work.
  bool step;
  DenseMap<Value, Value> buffers; ///< Of quantized rows their codes,
  DenseMap<Value, Value> scales;  ///< and these.
  DenseMap<std::pair<Value, exec::Form>, Value> forms;
  std::map<std::vector<double>, Value> ropeTables; ///< by frequencies and factor.
};

/// What rotations have in common that share a table: frequencies, and the factor behind them.
std::vector<double> ropeKey(RopeOp rope, ArrayRef<double> frequencies);

} // namespace llmc

#endif // LLMC_LIB_LOWER_PROGRAMBUILDER_H
