// RUN: llmc-opt %s --rtn-quantize --mlir-print-debuginfo=false 2>&1 | FileCheck %s --check-prefixes=CHECK,DEFAULT
// RUN: llmc-opt %s --rtn-quantize="bits=8 group=0 symmetric=true scale=f32 activations=i8-token" --mlir-print-debuginfo=false | FileCheck %s --check-prefix=CHANNEL
// RUN: llmc-opt %s --rtn-quantize="activations=i8-group group=4 include=.*" --mlir-print-debuginfo=false | FileCheck %s --check-prefix=ALL
// RUN: llmc-opt %s --rtn-quantize="include=proj exclude=a_proj" --mlir-print-debuginfo=false | FileCheck %s --check-prefix=CHOSEN
// RUN: llmc-opt %s --rtn-quantize -o %t.1.mlirbc && llmc-opt %s --rtn-quantize --mlir-disable-threading -o %t.2.mlirbc
// RUN: cmp %t.1.mlirbc %t.2.mlirbc

// DEFAULT: remark: rtn-quantize: 2 weights are selected: linears but the head, no embeddings; left as they are: "embed.weight" (include=<regex> replaces this selection)

// What the pass did is written down; its error is that of the baseline, which it is.
// CHECK: llmc.provenance = [{input = "{{[0-9a-f]+}}", layers =
// CHECK-SAME: baseline = "rtn", baseline_error = [[E:[^ ]+]] : f64, bits_per_weight = 7.000000e+00 : f64, bytes_after = 28 : i64, bytes_before = 128 : i64, error = [[E]] : f64, input = "{{[0-9a-f]+}}", measure = "plain", name = "a_proj.weight"
// CHECK-SAME: name = "b_proj.weight"
// CHECK-SAME: options = "bits=4 group=32 symmetric=false scale=f16 activations=float", pass = "rtn-quantize"

func.func @main(%ids: tensor<?x?xi64>) -> tensor<?x?x4xf32> attributes {llmc.role = "run"} {
  // The tied matrix stays, also as the head behind elementwise steps.
  // CHECK: llmc.weight "embed.weight" {{.*}} : tensor<4x8xf32>
  // ALL: llmc.weight "embed.weight" {{.*}} : !llmc.compressed<4x8xf32, #llmc.int<4, group = 4, scale = f16>>
  %e = llmc.weight "embed.weight" {values = dense<[[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], [2.0, 1.0, 4.0, 3.0, 6.0, 5.0, 8.0, 7.0], [0.5, 0.25, 1.0, 2.0, 0.125, 4.0, 1.5, 1.0], [-1.0, -2.0, -3.0, -4.0, 4.0, 3.0, 2.0, 1.0]]> : tensor<4x8xf32>} : tensor<4x8xf32>
  // CHECK: llmc.weight "a_proj.weight" {codes = dense_resource<a_proj.weight.codes.1> : tensor<4x4xui8>, scales = dense_resource<a_proj.weight.scales.1> : tensor<4x1xf16>, zeros = dense_resource<a_proj.weight.zeros.1> : tensor<4x1xui8>} : !llmc.compressed<4x8xf32, #llmc.int<4, group = 32, scale = f16>>
  // CHANNEL: llmc.weight "a_proj.weight" {codes = {{.*}} : tensor<4x8xui8>, scales = {{.*}} : tensor<4x1xf32>} : !llmc.compressed<4x8xf32, #llmc.int<8, group = 0, symmetric, scale = f32>>
  // CHOSEN: llmc.weight "a_proj.weight" {{.*}} : tensor<4x8xf32>
  %a = llmc.weight "a_proj.weight" {values = dense<[[1.5, -1.5, 0.31, 0.2, 0.0, -0.4, 1.1, 0.9], [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8], [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], [-1.0, -2.0, -3.0, -4.0, -5.0, -6.0, -7.0, -8.0]]> : tensor<4x8xf32>} : tensor<4x8xf32>
  // CHECK: llmc.weight "b_proj.weight" {{.*}} : !llmc.compressed<8x4xf32, #llmc.int<4, group = 32, scale = f16>>
  // CHOSEN: llmc.weight "b_proj.weight" {{.*}} : !llmc.compressed<8x4xf32, #llmc.int<4, group = 32, scale = f16>>
  %b = llmc.weight "b_proj.weight" {values = dense<0.25> : tensor<8x4xf32>} : tensor<8x4xf32>
  %x = llmc.embedding %e, %ids : tensor<4x8xf32>, tensor<?x?xi64>
  // CHECK: llmc.linear %{{.*}}, %a_proj_weight : tensor<?x?x8xf32>, !llmc.compressed
  // CHANNEL: llmc.linear %{{.*}}, %a_proj_weight : !llmc.quantized<?x?x8xf32, #llmc.dynamic<i8, per_token>>
  // ALL: llmc.linear %{{.*}}, %a_proj_weight : !llmc.quantized<?x?x8xf32, #llmc.dynamic<i8, per_group<4>>>
  %y = llmc.linear %x, %a : tensor<?x?x8xf32>, tensor<4x8xf32>
  %z = llmc.linear %y, %b : tensor<?x?x4xf32>, tensor<8x4xf32>
  // Used twice, compressed once.
  %y2 = llmc.linear %z, %a : tensor<?x?x8xf32>, tensor<4x8xf32>
  %z2 = llmc.linear %y2, %b : tensor<?x?x4xf32>, tensor<8x4xf32>
  // CHECK: llmc.linear %{{.*}}, %embed_weight : tensor<?x?x8xf32>, tensor<4x8xf32>
  %l = llmc.linear %z2, %e : tensor<?x?x8xf32>, tensor<4x8xf32>
  %s = llmc.scale %l {factor = 0.5 : f64} : tensor<?x?x4xf32>
  return %s : tensor<?x?x4xf32>
}
