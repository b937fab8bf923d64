// RUN: llmc-opt %s --limit-to-any-machine="target=x86_64-linux-gnu cpu=znver4" --mlir-print-debuginfo=false | FileCheck %s

// CHECK: llvm.func @m_abi() -> i32 attributes {target_cpu = "x86-64", target_features = #llvm.target_features<[{{.*}}]>}
// CHECK-NOT: target_cpu
llvm.func @m_abi() -> i32 attributes {llmc.any_machine} {
  %0 = llvm.mlir.constant(1 : i32) : i32
  llvm.return %0 : i32
}
llvm.func @m_step() {
  llvm.return
}
