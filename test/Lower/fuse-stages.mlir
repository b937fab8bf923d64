// RUN: llmc-opt %s --fuse-stages --mlir-print-debuginfo=false | FileCheck %s

llmc.cache @kv : tensor<1x4xf32>
func.func @main(%ids: tensor<?x?xi64>) -> tensor<?x?x8xf32> attributes {llmc.role = "step"} {
  %e = llmc.weight "embed.weight" {values = dense<0.5> : tensor<8x4xf32>} : tensor<8x4xf32>
  %w = llmc.weight "w.weight" {values = dense<0.5> : tensor<4x4xf32>} : tensor<4x4xf32>
  // CHECK: %[[X:.*]] = llmc.embedding {{.*}} {llmc.stage = 1 : i64}
  %x = llmc.embedding %e, %ids : tensor<8x4xf32>, tensor<?x?xi64>
  // Independent: one stage.
  // CHECK: llmc.linear %[[X]], {{.*}} {llmc.stage = 2 : i64}
  // CHECK-NEXT: llmc.linear %[[X]], {{.*}} {llmc.stage = 2 : i64}
  %q = llmc.linear %x, %w : tensor<?x?x4xf32>, tensor<4x4xf32>
  %k = llmc.linear %x, %w : tensor<?x?x4xf32>, tensor<4x4xf32>
  // CHECK: %[[A:.*]] = llmc.attention {{.*}}llmc.stage = 3 : i64
  %a = llmc.attention %q, %k, %k cache @kv {heads = 1 : i64, kv_heads = 1 : i64, scale = 0.5 : f64, causal}
      : tensor<?x?x4xf32>, tensor<?x?x4xf32>, tensor<?x?x4xf32>
  // The residual is added by the linear, and from here on only the wanted rows are computed.
  // CHECK: %[[O:.*]] = llmc.linear %[[A]], {{.*}} {llmc.fused, llmc.stage = 4 : i64, llmc.tail}
  // CHECK: %[[R:.*]] = arith.addf %[[X]], %[[O]] {llmc.stage = 4 : i64, llmc.tail}
  %o = llmc.linear %a, %w : tensor<?x?x4xf32>, tensor<4x4xf32>
  %r = arith.addf %x, %o : tensor<?x?x4xf32>
  // CHECK: %[[G:.*]] = llmc.linear %[[R]], {{.*}} {llmc.stage = 5 : i64, llmc.tail}
  // CHECK: %[[U:.*]] = llmc.linear %[[R]], {{.*}} {llmc.stage = 5 : i64, llmc.tail}
  %gate = llmc.linear %r, %w : tensor<?x?x4xf32>, tensor<4x4xf32>
  %up = llmc.linear %r, %w : tensor<?x?x4xf32>, tensor<4x4xf32>
  // CHECK: llmc.gated_activation %[[G]], %[[U]] {kind = #llmc.activation_kind<silu>, llmc.stage = 6 : i64, llmc.tail}
  %act = llmc.activation %gate {kind = #llmc.activation_kind<silu>} : tensor<?x?x4xf32>
  %m = arith.mulf %act, %up : tensor<?x?x4xf32>
  // CHECK: llmc.linear {{.*}} {llmc.stage = 7 : i64, llmc.tail}
  %logits = llmc.linear %m, %e : tensor<?x?x4xf32>, tensor<8x4xf32>
  return %logits : tensor<?x?x8xf32>
}
