// RUN: %exits 2 llmc-opt %s --awq-quantize=include=plain | FileCheck %s --check-prefix=NONE
// RUN: %exits 2 llmc-opt %s --awq-quantize=include=diagonal | FileCheck %s --check-prefix=HESSIAN
// RUN: %exits 2 llmc-opt %s --awq-quantize=bits=1 | FileCheck %s --check-prefix=BITS

// NONE: error: awq-quantize: weight "plain.weight" has no calibration statistics; run --calibrate first
// HESSIAN: error: awq-quantize: weight "diagonal.weight" has no Hessian; run --calibrate with hessian=true first
// BITS: error: awq-quantize: expected bits from 2 to 8, found 1

func.func @main(%x: tensor<?x?x2xf32>) -> (tensor<?x?x1xf32>, tensor<?x?x1xf32>) {
  %a = llmc.weight "plain.weight" {values = dense<1.0> : tensor<1x2xf32>} : tensor<1x2xf32>
  %b = llmc.weight "diagonal.weight" {values = dense<1.0> : tensor<1x2xf32>} : tensor<1x2xf32>
  %y = llmc.linear %x, %a : tensor<?x?x2xf32>, tensor<1x2xf32>
  %z = llmc.linear %x, %b {llmc.statistics = {
      count = 1 : i64, mean = dense<0.0> : tensor<2xf64>, mean_abs = dense<1.0> : tensor<2xf64>, max_abs = dense<1.0> : tensor<2xf64>,
      sum_squares = dense<1.0> : tensor<2xf64>}}
      : tensor<?x?x2xf32>, tensor<1x2xf32>
  %s = llmc.softmax %y : tensor<?x?x1xf32>
  %t = llmc.softmax %z : tensor<?x?x1xf32>
  return %s, %t : tensor<?x?x1xf32>, tensor<?x?x1xf32>
}
