// RUN: llmc-opt %s --lower-picks="target=x86_64-linux-gnu cpu=haswell" --mlir-print-debuginfo=false | FileCheck %s
// RUN: llmc-opt %s --lower-picks="target=aarch64-linux-gnu cpu=cortex-a76" --mlir-print-debuginfo=false | FileCheck %s --check-prefix=SELECT

// CHECK-LABEL: @pick
// SELECT-LABEL: @pick
func.func @pick(%input: vector<8xf32>, %index: vector<8xi32>) -> vector<8xf32> {
  // CHECK: llvm.call_intrinsic "llvm.x86.avx.vpermilvar.ps.256"
  // CHECK-NOT: llmc.pick
  // SELECT: arith.select
  // SELECT-NOT: llmc.pick
  %v = llmc.pick %input, %index : vector<8xf32>, vector<8xi32>
  return %v : vector<8xf32>
}
