// Linears that read one value read its codes, which are made once, in whatever order and however often passes say so.
// RUN: llmc-opt %s --rtn-quantize="activations=i8-token" --mlir-print-debuginfo=false | FileCheck %s --check-prefix=TOKEN
// RUN: llmc-opt %s --rtn-quantize="include=q activations=i8-token" --rtn-quantize="include=v activations=i8-token" --rtn-quantize="include=k activations=i8-token" --mlir-print-debuginfo=false | FileCheck %s --check-prefix=TOKEN
// RUN: llmc-opt %s --rtn-quantize="activations=i8-token" --rtn-quantize="activations=i8-token" --mlir-print-debuginfo=false | FileCheck %s --check-prefix=TOKEN
// RUN: llmc-opt %s --rtn-quantize="activations=i8-token" --rtn-quantize="include=k activations=i8-group group=2" --mlir-print-debuginfo=false | FileCheck %s --check-prefix=BOTH
// RUN: llmc-opt %s --rtn-quantize="activations=i8-static" --mlir-print-debuginfo=false | FileCheck %s --check-prefix=STATIC
// RUN: llmc-opt %s --rtn-quantize="include=v activations=i8-static" --rtn-quantize="include=[qk] activations=i8-static" --mlir-print-debuginfo=false | FileCheck %s --check-prefix=STATIC
// RUN: llmc-opt %s --rtn-quantize="activations=i8-static" --rtn-quantize --mlir-print-debuginfo=false | FileCheck %s --check-prefix=FLOAT
// RUN: %exits 2 llmc-opt %s --rtn-quantize="include=.* activations=i8-static" -o %t.mlir | FileCheck %s --check-prefix=UNSEEN
// RUN: not ls %t.mlir

// UNSEEN: error: rtn-quantize: weight "head.weight" has no calibration statistics, which activations=i8-static takes its scale from; run --calibrate first

// TOKEN-LABEL: @main
// TOKEN: %[[N:.*]] = llmc.rms_norm
// TOKEN-NEXT: %[[C:.*]] = llmc.quantize %[[N]] : tensor<?x?x4xf32> -> <?x?x4xf32, #llmc.dynamic<i8, per_token>>
// TOKEN-NEXT: %[[Q:.*]] = llmc.linear %[[C]], %q_weight
// TOKEN-NEXT: %[[K:.*]] = llmc.linear %[[C]], %k_weight
// TOKEN-NEXT: %[[V:.*]] = llmc.linear %[[C]], %v_weight
// TOKEN-NEXT: arith.addf
// TOKEN-NEXT: arith.addf
// TOKEN-NEXT: llmc.linear %{{.*}}, %head_weight : tensor<?x?x4xf32>, tensor<2x4xf32>

// BOTH-LABEL: @main
// BOTH: %[[N:.*]] = llmc.rms_norm
// BOTH-NEXT: %[[C:.*]] = llmc.quantize %[[N]] {{.*}}per_token
// BOTH-NEXT: llmc.linear %[[C]], %q_weight
// BOTH-NEXT: %[[G:.*]] = llmc.quantize %[[N]] {{.*}}per_group<2>
// BOTH-NEXT: llmc.linear %[[G]], %k_weight
// BOTH-NEXT: llmc.linear %[[C]], %v_weight

// The largest of 2, 25.4 and 12.7, over 127.
// STATIC-LABEL: @main
// STATIC: %[[N:.*]] = llmc.rms_norm
// STATIC-NEXT: %[[S:.*]] = llmc.weight "{{[qv]}}.input_scale" {values = dense<2.000000e-01> : tensor<1xf32>} : tensor<1xf32>
// STATIC-NEXT: %[[C:.*]] = llmc.quantize %[[N]] scale %[[S]] : tensor<?x?x4xf32>, tensor<1xf32> -> <?x?x4xf32, #llmc.static<i8>>
// STATIC-NEXT: llmc.linear %[[C]], %q_weight
// STATIC-NEXT: llmc.linear %[[C]], %k_weight
// STATIC-NEXT: llmc.linear %[[C]], %v_weight
// STATIC-NOT: = llmc.quantize

// FLOAT-NOT: = llmc.quantize
// FLOAT-NOT: input_scale
func.func @main(%x: tensor<?x?x4xf32>) -> tensor<?x?x2xf32> attributes {llmc.role = "run"} {
  %g = llmc.weight "norm.weight" {values = dense<1.0> : tensor<4xf32>} : tensor<4xf32>
  %wq = llmc.weight "q.weight" {values = dense<0.5> : tensor<4x4xf32>} : tensor<4x4xf32>
  %wk = llmc.weight "k.weight" {values = dense<0.25> : tensor<4x4xf32>} : tensor<4x4xf32>
  %wv = llmc.weight "v.weight" {values = dense<0.125> : tensor<4x4xf32>} : tensor<4x4xf32>
  %h = llmc.weight "head.weight" {values = dense<0.5> : tensor<2x4xf32>} : tensor<2x4xf32>
  %n = llmc.rms_norm %x, %g {eps = 1.0e-5 : f64} : tensor<?x?x4xf32>, tensor<4xf32>
  %q = llmc.linear %n, %wq {llmc.statistics = {count = 1 : i64, mean = dense<0.0> : tensor<4xf64>, mean_abs = dense<1.0> : tensor<4xf64>, max_abs = dense<[2.0, 25.4, 12.7, 0.0]> : tensor<4xf64>, sum_squares = dense<1.0> : tensor<4xf64>}} : tensor<?x?x4xf32>, tensor<4x4xf32>
  %k = llmc.linear %n, %wk {llmc.statistics = {count = 1 : i64, mean = dense<0.0> : tensor<4xf64>, mean_abs = dense<1.0> : tensor<4xf64>, max_abs = dense<[2.0, 25.4, 12.7, 0.0]> : tensor<4xf64>, sum_squares = dense<1.0> : tensor<4xf64>}} : tensor<?x?x4xf32>, tensor<4x4xf32>
  %v = llmc.linear %n, %wv {llmc.statistics = {count = 1 : i64, mean = dense<0.0> : tensor<4xf64>, mean_abs = dense<1.0> : tensor<4xf64>, max_abs = dense<[2.0, 25.4, 12.7, 0.0]> : tensor<4xf64>, sum_squares = dense<1.0> : tensor<4xf64>}} : tensor<?x?x4xf32>, tensor<4x4xf32>
  %qk = arith.addf %q, %k : tensor<?x?x4xf32>
  %s = arith.addf %qk, %v : tensor<?x?x4xf32>
  %l = llmc.linear %s, %h : tensor<?x?x4xf32>, tensor<2x4xf32>
  return %l : tensor<?x?x2xf32>
}
