// The flat graph: weights in front of what reads them, or where `places` says; caches and attributes of the layer; a weight that two layers read.
// RUN: llmc-opt --inline-layers --mlir-print-debuginfo=false %s | FileCheck %s
// RUN: llmc-opt --verify-roundtrip %s -o /dev/null
// RUN: llmc-opt --canonicalize --cse --inline --sccp --symbol-dce --mlir-print-debuginfo=false %s | FileCheck %s --check-prefix=KEPT

// CHECK-NOT: llmc.layer
// CHECK: func.func @main(%[[X:.*]]: tensor<?x?x8xf32>)
// CHECK-NEXT: %[[N0:.*]] = llmc.scale %[[X]]
// CHECK-NEXT: %[[W0:.*]] = llmc.weight "layers.0.up_proj.weight"
// CHECK-NEXT: %[[L0:.*]] = llmc.linear %[[N0]], %[[W0]] {llmc.statistics = {count = 3 : i64}}
// CHECK-NEXT: %[[A0:.*]] = llmc.attention %[[L0]], %[[L0]], %[[L0]] cache @kv.7
// CHECK-NEXT: %[[Y0:.*]] = arith.addf %[[A0]], %[[X]]
// CHECK-NEXT: %[[W1:.*]] = llmc.weight "layers.1.up_proj.weight"
// CHECK-NEXT: %[[N1:.*]] = llmc.scale %[[Y0]]
// CHECK-NEXT: %[[L1:.*]] = llmc.linear %[[N1]], %[[W1]] :
// CHECK-NEXT: %[[A1:.*]] = llmc.attention %[[L1]], %[[L1]], %[[L1]] cache @kv.8
// CHECK-NEXT: %[[Y1:.*]] = arith.addf %[[A1]], %[[Y0]]
// CHECK-NEXT: %[[N2:.*]] = llmc.scale %[[Y1]]
// CHECK-NEXT: llmc.linear %[[N2]], %[[W1]] :

// KEPT: llmc.layer private @layer.0(%{{.*}}: tensor<?x?x8xf32>, %up_proj_weight: tensor<8x8xf32> {llmc.name = "up_proj.weight"})
// KEPT-COUNT-3: llmc.call @layer.0
llmc.cache @kv.7 : tensor<1x8xf32>
llmc.cache @kv.8 : tensor<1x8xf32>
llmc.layer private @layer.0(%x: tensor<?x?x8xf32>, %w: tensor<8x8xf32> {llmc.name = "up_proj.weight"}) -> tensor<?x?x8xf32> {
  llmc.cache @kv.0 : tensor<1x8xf32>
  %n = llmc.scale %x {factor = 3.0 : f64} : tensor<?x?x8xf32>
  %h = llmc.linear %n, %w {llmc.statistics = #llmc.per_layer<0>} : tensor<?x?x8xf32>, tensor<8x8xf32>
  %a = llmc.attention %h, %h, %h cache @kv.0 {heads = 1 : i64, kv_heads = 1 : i64, scale = 1.0 : f64, causal} : tensor<?x?x8xf32>, tensor<?x?x8xf32>, tensor<?x?x8xf32>
  %y = arith.addf %a, %x : tensor<?x?x8xf32>
  llmc.return %y : tensor<?x?x8xf32>
}
func.func @main(%x: tensor<?x?x8xf32>) -> tensor<?x?x8xf32> attributes {llmc.role = "step"} {
  %w = llmc.weight "layers.0.up_proj.weight" {values = dense<0.5> : tensor<8x8xf32>} : tensor<8x8xf32>
  %y = llmc.call @layer.0(%x, %w) caches [@kv.7] {per_layer = [{count = 3 : i64}]} : (tensor<?x?x8xf32>, tensor<8x8xf32>) -> tensor<?x?x8xf32>
  %w1 = llmc.weight "layers.1.up_proj.weight" {values = dense<0.25> : tensor<8x8xf32>} : tensor<8x8xf32>
  %z = llmc.call @layer.0(%y, %w1) caches [@kv.8] {per_layer = [none], places = array<i64: 0>} : (tensor<?x?x8xf32>, tensor<8x8xf32>) -> tensor<?x?x8xf32>
  %t = llmc.call @layer.0(%z, %w1) caches [@kv.8] {per_layer = [none]} : (tensor<?x?x8xf32>, tensor<8x8xf32>) -> tensor<?x?x8xf32>
  return %t : tensor<?x?x8xf32>
}
