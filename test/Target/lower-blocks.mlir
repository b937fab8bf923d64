// RUN: llmc-opt %s --lower-blocks="target=x86_64-linux-gnu cpu=sapphirerapids" --mlir-print-debuginfo=false | FileCheck %s
// RUN: llmc-opt %s --lower-blocks="target=x86_64-linux-gnu cpu=znver4" --mlir-print-debuginfo=false | FileCheck %s --check-prefix=LOOP

// In tile registers, or a row at a time.
// CHECK-LABEL: @block
// LOOP-LABEL: @block
func.func @block(%sums: memref<?xi32>, %x: memref<?xi8>, %codes: memref<?xi8>, %at: index) {
  // CHECK: llvm.x86.tdpbsud
  // CHECK-NOT: llmc.block_i8
  // LOOP: scf.for
  // LOOP: llmc.dot_i8
  // LOOP-NOT: llmc.block_i8
  llmc.block_i8 %sums[%at], %x[%at], %codes[%at] {rows = 32 : i64, columns = 32 : i64, inputs = 128 : i64, depth = 64 : i64,
      sum_stride = 32 : i64, input_stride = 128 : i64, code_stride = 128 : i64, bound = 15 : i64}
      : memref<?xi32>, memref<?xi8>, memref<?xi8>
  return
}
