// RUN: llmc-opt %s --verify-roundtrip --mlir-print-debuginfo=false | FileCheck %s
// RUN: llmc-opt %s --emit-bytecode | llmc-opt --mlir-print-debuginfo=false | FileCheck %s
// RUN: llmc-opt %s --mlir-print-op-generic | llmc-opt --mlir-print-debuginfo=false | FileCheck %s

// Every operation once; the reference page takes its examples from here.

// CHECK: llmc.cache @kv.0 : tensor<4x8xf32>
llmc.cache @kv.0 : tensor<4x8xf32>
// CHECK: llmc.cache @kv.1 {byte_products} : tensor<4x8xi8>
llmc.cache @kv.1 {byte_products} : tensor<4x8xi8>

// CHECK-LABEL: @weight
func.func @weight() {
  // CHECK: %norm_weight = llmc.weight "model.norm.weight" {values = dense<1.000000e+00> : tensor<64xf32>} : tensor<64xf32>
  %g = llmc.weight "model.norm.weight" {values = dense<1.0> : tensor<64xf32>} : tensor<64xf32>
  // CHECK: %up_proj_weight = llmc.weight "model.layers.0.mlp.up_proj.weight"
  // CHECK-SAME: {codes = dense<119> : tensor<2x16xui8>, scales = dense<5.000000e-01> : tensor<2x1xf16>, zeros = dense<8> : tensor<2x1xui8>}
  // CHECK-SAME: : !llmc.compressed<2x32xf32, #llmc.int<4, group = 32, scale = f16>>
  %w = llmc.weight "model.layers.0.mlp.up_proj.weight"
      {codes = dense<119> : tensor<2x16xui8>, scales = dense<0.5> : tensor<2x1xf16>, zeros = dense<8> : tensor<2x1xui8>}
      : !llmc.compressed<2x32xf32, #llmc.int<4, group = 32, scale = f16>>
  // CHECK: %{{.*}} = llmc.decompress %up_proj_weight : <2x32xf32, #llmc.int<4, group = 32, scale = f16>>
  %d = llmc.decompress %w : !llmc.compressed<2x32xf32, #llmc.int<4, group = 32, scale = f16>>
  return
}

// CHECK-LABEL: @linear
// CHECK-SAME: (%[[X:.*]]: tensor<?x?x64xf32>, %[[W:.*]]: tensor<172x64xf32>, %[[B:.*]]: tensor<172xf32>)
func.func @linear(%x: tensor<?x?x64xf32>, %w: tensor<172x64xf32>, %b: tensor<172xf32>) -> tensor<?x?x172xf32> {
  // CHECK: llmc.linear %[[X]], %[[W]] : tensor<?x?x64xf32>, tensor<172x64xf32>
  %y = llmc.linear %x, %w : tensor<?x?x64xf32>, tensor<172x64xf32>
  // CHECK: %[[Q:.*]] = llmc.quantize %[[X]] : tensor<?x?x64xf32> -> <?x?x64xf32, #llmc.dynamic<i8, per_token>>
  %q = llmc.quantize %x : tensor<?x?x64xf32> -> !llmc.quantized<?x?x64xf32, #llmc.dynamic<i8, per_token>>
  // CHECK: %[[Z:.*]] = llmc.linear %[[Q]], %[[W]] bias %[[B]]
  // CHECK-SAME: : !llmc.quantized<?x?x64xf32, #llmc.dynamic<i8, per_token>>, tensor<172x64xf32>, tensor<172xf32>
  %z = llmc.linear %q, %w bias %b
      : !llmc.quantized<?x?x64xf32, #llmc.dynamic<i8, per_token>>, tensor<172x64xf32>, tensor<172xf32>
  %s = llmc.weight "input_scale" {values = dense<0.5> : tensor<1xf32>} : tensor<1xf32>
  // CHECK: llmc.quantize %[[X]] scale %{{.*}} : tensor<?x?x64xf32>, tensor<1xf32> -> <?x?x64xf32, #llmc.static<i8>>
  %r = llmc.quantize %x scale %s : tensor<?x?x64xf32>, tensor<1xf32> -> !llmc.quantized<?x?x64xf32, #llmc.static<i8>>
  // CHECK: return %[[Z]] : tensor<?x?x172xf32>
  return %z : tensor<?x?x172xf32>
}

// A weight stays what it is; activations are a matter of the user. The older form, by attribute.
// CHECK-LABEL: @linear_compressed
func.func @linear_compressed(%x: tensor<?x?x32xf16>, %w: !llmc.compressed<2x32xf16, #llmc.ternary>) -> tensor<?x?x2xf16> {
  // CHECK: llmc.linear %{{.*}}, %{{.*}} {activations = #llmc.dynamic<i8, per_group<16>>} : tensor<?x?x32xf16>, !llmc.compressed<2x32xf16, #llmc.ternary>
  %y = llmc.linear %x, %w {activations = #llmc.dynamic<i8, per_group<16>>} : tensor<?x?x32xf16>, !llmc.compressed<2x32xf16, #llmc.ternary>
  return %y : tensor<?x?x2xf16>
}

// CHECK-LABEL: @embedding
func.func @embedding(%w: tensor<512x64xf32>, %ids: tensor<?x?xi64>) -> tensor<?x?x64xf32> {
  // CHECK: llmc.embedding %{{.*}}, %{{.*}} : tensor<512x64xf32>, tensor<?x?xi64>
  %x = llmc.embedding %w, %ids : tensor<512x64xf32>, tensor<?x?xi64>
  return %x : tensor<?x?x64xf32>
}

// CHECK-LABEL: @positions
func.func @positions(%ids: tensor<?x?xi64>) -> tensor<?x?xi64> {
  // CHECK: llmc.positions %{{.*}} {offset = 2 : i64} : tensor<?x?xi64>
  %p = llmc.positions %ids {offset = 2 : i64} : tensor<?x?xi64>
  return %p : tensor<?x?xi64>
}

// CHECK-LABEL: @rms_norm
func.func @rms_norm(%x: tensor<?x?x64xf32>, %g: tensor<64xf32>, %h: tensor<8xf32>) {
  // CHECK: llmc.rms_norm %{{.*}}, %{{.*}} {eps = 1.000000e-05 : f64} : tensor<?x?x64xf32>, tensor<64xf32>
  %y = llmc.rms_norm %x, %g {eps = 1.0e-5 : f64} : tensor<?x?x64xf32>, tensor<64xf32>
  // CHECK: llmc.rms_norm %{{.*}}, %{{.*}} {eps = 9.9999999999999995E-7 : f64, groups = 8 : i64} : tensor<?x?x64xf32>, tensor<8xf32>
  %z = llmc.rms_norm %x, %h {eps = 1.0e-6 : f64, groups = 8 : i64} : tensor<?x?x64xf32>, tensor<8xf32>
  return
}

// CHECK-LABEL: @layer_norm
func.func @layer_norm(%x: tensor<?x?x64xf32>, %g: tensor<64xf32>, %b: tensor<64xf32>) {
  // CHECK: llmc.layer_norm %{{.*}}, %{{.*}}, %{{.*}} {eps = 1.000000e-05 : f64} : tensor<?x?x64xf32>, tensor<64xf32>, tensor<64xf32>
  %y = llmc.layer_norm %x, %g, %b {eps = 1.0e-5 : f64} : tensor<?x?x64xf32>, tensor<64xf32>, tensor<64xf32>
  // CHECK: llmc.layer_norm %{{.*}}, %{{.*}} {eps = 1.000000e-05 : f64} : tensor<?x?x64xf32>, tensor<64xf32>
  %z = llmc.layer_norm %x, %g {eps = 1.0e-5 : f64} : tensor<?x?x64xf32>, tensor<64xf32>
  return
}

// CHECK-LABEL: @rope
func.func @rope(%x: tensor<?x?x8xf32>) {
  // CHECK: llmc.rope %{{.*}} {frequencies = array<f64: 1.000000e+00, 1.000000e-02>, heads = 2 : i64, layout = #llmc.rope_layout<half>} : tensor<?x?x8xf32>
  %y = llmc.rope %x {heads = 2 : i64, frequencies = array<f64: 1.0, 0.01>, layout = #llmc.rope_layout<half>}
      : tensor<?x?x8xf32>
  // CHECK: llmc.rope %{{.*}} {attention_factor = 1.500000e+00 : f64, frequencies = array<f64: 1.000000e+00>, heads = 2 : i64, layout = #llmc.rope_layout<interleaved>} : tensor<?x?x8xf32>
  %z = llmc.rope %x {heads = 2 : i64, frequencies = array<f64: 1.0>, layout = #llmc.rope_layout<interleaved>, attention_factor = 1.5 : f64} : tensor<?x?x8xf32>
  // CHECK: llmc.rope %{{.*}} {frequencies = array<f64: 1.000000e+00>, heads = 2 : i64, layout = #llmc.rope_layout<half>, long_frequencies = array<f64: 2.500000e-01>, original_context = 64 : i64} : tensor<?x?x8xf32>
  %l = llmc.rope %x {heads = 2 : i64, frequencies = array<f64: 1.0>, long_frequencies = array<f64: 0.25>,
                     original_context = 64 : i64, layout = #llmc.rope_layout<half>} : tensor<?x?x8xf32>
  return
}

// CHECK-LABEL: @attention
func.func @attention(%q: tensor<?x?x64xf32>, %k: tensor<?x?x32xf32>, %v: tensor<?x?x32xf32>, %m: tensor<?x?xi64>) {
  // CHECK: llmc.attention %{{.*}}, %{{.*}}, %{{.*}} cache @kv.0 {causal, heads = 8 : i64, kv_heads = 4 : i64, scale = 0.353553385 : f64} : tensor<?x?x64xf32>, tensor<?x?x32xf32>, tensor<?x?x32xf32>
  %a = llmc.attention %q, %k, %v cache @kv.0 {heads = 8 : i64, kv_heads = 4 : i64, scale = 0.353553385 : f64, causal}
      : tensor<?x?x64xf32>, tensor<?x?x32xf32>, tensor<?x?x32xf32>
  // CHECK: llmc.attention %{{.*}}, %{{.*}}, %{{.*}} mask %{{.*}} {heads = 8 : i64, kv_heads = 4 : i64, scale = 5.000000e-01 : f64, softcap = 3.000000e+01 : f64}
  %b = llmc.attention %q, %k, %v mask %m {heads = 8 : i64, kv_heads = 4 : i64, scale = 0.5 : f64, softcap = 30.0 : f64}
      : tensor<?x?x64xf32>, tensor<?x?x32xf32>, tensor<?x?x32xf32>, tensor<?x?xi64>
  // CHECK: llmc.attention {{.*}} {causal, heads = 8 : i64, kv_heads = 4 : i64, scale = 5.000000e-01 : f64, window = 16 : i64}
  %c = llmc.attention %q, %k, %v {heads = 8 : i64, kv_heads = 4 : i64, scale = 0.5 : f64, causal, window = 16 : i64}
      : tensor<?x?x64xf32>, tensor<?x?x32xf32>, tensor<?x?x32xf32>
  return
}

// CHECK-LABEL: @pointwise
func.func @pointwise(%x: tensor<?x?x64xf32>, %gate: tensor<?x?x172xf32>, %up: tensor<?x?x172xf32>) {
  // CHECK: llmc.activation %{{.*}} {kind = #llmc.activation_kind<gelu>} : tensor<?x?x64xf32>
  %a = llmc.activation %x {kind = #llmc.activation_kind<gelu>} : tensor<?x?x64xf32>
  // CHECK: llmc.gated_activation %{{.*}}, %{{.*}} {kind = #llmc.activation_kind<silu>} : tensor<?x?x172xf32>
  %b = llmc.gated_activation %gate, %up {kind = #llmc.activation_kind<silu>} : tensor<?x?x172xf32>
  // CHECK: llmc.softmax %{{.*}} : tensor<?x?x64xf32>
  %c = llmc.softmax %x : tensor<?x?x64xf32>
  // CHECK: llmc.scale %{{.*}} {factor = 8.000000e+00 : f64} : tensor<?x?x64xf32>
  %d = llmc.scale %x {factor = 8.0 : f64} : tensor<?x?x64xf32>
  return
}

// CHECK-LABEL: @activation_kinds
func.func @activation_kinds(%x: tensor<?xf32>) {
  // CHECK: <relu>
  // CHECK: <gelu_tanh>
  // CHECK: <quick_gelu>
  // CHECK: <sigmoid>
  // CHECK: <tanh>
  // CHECK: <relu2>
  %0 = llmc.activation %x {kind = #llmc.activation_kind<relu>} : tensor<?xf32>
  %1 = llmc.activation %x {kind = #llmc.activation_kind<gelu_tanh>} : tensor<?xf32>
  %2 = llmc.activation %x {kind = #llmc.activation_kind<quick_gelu>} : tensor<?xf32>
  %3 = llmc.activation %x {kind = #llmc.activation_kind<sigmoid>} : tensor<?xf32>
  %4 = llmc.activation %x {kind = #llmc.activation_kind<tanh>} : tensor<?xf32>
  %5 = llmc.activation %x {kind = #llmc.activation_kind<relu2>} : tensor<?xf32>
  return
}

llmc.cache @kv.store : tensor<4x8xf32>
// CHECK-LABEL: @cache_store
func.func @cache_store(%k: tensor<?x?x32xf32>) {
  // CHECK: llmc.cache_store %{{.*}} in @kv.store {heads = 4 : i64, part = #llmc.cache_part<keys>} : tensor<?x?x32xf32>
  llmc.cache_store %k in @kv.store {heads = 4 : i64, part = #llmc.cache_part<keys>} : tensor<?x?x32xf32>
  return
}

// CHECK-LABEL: @split
func.func @split(%qkv: tensor<?x?x128xf32>) {
  // CHECK: %{{.*}}:3 = llmc.split %{{.*}} : tensor<?x?x128xf32> -> tensor<?x?x64xf32>, tensor<?x?x32xf32>, tensor<?x?x32xf32>
  %q, %k, %v = llmc.split %qkv : tensor<?x?x128xf32> -> tensor<?x?x64xf32>, tensor<?x?x32xf32>, tensor<?x?x32xf32>
  return
}

// CHECK-LABEL: @observe
func.func @observe(%x: tensor<?x?x64xf32>) {
  // CHECK: llmc.observe "model.layers.0.self_attn.q_proj" %{{.*}} : tensor<?x?x64xf32>
  llmc.observe "model.layers.0.self_attn.q_proj" %x : tensor<?x?x64xf32>
  return
}

// CHECK-LABEL: @checks
func.func @checks(%y: tensor<1x2x4xf32>, %e: tensor<2x4xf32>) {
  // CHECK: llmc.expect_close %{{.*}}, %{{.*}} {atol = 9.9999999999999995E-7 : f64, rtol = 1.000000e-05 : f64} : tensor<1x2x4xf32>, tensor<2x4xf32>
  llmc.expect_close %y, %e {atol = 1.0e-6 : f64, rtol = 1.0e-5 : f64} : tensor<1x2x4xf32>, tensor<2x4xf32>
  // CHECK: llmc.expect_eq %{{.*}}, %{{.*}} : tensor<1x2x4xf32>, tensor<2x4xf32>
  llmc.expect_eq %y, %e : tensor<1x2x4xf32>, tensor<2x4xf32>
  return
}

// CHECK-LABEL: @kernels
func.func @kernels(%acc: vector<8xi32>, %codes: vector<32xi8>, %inputs: vector<32xi8>) -> vector<8xi32> {
  // CHECK: llmc.dot_i8 %{{.*}}, %{{.*}}, %{{.*}} {bound = 15 : i64} : vector<8xi32>, vector<32xi8>
  %sum = llmc.dot_i8 %acc, %codes, %inputs {bound = 15 : i64} : vector<8xi32>, vector<32xi8>
  // CHECK: llmc.dot_i8 %{{.*}}, %{{.*}}, %{{.*}} {bound = 128 : i64, signed_codes} : vector<8xi32>, vector<32xi8>
  %both = llmc.dot_i8 %sum, %codes, %inputs {bound = 128 : i64, signed_codes} : vector<8xi32>, vector<32xi8>
  return %both : vector<8xi32>
}

// CHECK-LABEL: @pick
func.func @pick(%four: vector<8xf32>, %index: vector<8xi32>) {
  // CHECK: llmc.pick %{{.*}}, %{{.*}} : vector<8xf32>, vector<8xi32>
  %kept = llmc.pick %four, %index : vector<8xf32>, vector<8xi32>
  return
}

// CHECK-LABEL: @pick_i8
func.func @pick_i8(%eight: vector<8xi8>, %index: vector<32xi8>) {
  // CHECK: llmc.pick_i8 %{{.*}}, %{{.*}} : vector<8xi8>, vector<32xi8>
  %kept = llmc.pick_i8 %eight, %index : vector<8xi8>, vector<32xi8>
  return
}

// CHECK-LABEL: @block_i8
func.func @block_i8(%sums: memref<?xi32>, %x: memref<?xi8>, %w: memref<?xi8>, %s: index, %i: index, %c: index) {
  // CHECK: llmc.block_i8 %{{.*}}[%{{.*}}], %{{.*}}[%{{.*}}], %{{.*}}[%{{.*}}] {bound = 15 : i64, code_stride = 256 : i64, columns = 32 : i64, depth = 64 : i64, input_stride = 2176 : i64, inputs = 128 : i64, rows = 32 : i64, sum_stride = 32 : i64} : memref<?xi32>, memref<?xi8>, memref<?xi8>
  llmc.block_i8 %sums[%s], %x[%i], %w[%c] {rows = 32 : i64, columns = 32 : i64, inputs = 128 : i64, depth = 64 : i64,
      sum_stride = 32 : i64, input_stride = 2176 : i64, code_stride = 256 : i64, bound = 15 : i64}
      : memref<?xi32>, memref<?xi8>, memref<?xi8>
  // CHECK: llmc.block_i8 {{.*}} {accumulate, bound = 255 : i64
  llmc.block_i8 %sums[%s], %x[%i], %w[%c] {rows = 16 : i64, columns = 16 : i64, inputs = 32 : i64, depth = 32 : i64,
      sum_stride = 16 : i64, input_stride = 64 : i64, code_stride = 64 : i64, bound = 255 : i64, accumulate}
      : memref<?xi32>, memref<?xi8>, memref<?xi8>
  return
}

// What the dialect puts on functions and arguments.
// CHECK: func.func @main(%{{.*}}: tensor<?x?xi64> {llmc.dims = ["batch", "sequence"], llmc.name = "input_ids"}) attributes {llmc.role = "step"}
func.func @main(%ids: tensor<?x?xi64> {llmc.name = "input_ids", llmc.dims = ["batch", "sequence"]}) attributes {llmc.role = "step"} {
  return
}

// CHECK-LABEL: @reduce
func.func @reduce(%x: tensor<?x?x64xf32>, %m: tensor<?x?xi64>) -> tensor<?x1x64xf32> {
  // CHECK: %[[P:.*]] = llmc.reduce %{{.*}} mask %{{.*}} {axes = array<i64: 1>, kind = #llmc.reduce_kind<mean>} : tensor<?x?x64xf32>, tensor<?x?xi64>
  %p = llmc.reduce %x mask %m {kind = #llmc.reduce_kind<mean>, axes = array<i64: 1>} : tensor<?x?x64xf32>, tensor<?x?xi64>
  // CHECK: llmc.reduce %{{.*}} {axes = array<i64: 2>, kind = #llmc.reduce_kind<max>} : tensor<?x?x64xf32>
  %n = llmc.reduce %x {kind = #llmc.reduce_kind<max>, axes = array<i64: 2>} : tensor<?x?x64xf32>
  // CHECK: return %[[P]] : tensor<?x1x64xf32>
  return %p : tensor<?x1x64xf32>
}

// CHECK-LABEL: @gather
func.func @gather(%x: tensor<?x?x64xf32>, %w: tensor<512x64xf32>, %i: tensor<?x?xi64>) -> (tensor<?x1x64xf32>, tensor<?x?x64xf32>) {
  // CHECK: %[[C:.*]] = llmc.gather %{{.*}} {position = 0 : i64} : tensor<?x?x64xf32>
  %c = llmc.gather %x {position = 0 : i64} : tensor<?x?x64xf32>
  // CHECK: llmc.gather %{{.*}} at %{{.*}} : tensor<?x?x64xf32>, tensor<?x?xi64>
  %g = llmc.gather %x at %i : tensor<?x?x64xf32>, tensor<?x?xi64>
  // CHECK: %[[T:.*]] = llmc.gather %{{.*}} at %{{.*}} : tensor<512x64xf32>, tensor<?x?xi64>
  %t = llmc.gather %w at %i : tensor<512x64xf32>, tensor<?x?xi64>
  // CHECK: return %[[C]], %[[T]] : tensor<?x1x64xf32>, tensor<?x?x64xf32>
  return %c, %t : tensor<?x1x64xf32>, tensor<?x?x64xf32>
}

// CHECK-LABEL: @top_k
func.func @top_k(%x: tensor<?x?x64xf32>) -> (tensor<?x?x4xf32>, tensor<?x?x4xi64>) {
  // CHECK: %[[V:.*]], %[[I:.*]] = llmc.top_k %{{.*}} {k = 4 : i64} : tensor<?x?x64xf32>
  %values, %indices = llmc.top_k %x {k = 4 : i64} : tensor<?x?x64xf32>
  // CHECK: return %[[V]], %[[I]] : tensor<?x?x4xf32>, tensor<?x?x4xi64>
  return %values, %indices : tensor<?x?x4xf32>, tensor<?x?x4xi64>
}

// CHECK-LABEL: @lookup
func.func @lookup(%codes: vector<32xi8>, %words: vector<8xi32>) {
  // CHECK: llmc.lookup %{{.*}} in dense<[0, 1, {{.*}}, 15]> : tensor<16xi8>, vector<32xi8> to vector<32xi8>
  %levels = llmc.lookup %codes in dense<[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]> : tensor<16xi8>, vector<32xi8> to vector<32xi8>
  // CHECK: llmc.lookup %{{.*}} in dense<1.000000e+00> : tensor<16xf32>, vector<8xi32> to vector<8xf32>
  %floats = llmc.lookup %words in dense<1.0> : tensor<16xf32>, vector<8xi32> to vector<8xf32>
  return
}

// CHECK-LABEL: @triple
func.func @triple(%bytes: vector<32xi8>) {
  // CHECK: llmc.triple %{{.*}} : vector<32xi8>
  %rest = llmc.triple %bytes : vector<32xi8>
  return
}

// CHECK: llmc.layer private @layer.0(%[[X:.*]]: tensor<?x?x8xf32>, %up_proj_weight: tensor<8x8xf32> {llmc.name = "up_proj.weight"}) -> tensor<?x?x8xf32> {
// CHECK-NEXT: llmc.cache @kv.0 : tensor<1x8xf32>
// CHECK-NEXT: %[[H:.*]] = llmc.linear %[[X]], %up_proj_weight {llmc.statistics = #llmc.per_layer<0>} : tensor<?x?x8xf32>, tensor<8x8xf32>
// CHECK-NEXT: %[[A:.*]] = llmc.attention %[[H]], %[[H]], %[[H]] cache @kv.0 {causal, heads = 1 : i64, kv_heads = 1 : i64, scale = 1.000000e+00 : f64}
// CHECK-NEXT: llmc.return %[[A]] : tensor<?x?x8xf32>
llmc.layer private @layer.0(%x: tensor<?x?x8xf32>, %w: tensor<8x8xf32> {llmc.name = "up_proj.weight"}) -> tensor<?x?x8xf32> {
  llmc.cache @kv.0 : tensor<1x8xf32>
  %h = llmc.linear %x, %w {llmc.statistics = #llmc.per_layer<0>} : tensor<?x?x8xf32>, tensor<8x8xf32>
  %a = llmc.attention %h, %h, %h cache @kv.0 {heads = 1 : i64, kv_heads = 1 : i64, scale = 1.0 : f64, causal}
      : tensor<?x?x8xf32>, tensor<?x?x8xf32>, tensor<?x?x8xf32>
  llmc.return %a : tensor<?x?x8xf32>
}

// CHECK-LABEL: @calls
llmc.cache @kv.7 : tensor<1x8xf32>
func.func @calls(%x: tensor<?x?x8xf32>) -> tensor<?x?x8xf32> {
  %w = llmc.weight "w" {values = dense<0.5> : tensor<8x8xf32>} : tensor<8x8xf32>
  // CHECK: llmc.call @layer.0(%{{.*}}, %{{.*}}) caches [@kv.7] {per_layer = [none]} : (tensor<?x?x8xf32>, tensor<8x8xf32>) -> tensor<?x?x8xf32>
  %y = llmc.call @layer.0(%x, %w) caches [@kv.7] {per_layer = [none]} : (tensor<?x?x8xf32>, tensor<8x8xf32>) -> tensor<?x?x8xf32>
  return %y : tensor<?x?x8xf32>
}
