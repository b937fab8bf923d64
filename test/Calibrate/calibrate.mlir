// RUN: %python -c "import numpy; numpy.save(r'%t.npy', numpy.array([0, 1, 2, 1, 0, 0], dtype=numpy.int32))"
// RUN: llmc-opt %s --calibrate=tokens=%t.npy --mlir-print-debuginfo=false | FileCheck %s
// RUN: llmc-opt %s --calibrate="tokens=%t.npy hessian=false threads=2" --mlir-print-debuginfo=false | FileCheck %s --check-prefix=DIAGONAL
// REQUIRES: python-onnx, x86

// CHECK-LABEL: func.func @main
// CHECK: llmc.linear
// CHECK-SAME: llmc.statistics = {count = 6 : i64
// CHECK-SAME: hessian =
// DIAGONAL: llmc.linear
// DIAGONAL-NOT: hessian
// DIAGONAL-SAME: llmc.statistics = {count = 6 : i64
func.func @main(%ids: tensor<?x?xi64> {llmc.name = "input_ids"}) -> (tensor<?x?x2xf32> {llmc.name = "y"}) attributes {llmc.role = "run"} {
  %e = llmc.weight "embed.weight" {values = dense<[[1.0, 0.0, -1.0], [0.5, 2.0, 0.0], [0.0, 0.0, 4.0]]> : tensor<3x3xf32>} : tensor<3x3xf32>
  %w = llmc.weight "proj.weight" {values = dense<0.5> : tensor<2x3xf32>} : tensor<2x3xf32>
  %x = llmc.embedding %e, %ids : tensor<3x3xf32>, tensor<?x?xi64>
  %y = llmc.linear %x, %w : tensor<?x?x3xf32>, tensor<2x3xf32>
  return %y : tensor<?x?x2xf32>
}
