// What kernels cannot follow is packed as the f32 values it means, and the report says so; a table of 16 levels is followed, whoever named it.
// RUN: llmc-compile --target=x86_64-linux-gnu --cpu=znver3 --dry-run --explain %s | FileCheck %s
// RUN: llmc-compile --target=aarch64-linux-gnu --cpu=neoverse-n1 --dry-run --explain %s | FileCheck %s

// CHECK: a.weight  4x8  no kernel for #llmc.float<e4m3, per = row, scale = f32>: decoded to f32 when packed; f32: 4x8,
// CHECK: b.weight  8x4  no kernel for #llmc.nm<2:4, #llmc.levels<rows = 4, type = f16>>: decoded to f32 when packed; f32: 8x4,
// CHECK: c.weight  4x8  bnbfp4-row: 4x8,
// CHECK: d.weight  4x4  no kernel for #llmc.nvfp4: decoded to f32 when packed; f32: 4x4,
// CHECK: f.weight  4x4  no kernel for #llmc.int<4, group = 0, scale = f16, zero = f16>: decoded to f32 when packed; f32: 4x4,

func.func @main(%ids: tensor<?x?xi64>) -> tensor<?x?x4xf32> attributes {llmc.role = "run"} {
  %e = llmc.weight "e.weight" {values = dense<0.5> : tensor<4x8xf32>} : tensor<4x8xf32>
  %a = llmc.weight "a.weight" {codes = dense<56> : tensor<4x8xui8>, scales = dense<1.0> : tensor<4x1xf32>} : !llmc.compressed<4x8xf32, #llmc.float<e4m3>>
  %b = llmc.weight "b.weight" {mask = dense<3> : tensor<8x1xui8>, codes = dense<0> : tensor<8x1xui8>, levels = dense<1.0> : tensor<2x16xf16>}
      : !llmc.compressed<8x4xf32, #llmc.nm<2:4, #llmc.levels<rows = 4, type = f16>>>
  %c = llmc.weight "c.weight" {codes = dense<0> : tensor<4x4xui8>, scales = dense<1.0> : tensor<4x1xf16>} : !llmc.compressed<4x8xf32, #llmc.table<bnb_fp4>>
  %x = llmc.embedding %e, %ids : tensor<4x8xf32>, tensor<?x?xi64>
  %y = llmc.linear %x, %a : tensor<?x?x8xf32>, !llmc.compressed<4x8xf32, #llmc.float<e4m3>>
  %z = llmc.linear %y, %b : tensor<?x?x4xf32>, !llmc.compressed<8x4xf32, #llmc.nm<2:4, #llmc.levels<rows = 4, type = f16>>>
  %l = llmc.linear %z, %c : tensor<?x?x8xf32>, !llmc.compressed<4x8xf32, #llmc.table<bnb_fp4>>
  %d = llmc.weight "d.weight" {codes = dense<34> : tensor<4x2xui8>, scales = dense<56> : tensor<4x1xui8>, super_scales = dense<0.5> : tensor<1xf32>} : !llmc.compressed<4x4xf32, #llmc.nvfp4>
  %f = llmc.weight "f.weight" {codes = dense<34> : tensor<4x2xui8>, scales = dense<1.0> : tensor<4x1xf16>, zeros = dense<1.5> : tensor<4x1xf16>} : !llmc.compressed<4x4xf32, #llmc.int<4, group = 0, scale = f16, zero = f16>>
  %m = llmc.linear %l, %d : tensor<?x?x4xf32>, !llmc.compressed<4x4xf32, #llmc.nvfp4>
  %n = llmc.linear %m, %f : tensor<?x?x4xf32>, !llmc.compressed<4x4xf32, #llmc.int<4, group = 0, scale = f16, zero = f16>>
  return %n : tensor<?x?x4xf32>
}
