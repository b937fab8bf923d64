// RUN: llmc-opt %s --strip-statistics --mlir-print-debuginfo=false | FileCheck %s
// RUN: llmc-opt %s --mlir-print-debuginfo=false | FileCheck %s --check-prefix=KEPT

// CHECK: module attributes {llmc.provenance = [{layers = []}]}
// CHECK-NOT: llmc.statistics
// CHECK: llmc.linear %arg0, %{{.*}} {activations = #llmc.dynamic<i8, per_token>} :
// CHECK-NOT: llmc.statistics
// CHECK-NOT: dialect_resources
// KEPT: llmc.statistics
// KEPT: dialect_resources
module attributes {llmc.provenance = [{layers = []}]} {
  func.func @main(%x: tensor<?x?x2xf32>) -> tensor<?x?x1xf32> {
    %w = llmc.weight "w.weight" {values = dense<[[0.5, 2.0]]> : tensor<1x2xf32>} : tensor<1x2xf32>
    %y = llmc.linear %x, %w {activations = #llmc.dynamic<i8, per_token>, llmc.statistics = {count = 9 : i64,
        mean = dense<0.0> : tensor<2xf64>, mean_abs = dense<1.0> : tensor<2xf64>, max_abs = dense<2.0> : tensor<2xf64>,
        sum_squares = dense<9.0> : tensor<2xf64>, hessian = dense_resource<h> : tensor<3xf32>}}
        : tensor<?x?x2xf32>, tensor<1x2xf32>
    return %y : tensor<?x?x1xf32>
  }
}
{-# dialect_resources: { builtin: { h: "0x04000000000010410000803F00001041" } } #-}
