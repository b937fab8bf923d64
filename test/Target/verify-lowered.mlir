// RUN: llmc-opt %s --verify-lowered --verify-diagnostics

llvm.func @lowered() {
  llvm.return
}
llvm.func @left(%x: f32) {
  // expected-error @+1 {{has no lowering to LLVM}}
  %0 = math.tanh %x : f32
  llvm.return
}
