// Checks that carry numbers, for tests: compiled like any other operation.
#ifndef LLMC_IR_CHECKOPS_TD
#define LLMC_IR_CHECKOPS_TD

include "llmc/IR/GraphOps.td"

def ExpectCloseOp : LLMC_Op<"expect_close", [MemoryEffects<[MemWrite]>, ReadsWeights]> {
  let summary = "Fail the run unless two values agree within a tolerance";
  let description = [{
    Fails unless `|actual - expected| <= atol + rtol * |expected|` for every element; NaN never agrees. The expected
    value is usually an `llmc.weight`, whose rows are then those of all batches.

    * C1: both have the same last dimension.

    Example:
    ```mlir
    llmc.expect_close %y, %e {atol = 1.0e-6 : f64, rtol = 1.0e-5 : f64} : tensor<1x2x4xf32>, tensor<2x4xf32>
    ```
  }];
  let arguments = (ins FloatTensor:$actual, FloatTensor:$expected, DefaultValuedAttr<F64Attr, "0.0">:$atol,
                       DefaultValuedAttr<F64Attr, "0.0">:$rtol);
  let assemblyFormat = "$actual `,` $expected attr-dict `:` type(operands)";
  let hasVerifier = 1;
}

def ExpectEqOp : LLMC_Op<"expect_eq", [MemoryEffects<[MemWrite]>, ReadsWeights]> {
  let summary = "Fail the run unless two values are the same numbers";
  let description = [{
    Every element must be equal (-0 equals 0; NaN equals nothing).

    * C1: both have the same last dimension.

    Example:
    ```mlir
    llmc.expect_eq %y, %e : tensor<1x2x4xf32>, tensor<2x4xf32>
    ```
  }];
  let arguments = (ins FloatTensor:$actual, FloatTensor:$expected);
  let assemblyFormat = "$actual `,` $expected attr-dict `:` type(operands)";
  let hasVerifier = 1;
}

#endif // LLMC_IR_CHECKOPS_TD
