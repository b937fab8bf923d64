// RUN: llmc-opt %s --sparsify-2-4=include=. --split-input-file --verify-diagnostics

func.func @not_finite(%x: tensor<?x?x4xf32>) -> tensor<?x?x1xf32> {
  // expected-error @+1 {{sparsify-2-4: weight "a.weight": weight at row 0, column 3 is not finite}}
  %a = llmc.weight "a.weight" {values = dense<[[1.0, 2.0, 3.0, 0xFF800000]]> : tensor<1x4xf32>} : tensor<1x4xf32>
  %y = llmc.linear %x, %a : tensor<?x?x4xf32>, tensor<1x4xf32>
  return %y : tensor<?x?x1xf32>
}

// -----

func.func @statistics_of_others(%x: tensor<?x?x4xf32>) -> tensor<?x?x1xf32> {
  // expected-error @+1 {{sparsify-2-4: weight "short.weight": expected statistics of 4 channels, found 2}}
  %b = llmc.weight "short.weight" {values = dense<1.0> : tensor<1x4xf32>} : tensor<1x4xf32>
  %z = llmc.linear %x, %b {llmc.statistics = {
      count = 1 : i64, mean = dense<0.0> : tensor<2xf64>, mean_abs = dense<1.0> : tensor<2xf64>, max_abs = dense<1.0> : tensor<2xf64>,
      sum_squares = dense<1.0> : tensor<2xf64>}}
      : tensor<?x?x4xf32>, tensor<1x4xf32>
  return %z : tensor<?x?x1xf32>
}

// -----

func.func @no_count(%x: tensor<?x?x2xf32>) -> tensor<?x?x1xf32> {
  // expected-error @+1 {{sparsify-2-4: weight "s.weight": statistics have no count}}
  %b = llmc.weight "s.weight" {values = dense<1.0> : tensor<1x2xf32>} : tensor<1x2xf32>
  %z = llmc.linear %x, %b {llmc.statistics = {}} : tensor<?x?x2xf32>, tensor<1x2xf32>
  return %z : tensor<?x?x1xf32>
}

// -----

func.func @statistics_not_finite(%x: tensor<?x?x2xf32>) -> tensor<?x?x1xf32> {
  // expected-error @+1 {{sparsify-2-4: weight "s.weight": sums of squares: value 1 is not finite}}
  %b = llmc.weight "s.weight" {values = dense<1.0> : tensor<1x2xf32>} : tensor<1x2xf32>
  %z = llmc.linear %x, %b {llmc.statistics = {
      count = 1 : i64, mean = dense<0.0> : tensor<2xf64>, mean_abs = dense<1.0> : tensor<2xf64>, max_abs = dense<1.0> : tensor<2xf64>,
      sum_squares = dense<[1.0, 0x7FF0000000000000]> : tensor<2xf64>}}
      : tensor<?x?x2xf32>, tensor<1x2xf32>
  return %z : tensor<?x?x1xf32>
}
