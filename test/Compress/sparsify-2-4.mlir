// RUN: llmc-opt %s --sparsify-2-4 --mlir-print-debuginfo=false 2>&1 | FileCheck %s
// RUN: llmc-opt %s --sparsify-2-4 --rtn-quantize=group=4 --mlir-print-debuginfo=false 2>&1 | FileCheck %s --check-prefix=FIRST
// RUN: llmc-opt %s --rtn-quantize=group=4 --sparsify-2-4 --mlir-print-debuginfo=false 2>&1 | FileCheck %s --check-prefix=LAST
// RUN: llmc-opt %s --ternarize --sparsify-2-4 --mlir-print-debuginfo=false 2>&1 | FileCheck %s --check-prefix=TERNARY
// RUN: llmc-opt %s --sparsify-2-4 --sparsify-2-4 --mlir-print-debuginfo=false 2>&1 | FileCheck %s --check-prefix=TWICE

// Magnitude keeps 3 and 4 of each group (mask 0b1100 twice: 0xCC); the input's norms turn that round: 0b0011 twice.
// CHECK: remark: sparsify-2-4: no statistics, so pruned by magnitude; run --calibrate first to weigh weights by their inputs: "plain.weight"
// CHECK: llmc.provenance = [{{.*}}baseline = "magnitude"{{.*}}name = "plain.weight"{{.*}}measure = "diagonal", name = "wanda.weight"{{.*}}options = "", pass = "sparsify-2-4"
// CHECK: llmc.weight "plain.weight" {mask = dense_resource<plain.weight.mask.1> : tensor<1x1xui8>, values = dense_resource<plain.weight.values.1> : tensor<1x4xf32>} : !llmc.compressed<1x8xf32, #llmc.nm<2:4, #llmc.dense<f32>>>
// CHECK: plain.weight.mask.1: "0x40000000CC"
// CHECK: wanda.weight.mask.1: "0x4000000033"

// Either order ends in the same type.
// FIRST-NOT: quantized before it is pruned
// FIRST: llmc.weight "plain.weight" {codes = {{.*}} : tensor<1x2xui8>, mask = {{.*}} : tensor<1x1xui8>, scales = {{.*}} : tensor<1x2xf16>, zeros = {{.*}} : tensor<1x2xui8>} : !llmc.compressed<1x8xf32, #llmc.nm<2:4, #llmc.int<4, group = 4, scale = f16>>>
// LAST: remark: sparsify-2-4: quantized before it is pruned: surviving codes and scales stay; pruning first would fit the scales to the weights that stay: "plain.weight" and 1 more
// LAST: llmc.weight "plain.weight" {codes = {{.*}} : tensor<1x2xui8>, mask = {{.*}} : tensor<1x1xui8>, scales = {{.*}} : tensor<1x2xf16>, zeros = {{.*}} : tensor<1x2xui8>} : !llmc.compressed<1x8xf32, #llmc.nm<2:4, #llmc.int<4, group = 4, scale = f16>>>
// TERNARY: llmc.weight "plain.weight" {{.*}} : !llmc.compressed<1x8xf32, #llmc.nm<2:4, #llmc.ternary>>

// TWICE: remark: sparsify-2-4: has a 2:4 mask already, so it stays as it is: "plain.weight" and 1 more
// TWICE: llmc.weight "plain.weight" {mask = dense_resource<plain.weight.mask.1>

func.func @main(%x: tensor<?x?x8xf32>) -> (tensor<?x?x1xf32>, tensor<?x?x1xf32>) {
  %a = llmc.weight "plain.weight" {values = dense<[[1.0, -2.0, 3.0, -4.0, 1.5, 2.5, -3.5, 4.5]]> : tensor<1x8xf32>} : tensor<1x8xf32>
  %b = llmc.weight "wanda.weight" {values = dense<[[1.0, -2.0, 3.0, -4.0, 1.5, 2.5, -3.5, 4.5]]> : tensor<1x8xf32>} : tensor<1x8xf32>
  %y = llmc.linear %x, %a : tensor<?x?x8xf32>, tensor<1x8xf32>
  %z = llmc.linear %x, %b {llmc.statistics = {
      count = 10 : i64, mean = dense<0.0> : tensor<8xf64>, mean_abs = dense<1.0> : tensor<8xf64>, max_abs = dense<9.0> : tensor<8xf64>,
      sum_squares = dense<[1600.0, 1600.0, 1.0, 1.0, 1600.0, 1600.0, 1.0, 1.0]> : tensor<8xf64>}}
      : tensor<?x?x8xf32>, tensor<1x8xf32>
  %s = llmc.softmax %y : tensor<?x?x1xf32>
  %t = llmc.softmax %z : tensor<?x?x1xf32>
  return %s, %t : tensor<?x?x1xf32>, tensor<?x?x1xf32>
}
