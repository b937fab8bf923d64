// Layers that are alike become one function, called with the weights, the cache and the statistics of each; one that differs has a body of its own.
// RUN: llmc-opt --outline-layers --mlir-print-debuginfo=false %s | FileCheck %s

// CHECK-DAG: llmc.cache @kv.a : tensor<1x8xf32>
// CHECK-DAG: llmc.cache @kv.d : tensor<1x8xf32>
// CHECK: llmc.layer private @layer.0(%[[X:.*]]: tensor<?x?x8xf32>, %norm_weight: tensor<8xf32> {llmc.name = "norm.weight"}, %qkv_weight: tensor<8x8xf32> {llmc.name = "qkv.weight"}) -> tensor<?x?x8xf32> {
// CHECK-NEXT: llmc.cache @kv.0 : tensor<1x8xf32>
// CHECK-NEXT: %[[N:.*]] = llmc.rms_norm %[[X]], %norm_weight
// CHECK-NEXT: %[[L:.*]] = llmc.linear %[[N]], %qkv_weight {llmc.statistics = #llmc.per_layer<0>, note = "in all"}
// CHECK-NEXT: %[[A:.*]] = llmc.attention %[[L]], %[[L]], %[[L]] cache @kv.0
// CHECK-NEXT: %[[Y:.*]] = arith.addf %[[X]], %[[A]]
// CHECK-NEXT: llmc.return %[[Y]]
// CHECK: llmc.layer private @layer.1
// CHECK: llmc.attention {{.*}} window = 4
// CHECK: func.func @main
// CHECK: %[[G:.*]] = llmc.weight "layers.0.norm.weight"
// CHECK-NEXT: %[[W:.*]] = llmc.weight "layers.0.qkv.weight"
// CHECK-NEXT: %[[A0:.*]] = llmc.call @layer.0(%{{.*}}, %[[G]], %[[W]]) caches [@kv.a] {per_layer = [{count = 1 : i64}]} : (tensor<?x?x8xf32>, tensor<8xf32>, tensor<8x8xf32>) -> tensor<?x?x8xf32>
// CHECK: %[[A1:.*]] = llmc.call @layer.0(%[[A0]], {{.*}}) caches [@kv.b] {per_layer = [none]}
// CHECK: %[[A2:.*]] = llmc.call @layer.1(%[[A1]], {{.*}}) caches [@kv.c]
// CHECK-NOT: per_layer
// CHECK: %[[A3:.*]] = llmc.call @layer.0(%[[A2]], {{.*}}) caches [@kv.d] {per_layer = [{count = 2 : i64}]}
// CHECK-NEXT: return %[[A3]]
llmc.cache @kv.a : tensor<1x8xf32>
llmc.cache @kv.b : tensor<1x8xf32>
llmc.cache @kv.c : tensor<1x8xf32>
llmc.cache @kv.d : tensor<1x8xf32>
func.func @main(%x: tensor<?x?x8xf32>) -> tensor<?x?x8xf32> attributes {llmc.role = "step"} {
  %g0 = llmc.weight "layers.0.norm.weight" {values = dense<1.0> : tensor<8xf32>} : tensor<8xf32>
  %n0 = llmc.rms_norm %x, %g0 {eps = 1.0e-5 : f64} : tensor<?x?x8xf32>, tensor<8xf32>
  %w0 = llmc.weight "layers.0.qkv.weight" {values = dense<0.5> : tensor<8x8xf32>} : tensor<8x8xf32>
  %l0 = llmc.linear %n0, %w0 {llmc.statistics = {count = 1 : i64}, note = "in all"} : tensor<?x?x8xf32>, tensor<8x8xf32>
  %a0 = llmc.attention %l0, %l0, %l0 cache @kv.a {heads = 1 : i64, kv_heads = 1 : i64, scale = 1.0 : f64, causal} : tensor<?x?x8xf32>, tensor<?x?x8xf32>, tensor<?x?x8xf32>
  %x1 = arith.addf %x, %a0 : tensor<?x?x8xf32>
  %g1 = llmc.weight "layers.1.norm.weight" {values = dense<2.0> : tensor<8xf32>} : tensor<8xf32>
  %n1 = llmc.rms_norm %x1, %g1 {eps = 1.0e-5 : f64} : tensor<?x?x8xf32>, tensor<8xf32>
  %w1 = llmc.weight "layers.1.qkv.weight" {values = dense<0.25> : tensor<8x8xf32>} : tensor<8x8xf32>
  %l1 = llmc.linear %n1, %w1 {note = "in all"} : tensor<?x?x8xf32>, tensor<8x8xf32>
  %a1 = llmc.attention %l1, %l1, %l1 cache @kv.b {heads = 1 : i64, kv_heads = 1 : i64, scale = 1.0 : f64, causal} : tensor<?x?x8xf32>, tensor<?x?x8xf32>, tensor<?x?x8xf32>
  %x2 = arith.addf %x1, %a1 : tensor<?x?x8xf32>
  %g2 = llmc.weight "layers.2.norm.weight" {values = dense<2.0> : tensor<8xf32>} : tensor<8xf32>
  %n2 = llmc.rms_norm %x2, %g2 {eps = 1.0e-5 : f64} : tensor<?x?x8xf32>, tensor<8xf32>
  %w2 = llmc.weight "layers.2.qkv.weight" {values = dense<0.25> : tensor<8x8xf32>} : tensor<8x8xf32>
  %l2 = llmc.linear %n2, %w2 {note = "in all"} : tensor<?x?x8xf32>, tensor<8x8xf32>
  %a2 = llmc.attention %l2, %l2, %l2 cache @kv.c {heads = 1 : i64, kv_heads = 1 : i64, scale = 1.0 : f64, causal, window = 4 : i64} : tensor<?x?x8xf32>, tensor<?x?x8xf32>, tensor<?x?x8xf32>
  %x3 = arith.addf %x2, %a2 : tensor<?x?x8xf32>
  %g3 = llmc.weight "layers.3.norm.weight" {values = dense<2.0> : tensor<8xf32>} : tensor<8xf32>
  %n3 = llmc.rms_norm %x3, %g3 {eps = 1.0e-5 : f64} : tensor<?x?x8xf32>, tensor<8xf32>
  %w3 = llmc.weight "layers.3.qkv.weight" {values = dense<0.25> : tensor<8x8xf32>} : tensor<8x8xf32>
  %l3 = llmc.linear %n3, %w3 {llmc.statistics = {count = 2 : i64}, note = "in all"} : tensor<?x?x8xf32>, tensor<8x8xf32>
  %a3 = llmc.attention %l3, %l3, %l3 cache @kv.d {heads = 1 : i64, kv_heads = 1 : i64, scale = 1.0 : f64, causal} : tensor<?x?x8xf32>, tensor<?x?x8xf32>, tensor<?x?x8xf32>
  %x4 = arith.addf %x3, %a3 : tensor<?x?x8xf32>
  return %x4 : tensor<?x?x8xf32>
}
