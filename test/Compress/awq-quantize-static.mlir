// RUN: llmc-opt %s --awq-quantize="group=4 activations=i8-static include=." --mlir-print-debuginfo=false 2>&1 | FileCheck %s
// RUN: llmc-opt %s --awq-quantize="group=4 include=q" --mlir-print-debuginfo=false 2>&1 | FileCheck %s --check-prefix=KEPT

// Static scales are those of what linears read behind the scaling: the norm of channel 0, the loud one, has become 0.392456, so its largest
// magnitude is 0.392456 * 90, and over 127 that is 0.278119.
// CHECK-NOT: not scaled
// CHECK: llmc.rms_norm
// CHECK-NEXT: %[[S:.*]] = llmc.weight "q.input_scale" {values = dense<0.278118{{[0-9]+}}> : tensor<1xf32>}
// CHECK-NEXT: %[[C:.*]] = llmc.quantize %{{.*}} scale %[[S]]
// CHECK-NEXT: llmc.linear %[[C]], %q_weight
// CHECK-NEXT: llmc.linear %[[C]], %k_weight

// k keeps its scale, which is that of the channels as they are.
// KEPT: remark: awq-quantize: clipped but not scaled, because its input is quantized with a static scale: "q.weight"
// KEPT: %[[N:.*]] = llmc.rms_norm
// KEPT-NEXT: %[[C:.*]] = llmc.quantize %[[N]] scale %{{.*}} : tensor<?x?x4xf32>, tensor<1xf32>
// KEPT-NEXT: llmc.linear %[[N]], %q_weight
// KEPT-NEXT: llmc.linear %[[C]], %k_weight
func.func @main(%x: tensor<?x?x4xf32>) -> tensor<?x?x4xf32> {
  %g = llmc.weight "g.weight" {values = dense<1.0> : tensor<4xf32>} : tensor<4xf32>
  %s = llmc.weight "k.input_scale" {values = dense<0.708661> : tensor<1xf32>} : tensor<1xf32>
  %q = llmc.weight "q.weight" {values = dense<[[0.31, 1.0, -1.0, 0.6], [0.17, -0.9, 1.1, 0.3], [-0.23, 1.3, -0.7, 0.2], [0.09, 0.8, -1.2, -0.4]]> : tensor<4x4xf32>} : tensor<4x4xf32>
  %k = llmc.weight "k.weight" {values = dense<[[0.21, 0.7, -1.0, 0.5], [0.15, -0.9, 1.2, 0.3], [-0.23, 1.3, -0.6, 0.2], [0.08, 0.8, -1.1, -0.4]]> : tensor<4x4xf32>} : tensor<4x4xf32>
  %n = llmc.rms_norm %x, %g {eps = 1.0e-5 : f64} : tensor<?x?x4xf32>, tensor<4xf32>
  %c = llmc.quantize %n scale %s : tensor<?x?x4xf32>, tensor<1xf32> -> !llmc.quantized<?x?x4xf32, #llmc.static<i8>>
  %y = llmc.linear %c, %q {llmc.statistics = {count = 10 : i64, mean = dense<0.0> : tensor<4xf64>, mean_abs = dense<[30.0, 1.0, 1.0, 1.0]> : tensor<4xf64>,
      max_abs = dense<[90.0, 2.0, 2.0, 2.0]> : tensor<4xf64>, sum_squares = dense<[10000.0, 10.0, 10.0, 10.0]> : tensor<4xf64>,
      hessian = dense<[[10000.0, 0.0, 0.0, 0.0], [0.0, 10.0, 0.0, 0.0], [0.0, 0.0, 10.0, 0.0], [0.0, 0.0, 0.0, 10.0]]> : tensor<4x4xf32>}}
      : !llmc.quantized<?x?x4xf32, #llmc.static<i8>>, tensor<4x4xf32>
  %z = llmc.linear %c, %k {llmc.statistics = {count = 10 : i64, mean = dense<0.0> : tensor<4xf64>, mean_abs = dense<[30.0, 1.0, 1.0, 1.0]> : tensor<4xf64>,
      max_abs = dense<[90.0, 2.0, 2.0, 2.0]> : tensor<4xf64>, sum_squares = dense<[10000.0, 10.0, 10.0, 10.0]> : tensor<4xf64>,
      hessian = dense<[[10000.0, 0.0, 0.0, 0.0], [0.0, 10.0, 0.0, 0.0], [0.0, 0.0, 10.0, 0.0], [0.0, 0.0, 0.0, 10.0]]> : tensor<4x4xf32>}}
      : !llmc.quantized<?x?x4xf32, #llmc.static<i8>>, tensor<4x4xf32>
  %r = arith.addf %y, %z : tensor<?x?x4xf32>
  %t = arith.addf %x, %r : tensor<?x?x4xf32>
  return %t : tensor<?x?x4xf32>
}
