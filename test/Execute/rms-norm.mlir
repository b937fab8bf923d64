// Root-mean-square norm against numbers worked by hand: mean(x^2) = 4 for both rows.
// REQUIRES: x86
// RUN: llmc-compile --target=x86_64-linux-gnu --cpu=native %s -o %t
// RUN: llmc-run %t | FileCheck %s
// CHECK: 1 check holds

func.func @main() attributes {llmc.role = "run"} {
  %x = llmc.weight "x" {values = dense<[[[2.0, -2.0, 2.0, 2.0], [4.0, 0.0, 0.0, 0.0]]]> : tensor<1x2x4xf32>} : tensor<1x2x4xf32>
  %g = llmc.weight "g" {values = dense<[1.0, 1.0, 0.5, 2.0]> : tensor<4xf32>} : tensor<4xf32>
  %e = llmc.weight "e" {values = dense<[[1.0, -1.0, 0.5, 2.0], [2.0, 0.0, 0.0, 0.0]]> : tensor<2x4xf32>} : tensor<2x4xf32>
  %y = llmc.rms_norm %x, %g {eps = 1.0e-12 : f64} : tensor<1x2x4xf32>, tensor<4xf32>
  llmc.expect_close %y, %e {rtol = 1.0e-6 : f64} : tensor<1x2x4xf32>, tensor<2x4xf32>
  return
}
