// RUN: llmc-opt %s --scheme-quantize="scheme=int<4,group=4>" --mlir-print-debuginfo=false 2>&1 | FileCheck %s --check-prefixes=CHECK,DEFAULT
// RUN: llmc-opt %s --scheme-quantize="scheme=#llmc.ternary include=.*" --mlir-print-debuginfo=false 2>&1 | FileCheck %s --check-prefix=ALL
// RUN: llmc-opt %s --scheme-quantize="scheme=int<4,group=4> activations=i8-group" --mlir-print-debuginfo=false 2>&1 | FileCheck %s --check-prefix=GROUP
// RUN: llmc-opt %s --sparsify-2-4 --scheme-quantize="scheme=table<nf4,group=4>" --mlir-print-debuginfo=false 2>&1 | FileCheck %s --check-prefix=MASK
// RUN: llmc-opt %s --rtn-quantize --scheme-quantize="scheme=int<8>" --mlir-print-debuginfo=false 2>&1 | FileCheck %s --check-prefix=AGAIN
// The scheme's own rule: the bytes that the pass of its name stores.
// RUN: llmc-opt %s --scheme-quantize="scheme=int<4,group=4>" --mlir-print-debuginfo=false | grep '_resource\|codes.1:\|scales.1:\|zeros.1:' > %t.scheme
// RUN: llmc-opt %s --rtn-quantize=group=4 --mlir-print-debuginfo=false | grep '_resource\|codes.1:\|scales.1:\|zeros.1:' > %t.rtn
// RUN: diff %t.scheme %t.rtn
// RUN: llmc-opt %s --scheme-quantize="scheme=int<4,group=4>" -o %t.1.mlirbc && llmc-opt %s --scheme-quantize="scheme=int<4,group=4>" --mlir-disable-threading -o %t.2.mlirbc
// RUN: cmp %t.1.mlirbc %t.2.mlirbc

// DEFAULT: remark: scheme-quantize: 2 weights are selected: linears but the head, no embeddings; left as they are: "embed.weight"
// AGAIN: remark: scheme-quantize: already quantized, so decompressed and quantized again

// CHECK: llmc.provenance = [{input = "{{[0-9a-f]+}}", layers =
// CHECK-SAME: baseline = "rtn"
// CHECK-SAME: options = "scheme=int<4,group=4> activations=float", pass = "scheme-quantize"

func.func @main(%ids: tensor<?x?xi64>) -> tensor<?x?x4xf32> attributes {llmc.role = "run"} {
  // ALL: llmc.weight "embed.weight" {{.*}} : !llmc.compressed<4x6xf32, #llmc.ternary>
  %e = llmc.weight "embed.weight" {values = dense<0.5> : tensor<4x6xf32>} : tensor<4x6xf32>
  // CHECK: llmc.weight "proj.weight" {codes = dense_resource<proj.weight.codes.1> : tensor<1x3xui8>, scales = dense_resource<proj.weight.scales.1> : tensor<1x2xf16>, zeros = dense_resource<proj.weight.zeros.1> : tensor<1x2xui8>} : !llmc.compressed<1x6xf32, #llmc.int<4, group = 4, scale = f16>>
  // MASK: !llmc.compressed<1x6xf32, #llmc.nm<2:4, #llmc.table<nf4, group = 4, scale = f16>>>
  // AGAIN: !llmc.compressed<1x6xf32, #llmc.int<8, group = 0, scale = f16>>
  %w = llmc.weight "proj.weight" {values = dense<[[2.0, -2.0, 0.0, 0.3, -0.5, 1.0]]> : tensor<1x6xf32>} : tensor<1x6xf32>
  %up = llmc.weight "up.weight" {values = dense<1.0> : tensor<6x1xf32>} : tensor<6x1xf32>
  %x = llmc.embedding %e, %ids : tensor<4x6xf32>, tensor<?x?xi64>
  // GROUP: llmc.linear {{.*}}!llmc.quantized<{{.*}}#llmc.dynamic<i8, per_group<4>>>
  %y = llmc.linear %x, %w : tensor<?x?x6xf32>, tensor<1x6xf32>
  %z = llmc.linear %y, %up : tensor<?x?x1xf32>, tensor<6x1xf32>
  %l = llmc.linear %z, %e : tensor<?x?x6xf32>, tensor<4x6xf32>
  return %l : tensor<?x?x4xf32>
}
