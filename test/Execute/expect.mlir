// The checks themselves: how far values may be apart, that NaN agrees with nothing, and what is said of the first that fails.
// REQUIRES: x86
// RUN: rm -rf %t && mkdir %t
// RUN: llmc-compile --target=x86_64-linux-gnu --cpu=native %s -o %t/good
// RUN: llmc-run %t/good | FileCheck %s --check-prefix=GOOD
// RUN: llmc-run %t/good --json --threads=2 | FileCheck %s --check-prefix=JSON
// GOOD: {{^}}4 checks hold{{$}}
// JSON: {"checks":4}

// RUN: sed 's/atol = 0.25/atol = 0.125/' %s > %t/atol.mlir
// RUN: llmc-compile --target=x86_64-linux-gnu --cpu=native %t/atol.mlir -o %t/atol
// RUN: %exits 2 llmc-run %t/atol | FileCheck %s --check-prefix=ATOL
// ATOL: llmc-run: error: {{.*}}atol: atol_run: atol.mlir:{{[0-9]+}}: expect_close of 'near' does not hold: row 1, column 2: expected 6.25, found 6

// RUN: sed 's/rtol = 0.0625/rtol = 0.03125/' %s > %t/rtol.mlir
// RUN: llmc-compile --target=x86_64-linux-gnu --cpu=native %t/rtol.mlir -o %t/rtol
// RUN: %exits 2 llmc-run %t/rtol | FileCheck %s --check-prefix=RTOL
// RTOL: rtol.mlir:{{[0-9]+}}: expect_close of 'relative' does not hold: row 0, column 1: expected -2.125, found -2

// RUN: sed '/"same"/s/5.0, 6.0/5.0, 6.5/' %s > %t/eq.mlir
// RUN: llmc-compile --target=x86_64-linux-gnu --cpu=native %t/eq.mlir -o %t/eq
// RUN: %exits 2 llmc-run %t/eq --threads=2 | FileCheck %s --check-prefix=EQ
// EQ: expect_eq of 'same' does not hold: row 1, column 2: expected 6.5, found 6

// 0 / 0 is no number, and not even equal to itself.
// RUN: sed 's/"zero" {values = dense<2.0>/"zero" {values = dense<0.0>/' %s > %t/nan.mlir
// RUN: llmc-compile --target=x86_64-linux-gnu --cpu=native %t/nan.mlir -o %t/nan
// RUN: %exits 2 llmc-run %t/nan | FileCheck %s --check-prefix=NAN
// NAN: expect_close does not hold: row 0, column 0: expected {{-?}}nan, found {{-?}}nan

// A graph without outputs takes no --output; its input files are still checked by name.
// RUN: %exits 2 llmc-run %t/good --output=y=%t/y.npy | FileCheck %s --check-prefix=OUTPUT
// OUTPUT: the model has no output 'y'
// RUN: %exits 2 llmc-run %t/good --input=x=%s | FileCheck %s --check-prefix=INPUT
// INPUT: expect.mlir: is no .npy file

func.func @main() attributes {llmc.role = "run"} {
  %x = llmc.weight "x" {values = dense<[[[-0.0, -2.0, 3.0], [4.0, 5.0, 6.0]]]> : tensor<1x2x3xf32>} : tensor<1x2x3xf32>
  %y = llmc.scale %x {factor = 1.0 : f64} : tensor<1x2x3xf32>
  %same = llmc.weight "same" {values = dense<[[0.0, -2.0, 3.0], [4.0, 5.0, 6.0]]> : tensor<2x3xf32>} : tensor<2x3xf32>
  llmc.expect_eq %y, %same : tensor<1x2x3xf32>, tensor<2x3xf32>
  %near = llmc.weight "near" {values = dense<[[0.0, -2.0, 3.0], [4.0, 5.0, 6.25]]> : tensor<2x3xf32>} : tensor<2x3xf32>
  llmc.expect_close %y, %near {atol = 0.25 : f64} : tensor<1x2x3xf32>, tensor<2x3xf32>
  %relative = llmc.weight "relative" {values = dense<[[0.0, -2.125, 3.0], [4.0, 5.0, 6.0]]> : tensor<2x3xf32>} : tensor<2x3xf32>
  llmc.expect_close %y, %relative {rtol = 0.0625 : f64} : tensor<1x2x3xf32>, tensor<2x3xf32>
  // 2 / 2, and 0 / 0.
  %zero = llmc.weight "zero" {values = dense<2.0> : tensor<1x2x3xf32>} : tensor<1x2x3xf32>
  %q = arith.divf %zero, %zero : tensor<1x2x3xf32>
  llmc.expect_close %q, %q {atol = 1.0e9 : f64} : tensor<1x2x3xf32>, tensor<1x2x3xf32>
  return
}
