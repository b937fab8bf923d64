// RUN: llmc-opt %s --fuse-stages --split-input-file --mlir-print-debuginfo=false | FileCheck %s

// What is read twice is not joined: the activation has another user, the linear another reader.
// CHECK-LABEL: @shared_activation
// CHECK: llmc.activation
// CHECK: arith.mulf
// CHECK-NOT: llmc.gated_activation
func.func @shared_activation(%x: tensor<?x?x4xf32>, %y: tensor<?x?x4xf32>) -> (tensor<?x?x4xf32>, tensor<?x?x4xf32>) attributes {llmc.role = "run"} {
  %a = llmc.activation %x {kind = #llmc.activation_kind<silu>} : tensor<?x?x4xf32>
  %m = arith.mulf %a, %y : tensor<?x?x4xf32>
  return %m, %a : tensor<?x?x4xf32>, tensor<?x?x4xf32>
}

// -----

// CHECK-LABEL: @shared_linear
// CHECK-NOT: llmc.fused
// CHECK: return
func.func @shared_linear(%x: tensor<?x?x4xf32>) -> (tensor<?x?x4xf32>, tensor<?x?x4xf32>) attributes {llmc.role = "run"} {
  %w = llmc.weight "w.weight" {values = dense<0.5> : tensor<4x4xf32>} : tensor<4x4xf32>
  %o = llmc.linear %x, %w : tensor<?x?x4xf32>, tensor<4x4xf32>
  %r = arith.addf %x, %o : tensor<?x?x4xf32>
  return %r, %o : tensor<?x?x4xf32>, tensor<?x?x4xf32>
}

// -----

// In a plain graph every row is wanted.
// CHECK-LABEL: @run
// CHECK-NOT: llmc.tail
// CHECK: return
func.func @run(%x: tensor<?x?x4xf32>) -> tensor<?x?x4xf32> attributes {llmc.role = "run"} {
  %a = llmc.softmax %x : tensor<?x?x4xf32>
  return %a : tensor<?x?x4xf32>
}
