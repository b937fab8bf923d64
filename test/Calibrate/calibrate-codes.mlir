// RUN: %python -c "import numpy; numpy.save(r'%t.npy', numpy.array([0, 1, 2, 1, 0, 0], dtype=numpy.int32))"
// RUN: llmc-opt %s --calibrate=tokens=%t.npy --mlir-print-debuginfo=false | FileCheck %s
// RUN: llmc-opt %s --calibrate=tokens=%t.npy --rtn-quantize="include=proj activations=i8-static" --mlir-print-debuginfo=false | FileCheck %s --check-prefix=STATIC
// REQUIRES: python-onnx, x86

// What is seen of an input that is quantized is the input, in its own units; who reads it as it is shares what was seen.
// CHECK: %[[X:.*]] = llmc.embedding
// CHECK-NEXT: %[[Q:.*]] = llmc.quantize %[[X]]
// CHECK-NEXT: llmc.linear %[[Q]], %a_proj_weight {llmc.statistics = {count = 6 : i64, hessian = dense_resource<a_proj.weight.input.hessian> : tensor<6xf32>, max_abs = dense_resource<a_proj.weight.input.max_abs>
// CHECK-NEXT: llmc.linear %[[X]], %b_proj_weight {llmc.statistics = {count = 6 : i64, hessian = dense_resource<a_proj.weight.input.hessian> : tensor<6xf32>, max_abs = dense_resource<a_proj.weight.input.max_abs>

// The largest is 4: a scale of 4 / 127.
// STATIC: %[[X:.*]] = llmc.embedding
// STATIC-NEXT: %[[S:.*]] = llmc.weight "a_proj.input_scale" {values = dense<0.0314960629> : tensor<1xf32>}
// STATIC-NEXT: %[[Q:.*]] = llmc.quantize %[[X]] scale %[[S]]
// STATIC-NEXT: llmc.linear %[[Q]], %a_proj_weight
// STATIC-NEXT: llmc.linear %[[Q]], %b_proj_weight
func.func @main(%ids: tensor<?x?xi64> {llmc.name = "input_ids"}) -> (tensor<?x?x2xf32> {llmc.name = "y"}) attributes {llmc.role = "run"} {
  %e = llmc.weight "embed.weight" {values = dense<[[1.0, 0.0, -1.0], [0.5, 2.0, 0.0], [0.0, 0.0, -4.0]]> : tensor<3x3xf32>} : tensor<3x3xf32>
  %a = llmc.weight "a_proj.weight" {values = dense<0.5> : tensor<2x3xf32>} : tensor<2x3xf32>
  %b = llmc.weight "b_proj.weight" {values = dense<0.25> : tensor<2x3xf32>} : tensor<2x3xf32>
  %x = llmc.embedding %e, %ids : tensor<3x3xf32>, tensor<?x?xi64>
  %q = llmc.quantize %x : tensor<?x?x3xf32> -> !llmc.quantized<?x?x3xf32, #llmc.dynamic<i8, per_token>>
  %y = llmc.linear %q, %a : !llmc.quantized<?x?x3xf32, #llmc.dynamic<i8, per_token>>, tensor<2x3xf32>
  %z = llmc.linear %x, %b : tensor<?x?x3xf32>, tensor<2x3xf32>
  %s = arith.addf %y, %z : tensor<?x?x2xf32>
  return %s : tensor<?x?x2xf32>
}
