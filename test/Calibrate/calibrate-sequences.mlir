// RUN: %python -c "import numpy; numpy.save(r'%t.npy', (numpy.arange(24).reshape(3, 8) % 3).astype(numpy.int32))"
// RUN: llmc-opt %s --calibrate=tokens=%t.npy --mlir-print-debuginfo=false | FileCheck %s
// REQUIRES: python-onnx, x86

// A linear behind the first row of each sequence sees three rows, not those of all tokens.
// CHECK: llmc.linear {{.*}}llmc.statistics = {count = 24 : i64
// CHECK: llmc.linear {{.*}}llmc.statistics = {count = 3 : i64
func.func @main(%ids: tensor<?x?xi64> {llmc.name = "input_ids"}) -> (tensor<?x2xf32> {llmc.name = "y"}) attributes {llmc.role = "run"} {
  %e = llmc.weight "embed.weight" {values = dense<[[1.0, 0.0, -1.0], [0.5, 2.0, 0.0], [0.0, 0.0, 4.0]]> : tensor<3x3xf32>} : tensor<3x3xf32>
  %w = llmc.weight "proj.weight" {values = dense<0.5> : tensor<3x3xf32>} : tensor<3x3xf32>
  %v = llmc.weight "pool.weight" {values = dense<0.5> : tensor<2x3xf32>} : tensor<2x3xf32>
  %x = llmc.embedding %e, %ids : tensor<3x3xf32>, tensor<?x?xi64>
  %h = llmc.linear %x, %w : tensor<?x?x3xf32>, tensor<3x3xf32>
  %c = llmc.gather %h {position = 0 : i64} : tensor<?x?x3xf32>
  %f = tensor.collapse_shape %c [[0, 1], [2]] : tensor<?x1x3xf32> into tensor<?x3xf32>
  %y = llmc.linear %f, %v : tensor<?x3xf32>, tensor<2x3xf32>
  return %y : tensor<?x2xf32>
}
