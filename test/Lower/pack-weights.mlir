// RUN: llmc-opt %s --pack-weights --mlir-print-debuginfo=false | FileCheck %s

// Places in the order of declarations, each at a whole line of 64 bytes. A matrix of 8 rows is one tile of 32, a bias is as long.
module attributes {llmc.cpu = {lanes = 8 : i64, registers = 16 : i64}} {
  // CHECK: exec.program @main run rows = 16 attributes {weight_bytes = 960 : i64}
  exec.program @main run rows = 16 {
    %e = llmc.weight "embed.weight" {values = dense<0.5> : tensor<8x4xf32>} : tensor<8x4xf32>
    %g = llmc.weight "norm.weight" {values = dense<1.0> : tensor<4xf32>} : tensor<4xf32>
    %b = llmc.weight "head.bias" {values = dense<0.0> : tensor<8xf32>} : tensor<8xf32>
    // CHECK: exec.weight %embed_weight at 0 bytes 512 : <linear, tensor<8x4xf32>>
    %0 = exec.weight %e : !exec.packed<linear, tensor<8x4xf32>>
    // CHECK: exec.weight %norm_weight at 512 bytes 64 : <vector, tensor<4xf32>>
    %1 = exec.weight %g : !exec.packed<vector, tensor<4xf32>>
    // CHECK: exec.weight %head_bias at 576 bytes 128 : <bias, tensor<8xf32>>
    %2 = exec.weight %b : !exec.packed<bias, tensor<8xf32>>
    // CHECK: exec.rope_table [1.000000e+00, 1.000000e-02] at 704 bytes 256 : <rope, tensor<16x4xf32>>
    %3 = exec.rope_table [1.0, 0.01] : !exec.packed<rope, tensor<16x4xf32>>
  }
}
