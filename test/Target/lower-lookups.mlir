// RUN: llmc-opt %s --lower-lookups="target=x86_64-linux-gnu cpu=znver4" --mlir-print-debuginfo=false | FileCheck %s
// RUN: llmc-opt %s --lower-lookups="target=x86_64-linux-gnu cpu=haswell" --mlir-print-debuginfo=false | FileCheck %s --check-prefix=SELECT

// A permutation of a register of floats, or selections level by level.
// CHECK-LABEL: @lookup
// SELECT-LABEL: @lookup
func.func @lookup(%index: vector<16xi32>) -> vector<16xf32> {
  // CHECK: llvm.call_intrinsic "llvm.x86.avx512.permvar.sf.512"
  // CHECK-NOT: llmc.lookup
  // SELECT-COUNT-15: arith.select
  // SELECT-NOT: llmc.lookup
  %v = llmc.lookup %index in dense<[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0]> : tensor<16xf32>, vector<16xi32> to vector<16xf32>
  return %v : vector<16xf32>
}
