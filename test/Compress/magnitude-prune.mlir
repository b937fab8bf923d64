// RUN: llmc-opt %s --magnitude-prune --mlir-print-debuginfo=false | FileCheck %s
// RUN: llmc-opt %s --magnitude-prune=pattern=1:4 --mlir-print-debuginfo=false | FileCheck %s --check-prefix=PATTERN
// RUN: llmc-opt %s --magnitude-prune=sparsity=0.25 --magnitude-prune=sparsity=0.5 --mlir-print-debuginfo=false | FileCheck %s --check-prefix=MORE
// RUN: llmc-opt %s --magnitude-prune --rtn-quantize="bits=8 group=0 scale=f32" --mlir-print-debuginfo=false | FileCheck %s --check-prefix=INT
// RUN: llmc-opt %s --magnitude-prune=pattern=4:8 --magnitude-prune=pattern=2:4 --mlir-print-debuginfo=false | FileCheck %s --check-prefix=FINER

// Of 16 weights the 8 smallest go: row 0 keeps four, row 1 the rest; of equal ones the first goes.
// CHECK: options = "sparsity=0.5", pass = "magnitude-prune"
// CHECK: llmc.weight "a.weight" {mask = {{.*}} : tensor<2x1xui8>, values = {{.*}} : tensor<8xf32>} : !llmc.compressed<2x8xf32, #llmc.mask<#llmc.dense<f32>>>
// CHECK: a.weight.mask.1: "0x40000000F0F0"

// PATTERN: llmc.weight "a.weight" {mask = {{.*}} : tensor<2x1xui8>, values = {{.*}} : tensor<2x2xf32>} : !llmc.compressed<2x8xf32, #llmc.nm<1:4, #llmc.dense<f32>>>
// PATTERN: a.weight.mask.1: "0x400000008888"

// Pruned in two steps is pruned in one; the second step's data does not collide with the first's.
// MORE: mask = dense_resource<a.weight.mask.2>
// MORE: a.weight.mask.2: "0x40000000F0F0"

// The mask survives quantization.
// INT: {codes = {{.*}} : tensor<8xui8>, mask = {{.*}}, scales = {{.*}} : tensor<2x1xf32>, zeros = {{.*}} : tensor<2x1xui8>} : !llmc.compressed<2x8xf32, #llmc.mask<#llmc.int<8, group = 0, scale = f32>>>
// INT: a.weight.mask.2: "0x40000000F0F0"

// FINER: !llmc.compressed<2x8xf32, #llmc.nm<2:4, #llmc.dense<f32>>>

func.func @main(%x: tensor<?x?x8xf32>) -> tensor<?x?x2xf32> {
  %a = llmc.weight "a.weight" {values = dense<[[1.0, -2.0, 3.0, -4.0, 5.0, 6.0, -7.0, 8.0], [1.0, 1.0, -4.0, 4.0, 9.0, 9.0, 9.0, 10.0]]> : tensor<2x8xf32>} : tensor<2x8xf32>
  %y = llmc.linear %x, %a : tensor<?x?x8xf32>, tensor<2x8xf32>
  %s = llmc.softmax %y : tensor<?x?x2xf32>
  return %s : tensor<?x?x2xf32>
}
