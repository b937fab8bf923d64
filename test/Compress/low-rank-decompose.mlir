// RUN: llmc-opt %s --low-rank-decompose=rank=1 --mlir-print-debuginfo=false 2>&1 | FileCheck %s
// RUN: llmc-opt %s --low-rank-decompose=ratio=0.6 --mlir-print-debuginfo=false 2>&1 | FileCheck %s --check-prefix=RATIO
// RUN: llmc-opt %s --rtn-quantize --low-rank-decompose=rank=1 --mlir-print-debuginfo=false 2>&1 | FileCheck %s --check-prefix=INT
// RUN: llmc-opt %s --rtn-quantize=activations=i8-token --low-rank-decompose=rank=1 --mlir-print-debuginfo=false 2>/dev/null | FileCheck %s --check-prefix=CODES
// RUN: llmc-opt %s --low-rank-decompose=rank=1 --rtn-quantize=bits=8 --mlir-print-debuginfo=false | FileCheck %s --check-prefix=THEN

// CHECK: remark: low-rank-decompose: no Hessian, so decomposed as it is; run --calibrate first to keep what its inputs use: "up_proj.weight"
// CHECK: baseline = "svd"{{.*}}bytes_after = 40 : i64, bytes_before = 96 : i64, {{.*}}name = "up_proj.weight"{{.*}}options = "rank=1", pass = "low-rank-decompose"
// CHECK-NOT: llmc.weight "up_proj.weight"
// CHECK: %[[B:.*]] = llmc.weight "up_proj.lowrank_b.weight" {values = dense_resource<up_proj.lowrank_b.weight.values.1> : tensor<1x6xf32>} : tensor<1x6xf32>
// CHECK: %[[A:.*]] = llmc.weight "up_proj.lowrank_a.weight" {values = dense_resource<up_proj.lowrank_a.weight.values.1> : tensor<4x1xf32>} : tensor<4x1xf32>
// CHECK: %[[C:.*]] = llmc.weight "up_proj.bias"
// CHECK: %[[I:.*]] = llmc.linear %arg0, %[[B]] : tensor<?x?x6xf32>, tensor<1x6xf32>
// CHECK: llmc.linear %[[I]], %[[A]] bias %[[C]] : tensor<?x?x1xf32>, tensor<4x1xf32>, tensor<4xf32>

// floor(0.6 * 24 / 10) = 1.
// RATIO: llmc.weight "up_proj.lowrank_b.weight" {{.*}} : tensor<1x6xf32>
// INT: remark: low-rank-decompose: was quantized; its factors are floats again: "up_proj.weight"
// THEN: llmc.weight "up_proj.lowrank_b.weight" {{.*}} : !llmc.compressed<1x6xf32, #llmc.int<8, group = 32, scale = f16>>

// Both factors quantize what they read.
// CODES: %[[C:.*]] = llmc.quantize %arg0 : tensor<?x?x6xf32> -> <?x?x6xf32, #llmc.dynamic<i8, per_token>>
// CODES: %[[I:.*]] = llmc.linear %[[C]], %lowrank_b_weight
// CODES: %[[D:.*]] = llmc.quantize %[[I]] : tensor<?x?x1xf32> -> <?x?x1xf32, #llmc.dynamic<i8, per_token>>
// CODES: llmc.linear %[[D]], %lowrank_a_weight bias

func.func @main(%x: tensor<?x?x6xf32>) -> tensor<?x?x4xf32> {
  %w = llmc.weight "up_proj.weight" {values = dense<[[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [2.0, 4.0, 6.0, 8.0, 10.0, 12.0], [0.5, 1.0, 1.5, 2.0, 2.5, 3.0], [-1.0, -2.0, -3.0, -4.0, -5.0, -6.5]]> : tensor<4x6xf32>} : tensor<4x6xf32>
  %b = llmc.weight "up_proj.bias" {values = dense<1.0> : tensor<4xf32>} : tensor<4xf32>
  %y = llmc.linear %x, %w bias %b : tensor<?x?x6xf32>, tensor<4x6xf32>, tensor<4xf32>
  %s = llmc.softmax %y : tensor<?x?x4xf32>
  return %s : tensor<?x?x4xf32>
}
