// What lowering and compression ask of operations of the graph, so that they need not know them by name.
#ifndef LLMC_IR_GRAPHINTERFACES_TD
#define LLMC_IR_GRAPHINTERFACES_TD

include "mlir/IR/OpBase.td"

def LinalgBodyOpInterface : OpInterface<"LinalgBodyOpInterface"> {
  let cppNamespace = "::llmc";
  let description = [{
    An operation that says in linalg on tensors what it computes. With that it runs: what has no kernel becomes a stage of its own, which threads
    share by sequences, or by rows where it is row-wise, and is as fast as upstream's vectoriser makes it.
  }];
  let methods = [
    InterfaceMethod<[{
      Builds the results for one element of the outermost dimension, a sequence or in a row-wise operation a row. The inputs are tensors shaped as
      the operands with an outermost dimension of 1; the other dimensions in front of the last are dynamic, or 1 where there is one row. Floats
      are f32, integers i32.
    }], "::llvm::SmallVector<::mlir::Value>", "buildBody", (ins "::mlir::OpBuilder &":$builder, "::mlir::ValueRange":$inputs)>,
    InterfaceMethod<"Whether a row of the results needs of each operand the same row, and of tables any.", "bool", "isRowWise">,
    InterfaceMethod<[{
      What the numbers of an operand must stay below where the caller gives them: rows of a table, the length of the sequence (`kDynamic`), or
      0 where they are no indices.
    }], "int64_t", "getIndexLimit", (ins "unsigned":$operand), "", "return 0;">,
  ];
}

def ColumnOpInterface : OpInterface<"ColumnOpInterface"> {
  let cppNamespace = "::llmc";
  let description = [{
    An operation that computes a column of its result from the same column of its operands, or some columns together from the same of the operands.
    Chains of these need no barrier.
  }];
  let methods = [
    InterfaceMethod<"Columns that belong together, like those of a head; 0 if it needs whole rows.", "int64_t", "getColumnGranule",
      (ins), "", "return 1;">,
  ];
}

def WeightUserOpInterface : OpInterface<"WeightUserOpInterface"> {
  let cppNamespace = "::llmc";
  let description = [{
    An operation with operands that are weights, and what it reads them as. A weight elsewhere is read like any activation.
  }];
  let methods = [
    InterfaceMethod<"What the operand is read as.", "::llmc::WeightSlot", "getWeightSlot", (ins "unsigned":$operand)>,
  ];
}

#endif // LLMC_IR_GRAPHINTERFACES_TD
