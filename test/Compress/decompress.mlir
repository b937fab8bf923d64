// RUN: llmc-opt %s --decompress --mlir-print-debuginfo=false | FileCheck %s
// RUN: llmc-opt %s --decompress=exclude=^int --mlir-print-debuginfo=false | FileCheck %s --check-prefix=EXCLUDE
// RUN: llmc-opt %s --decompress --decompress --mlir-print-debuginfo=false 2>&1 | FileCheck %s --check-prefix=TWICE

func.func @main(%x: tensor<?x?x4xf32>) -> (tensor<?x?x2xf32>, tensor<?x?x1xf32>, tensor<?x?x1xf32>, tensor<?x?x1xf32>) attributes {llmc.role = "run"} {
  // CHECK: llmc.weight "int.weight" {values = dense_resource<int.weight.values.1> : tensor<2x4xf32>} : tensor<2x4xf32>
  // EXCLUDE: llmc.weight "int.weight" {codes =
  %a = llmc.weight "int.weight" {codes = dense<[[16, 143], [33, 67]]> : tensor<2x2xui8>, scales = dense<[[0.5], [2.0]]> : tensor<2x1xf16>, zeros = dense<[[8], [1]]> : tensor<2x1xui8>}
      : !llmc.compressed<2x4xf32, #llmc.int<4, group = 0, scale = f16>>
  // CHECK: llmc.weight "nm.weight" {values = {{.*}}} : tensor<1x4xf32>
  // EXCLUDE: llmc.weight "nm.weight" {values =
  %b = llmc.weight "nm.weight" {mask = dense<9> : tensor<1x1xui8>, values = dense<[[1.5, -2.0]]> : tensor<1x2xf16>} : !llmc.compressed<1x4xf32, #llmc.nm<2:4, #llmc.dense<f16>>>
  // CHECK: llmc.weight "half.weight" {values = {{.*}} : tensor<1x4xf32>} : !llmc.compressed<1x4xf16, #llmc.dense<f32>>
  %c = llmc.weight "half.weight" {codes = dense<146> : tensor<1x1xui8>, scales = dense<0.3> : tensor<1xf32>} : !llmc.compressed<1x4xf16, #llmc.ternary>
  // CHECK: llmc.weight "dense.weight" {values = dense<1.000000e+00> : tensor<1x4xf32>}
  %d = llmc.weight "dense.weight" {values = dense<1.0> : tensor<1x4xf32>} : tensor<1x4xf32>
  // CHECK: llmc.linear {{.*}} {activations = #llmc.dynamic<i8, per_token>} : tensor<?x?x4xf32>, tensor<2x4xf32>
  %y = llmc.linear %x, %a {activations = #llmc.dynamic<i8, per_token>} : tensor<?x?x4xf32>, !llmc.compressed<2x4xf32, #llmc.int<4, group = 0, scale = f16>>
  %z = llmc.linear %x, %b : tensor<?x?x4xf32>, !llmc.compressed<1x4xf32, #llmc.nm<2:4, #llmc.dense<f16>>>
  %u = llmc.linear %x, %c : tensor<?x?x4xf32>, !llmc.compressed<1x4xf16, #llmc.ternary>
  %v = llmc.linear %x, %d : tensor<?x?x4xf32>, tensor<1x4xf32>
  return %y, %z, %u, %v : tensor<?x?x2xf32>, tensor<?x?x1xf32>, tensor<?x?x1xf32>, tensor<?x?x1xf32>
}

// Codes 0, 1, 15, 8 less 8 times 0.5, and 1, 2, 3, 4 less 1 times 2 (behind 4 bytes of alignment): -4, -3.5, 3.5, 0, 0, 2, 4, 6.
// CHECK-DAG: int.weight.values.1: "0x40000000000080C0000060C000006040000000000000000000000040000080400000C040"
// Inputs 0 and 3 are kept.
// CHECK-DAG: nm.weight.values.1: "0x400000000000C03F0000000000000000000000C0"
// Codes 2, 0, 1, 2 less 1 times 0.3, which f16 could not hold.
// CHECK-DAG: half.weight.values.1: "0x400000009A99993E9A9999BE000000009A99993E"

// TWICE: remark: decompress: no weight is compressed
