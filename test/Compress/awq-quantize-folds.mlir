// RUN: llmc-opt %s --split-input-file --awq-quantize=group=4 --keep-statistics --mlir-print-debuginfo=false 2>/dev/null | FileCheck %s
// RUN: llmc-opt %s --split-input-file --awq-quantize=group=4 2>&1 >/dev/null | FileCheck %s --check-prefix=REMARK

// Channel 0 is loud, so it is scaled up and the norm down; the scale was another norm's too, which keeps it.
// CHECK: llmc.provenance = [{{.*}}baseline = "rtn"{{.*}}measure = "hessian", name = "q.weight"{{.*}}options = "bits=4 group=4 symmetric=false scale=f16 activations=float", pass = "awq-quantize"
// CHECK-LABEL: func.func @shared_norm_weight
// CHECK: %[[G:.*]] = llmc.weight "g.weight" {values = dense<1.000000e+00> : tensor<4xf32>}
// CHECK: %[[S:.*]] = llmc.weight "g.scaled1.weight" {values = dense_resource<g.scaled1.weight.values.1> : tensor<4xf32>} : tensor<4xf32>
// CHECK: %[[N:.*]] = llmc.rms_norm %arg0, %[[S]]
// CHECK: llmc.linear %[[N]], %{{.*}} {llmc.statistics = {count = 10 : i64, hessian = dense_resource<q.weight.input.hessian.1> : tensor<10xf32>
// CHECK: llmc.rms_norm %{{.*}}, %[[G]]
func.func @shared_norm_weight(%x: tensor<?x?x4xf32>) -> tensor<?x?x4xf32> {
  %g = llmc.weight "g.weight" {values = dense<1.0> : tensor<4xf32>} : tensor<4xf32>
  %q = llmc.weight "q.weight" {values = dense<[[0.31, 1.0, -1.0, 0.6], [0.17, -0.9, 1.1, 0.3], [-0.23, 1.3, -0.7, 0.2], [0.09, 0.8, -1.2, -0.4]]> : tensor<4x4xf32>} : tensor<4x4xf32>
  %n = llmc.rms_norm %x, %g {eps = 1.0e-5 : f64} : tensor<?x?x4xf32>, tensor<4xf32>
  %y = llmc.linear %n, %q {llmc.statistics = {count = 10 : i64, mean = dense<0.0> : tensor<4xf64>, mean_abs = dense<[30.0, 1.0, 1.0, 1.0]> : tensor<4xf64>,
      max_abs = dense<90.0> : tensor<4xf64>, sum_squares = dense<[10000.0, 10.0, 10.0, 10.0]> : tensor<4xf64>,
      hessian = dense<[[10000.0, 0.0, 0.0, 0.0], [0.0, 10.0, 0.0, 0.0], [0.0, 0.0, 10.0, 0.0], [0.0, 0.0, 0.0, 10.0]]> : tensor<4x4xf32>}}
      : tensor<?x?x4xf32>, tensor<4x4xf32>
  %r = arith.addf %x, %y : tensor<?x?x4xf32>
  %z = llmc.rms_norm %r, %g {eps = 1.0e-5 : f64} : tensor<?x?x4xf32>, tensor<4xf32>
  return %z : tensor<?x?x4xf32>
}

// -----

// No fold behind a pointwise activation, nor where a norm has another reader.
// REMARK: remark: awq-quantize: clipped but not scaled, because its input is read by more than linears: "fc1.weight"
// REMARK: remark: awq-quantize: clipped but not scaled, because its input comes out of an activation: "fc2.weight"
// CHECK-LABEL: func.func @no_fold
// CHECK: llmc.weight "g.weight" {values = dense<1.000000e+00> : tensor<2xf32>}
// CHECK: llmc.weight "fc1.weight" {{.*}} : !llmc.compressed<2x2xf32, #llmc.int<4, group = 4, scale = f16>>
// CHECK: llmc.weight "fc2.weight" {{.*}} : !llmc.compressed<2x2xf32, #llmc.int<4, group = 4, scale = f16>>
func.func @no_fold(%x: tensor<?x?x2xf32>) -> tensor<?x?x2xf32> {
  %g = llmc.weight "g.weight" {values = dense<1.0> : tensor<2xf32>} : tensor<2xf32>
  %a = llmc.weight "fc1.weight" {values = dense<[[0.3, 1.0], [-1.0, 0.6]]> : tensor<2x2xf32>} : tensor<2x2xf32>
  %b = llmc.weight "fc2.weight" {values = dense<[[0.3, 1.0], [-1.0, 0.6]]> : tensor<2x2xf32>} : tensor<2x2xf32>
  %n = llmc.rms_norm %x, %g {eps = 1.0e-5 : f64} : tensor<?x?x2xf32>, tensor<2xf32>
  %h = llmc.linear %n, %a {llmc.statistics = {count = 10 : i64, mean = dense<0.0> : tensor<2xf64>, mean_abs = dense<[30.0, 1.0]> : tensor<2xf64>,
      max_abs = dense<90.0> : tensor<2xf64>, sum_squares = dense<[10000.0, 10.0]> : tensor<2xf64>,
      hessian = dense<[[10000.0, 0.0], [0.0, 10.0]]> : tensor<2x2xf32>}} : tensor<?x?x2xf32>, tensor<2x2xf32>
  %i = llmc.activation %h {kind = #llmc.activation_kind<gelu>} : tensor<?x?x2xf32>
  %y = llmc.linear %i, %b {llmc.statistics = {count = 10 : i64, mean = dense<0.0> : tensor<2xf64>, mean_abs = dense<[30.0, 1.0]> : tensor<2xf64>,
      max_abs = dense<90.0> : tensor<2xf64>, sum_squares = dense<[10000.0, 10.0]> : tensor<2xf64>,
      hessian = dense<[[10000.0, 0.0], [0.0, 10.0]]> : tensor<2x2xf32>}} : tensor<?x?x2xf32>, tensor<2x2xf32>
  %r = arith.addf %n, %y : tensor<?x?x2xf32>
  %z = llmc.softmax %r : tensor<?x?x2xf32>
  return %z : tensor<?x?x2xf32>
}
