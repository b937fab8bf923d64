// RUN: %python -c "import numpy; numpy.save(r'%t.npy', numpy.array([0, 1, 2, 1, 0, 0], dtype=numpy.int32))"
// RUN: llmc-opt %s --compress-blocks="tokens=%t.npy passes={sparsify-2-4{include=proj}}" --mlir-print-debuginfo=false | FileCheck %s
// REQUIRES: python-onnx, x86

// Inputs 0 and 2 of the layer are never seen, so the others stay, although they are small; no statistics are left.
// CHECK: llmc.provenance = [{{.*}}baseline_error = 2.{{.*}}, error = 0.000000e+00 : f64{{.*}}pass = "sparsify-2-4"
// CHECK-LABEL: func.func @main
// CHECK: llmc.weight "proj.weight" {mask = dense_resource<proj.weight.mask.1>
// CHECK-NOT: llmc.statistics
// CHECK-NOT: llmc.selected
func.func @main(%ids: tensor<?x?xi64> {llmc.name = "input_ids"}) -> (tensor<?x?x2xf32> {llmc.name = "y"}) attributes {llmc.role = "run"} {
  %e = llmc.weight "embed.weight" {values = dense<[[0.0, 2.0, 0.0, 1.0], [0.0, 2.0, 0.0, 1.0], [0.0, 1.0, 0.0, 4.0]]> : tensor<3x4xf32>} : tensor<3x4xf32>
  %w = llmc.weight "proj.weight" {values = dense<[[9.0, 0.5, 8.0, 0.25], [7.0, 0.5, 9.0, 0.5]]> : tensor<2x4xf32>} : tensor<2x4xf32>
  %x = llmc.embedding %e, %ids : tensor<3x4xf32>, tensor<?x?xi64>
  %y = llmc.linear %x, %w : tensor<?x?x4xf32>, tensor<2x4xf32>
  return %y : tensor<?x?x2xf32>
}
