// RUN: llmc-opt %s --verify-diagnostics --split-input-file

// llmc.weight C2 of tables and of ternary codes in bytes of five: the data is valid for the scheme.
func.func @table_scale() {
  // expected-error @+1 {{"w" expects finite scales, got INF at index 1}}
  %w = llmc.weight "w" {codes = dense<0> : tensor<2x2xui8>, scales = dense<[[1.0], [0x7C00]]> : tensor<2x1xf16>} : !llmc.compressed<2x4xf32, #llmc.table<nf4, group = 64>>
  return
}

// -----

func.func @table_zeros() {
  // expected-error @+1 {{"w" expects components 'codes' 'scales', got 3 of them}}
  %w = llmc.weight "w" {codes = dense<0> : tensor<2x2xui8>, scales = dense<1.0> : tensor<2x1xf16>, zeros = dense<0> : tensor<2x1xui8>} : !llmc.compressed<2x4xf32, #llmc.table<nf4, group = 64>>
  return
}

// -----

func.func @masked_table_codes() {
  // expected-error @+1 {{"w" expects 2 bytes of codes for 3 kept weights, got 1}}
  %w = llmc.weight "w" {mask = dense<[[3], [8]]> : tensor<2x1xui8>, codes = dense<0> : tensor<1xui8>, scales = dense<1.0> : tensor<2x1xf16>} : !llmc.compressed<2x4xf32, #llmc.mask<#llmc.table<nf4, group = 0>>>
  return
}

// -----

func.func @trit_byte() {
  // expected-error @+1 {{"w" expects bytes of five ternary codes, got 1 at byte 1}}
  %w = llmc.weight "w" {codes = dense<[[128, 1]]> : tensor<1x2xui8>, scales = dense<1.0> : tensor<1xf32>} : !llmc.compressed<1x10xf32, #llmc.ternary<base3>>
  return
}

// -----

func.func @masked_trit_codes() {
  // expected-error @+1 {{"w" expects 1 bytes of codes for 3 kept weights, got 2}}
  %w = llmc.weight "w" {mask = dense<[[3], [8]]> : tensor<2x1xui8>, codes = dense<128> : tensor<2xui8>, scales = dense<1.0> : tensor<1xf32>} : !llmc.compressed<2x4xf32, #llmc.mask<#llmc.ternary<base3>>>
  return
}

// -----

func.func @float_nan() {
  // expected-error @+1 {{"w" expects codes of finite levels, got 127 at row 1, index 2}}
  %w = llmc.weight "w" {codes = dense<[[0, 1, 2], [3, 4, 127]]> : tensor<2x3xui8>, scales = dense<1.0> : tensor<2x1xf32>} : !llmc.compressed<2x3xf32, #llmc.float<e4m3>>
  return
}

// -----

func.func @float_infinity() {
  // expected-error @+1 {{"w" expects codes of finite levels, got 252 at row 0, index 0}}
  %w = llmc.weight "w" {codes = dense<252> : tensor<1x1xui8>, scales = dense<1.0> : tensor<1xf32>} : !llmc.compressed<1x1xf32, #llmc.float<e5m2, per = matrix>>
  return
}

// -----

func.func @float_scale() {
  // expected-error @+1 {{"w" expects finite scales, got INF at index 0}}
  %w = llmc.weight "w" {codes = dense<0> : tensor<1x1xui8>, scales = dense<0x7C00> : tensor<1x1xf16>} : !llmc.compressed<1x1xf32, #llmc.float<e4m3, scale = f16>>
  return
}

// -----

func.func @levels_finite() {
  // expected-error @+1 {{"w" expects finite levels, got nan at index 0}}
  %w = llmc.weight "w" {codes = dense<0> : tensor<1x1xui8>, levels = dense<0x7FC00000> : tensor<1x16xf32>} : !llmc.compressed<1x2xf32, #llmc.levels<rows = 1, type = f32>>
  return
}

// -----

func.func @levels_tables() {
  // expected-error @+1 {{"w" expects component 'levels' of 'tensor<2x16xf32>', got 'tensor<1x16xf32>'}}
  %w = llmc.weight "w" {codes = dense<0> : tensor<3x1xui8>, levels = dense<0.0> : tensor<1x16xf32>} : !llmc.compressed<3x2xf32, #llmc.levels<rows = 2, type = f32>>
  return
}

// -----

// llmc.lookup C1.
func.func @lookup_table(%codes: vector<32xi8>) {
  // expected-error @+1 {{expects a table of 16 'i8', got 'tensor<8xi8>'}}
  %levels = llmc.lookup %codes in dense<1> : tensor<8xi8>, vector<32xi8> to vector<32xi8>
  return
}

// -----

// llmc.lookup C2.
func.func @lookup_index(%codes: vector<32xi8>) {
  // expected-error @+1 {{expects 32 indices of 'i32', got 'vector<32xi8>'}}
  %levels = llmc.lookup %codes in dense<1.0> : tensor<16xf32>, vector<32xi8> to vector<32xf32>
  return
}

// -----

// Byte 127 of e4m3 is no number.
func.func @nvfp4_scales() {
  // expected-error @+1 {{"w" expects scales of finite levels, got 127 at index 1}}
  %w = llmc.weight "w" {codes = dense<0> : tensor<2x2xui8>, scales = dense<[[56], [127]]> : tensor<2x1xui8>, super_scales = dense<1.0> : tensor<1xf32>} : !llmc.compressed<2x4xf32, #llmc.nvfp4>
  return
}

// -----

func.func @nvfp4_super() {
  // expected-error @+1 {{"w" expects finite super_scales, got nan at index 0}}
  %w = llmc.weight "w" {codes = dense<0> : tensor<2x2xui8>, scales = dense<56> : tensor<2x1xui8>, super_scales = dense<0x7FC00000> : tensor<1xf32>} : !llmc.compressed<2x4xf32, #llmc.nvfp4>
  return
}

// -----

func.func @float_zeros_finite() {
  // expected-error @+1 {{"w" expects finite zero points, got nan at index 0}}
  %w = llmc.weight "w" {codes = dense<0> : tensor<2x2xui8>, scales = dense<1.0> : tensor<2x1xf16>, zeros = dense<0x7E00> : tensor<2x1xf16>} : !llmc.compressed<2x4xf32, #llmc.int<4, group = 0, scale = f16, zero = f16>>
  return
}

// -----

func.func @float_zeros_type() {
  // expected-error @+1 {{"w" expects component 'zeros' of 'tensor<2x1xf16>', got 'tensor<2x1xui8>'}}
  %w = llmc.weight "w" {codes = dense<0> : tensor<2x2xui8>, scales = dense<1.0> : tensor<2x1xf16>, zeros = dense<8> : tensor<2x1xui8>} : !llmc.compressed<2x4xf32, #llmc.int<4, group = 0, scale = f16, zero = f16>>
  return
}
