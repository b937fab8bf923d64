// RUN: llmc-opt %s --canonicalize --mlir-print-debuginfo=false | FileCheck %s

// CHECK-LABEL: @scale_by_one
// CHECK-SAME: (%[[X:.*]]: tensor<?x4xf32>)
func.func @scale_by_one(%x: tensor<?x4xf32>) -> tensor<?x4xf32> {
  // CHECK-NEXT: return %[[X]]
  %y = llmc.scale %x {factor = 1.0 : f64} : tensor<?x4xf32>
  return %y : tensor<?x4xf32>
}

// CHECK-LABEL: @join_scales
// CHECK-SAME: (%[[X:.*]]: tensor<?x4xf32>)
func.func @join_scales(%x: tensor<?x4xf32>) -> tensor<?x4xf32> {
  // CHECK-NEXT: %[[Y:.*]] = llmc.scale %[[X]] {factor = 1.500000e+00 : f64}
  // CHECK-NEXT: return %[[Y]]
  %y = llmc.scale %x {factor = 3.0 : f64} : tensor<?x4xf32>
  %z = llmc.scale %y {factor = 0.5 : f64} : tensor<?x4xf32>
  return %z : tensor<?x4xf32>
}

// Joining would round once instead of twice, which changes bits.
// CHECK-LABEL: @keep_scales
func.func @keep_scales(%x: tensor<?x4xf32>) -> tensor<?x4xf32> {
  // CHECK: llmc.scale %{{.*}} {factor = 3.000000e+00 : f64}
  // CHECK: llmc.scale %{{.*}} {factor = 1.000000e-01 : f64}
  %y = llmc.scale %x {factor = 3.0 : f64} : tensor<?x4xf32>
  %z = llmc.scale %y {factor = 0.1 : f64} : tensor<?x4xf32>
  return %z : tensor<?x4xf32>
}

// CHECK-LABEL: @relu_twice
// CHECK-SAME: (%[[X:.*]]: tensor<?x4xf32>)
func.func @relu_twice(%x: tensor<?x4xf32>) -> tensor<?x4xf32> {
  // CHECK-NEXT: %[[Y:.*]] = llmc.activation %[[X]] {kind = #llmc.activation_kind<relu>}
  // CHECK-NEXT: return %[[Y]]
  %y = llmc.activation %x {kind = #llmc.activation_kind<relu>} : tensor<?x4xf32>
  %z = llmc.activation %y {kind = #llmc.activation_kind<relu>} : tensor<?x4xf32>
  return %z : tensor<?x4xf32>
}

// CHECK-LABEL: @silu_twice
func.func @silu_twice(%x: tensor<?x4xf32>) -> tensor<?x4xf32> {
  // CHECK-COUNT-2: llmc.activation
  %y = llmc.activation %x {kind = #llmc.activation_kind<silu>} : tensor<?x4xf32>
  %z = llmc.activation %y {kind = #llmc.activation_kind<silu>} : tensor<?x4xf32>
  return %z : tensor<?x4xf32>
}

// CHECK-LABEL: @single_split
// CHECK-SAME: (%[[X:.*]]: tensor<?x4xf32>)
func.func @single_split(%x: tensor<?x4xf32>) -> tensor<?x4xf32> {
  // CHECK-NEXT: return %[[X]]
  %y = llmc.split %x : tensor<?x4xf32> -> tensor<?x4xf32>
  return %y : tensor<?x4xf32>
}

// CHECK-LABEL: @split_in_two
func.func @split_in_two(%x: tensor<?x4xf32>) -> tensor<?x2xf32> {
  // CHECK: llmc.split
  %y:2 = llmc.split %x : tensor<?x4xf32> -> tensor<?x2xf32>, tensor<?x2xf32>
  return %y#1 : tensor<?x2xf32>
}

// Attention without cache has no effect and goes when unused; with cache it appends and must stay.
llmc.cache @kv : tensor<1x4xf32>
// CHECK-LABEL: @attention_effects
func.func @attention_effects(%x: tensor<?x?x4xf32>) {
  // CHECK-NOT: llmc.attention
  // CHECK: llmc.attention %{{.*}} cache @kv
  // CHECK-NOT: llmc.attention
  // CHECK: return
  %a = llmc.attention %x, %x, %x {heads = 1 : i64, kv_heads = 1 : i64, scale = 1.0 : f64} : tensor<?x?x4xf32>, tensor<?x?x4xf32>, tensor<?x?x4xf32>
  %b = llmc.attention %x, %x, %x cache @kv {heads = 1 : i64, kv_heads = 1 : i64, scale = 1.0 : f64, causal} : tensor<?x?x4xf32>, tensor<?x?x4xf32>, tensor<?x?x4xf32>
  return
}

// How an input is quantized becomes a value, one for all that want the same; scales of groups are others.
// CHECK-LABEL: @separate_activations
// CHECK-SAME: (%[[X:.*]]: tensor<?x4xf32>, %[[W:.*]]: tensor<2x4xf32>)
func.func @separate_activations(%x: tensor<?x4xf32>, %w: tensor<2x4xf32>) -> (tensor<?x2xf32>, tensor<?x2xf32>, tensor<?x2xf32>, tensor<?x2xf32>) {
  // CHECK-NEXT: %[[T:.*]] = llmc.quantize %[[X]] : tensor<?x4xf32> -> <?x4xf32, #llmc.dynamic<i8, per_token>>
  // CHECK-NEXT: %[[A:.*]] = llmc.linear %[[T]], %[[W]] : !llmc.quantized
  // CHECK-NEXT: %[[B:.*]] = llmc.linear %[[T]], %[[W]] {llmc.statistics = {count = 9 : i64}} : !llmc.quantized
  // CHECK-NEXT: %[[G:.*]] = llmc.quantize %[[X]] : tensor<?x4xf32> -> <?x4xf32, #llmc.dynamic<i8, per_group<2>>>
  // CHECK-NEXT: %[[C:.*]] = llmc.linear %[[G]], %[[W]] : !llmc.quantized
  // CHECK-NEXT: %[[D:.*]] = llmc.linear %[[X]], %[[W]] : tensor<?x4xf32>, tensor<2x4xf32>
  // CHECK-NEXT: return %[[A]], %[[B]], %[[C]], %[[D]]
  %a = llmc.linear %x, %w {activations = #llmc.dynamic<i8, per_token>} : tensor<?x4xf32>, tensor<2x4xf32>
  %b = llmc.linear %x, %w {activations = #llmc.dynamic<i8, per_token>, llmc.statistics = {count = 9 : i64}} : tensor<?x4xf32>, tensor<2x4xf32>
  %c = llmc.linear %x, %w {activations = #llmc.dynamic<i8, per_group<2>>} : tensor<?x4xf32>, tensor<2x4xf32>
  %d = llmc.linear %x, %w : tensor<?x4xf32>, tensor<2x4xf32>
  return %a, %b, %c, %d : tensor<?x2xf32>, tensor<?x2xf32>, tensor<?x2xf32>, tensor<?x2xf32>
}

// Checks and observers stay; an unused weight goes.
// CHECK-LABEL: @effects
func.func @effects(%x: tensor<?x4xf32>) {
  // CHECK-NOT: llmc.weight
  // CHECK: llmc.observe
  // CHECK-NEXT: llmc.expect_eq
  %w = llmc.weight "w" {values = dense<1.0> : tensor<4xf32>} : tensor<4xf32>
  llmc.observe "x" %x : tensor<?x4xf32>
  llmc.expect_eq %x, %x : tensor<?x4xf32>, tensor<?x4xf32>
  return
}
