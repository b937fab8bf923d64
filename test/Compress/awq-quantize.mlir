// RUN: llmc-opt %s --awq-quantize="bits=4 group=0" --mlir-print-debuginfo=false 2>/dev/null | FileCheck %s
// RUN: llmc-opt %s --awq-quantize="bits=4 group=0" -o %t.1.mlirbc && llmc-opt %s --awq-quantize="bits=4 group=0" --mlir-disable-threading -o %t.2.mlirbc
// RUN: cmp %t.1.mlirbc %t.2.mlirbc

// The loud second channel is scaled up in the weight and down in the norm that produces it; the weight becomes int.
// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<?x?x4xf32>) -> tensor<?x?x2xf32> attributes {llmc.role = "run"} {
  %g = llmc.weight "norm.weight" {values = dense<1.0> : tensor<4xf32>} : tensor<4xf32>
  %w = llmc.weight "proj.weight" {values = dense<[[0.9, 0.03, -0.7, 0.4], [-0.6, 0.05, 0.8, -1.0]]> : tensor<2x4xf32>} : tensor<2x4xf32>
  %n = llmc.rms_norm %x, %g {eps = 1.0e-5 : f64} : tensor<?x?x4xf32>, tensor<4xf32>
  %y = llmc.linear %n, %w {llmc.statistics = {
      count = 8 : i64, mean = dense<0.0> : tensor<4xf64>, mean_abs = dense<[1.0, 20.0, 1.0, 1.0]> : tensor<4xf64>,
      max_abs = dense<[1.0, 20.0, 1.0, 1.0]> : tensor<4xf64>, sum_squares = dense<[8.0, 3200.0, 8.0, 8.0]> : tensor<4xf64>,
      hessian = dense<[[8.0, 0.0, 0.0, 0.0], [0.0, 3200.0, 0.0, 0.0], [0.0, 0.0, 8.0, 0.0], [0.0, 0.0, 0.0, 8.0]]> : tensor<4x4xf32>}}
      : tensor<?x?x4xf32>, tensor<2x4xf32>
  // CHECK: llmc.weight "norm.weight" {values = dense_resource<{{.*}}> : tensor<4xf32>}
  // CHECK: llmc.weight "proj.weight" {{.*}} : !llmc.compressed<2x4xf32, #llmc.int<4, group = 0, scale = f16>>
  // CHECK-NOT: llmc.statistics
  %s = llmc.softmax %y : tensor<?x?x2xf32>
  return %s : tensor<?x?x2xf32>
}
