// RUN: llmc-opt %s --verify-diagnostics --split-input-file

// Each refusal of the operations, with the label of the constraint in its description.

// llmc.weight C1: the components are those of the type.
func.func @components() {
  // expected-error @+1 {{"w" expects components 'codes' 'scales' 'zeros', got 1 of them}}
  %w = llmc.weight "w" {codes = dense<0> : tensor<2x16xui8>} : !llmc.compressed<2x32xf32, #llmc.int<4, group = 32, scale = f16>>
  return
}

// -----

func.func @component_name() {
  // expected-error @+1 {{"w" has no component 'values'}}
  %w = llmc.weight "w" {data = dense<0.0> : tensor<4xf32>} : tensor<4xf32>
  return
}

// -----

func.func @component_shape() {
  // expected-error @+1 {{"w" expects component 'scales' of 'tensor<2x2xf16>', got 'tensor<2x1xf16>'}}
  %w = llmc.weight "w" {codes = dense<0> : tensor<2x18xui8>, scales = dense<1.0> : tensor<2x1xf16>} : !llmc.compressed<2x36xf32, #llmc.int<4, group = 32, symmetric, scale = f16>>
  return
}

// -----

func.func @component_element() {
  // expected-error @+1 {{"w" expects component 'values' of 'tensor<4xf32>', got 'tensor<4xf16>'}}
  %w = llmc.weight "w" {values = dense<0.0> : tensor<4xf16>} : tensor<4xf32>
  return
}

// -----

func.func @component_data() {
  // expected-error @+1 {{"w" component 'values' has no data of the size its type asks for}}
  %w = llmc.weight "w" {values = dense_resource<short> : tensor<4xf32>} : tensor<4xf32>
  return
}

{-#
  dialect_resources: { builtin: { short: "0x040000000000803F" } }
#-}

// -----

func.func @dynamic_weight() {
  // expected-error @+1 {{expects a static shape, got 'tensor<?xf32>'}}
  %w = llmc.weight "w" {values = dense<0.0> : tensor<4xf32>} : tensor<?xf32>
  return
}

// -----

// llmc.weight C2: the data is valid for the scheme.
func.func @scale_nan() {
  // expected-error @+1 {{"w" expects finite scales, got nan at index 1}}
  %w = llmc.weight "w" {codes = dense<0> : tensor<2x2xui8>, scales = dense<[[1.0], [0x7FC00000]]> : tensor<2x1xf32>} : !llmc.compressed<2x4xf32, #llmc.int<4, group = 0, symmetric, scale = f32>>
  return
}

// -----

func.func @zero_out_of_range() {
  // expected-error @+1 {{"w" expects zero points of 4 bits, got 16 at index 0}}
  %w = llmc.weight "w" {codes = dense<0> : tensor<1x2xui8>, scales = dense<1.0> : tensor<1x1xf16>, zeros = dense<16> : tensor<1x1xui8>} : !llmc.compressed<1x4xf32, #llmc.int<4, group = 0, scale = f16>>
  return
}

// -----

func.func @ternary_code() {
  // expected-error @+1 {{"w" expects codes 0 to 2, got 3 at row 0, index 3}}
  %w = llmc.weight "w" {codes = dense<192> : tensor<1x1xui8>, scales = dense<1.0> : tensor<1xf32>} : !llmc.compressed<1x4xf32, #llmc.ternary>
  return
}

// -----

// A mask that keeps 3 of 4 where the type says 2.
func.func @broken_2_4() {
  // expected-error @+1 {{"w" breaks its 2:4 mask: row 1, inputs 4 to 7 keep 3 weights, expected 2}}
  %w = llmc.weight "w" {mask = dense<[[51], [115]]> : tensor<2x1xui8>, codes = dense<0> : tensor<2x2xui8>, scales = dense<1.0> : tensor<2x1xf16>}
      : !llmc.compressed<2x8xf32, #llmc.nm<2:4, #llmc.int<4, group = 0, symmetric, scale = f16>>>
  return
}

// -----

// A short last group of one keeps one.
func.func @broken_last_group() {
  // expected-error @+1 {{breaks its 2:4 mask: row 0, inputs 4 to 4 keep 0 weights, expected 1}}
  %w = llmc.weight "w" {mask = dense<3> : tensor<1x1xui8>, values = dense<1.0> : tensor<1x3xf16>} : !llmc.compressed<1x5xf32, #llmc.nm<2:4, #llmc.dense<f16>>>
  return
}

// -----

func.func @mask_values() {
  // expected-error @+1 {{"w" expects 2 kept values, got 3}}
  %w = llmc.weight "w" {mask = dense<3> : tensor<1x1xui8>, values = dense<1.0> : tensor<3xf32>} : !llmc.compressed<1x4xf32, #llmc.mask<#llmc.dense<f32>>>
  return
}

// -----

func.func @mask_codes() {
  // expected-error @+1 {{"w" expects 2 bytes of codes for 3 kept weights, got 1}}
  %w = llmc.weight "w" {mask = dense<7> : tensor<1x1xui8>, codes = dense<0> : tensor<1xui8>, scales = dense<1.0> : tensor<1x1xf16>} : !llmc.compressed<1x4xf32, #llmc.mask<#llmc.int<4, group = 0, symmetric, scale = f16>>>
  return
}

// -----

func.func @mask_infinite_value() {
  // expected-error @+1 {{"w" expects finite values, got INF at index 0}}
  %w = llmc.weight "w" {mask = dense<1> : tensor<1x1xui8>, values = dense<0x7F800000> : tensor<1xf32>} : !llmc.compressed<1x4xf32, #llmc.mask<#llmc.dense<f32>>>
  return
}

// -----

// llmc.linear C1.
func.func @linear_channels(%x: tensor<?x?x64xf32>, %w: tensor<172x60xf32>) {
  // expected-error @+1 {{expects an input of 60 channels for a weight of 172x60, got 'tensor<?x?x64xf32>'}}
  %y = llmc.linear %x, %w : tensor<?x?x64xf32>, tensor<172x60xf32>
  return
}

// -----

// llmc.linear C2.
func.func @linear_bias(%x: tensor<?x?x64xf32>, %w: tensor<172x64xf32>, %b: tensor<64xf32>) {
  // expected-error @+1 {{expects a bias of 172 elements, got 'tensor<64xf32>'}}
  %y = llmc.linear %x, %w bias %b : tensor<?x?x64xf32>, tensor<172x64xf32>, tensor<64xf32>
  return
}

// -----

// llmc.linear C3.
func.func @linear_twice(%x: !llmc.quantized<?x?x64xf32, #llmc.dynamic<i8, per_token>>, %w: tensor<172x64xf32>) {
  // expected-error @+1 {{cannot quantize what is quantized already: '!llmc.quantized<?x?x64xf32, #llmc.dynamic<i8, per_token>>'}}
  %y = llmc.linear %x, %w {activations = #llmc.dynamic<i8, per_token>} : !llmc.quantized<?x?x64xf32, #llmc.dynamic<i8, per_token>>, tensor<172x64xf32>
  return
}

// -----

// llmc.linear C1, of codes.
func.func @linear_codes(%x: !llmc.quantized<?x?x64xf32, #llmc.static<i8>>, %w: tensor<172x60xf32>) {
  // expected-error @+1 {{expects an input of 60 channels for a weight of 172x60, got '!llmc.quantized<?x?x64xf32, #llmc.static<i8>>'}}
  %y = llmc.linear %x, %w : !llmc.quantized<?x?x64xf32, #llmc.static<i8>>, tensor<172x60xf32>
  return
}

// -----

// llmc.quantize C1.
func.func @quantize_shape(%x: tensor<?x?x64xf32>) {
  // expected-error @+1 {{expects the codes of 'tensor<?x?x64xf32>', got those of 'tensor<?x?x32xf32>'}}
  %q = llmc.quantize %x : tensor<?x?x64xf32> -> !llmc.quantized<?x?x32xf32, #llmc.dynamic<i8, per_token>>
  return
}

// -----

// llmc.quantize C2.
func.func @quantize_without_scale(%x: tensor<?x?x64xf32>) {
  // expected-error @+1 {{expects a scale with #llmc.static<i8>}}
  %q = llmc.quantize %x : tensor<?x?x64xf32> -> !llmc.quantized<?x?x64xf32, #llmc.static<i8>>
  return
}

// -----

// llmc.quantize C2.
func.func @quantize_with_scale(%x: tensor<?x?x64xf32>, %s: tensor<1xf32>) {
  // expected-error @+1 {{expects no scale with #llmc.dynamic<i8, per_token>}}
  %q = llmc.quantize %x scale %s : tensor<?x?x64xf32>, tensor<1xf32> -> !llmc.quantized<?x?x64xf32, #llmc.dynamic<i8, per_token>>
  return
}

// -----

// llmc.quantize C2.
func.func @quantize_two_scales(%x: tensor<?x?x64xf32>, %s: tensor<2xf32>) {
  // expected-error @+1 {{expects a scale of one f32, got 'tensor<2xf32>'}}
  %q = llmc.quantize %x scale %s : tensor<?x?x64xf32>, tensor<2xf32> -> !llmc.quantized<?x?x64xf32, #llmc.static<i8>>
  return
}

// -----

// llmc.quantize C2.
func.func @quantize_negative(%x: tensor<?x?x64xf32>) {
  %s = llmc.weight "s" {values = dense<-0.5> : tensor<1xf32>} : tensor<1xf32>
  // expected-error @+1 {{expects a positive scale, got -0.5}}
  %q = llmc.quantize %x scale %s : tensor<?x?x64xf32>, tensor<1xf32> -> !llmc.quantized<?x?x64xf32, #llmc.static<i8>>
  return
}

// -----

func.func @linear_vector(%x: tensor<?x?x64xf32>, %w: tensor<64xf32>) {
  // expected-error @+1 {{expects a weight of two dimensions, got 'tensor<64xf32>'}}
  %y = llmc.linear %x, %w : tensor<?x?x64xf32>, tensor<64xf32>
  return
}

// -----

func.func @embedding_vector(%w: tensor<64xf32>, %ids: tensor<?x?xi64>) {
  // expected-error @+1 {{expects a weight of two dimensions, got 'tensor<64xf32>'}}
  %y = llmc.embedding %w, %ids : tensor<64xf32>, tensor<?x?xi64>
  return
}

// -----

func.func @embedding_float_ids(%w: tensor<4x64xf32>, %ids: tensor<?x?xf32>) {
  // expected-error @+1 {{operand #1 must be ranked tensor of 64-bit signless integer or 32-bit signless integer values}}
  %y = llmc.embedding %w, %ids : tensor<4x64xf32>, tensor<?x?xf32>
  return
}

// -----

// llmc.rms_norm C1.
func.func @rms_norm_scale(%x: tensor<?x?x64xf32>, %g: tensor<64xf32>) {
  // expected-error @+1 {{expects a scale of 8 elements, got 'tensor<64xf32>'}}
  %y = llmc.rms_norm %x, %g {eps = 1.0e-5 : f64, groups = 8 : i64} : tensor<?x?x64xf32>, tensor<64xf32>
  return
}

// -----

func.func @rms_norm_groups(%x: tensor<?x?x64xf32>, %g: tensor<64xf32>) {
  // expected-error @+1 {{expects groups to divide the row, got 7 and 64}}
  %y = llmc.rms_norm %x, %g {eps = 1.0e-5 : f64, groups = 7 : i64} : tensor<?x?x64xf32>, tensor<64xf32>
  return
}

// -----

// llmc.layer_norm C1.
func.func @layer_norm_bias(%x: tensor<?x?x64xf32>, %g: tensor<64xf32>, %b: tensor<32xf32>) {
  // expected-error @+1 {{expects scale and bias of 64 elements, got 'tensor<32xf32>'}}
  %y = llmc.layer_norm %x, %g, %b {eps = 1.0e-5 : f64} : tensor<?x?x64xf32>, tensor<64xf32>, tensor<32xf32>
  return
}

// -----

// llmc.rope C1.
func.func @rope_heads(%x: tensor<?x?x8xf32>) {
  // expected-error @+1 {{expects heads to divide the row, got 3 and 8}}
  %y = llmc.rope %x {heads = 3 : i64, frequencies = array<f64: 1.0>, layout = #llmc.rope_layout<half>} : tensor<?x?x8xf32>
  return
}

// -----

// llmc.rope C2.
func.func @rope_frequencies(%x: tensor<?x?x8xf32>) {
  // expected-error @+1 {{expects 1 to 2 frequencies for heads of 4, got 3}}
  %y = llmc.rope %x {heads = 2 : i64, frequencies = array<f64: 1.0, 0.1, 0.01>, layout = #llmc.rope_layout<half>} : tensor<?x?x8xf32>
  return
}

// -----

// llmc.rope C3.
func.func @rope_long_alone(%x: tensor<?x?x8xf32>) {
  // expected-error @+1 {{expects long_frequencies together with an original_context of at least 1, got original_context = 0 with long_frequencies}}
  %y = llmc.rope %x {heads = 2 : i64, frequencies = array<f64: 1.0>, long_frequencies = array<f64: 0.5>, layout = #llmc.rope_layout<half>} : tensor<?x?x8xf32>
  return
}

// -----

func.func @rope_original_alone(%x: tensor<?x?x8xf32>) {
  // expected-error @+1 {{got original_context = 64 without long_frequencies}}
  %y = llmc.rope %x {heads = 2 : i64, frequencies = array<f64: 1.0>, original_context = 64 : i64, layout = #llmc.rope_layout<half>} : tensor<?x?x8xf32>
  return
}

// -----

func.func @rope_long_count(%x: tensor<?x?x8xf32>) {
  // expected-error @+1 {{expects as many long_frequencies as frequencies, got 2 and 1}}
  %y = llmc.rope %x {heads = 2 : i64, frequencies = array<f64: 1.0>, long_frequencies = array<f64: 0.5, 0.25>, original_context = 64 : i64, layout = #llmc.rope_layout<half>} : tensor<?x?x8xf32>
  return
}

// -----

func.func @rope_long_infinite(%x: tensor<?x?x8xf32>) {
  // expected-error @+1 {{expects finite frequencies}}
  %y = llmc.rope %x {heads = 2 : i64, frequencies = array<f64: 1.0>, long_frequencies = array<f64: 0x7FF0000000000000>, original_context = 64 : i64, layout = #llmc.rope_layout<half>} : tensor<?x?x8xf32>
  return
}

// -----

func.func @rope_infinite(%x: tensor<?x?x8xf32>) {
  // expected-error @+1 {{expects finite frequencies}}
  %y = llmc.rope %x {heads = 2 : i64, frequencies = array<f64: 0x7FF0000000000000>, layout = #llmc.rope_layout<half>} : tensor<?x?x8xf32>
  return
}

// -----

// llmc.cache_store C1.
llmc.cache @kv : tensor<3x8xf32>
func.func @cache_store_heads(%k: tensor<?x?x32xf32>) {
  // expected-error @+1 {{expects heads to divide the width, got 3 heads over 32}}
  llmc.cache_store %k in @kv {heads = 3 : i64, part = #llmc.cache_part<keys>} : tensor<?x?x32xf32>
  return
}

// -----

// llmc.cache_store C2.
llmc.cache @kv : tensor<4x16xf32>
func.func @cache_store_shape(%k: tensor<?x?x32xf32>) {
  // expected-error @+1 {{expects a cache of 4x8, got 'tensor<4x16xf32>'}}
  llmc.cache_store %k in @kv {heads = 4 : i64, part = #llmc.cache_part<keys>} : tensor<?x?x32xf32>
  return
}

// -----

// llmc.attention C1.
func.func @attention_heads(%q: tensor<?x?x64xf32>, %k: tensor<?x?x24xf32>) {
  // expected-error @+1 {{expects heads to divide the query, kv_heads to divide key and value and the heads, got 8 heads over 64, 3 kv_heads over 24 and 24}}
  %a = llmc.attention %q, %k, %k {heads = 8 : i64, kv_heads = 3 : i64, scale = 1.0 : f64} : tensor<?x?x64xf32>, tensor<?x?x24xf32>, tensor<?x?x24xf32>
  return
}

// -----

func.func @attention_no_heads(%q: tensor<?x?x64xf32>) {
  // expected-error @+1 {{expects heads and kv_heads of 1 or more, got 0 and 1}}
  %a = llmc.attention %q, %q, %q {heads = 0 : i64, kv_heads = 1 : i64, scale = 1.0 : f64} : tensor<?x?x64xf32>, tensor<?x?x64xf32>, tensor<?x?x64xf32>
  return
}

// -----

// llmc.attention C2.
func.func @attention_head_size(%q: tensor<?x?x64xf32>, %k: tensor<?x?x64xf32>) {
  // expected-error @+1 {{expects query and key heads of one size, got 8 and 16}}
  %a = llmc.attention %q, %k, %k {heads = 8 : i64, kv_heads = 4 : i64, scale = 1.0 : f64} : tensor<?x?x64xf32>, tensor<?x?x64xf32>, tensor<?x?x64xf32>
  return
}

// -----

// llmc.attention C3.
func.func @attention_window(%q: tensor<?x?x64xf32>) {
  // expected-error @+1 {{expects a window of 0 or more, and causal with a window}}
  %a = llmc.attention %q, %q, %q {heads = 8 : i64, kv_heads = 8 : i64, scale = 1.0 : f64, window = 4 : i64} : tensor<?x?x64xf32>, tensor<?x?x64xf32>, tensor<?x?x64xf32>
  return
}

// -----

// llmc.attention C4: the cache exists, and fits.
func.func @attention_no_cache(%q: tensor<?x?x64xf32>) {
  // expected-error @+1 {{expects llmc.cache @kv in the module}}
  %a = llmc.attention %q, %q, %q cache @kv {heads = 8 : i64, kv_heads = 8 : i64, scale = 1.0 : f64, causal} : tensor<?x?x64xf32>, tensor<?x?x64xf32>, tensor<?x?x64xf32>
  return
}

// -----

llmc.cache @kv : tensor<4x8xf32>
func.func @attention_other_cache(%q: tensor<?x?x64xf32>) {
  // expected-error @+1 {{expects a cache of 8x8, got 'tensor<4x8xf32>'}}
  %a = llmc.attention %q, %q, %q cache @kv {heads = 8 : i64, kv_heads = 8 : i64, scale = 1.0 : f64, causal} : tensor<?x?x64xf32>, tensor<?x?x64xf32>, tensor<?x?x64xf32>
  return
}

// -----

// expected-error @+1 {{expects kv heads x head size, got 'tensor<4x?xf32>'}}
llmc.cache @kv : tensor<4x?xf32>

// -----

// expected-error @+1 {{expects elements of i8 with byte_products, got 'tensor<4x8xf16>'}}
llmc.cache @kv {byte_products} : tensor<4x8xf16>

// -----

// llmc.split C1.
func.func @split_sum(%x: tensor<?x?x128xf32>) {
  // expected-error @+1 {{expects the results' last dimensions to sum to 128, got 96}}
  %a, %b = llmc.split %x : tensor<?x?x128xf32> -> tensor<?x?x64xf32>, tensor<?x?x32xf32>
  return
}

// -----

func.func @split_shape(%x: tensor<?x?x128xf32>) {
  // expected-error @+1 {{expects results shaped like the input but for the last dimension, got 'tensor<?x64xf32>' of 'tensor<?x?x128xf32>'}}
  %a, %b = llmc.split %x : tensor<?x?x128xf32> -> tensor<?x64xf32>, tensor<?x?x64xf32>
  return
}

// -----

// Operands that are no rows, no ids, no compressed weight.
func.func @decompress_dense(%w: tensor<4x4xf32>) {
  // expected-error @+1 {{operand #0 must be a weight matrix and the scheme it is stored with}}
  %d = "llmc.decompress"(%w) : (tensor<4x4xf32>) -> tensor<4x4xf32>
  return
}

// -----

func.func @positions_of_floats(%x: tensor<?x?xf32>) {
  // expected-error @+1 {{operand #0 must be ranked tensor of 64-bit signless integer or 32-bit signless integer values}}
  %p = llmc.positions %x : tensor<?x?xf32>
  return
}

// -----

func.func @softmax_of_ids(%x: tensor<?x?xi64>) {
  // expected-error @+1 {{operand #0 must be ranked tensor of 32-bit float or 16-bit float or bfloat16 type or 64-bit float values}}
  %y = llmc.softmax %x : tensor<?x?xi64>
  return
}

// -----

func.func @gate_of_another_width(%g: tensor<?x?x64xf32>, %u: tensor<?x?x32xf32>) {
  // expected-error @+1 {{requires the same type for all operands and results}}
  %y = "llmc.gated_activation"(%g, %u) {kind = #llmc.activation_kind<silu>} : (tensor<?x?x64xf32>, tensor<?x?x32xf32>) -> tensor<?x?x64xf32>
  return
}

// -----

func.func @activation_changes_shape(%x: tensor<?x?x64xf32>) {
  // expected-error @+1 {{requires the same type for all operands and results}}
  %y = "llmc.activation"(%x) {kind = #llmc.activation_kind<silu>} : (tensor<?x?x64xf32>) -> tensor<?x?x32xf32>
  return
}

// -----

func.func @activation_kind(%x: tensor<?x?x64xf32>) {
  // expected-error @+2 {{expected ::llmc::ActivationKind to be one of: relu, gelu, gelu_tanh, silu, quick_gelu, sigmoid, tanh, relu2}}
  // expected-error @+1 {{failed to parse ActivationKindAttr parameter 'value'}}
  %y = llmc.activation %x {kind = #llmc.activation_kind<swish>} : tensor<?x?x64xf32>
  return
}

// -----

func.func @scale_without_factor(%x: tensor<?x?x64xf32>) {
  // expected-error @+1 {{requires attribute 'factor'}}
  %y = llmc.scale %x : tensor<?x?x64xf32>
  return
}

// -----

func.func @observe_ids(%x: tensor<?x?xi64>) {
  // expected-error @+1 {{operand #0 must be ranked tensor of 32-bit float or 16-bit float or bfloat16 type or 64-bit float values}}
  llmc.observe "x" %x : tensor<?x?xi64>
  return
}

// -----

func.func @layer_norm_scale(%x: tensor<?x?x64xf32>, %g: tensor<1x64xf32>) {
  // expected-error @+1 {{expects scale and bias of 64 elements, got 'tensor<1x64xf32>'}}
  %y = llmc.layer_norm %x, %g {eps = 1.0e-5 : f64} : tensor<?x?x64xf32>, tensor<1x64xf32>
  return
}

// -----

func.func @rope_nothing(%x: tensor<?x?x8xf32>) {
  // expected-error @+1 {{expects 1 to 2 frequencies for heads of 4, got 0}}
  %y = llmc.rope %x {heads = 2 : i64, frequencies = array<f64>, layout = #llmc.rope_layout<interleaved>} : tensor<?x?x8xf32>
  return
}

// -----

func.func @attention_groups(%q: tensor<?x?x64xf32>) {
  // expected-error @+1 {{expects heads to divide the query, kv_heads to divide key and value and the heads, got 4 heads over 64, 8 kv_heads over 64 and 64}}
  %a = llmc.attention %q, %q, %q {heads = 4 : i64, kv_heads = 8 : i64, scale = 1.0 : f64} : tensor<?x?x64xf32>, tensor<?x?x64xf32>, tensor<?x?x64xf32>
  return
}

// -----

func.func @attention_negative_window(%q: tensor<?x?x64xf32>) {
  // expected-error @+1 {{expects a window of 0 or more, and causal with a window}}
  %a = llmc.attention %q, %q, %q {heads = 8 : i64, kv_heads = 8 : i64, scale = 1.0 : f64, causal, window = -1 : i64} : tensor<?x?x64xf32>, tensor<?x?x64xf32>, tensor<?x?x64xf32>
  return
}

// -----

// Keys and values share one cache, so they have one width.
llmc.cache @kv : tensor<8x8xf32>
func.func @attention_narrow_values(%q: tensor<?x?x64xf32>, %v: tensor<?x?x32xf32>) {
  // expected-error @+1 {{expects keys and values of one width with a cache, got 64 and 32}}
  %a = llmc.attention %q, %q, %v cache @kv {heads = 8 : i64, kv_heads = 8 : i64, scale = 1.0 : f64, causal} : tensor<?x?x64xf32>, tensor<?x?x64xf32>, tensor<?x?x32xf32>
  return
}

// -----

// expected-error @+1 {{attribute 'type' failed to satisfy constraint}}
llmc.cache @doubles : tensor<4x8xf64>

// -----

// llmc.expect_close C1, llmc.expect_eq C1.
func.func @expect_close_rows(%y: tensor<1x2x4xf32>, %e: tensor<2x3xf32>) {
  // expected-error @+1 {{expects the same last dimension, got 'tensor<1x2x4xf32>' and 'tensor<2x3xf32>'}}
  llmc.expect_close %y, %e : tensor<1x2x4xf32>, tensor<2x3xf32>
  return
}

// -----

func.func @expect_close_tolerance(%y: tensor<4xf32>) {
  // expected-error @+1 {{expects tolerances of 0 or more}}
  llmc.expect_close %y, %y {atol = -1.0 : f64} : tensor<4xf32>, tensor<4xf32>
  return
}

// -----

func.func @expect_eq_rows(%y: tensor<4xf32>, %e: tensor<5xf32>) {
  // expected-error @+1 {{expects the same last dimension, got 'tensor<4xf32>' and 'tensor<5xf32>'}}
  llmc.expect_eq %y, %e : tensor<4xf32>, tensor<5xf32>
  return
}

// -----

func.func @dot_i8_bytes(%acc: vector<8xi32>, %codes: vector<8xi8>) {
  // expected-error @+1 {{expects 4 codes for each of 8 sums, got 8}}
  %0 = llmc.dot_i8 %acc, %codes, %codes {bound = 15 : i64} : vector<8xi32>, vector<8xi8>
  return
}

// -----

func.func @dot_i8_signed_bound(%acc: vector<2xi32>, %codes: vector<8xi8>) {
  // expected-error @+1 {{expects a bound from 1 to 128, got 129}}
  %0 = llmc.dot_i8 %acc, %codes, %codes {bound = 129 : i64, signed_codes} : vector<2xi32>, vector<8xi8>
  return
}

// -----

func.func @dot_i8_bound(%acc: vector<2xi32>, %codes: vector<8xi8>) {
  // expected-error @+1 {{expects a bound from 1 to 255, got 256}}
  %0 = llmc.dot_i8 %acc, %codes, %codes {bound = 256 : i64} : vector<2xi32>, vector<8xi8>
  return
}

// -----

// Attributes of the dialect on other operations.
// expected-error @+1 {{expects llmc.role to be "step", "run" or "encode", got "jump"}}
func.func @role() attributes {llmc.role = "jump"} {
  return
}

// -----

// expected-error @+1 {{cannot have llmc.role, which belongs on func.func}}
module attributes {llmc.role = "run"} {}

// -----

// expected-error @+1 {{expects llmc.context to be a positive integer, got 0 : i64}}
module attributes {llmc.context = 0 : i64} {}

// -----

// expected-error @+1 {{expects llmc.stop_ids to be ids of a vocabulary, as array<i64: 2>, got array<i64: 2, -1>}}
module attributes {llmc.stop_ids = array<i64: 2, -1>} {}

// -----

// expected-error @+1 {{expects llmc.stop_ids to be ids of a vocabulary, as array<i64: 2>, got 2 : i64}}
module attributes {llmc.stop_ids = 2 : i64} {}

// -----

// expected-error @+1 {{cannot have llmc.stop_ids, which belongs on builtin.module}}
func.func private @stops() attributes {llmc.stop_ids = array<i64: 2>}

// -----

// expected-error @+1 {{expects llmc.context_reason to be a string, got 4 : i64}}
module attributes {llmc.context_reason = 4 : i64} {}

// -----

// expected-error @+1 {{cannot have this llmc.any_machine, which is a unit on a function}}
func.func private @check(i64) -> i32 attributes {llmc.any_machine = 1 : i32}

// -----

// llmc.pick C1.
func.func @pick_lanes(%four: vector<8xf32>, %index: vector<4xi32>) {
  // expected-error @+1 {{expects as many indices as inputs and a multiple of four, got 'vector<8xf32>' and 'vector<4xi32>'}}
  %kept = llmc.pick %four, %index : vector<8xf32>, vector<4xi32>
  return
}

// -----

// llmc.pick_i8 C1.
func.func @pick_bytes(%four: vector<4xi8>, %index: vector<32xi8>) {
  // expected-error @+1 {{expects 8 inputs and a multiple of 16 indices, got 'vector<4xi8>' and 'vector<32xi8>'}}
  %kept = llmc.pick_i8 %four, %index : vector<4xi8>, vector<32xi8>
  return
}

// -----

// llmc.block_i8 C1.
func.func @block_rows(%s: memref<?xi32>, %b: memref<?xi8>, %at: index) {
  // expected-error @+1 {{expects a block of 16 or 32 rows and columns, got 8 by 32}}
  llmc.block_i8 %s[%at], %b[%at], %b[%at] {rows = 8 : i64, columns = 32 : i64, inputs = 64 : i64, depth = 64 : i64,
      sum_stride = 32 : i64, input_stride = 64 : i64, code_stride = 128 : i64, bound = 15 : i64} : memref<?xi32>, memref<?xi8>, memref<?xi8>
  return
}

// -----

// llmc.block_i8 C2.
func.func @block_depth(%s: memref<?xi32>, %b: memref<?xi8>, %at: index) {
  // expected-error @+1 {{expects a depth of 32 or 64 and inputs a multiple of it, got 64 and 96}}
  llmc.block_i8 %s[%at], %b[%at], %b[%at] {rows = 32 : i64, columns = 32 : i64, inputs = 96 : i64, depth = 64 : i64,
      sum_stride = 32 : i64, input_stride = 96 : i64, code_stride = 128 : i64, bound = 15 : i64} : memref<?xi32>, memref<?xi8>, memref<?xi8>
  return
}

// -----

// llmc.block_i8 C3.
func.func @block_stride(%s: memref<?xi32>, %b: memref<?xi8>, %at: index) {
  // expected-error @+1 {{expects code_stride of at least 128, got 64}}
  llmc.block_i8 %s[%at], %b[%at], %b[%at] {rows = 32 : i64, columns = 32 : i64, inputs = 64 : i64, depth = 64 : i64,
      sum_stride = 32 : i64, input_stride = 64 : i64, code_stride = 64 : i64, bound = 15 : i64} : memref<?xi32>, memref<?xi8>, memref<?xi8>
  return
}

// -----

// llmc.block_i8 C4.
func.func @block_bound(%s: memref<?xi32>, %b: memref<?xi8>, %at: index) {
  // expected-error @+1 {{expects a bound from 1 to 255, got 256}}
  llmc.block_i8 %s[%at], %b[%at], %b[%at] {rows = 32 : i64, columns = 32 : i64, inputs = 64 : i64, depth = 64 : i64,
      sum_stride = 32 : i64, input_stride = 64 : i64, code_stride = 128 : i64, bound = 256 : i64} : memref<?xi32>, memref<?xi8>, memref<?xi8>
  return
}

// -----

// llmc.reduce C1.
func.func @reduce_axis(%x: tensor<?x?x64xf32>) {
  // expected-error @+1 {{expects axes from 1 to 2, got 0}}
  %y = llmc.reduce %x {kind = #llmc.reduce_kind<sum>, axes = array<i64: 0>} : tensor<?x?x64xf32>
  return
}

// -----

// llmc.reduce C1.
func.func @reduce_order(%x: tensor<?x?x64xf32>) {
  // expected-error @+1 {{expects ascending axes, got [2, 1]}}
  %y = llmc.reduce %x {kind = #llmc.reduce_kind<sum>, axes = array<i64: 2, 1>} : tensor<?x?x64xf32>
  return
}

// -----

// llmc.reduce C2.
func.func @reduce_mask(%x: tensor<?x?x64xf32>, %m: tensor<?x?xi64>) {
  // expected-error @+1 {{expects a mask over the sequence of [batch, sequence, width], got axes [2] of 'tensor<?x?x64xf32>'}}
  %y = llmc.reduce %x mask %m {kind = #llmc.reduce_kind<sum>, axes = array<i64: 2>} : tensor<?x?x64xf32>, tensor<?x?xi64>
  return
}

// -----

// llmc.reduce C2.
func.func @reduce_mask_rank(%x: tensor<?x?x64xf32>, %m: tensor<?xi64>) {
  // expected-error @+1 {{expects a mask of [batch, sequence], got 'tensor<?xi64>'}}
  %y = llmc.reduce %x mask %m {kind = #llmc.reduce_kind<sum>, axes = array<i64: 1>} : tensor<?x?x64xf32>, tensor<?xi64>
  return
}

// -----

// llmc.gather C1.
func.func @gather_nothing(%x: tensor<?x?x64xf32>) {
  // expected-error @+1 {{expects an index or a position, got neither}}
  %y = llmc.gather %x : tensor<?x?x64xf32>
  return
}

// -----

// llmc.gather C1.
func.func @gather_both(%x: tensor<?x?x64xf32>, %i: tensor<?x?xi64>) {
  // expected-error @+1 {{expects an index or a position, got both}}
  %y = llmc.gather %x at %i {position = 0 : i64} : tensor<?x?x64xf32>, tensor<?x?xi64>
  return
}

// -----

// llmc.gather C2.
func.func @gather_rank(%x: tensor<?x64xf32>) {
  // expected-error @+1 {{expects [batch, sequence, width], or with an index a table of two dimensions, got 'tensor<?x64xf32>'}}
  %y = llmc.gather %x {position = 0 : i64} : tensor<?x64xf32>
  return
}

// -----

// llmc.gather C3.
func.func @gather_index(%x: tensor<?x?x64xf32>, %i: tensor<?xi64>) {
  // expected-error @+1 {{expects an index of [batch, rows], got 'tensor<?xi64>'}}
  %y = llmc.gather %x at %i : tensor<?x?x64xf32>, tensor<?xi64>
  return
}

// -----

// llmc.top_k C1.
func.func @top_k_most(%x: tensor<?x?x64xf32>) {
  // expected-error @+1 {{expects at most 64 elements of a row, got 65}}
  %v, %i = llmc.top_k %x {k = 65 : i64} : tensor<?x?x64xf32>
  return
}

// -----

// llmc.top_k C1.
func.func @top_k_least(%x: tensor<?x?x64xf32>) {
  // expected-error @+1 {{expects a tensor and a k of at least 1}}
  %v, %i = llmc.top_k %x {k = 0 : i64} : tensor<?x?x64xf32>
  return
}
