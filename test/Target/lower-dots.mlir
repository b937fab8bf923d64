// RUN: llmc-opt %s --lower-dots="target=x86_64-linux-gnu cpu=znver4" --mlir-print-debuginfo=false | FileCheck %s
// RUN: llmc-opt %s --lower-dots="target=aarch64-linux-gnu cpu=cortex-a76" --mlir-print-debuginfo=false | FileCheck %s --check-prefix=NEON

// A vector of the target's width is one instruction; any other is shifts and products.
// CHECK-LABEL: @dot
// NEON-LABEL: @dot
func.func @dot(%acc: vector<16xi32>, %codes: vector<64xi8>, %inputs: vector<64xi8>) -> vector<16xi32> {
  // CHECK-NOT: llmc.dot_i8
  // CHECK: llvm.call_intrinsic "llvm.x86.avx512.vpdpbusd.512"
  // NEON-NOT: llvm.call_intrinsic
  // NEON: arith.muli
  // NEON-NOT: llmc.dot_i8
  %sum = llmc.dot_i8 %acc, %codes, %inputs {bound = 15 : i64} : vector<16xi32>, vector<64xi8>
  return %sum : vector<16xi32>
}
