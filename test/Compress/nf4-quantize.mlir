// RUN: llmc-opt %s --nf4-quantize --mlir-print-debuginfo=false 2>&1 | FileCheck %s --check-prefixes=CHECK,DEFAULT
// RUN: llmc-opt %s --nf4-quantize="group=0 scale=f32 activations=i8-token" --mlir-print-debuginfo=false 2>&1 | FileCheck %s --check-prefix=TOKEN
// RUN: llmc-opt %s --nf4-quantize="table=nf4 activations=i8-group include=.*" --mlir-print-debuginfo=false 2>&1 | FileCheck %s --check-prefix=ALL
// RUN: llmc-opt %s --sparsify-2-4 --nf4-quantize=group=4 --mlir-print-debuginfo=false 2>&1 | FileCheck %s --check-prefix=MASK
// RUN: llmc-opt %s --nf4-quantize --magnitude-prune=sparsity=0.5 --mlir-print-debuginfo=false 2>&1 | FileCheck %s --check-prefix=PRUNED
// RUN: llmc-opt %s --rtn-quantize --nf4-quantize --mlir-print-debuginfo=false 2>&1 | FileCheck %s --check-prefix=AGAIN
// RUN: llmc-opt %s --nf4-quantize -o %t.1.mlirbc && llmc-opt %s --nf4-quantize --mlir-disable-threading -o %t.2.mlirbc
// RUN: cmp %t.1.mlirbc %t.2.mlirbc
// RUN: llmc-opt %t.1.mlirbc --mlir-print-debuginfo=false | FileCheck %s

// DEFAULT: remark: nf4-quantize: 2 weights are selected: linears but the head, no embeddings; left as they are: "embed.weight"
// TOKEN: remark: nf4-quantize: the levels are multiples of 1/127 (table nf4_i8), so that products with quantized activations are integers; table=nf4 keeps the exact levels
// AGAIN: remark: nf4-quantize: already quantized, so decompressed and quantized again
// PRUNED: remark: magnitude-prune: quantized before it is pruned

// CHECK: llmc.provenance = [{input = "{{[0-9a-f]+}}", layers =
// CHECK-SAME: baseline = "rtn", {{.*}} bits_per_weight = {{6.66[0-9]*}} : f64, bytes_after = 5 : i64, bytes_before = 24 : i64,
// CHECK-SAME: options = "group=64 scale=f16 table=nf4 activations=float", pass = "nf4-quantize"

func.func @main(%ids: tensor<?x?xi64>) -> tensor<?x?x4xf32> attributes {llmc.role = "run"} {
  // ALL: llmc.weight "embed.weight" {{.*}} : !llmc.compressed<4x6xf32, #llmc.table<nf4, group = 64, scale = f16>>
  %e = llmc.weight "embed.weight" {values = dense<0.5> : tensor<4x6xf32>} : tensor<4x6xf32>
  // CHECK: llmc.weight "proj.weight" {codes = dense_resource<proj.weight.codes.1> : tensor<1x3xui8>, scales = dense_resource<proj.weight.scales.1> : tensor<1x1xf16>} : !llmc.compressed<1x6xf32, #llmc.table<nf4, group = 64, scale = f16>>
  // TOKEN: !llmc.compressed<1x6xf32, #llmc.table<nf4_i8, group = 0, scale = f32>>
  // MASK: !llmc.compressed<1x6xf32, #llmc.nm<2:4, #llmc.table<nf4, group = 4, scale = f16>>>
  // PRUNED: !llmc.compressed<1x6xf32, #llmc.mask<#llmc.table<nf4, group = 64, scale = f16>>>
  // AGAIN: !llmc.compressed<1x6xf32, #llmc.table<nf4, group = 64, scale = f16>>
  %w = llmc.weight "proj.weight" {values = dense<[[2.0, -2.0, 0.0, 0.3, -0.5, 1.0]]> : tensor<1x6xf32>} : tensor<1x6xf32>
  %up = llmc.weight "up.weight" {values = dense<1.0> : tensor<6x1xf32>} : tensor<6x1xf32>
  %x = llmc.embedding %e, %ids : tensor<4x6xf32>, tensor<?x?xi64>
  // TOKEN: llmc.linear {{.*}}!llmc.quantized<{{.*}}#llmc.dynamic<i8, per_token>>
  // ALL: llmc.linear {{.*}}!llmc.quantized<{{.*}}#llmc.dynamic<i8, per_group<64>>>
  %y = llmc.linear %x, %w : tensor<?x?x6xf32>, tensor<1x6xf32>
  %z = llmc.linear %y, %up : tensor<?x?x1xf32>, tensor<6x1xf32>
  %l = llmc.linear %z, %e : tensor<?x?x6xf32>, tensor<4x6xf32>
  return %l : tensor<?x?x4xf32>
}

// 1, -1, 0, .15, -.25 and .5 of the scale 2: codes 15, 0, 7, 9, 4 (-.284 is nearer than -.185), 12.
// CHECK: proj.weight.codes.1: "0x400000000F97C4"
// CHECK: proj.weight.scales.1: "0x400000000040"
