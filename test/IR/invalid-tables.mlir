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
