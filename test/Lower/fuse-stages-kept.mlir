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

// -----

// Columns of a fused projection belong to the thread of the whole: k and v start at whole heads, so each is stored where it is made.
llmc.cache @kv : tensor<2x16xf32>
// CHECK-LABEL: @fused_projection
func.func @fused_projection(%ids: tensor<?x?xi64>) -> tensor<?x?x32xf32> attributes {llmc.role = "step"} {
  %e = llmc.weight "embed.weight" {values = dense<0.5> : tensor<8x32xf32>} : tensor<8x32xf32>
  %w = llmc.weight "qkv.weight" {values = dense<0.5> : tensor<96x32xf32>} : tensor<96x32xf32>
  %x = llmc.embedding %e, %ids : tensor<8x32xf32>, tensor<?x?xi64>
  %qkv = llmc.linear %x, %w : tensor<?x?x32xf32>, tensor<96x32xf32>
  %q, %k, %v = llmc.split %qkv : tensor<?x?x96xf32> -> tensor<?x?x32xf32>, tensor<?x?x32xf32>, tensor<?x?x32xf32>
  // CHECK: llmc.cache_store {{.*}}llmc.share = array<i64: 32, 96, 0, 96, 32>, llmc.stage = 2 : i64, part = #llmc.cache_part<keys>
  // CHECK: llmc.cache_store {{.*}}llmc.share = array<i64: 32, 96, 0, 96, 64>, llmc.stage = 2 : i64, part = #llmc.cache_part<values>
  // CHECK: llmc.attention {{.*}}llmc.stage = 3 : i64
  %a = llmc.attention %q, %k, %v cache @kv {heads = 2 : i64, kv_heads = 2 : i64, scale = 0.5 : f64, causal}
      : tensor<?x?x32xf32>, tensor<?x?x32xf32>, tensor<?x?x32xf32>
  return %a : tensor<?x?x32xf32>
}

// -----

// A sum of both halves of a row is not by columns: its operands belong to different threads. A norm that a sum reads too is not
// computed by every thread.
// CHECK-LABEL: @barriers_kept
func.func @barriers_kept(%x: tensor<?x?x32xf32>) -> tensor<?x?x32xf32> attributes {llmc.role = "run"} {
  %g = llmc.weight "norm.weight" {values = dense<1.0> : tensor<32xf32>} : tensor<32xf32>
  %w = llmc.weight "w.weight" {values = dense<0.5> : tensor<64x32xf32>} : tensor<64x32xf32>
  // CHECK: llmc.rms_norm
  // CHECK-NOT: llmc.private
  // CHECK-SAME: llmc.stage = 1 : i64
  %n = llmc.rms_norm %x, %g {eps = 1.0e-5 : f64} : tensor<?x?x32xf32>, tensor<32xf32>
  // CHECK: llmc.linear {{.*}}llmc.stage = 2 : i64
  %y = llmc.linear %n, %w : tensor<?x?x32xf32>, tensor<64x32xf32>
  %a, %b = llmc.split %y : tensor<?x?x64xf32> -> tensor<?x?x32xf32>, tensor<?x?x32xf32>
  // CHECK: arith.mulf {{.*}}llmc.stage = 3 : i64
  %m = arith.mulf %a, %b : tensor<?x?x32xf32>
  // CHECK: arith.addf {{.*}}llmc.stage = 3 : i64
  %s = arith.addf %m, %n : tensor<?x?x32xf32>
  return %s : tensor<?x?x32xf32>
}
