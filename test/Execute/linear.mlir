// A product of a row of known numbers, compiled and run: the sum is exact, so the check is for equality.
// REQUIRES: x86
// RUN: llmc-compile --target=x86_64-linux-gnu --cpu=native %s -o %t
// RUN: llmc-run %t | FileCheck %s --check-prefix=OK
// OK: {{^}}1 check holds{{$}}
// RUN: sed 's/\[3.0, -1.0\]/[3.0, -1.5]/' %s > %t.wrong.mlir
// RUN: llmc-compile --target=x86_64-linux-gnu --cpu=native %t.wrong.mlir -o %t.wrong
// RUN: %exits 2 llmc-run %t.wrong | FileCheck %s --check-prefix=WRONG
// WRONG: linear.mlir.tmp.wrong.mlir:[[@LINE+7]]: expect_eq of 'e' does not hold: row 0, column 1: expected -1.5, found -1

func.func @main() attributes {llmc.role = "run"} {
  %x = llmc.weight "x" {values = dense<[[[1.0, 2.0, -1.0], [0.5, 0.0, 4.0]]]> : tensor<1x2x3xf32>} : tensor<1x2x3xf32>
  %w = llmc.weight "w" {values = dense<[[1.0, 1.0, 0.0], [-2.0, 0.5, 0.0]]> : tensor<2x3xf32>} : tensor<2x3xf32>
  %e = llmc.weight "e" {values = dense<[[3.0, -1.0], [0.5, -1.0]]> : tensor<2x2xf32>} : tensor<2x2xf32>
  %y = llmc.linear %x, %w : tensor<1x2x3xf32>, tensor<2x3xf32>
  llmc.expect_eq %y, %e : tensor<1x2x2xf32>, tensor<2x2xf32>
  return
}
