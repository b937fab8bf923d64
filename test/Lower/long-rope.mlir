// RUN: split-file %s %t
// RUN: llmc-opt %t/long.mlir --fuse-stages --mlir-print-debuginfo=false | FileCheck %s
// RUN: llmc-opt %t/short.mlir --fuse-stages --mlir-print-debuginfo=false | FileCheck %s --check-prefix=SHORT --implicit-check-not=long

// Two tables where a sequence can become longer than the original context, shared by the rotations of a kind; else one.
//--- long.mlir
// CHECK: %[[T:.*]] = exec.rope_table [1.000000e+00] : <rope, tensor<16x2xf32>>
// CHECK-NEXT: %[[L:.*]] = exec.rope_table [2.500000e-01] : <rope, tensor<16x2xf32>>
// CHECK-NOT: exec.rope_table
// CHECK: exec.rope %{{.*}}, %[[T]] long %[[L]] to %{{.*}} original_context = 8 : i64
// CHECK: exec.rope %{{.*}}, %[[T]] long %[[L]] to %{{.*}} original_context = 8 : i64
module attributes {llmc.compile = {context = 16 : i64}} {
  func.func @main(%x: tensor<?x?x4xf32>) -> tensor<?x?x4xf32> attributes {llmc.role = "run"} {
    %y = llmc.rope %x {heads = 1 : i64, frequencies = array<f64: 1.0>, long_frequencies = array<f64: 0.25>, original_context = 8 : i64, layout = #llmc.rope_layout<half>} : tensor<?x?x4xf32>
    %z = llmc.rope %y {heads = 2 : i64, frequencies = array<f64: 1.0>, long_frequencies = array<f64: 0.25>, original_context = 8 : i64, layout = #llmc.rope_layout<half>} : tensor<?x?x4xf32>
    return %z : tensor<?x?x4xf32>
  }
}
//--- short.mlir
// SHORT: exec.rope_table [1.000000e+00] : <rope, tensor<8x2xf32>>
// SHORT: exec.rope %
module attributes {llmc.compile = {context = 8 : i64}} {
  func.func @main(%x: tensor<?x?x4xf32>) -> tensor<?x?x4xf32> attributes {llmc.role = "run"} {
    %y = llmc.rope %x {heads = 1 : i64, frequencies = array<f64: 1.0>, long_frequencies = array<f64: 0.25>, original_context = 8 : i64, layout = #llmc.rope_layout<half>} : tensor<?x?x4xf32>
    return %y : tensor<?x?x4xf32>
  }
}
