// RUN: llmc-opt %s --pack-weights --mlir-print-debuginfo=false | FileCheck %s

// A tied matrix is stored once, as the linear wants it; rotations of the same frequencies share a table.
module attributes {llmc.compile = {lanes = 8 : i64, registers = 16 : i64, context = 16 : i64}} {
  // CHECK: @main
  // CHECK-SAME: llmc.weight_bytes = 960 : i64
  func.func @main(%ids: tensor<?x?xi64>) -> tensor<?x?x8xf32> attributes {llmc.role = "run"} {
    // CHECK: llmc.weight "embed.weight" {{.*}} {llmc.packed = {linear = array<i64: 0, 512>}}
    %e = llmc.weight "embed.weight" {values = dense<0.5> : tensor<8x4xf32>} : tensor<8x4xf32>
    // CHECK: llmc.weight "norm.weight" {{.*}} {llmc.packed = {vector = array<i64: 512, 64>}}
    %g = llmc.weight "norm.weight" {values = dense<1.0> : tensor<4xf32>} : tensor<4xf32>
    // CHECK: llmc.weight "head.bias" {{.*}} {llmc.packed = {bias = array<i64: 576, 128>}}
    %b = llmc.weight "head.bias" {values = dense<0.0> : tensor<8xf32>} : tensor<8xf32>
    %x = llmc.embedding %e, %ids : tensor<8x4xf32>, tensor<?x?xi64>
    // CHECK: llmc.rope {{.*}} llmc.packed = {rope = array<i64: 704, 256>}
    %r = llmc.rope %x {heads = 1 : i64, frequencies = array<f64: 1.0, 0.01>, layout = #llmc.rope_layout<half>} : tensor<?x?x4xf32>
    // CHECK: llmc.rope {{.*}} llmc.packed = {rope = array<i64: 704, 256>}
    %s = llmc.rope %r {heads = 1 : i64, frequencies = array<f64: 1.0, 0.01>, layout = #llmc.rope_layout<interleaved>} : tensor<?x?x4xf32>
    %n = llmc.rms_norm %s, %g {eps = 1.0e-5 : f64} : tensor<?x?x4xf32>, tensor<4xf32>
    %y = llmc.linear %n, %e bias %b : tensor<?x?x4xf32>, tensor<8x4xf32>, tensor<8xf32>
    return %y : tensor<?x?x8xf32>
  }
}
