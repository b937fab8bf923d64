// RUN: llmc-opt %s --fuse-stages --split-input-file --mlir-print-debuginfo=false | FileCheck %s

// What is read twice is not joined: the activation has another user, the linear another reader.
// CHECK-LABEL: @shared_activation
// CHECK-NOT: exec.gate
// CHECK: exec.activation
// CHECK: exec.binary mul
// CHECK-NOT: exec.gate
func.func @shared_activation(%x: tensor<?x?x4xf32>, %y: tensor<?x?x4xf32>) -> (tensor<?x?x4xf32>, tensor<?x?x4xf32>) attributes {llmc.role = "run"} {
  %a = llmc.activation %x {kind = #llmc.activation_kind<silu>} : tensor<?x?x4xf32>
  %m = arith.mulf %a, %y : tensor<?x?x4xf32>
  return %m, %a : tensor<?x?x4xf32>, tensor<?x?x4xf32>
}

// -----

// CHECK-LABEL: @shared_linear
// CHECK-NOT: residual
// CHECK: exec.binary add
// CHECK: exec.output
func.func @shared_linear(%x: tensor<?x?x4xf32>) -> (tensor<?x?x4xf32>, tensor<?x?x4xf32>) attributes {llmc.role = "run"} {
  %w = llmc.weight "w.weight" {values = dense<0.5> : tensor<4x4xf32>} : tensor<4x4xf32>
  %o = llmc.linear %x, %w : tensor<?x?x4xf32>, tensor<4x4xf32>
  %r = arith.addf %x, %o : tensor<?x?x4xf32>
  return %r, %o : tensor<?x?x4xf32>, tensor<?x?x4xf32>
}

// -----

// In a plain graph every row is wanted.
// CHECK-LABEL: @run
// CHECK-NOT: exec.tail
// CHECK: exec.output
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
  // CHECK: %[[QKV:.*]] = exec.buffer : <?x96xf32, stride = 128>
  // CHECK: %[[Q:.*]] = exec.view %[[QKV]][0] : <?x96xf32, stride = 128> -> <?x32xf32, stride = 128>
  // CHECK: %[[K:.*]] = exec.view %[[QKV]][32]
  // CHECK: %[[V:.*]] = exec.view %[[QKV]][64]
  // CHECK: exec.linear {{.*}} to %[[QKV]]
  // CHECK-NEXT: exec.cache_store %[[K]] {{.*}}part = #llmc.cache_part<keys>, share = #exec.share<unit = 32, total = 96, first = 0, width = 96, column = 32>
  // CHECK-NEXT: exec.cache_store %[[V]] {{.*}}part = #llmc.cache_part<values>, share = #exec.share<unit = 32, total = 96, first = 0, width = 96, column = 64>
  // CHECK-NEXT: {{^ *[}]$}}
  // CHECK-NEXT: exec.stage {
  // CHECK-NEXT: exec.cached_attention %[[Q]]
  // CHECK-NEXT: {{^ *[}]$}}
  // Whole rows were computed by one thread each: the copy to the caller is a stage of its own.
  // CHECK: exec.stage {
  // CHECK-NEXT: exec.copy {{.*}} : !exec.buffer<?x32xf32, stride = 64>, !exec.buffer<?x32xf32, caller>
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
  // CHECK-NOT: private
  // CHECK: exec.stage {
  // CHECK-NEXT: exec.rms_norm
  // CHECK-NEXT: {{^ *[}]$}}
  // CHECK-NEXT: exec.stage {
  %n = llmc.rms_norm %x, %g {eps = 1.0e-5 : f64} : tensor<?x?x32xf32>, tensor<32xf32>
  // CHECK-NEXT: exec.linear
  // CHECK-NEXT: {{^ *[}]$}}
  // CHECK-NEXT: exec.stage {
  %y = llmc.linear %n, %w : tensor<?x?x32xf32>, tensor<64x32xf32>
  %a, %b = llmc.split %y : tensor<?x?x64xf32> -> tensor<?x?x32xf32>, tensor<?x?x32xf32>
  // CHECK-NEXT: exec.binary mul
  %m = arith.mulf %a, %b : tensor<?x?x32xf32>
  // CHECK-NEXT: exec.binary add
  // CHECK-NEXT: {{^ *[}]$}}
  %s = arith.addf %m, %n : tensor<?x?x32xf32>
  return %s : tensor<?x?x32xf32>
}
