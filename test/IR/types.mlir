// RUN: llmc-opt %s --verify-roundtrip --mlir-print-debuginfo=false | FileCheck %s
// RUN: llmc-opt %s --emit-bytecode | llmc-opt --mlir-print-debuginfo=false | FileCheck %s

// Each scheme: how it prints, and the components it stores.

// CHECK: @dense(!llmc.compressed<64x64xf32, #llmc.dense<f16>>)
func.func private @dense(!llmc.compressed<64x64xf32, #llmc.dense<f16>>)

// CHECK: @int(!llmc.compressed<64x172xf32, #llmc.int<4, group = 32, scale = f16>>)
func.func private @int(!llmc.compressed<64x172xf32, #llmc.int<4, group = 32, scale = f16>>)

// CHECK: @int_symmetric(!llmc.compressed<64x64xf32, #llmc.int<8, group = 0, symmetric, scale = f32>>)
func.func private @int_symmetric(!llmc.compressed<64x64xf32, #llmc.int<8, group = 0, symmetric, scale = f32>>)

// What is left out has its default.
// CHECK: @int_defaults(!llmc.compressed<64x64xf16, #llmc.int<3, group = 0, scale = f16>>)
func.func private @int_defaults(!llmc.compressed<64x64xf16, #llmc.int<3>>)

// CHECK: @table(!llmc.compressed<64x172xf32, #llmc.table<nf4, group = 64, scale = f16>>)
func.func private @table(!llmc.compressed<64x172xf32, #llmc.table<nf4, group = 64, scale = f16>>)

// CHECK: @table_integers(!llmc.compressed<64x64xf32, #llmc.table<nf4_i8, group = 0, scale = f32>>)
func.func private @table_integers(!llmc.compressed<64x64xf32, #llmc.table<nf4_i8, group = 0, scale = f32>>)

// CHECK: @table_fp4(!llmc.compressed<64x64xf32, #llmc.table<bnb_fp4, group = 64, scale = f32>>)
func.func private @table_fp4(!llmc.compressed<64x64xf32, #llmc.table<bnb_fp4, group = 64, scale = f32>>)

// CHECK: @table_defaults(!llmc.compressed<64x64xf32, #llmc.table<nf4, group = 0, scale = f16>>)
func.func private @table_defaults(!llmc.compressed<64x64xf32, #llmc.table<nf4>>)

// CHECK: @float_row(!llmc.compressed<64x172xf32, #llmc.float<e4m3, per = row, scale = f32>>)
func.func private @float_row(!llmc.compressed<64x172xf32, #llmc.float<e4m3, per = row, scale = f32>>)

// CHECK: @float_block(!llmc.compressed<200x172xf32, #llmc.float<e4m3, per = block, scale = f16>>)
func.func private @float_block(!llmc.compressed<200x172xf32, #llmc.float<e4m3, scale = f16, per = block>>)

// CHECK: @float_matrix(!llmc.compressed<64x64xf32, #llmc.float<e5m2, per = matrix, scale = f32>>)
func.func private @float_matrix(!llmc.compressed<64x64xf32, #llmc.float<e5m2, per = matrix, scale = f32>>)

// CHECK: @float_defaults(!llmc.compressed<64x64xf32, #llmc.float<e5m2, per = row, scale = f32>>)
func.func private @float_defaults(!llmc.compressed<64x64xf32, #llmc.float<e5m2>>)

// CHECK: @int_zeros(!llmc.compressed<64x128xf32, #llmc.int<4, group = 64, scale = f16, zero = f16>>)
func.func private @int_zeros(!llmc.compressed<64x128xf32, #llmc.int<4, zero = f16, group = 64>>)

// CHECK: @nvfp4(!llmc.compressed<64x172xf32, #llmc.nvfp4>)
func.func private @nvfp4(!llmc.compressed<64x172xf32, #llmc.nvfp4>)

// CHECK: @levels(!llmc.compressed<64x172xf32, #llmc.levels<rows = 16, type = f16>>)
func.func private @levels(!llmc.compressed<64x172xf32, #llmc.levels<rows = 16, type = f16>>)

// CHECK: @levels_matrix(!llmc.compressed<64x64xf32, #llmc.levels<rows = 0, type = f32>>)
func.func private @levels_matrix(!llmc.compressed<64x64xf32, #llmc.levels<type = f32, rows = 0>>)

// CHECK: @ternary(!llmc.compressed<64x64xf32, #llmc.ternary>)
func.func private @ternary(!llmc.compressed<64x64xf32, #llmc.ternary>)

// CHECK: @ternary_base3(!llmc.compressed<64x64xf32, #llmc.ternary<base3>>)
func.func private @ternary_base3(!llmc.compressed<64x64xf32, #llmc.ternary<base3>>)

// CHECK: @nm(!llmc.compressed<64x64xf32, #llmc.nm<2:4, #llmc.int<4, group = 32, symmetric, scale = f16>>>)
func.func private @nm(!llmc.compressed<64x64xf32, #llmc.nm<2:4, #llmc.int<4, group = 32, symmetric, scale = f16>>>)

// CHECK: @nm_asymmetric(!llmc.compressed<64x64xf32, #llmc.nm<2:4, #llmc.int<4, group = 32, scale = f16>>>)
func.func private @nm_asymmetric(!llmc.compressed<64x64xf32, #llmc.nm<2:4, #llmc.int<4, group = 32, scale = f16>>>)

// CHECK: @mask(!llmc.compressed<64x64xf32, #llmc.mask<#llmc.dense<f32>>>)
func.func private @mask(!llmc.compressed<64x64xf32, #llmc.mask<#llmc.dense<f32>>>)

// CHECK: per_token = #llmc.dynamic<i8, per_token>
// CHECK-SAME: rest = #llmc.dynamic<i8, per_group<32>>
func.func private @activations() attributes {test.per_token = #llmc.dynamic<i8, per_token>, test.rest = #llmc.dynamic<i8, per_group<32>>}

// CHECK: test.one = #llmc.static<i8>
func.func private @static() attributes {test.one = #llmc.static<i8>}

// CHECK: @quantized(!llmc.quantized<?x?x64xf32, #llmc.dynamic<i8, per_token>>, !llmc.quantized<?x?x64xf32, #llmc.static<i8>>, !llmc.quantized<4x64xf16, #llmc.dynamic<i8, per_group<32>>>)
func.func private @quantized(!llmc.quantized<?x?x64xf32, #llmc.dynamic<i8, per_token>>, !llmc.quantized<?x?x64xf32, #llmc.static<i8>>,
                             !llmc.quantized<4x64xf16, #llmc.dynamic<i8, per_group<32>>>)

// CHECK-LABEL: @components
func.func @components() {
  // A short last group of 4: two groups for 36 inputs; 3 bits each fill 14 bytes.
  // CHECK: #llmc.int<3, group = 32, scale = f32>
  %a = llmc.weight "a" {codes = dense<0> : tensor<2x14xui8>, scales = dense<1.0> : tensor<2x2xf32>, zeros = dense<7> : tensor<2x2xui8>}
      : !llmc.compressed<2x36xf32, #llmc.int<3, group = 32, scale = f32>>
  // CHECK: #llmc.ternary
  %b = llmc.weight "b" {codes = dense<[[1], [128]]> : tensor<2x1xui8>, scales = dense<0.5> : tensor<1xf32>} : !llmc.compressed<2x4xf32, #llmc.ternary>
  // 2 of each 4, and the short last group of one keeps one: 3 values of 5.
  // CHECK: #llmc.nm<2:4, #llmc.dense<f16>>
  %c = llmc.weight "c" {mask = dense<19> : tensor<1x1xui8>, values = dense<1.0> : tensor<1x3xf16>} : !llmc.compressed<1x5xf32, #llmc.nm<2:4, #llmc.dense<f16>>>
  // CHECK: #llmc.nm<2:4, #llmc.ternary>
  %d = llmc.weight "d" {mask = dense<51> : tensor<2x1xui8>, codes = dense<0> : tensor<2x1xui8>, scales = dense<0.5> : tensor<1xf32>}
      : !llmc.compressed<2x8xf32, #llmc.nm<2:4, #llmc.ternary>>
  // 3 kept of 8, joined into one stream over both rows: 12 bits.
  // CHECK: #llmc.mask<#llmc.int<4, group = 0, symmetric, scale = f16>>
  %e = llmc.weight "e" {mask = dense<[[3], [8]]> : tensor<2x1xui8>, codes = dense<136> : tensor<2xui8>, scales = dense<1.0> : tensor<2x1xf16>}
      : !llmc.compressed<2x4xf32, #llmc.mask<#llmc.int<4, group = 0, symmetric, scale = f16>>>
  // A short last group of 4, an odd number of codes.
  // CHECK: #llmc.table<nf4, group = 8, scale = f16>
  %f = llmc.weight "f" {codes = dense<0> : tensor<2x7xui8>, scales = dense<1.0> : tensor<2x2xf16>} : !llmc.compressed<2x13xf32, #llmc.table<nf4, group = 8, scale = f16>>
  // CHECK: #llmc.nm<2:4, #llmc.table<nf4_i8, group = 0, scale = f32>>
  %g = llmc.weight "g" {mask = dense<51> : tensor<2x1xui8>, codes = dense<0> : tensor<2x2xui8>, scales = dense<1.0> : tensor<2x1xf32>}
      : !llmc.compressed<2x8xf32, #llmc.nm<2:4, #llmc.table<nf4_i8, group = 0, scale = f32>>>
  // Scales of 128 x 128 weights: two blocks down, two across.
  // CHECK: #llmc.float<e4m3, per = block, scale = f16>
  %fb = llmc.weight "fb" {codes = dense<126> : tensor<129x130xui8>, scales = dense<1.0> : tensor<2x2xf16>}
      : !llmc.compressed<129x130xf32, #llmc.float<e4m3, per = block, scale = f16>>
  // CHECK: #llmc.nm<2:4, #llmc.float<e5m2, per = matrix, scale = f32>>
  %fm = llmc.weight "fm" {mask = dense<51> : tensor<2x1xui8>, codes = dense<0> : tensor<2x4xui8>, scales = dense<1.0> : tensor<1xf32>}
      : !llmc.compressed<2x8xf32, #llmc.nm<2:4, #llmc.float<e5m2, per = matrix, scale = f32>>>
  // Levels of rows 0 and 1, and of row 2.
  // Two groups of 16 inputs, the second short.
  // CHECK: #llmc.nvfp4
  %nv = llmc.weight "nv" {codes = dense<0> : tensor<3x9xui8>, scales = dense<56> : tensor<3x2xui8>, super_scales = dense<0.5> : tensor<1xf32>}
      : !llmc.compressed<3x18xf32, #llmc.nvfp4>
  // CHECK: #llmc.nm<2:4, #llmc.int<4, group = 4, scale = f32, zero = f16>>
  %fz = llmc.weight "fz" {mask = dense<51> : tensor<1x1xui8>, codes = dense<16> : tensor<1x2xui8>, scales = dense<1.0> : tensor<1x2xf32>, zeros = dense<1.5> : tensor<1x2xf16>}
      : !llmc.compressed<1x6xf32, #llmc.nm<2:4, #llmc.int<4, group = 4, scale = f32, zero = f16>>>
  // CHECK: #llmc.levels<rows = 2, type = f16>
  %lv = llmc.weight "lv" {codes = dense<0> : tensor<3x3xui8>, levels = dense<1.0> : tensor<2x16xf16>}
      : !llmc.compressed<3x5xf32, #llmc.levels<rows = 2, type = f16>>
  // CHECK: #llmc.mask<#llmc.levels<rows = 0, type = f32>>
  %lm = llmc.weight "lm" {mask = dense<[[3], [8]]> : tensor<2x1xui8>, codes = dense<136> : tensor<2xui8>, levels = dense<1.0> : tensor<1x16xf32>}
      : !llmc.compressed<2x4xf32, #llmc.mask<#llmc.levels<rows = 0, type = f32>>>
  // Five codes to a byte; codes behind the last are 1: 121 of 243 is 128 of 256.
  // CHECK: #llmc.ternary<base3>
  %h = llmc.weight "h" {codes = dense<[[0, 128], [255, 128]]> : tensor<2x2xui8>, scales = dense<0.5> : tensor<1xf32>} : !llmc.compressed<2x7xf32, #llmc.ternary<base3>>
  // 3 kept of 8, joined.
  // CHECK: #llmc.mask<#llmc.ternary<base3>>
  %i = llmc.weight "i" {mask = dense<[[3], [8]]> : tensor<2x1xui8>, codes = dense<128> : tensor<1xui8>, scales = dense<1.0> : tensor<1xf32>}
      : !llmc.compressed<2x4xf32, #llmc.mask<#llmc.ternary<base3>>>
  return
}
