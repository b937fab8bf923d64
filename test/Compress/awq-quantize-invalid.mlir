// RUN: llmc-opt %s --awq-quantize=include=. --split-input-file --verify-diagnostics
// RUN: %exits 2 llmc-opt %s --awq-quantize=bits=1 | FileCheck %s --check-prefix=BITS

// BITS: error: awq-quantize: expected bits from 2 to 8, found 1

func.func @no_statistics(%x: tensor<?x?x2xf32>) -> tensor<?x?x1xf32> {
  %a = llmc.weight "plain.weight" {values = dense<1.0> : tensor<1x2xf32>} : tensor<1x2xf32>
  // expected-error @+1 {{awq-quantize: weight "plain.weight" has no calibration statistics; run --calibrate first}}
  %y = llmc.linear %x, %a : tensor<?x?x2xf32>, tensor<1x2xf32>
  return %y : tensor<?x?x1xf32>
}

// -----

func.func @no_hessian(%x: tensor<?x?x2xf32>) -> tensor<?x?x1xf32> {
  %b = llmc.weight "diagonal.weight" {values = dense<1.0> : tensor<1x2xf32>} : tensor<1x2xf32>
  // expected-error @+1 {{awq-quantize: weight "diagonal.weight" has no Hessian; run --calibrate with hessian=true first}}
  %z = llmc.linear %x, %b {llmc.statistics = {
      count = 1 : i64, mean = dense<0.0> : tensor<2xf64>, mean_abs = dense<1.0> : tensor<2xf64>, max_abs = dense<1.0> : tensor<2xf64>,
      sum_squares = dense<1.0> : tensor<2xf64>}}
      : tensor<?x?x2xf32>, tensor<1x2xf32>
  return %z : tensor<?x?x1xf32>
}

// -----

// The norm that scales are folded into is read too.
func.func @norm_not_finite(%x: tensor<?x?x2xf32>) -> tensor<?x?x1xf32> {
  // expected-error @+1 {{weight "norm.weight" expects finite values, got nan at index 1}}
  %g = llmc.weight "norm.weight" {values = dense<[1.0, 0x7FC00000]> : tensor<2xf32>} : tensor<2xf32>
  %a = llmc.weight "a.weight" {values = dense<[[0.9, 0.03]]> : tensor<1x2xf32>} : tensor<1x2xf32>
  %n = llmc.rms_norm %x, %g {eps = 1.0e-5 : f64} : tensor<?x?x2xf32>, tensor<2xf32>
  %y = llmc.linear %n, %a {llmc.statistics = {
      count = 8000 : i64, mean = dense<0.0> : tensor<2xf64>, mean_abs = dense<[1.0, 20.0]> : tensor<2xf64>, max_abs = dense<[1.0, 20.0]> : tensor<2xf64>,
      sum_squares = dense<[8000.0, 3200000.0]> : tensor<2xf64>, hessian = dense<[[8000.0, 0.0], [0.0, 3200000.0]]> : tensor<2x2xf32>}}
      : tensor<?x?x2xf32>, tensor<1x2xf32>
  return %y : tensor<?x?x1xf32>
}
