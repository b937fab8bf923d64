// RUN: %exits 2 llmc-opt %s --sparsify-2-4 | FileCheck %s
// RUN: %exits 2 llmc-opt %s --sparsify-2-4=include=short | FileCheck %s --check-prefix=SHORT

// CHECK: error: sparsify-2-4: weight "a.weight": {{.*}}row 0, column 3
// SHORT: error: sparsify-2-4: weight "short.weight": expected statistics of 4 channels, found 2

func.func @main(%x: tensor<?x?x4xf32>) -> (tensor<?x?x1xf32>, tensor<?x?x1xf32>) {
  %a = llmc.weight "a.weight" {values = dense<[[1.0, 2.0, 3.0, 0xFF800000]]> : tensor<1x4xf32>} : tensor<1x4xf32>
  %b = llmc.weight "short.weight" {values = dense<1.0> : tensor<1x4xf32>} : tensor<1x4xf32>
  %y = llmc.linear %x, %a : tensor<?x?x4xf32>, tensor<1x4xf32>
  %z = llmc.linear %x, %b {llmc.statistics = {
      count = 1 : i64, mean = dense<0.0> : tensor<2xf64>, mean_abs = dense<1.0> : tensor<2xf64>, max_abs = dense<1.0> : tensor<2xf64>,
      sum_squares = dense<1.0> : tensor<2xf64>}}
      : tensor<?x?x4xf32>, tensor<1x4xf32>
  %s = llmc.softmax %y : tensor<?x?x1xf32>
  %t = llmc.softmax %z : tensor<?x?x1xf32>
  return %s, %t : tensor<?x?x1xf32>, tensor<?x?x1xf32>
}
