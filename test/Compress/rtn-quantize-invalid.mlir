// Of the weights: at their place.
// RUN: llmc-opt %s --rtn-quantize=include=. --split-input-file --verify-diagnostics
// Of the options: before any weight is read.
// RUN: %exits 2 llmc-opt %s --rtn-quantize=bits=9 | FileCheck %s --check-prefix=BITS
// RUN: %exits 2 llmc-opt %s --rtn-quantize=group=-1 | FileCheck %s --check-prefix=GROUP
// RUN: %exits 2 llmc-opt %s --rtn-quantize=scale=f8 | FileCheck %s --check-prefix=SCALE
// RUN: %exits 2 llmc-opt %s --rtn-quantize=activations=i4 | FileCheck %s --check-prefix=ACTIVATIONS
// RUN: %exits 2 llmc-opt %s --rtn-quantize="activations=i8-group group=0" | FileCheck %s --check-prefix=BLOCK
// RUN: %exits 2 llmc-opt %s --rtn-quantize="include=(" | FileCheck %s --check-prefix=REGEX
// RUN: %exits 2 llmc-opt %s --rtn-quantize="exclude=[" | FileCheck %s --check-prefix=EXCLUDE
// RUN: %exits 2 llmc-opt %s --rtn-quantize -o %t.mlir
// RUN: not ls %t.mlir

// BITS: error: rtn-quantize: expected bits from 2 to 8, found 9
// GROUP: error: rtn-quantize: expected a group of 1 or more inputs, or 0 (per channel), found -1
// SCALE: error: rtn-quantize: expected scale=f16 or f32, found 'f8'
// ACTIVATIONS: error: rtn-quantize: expected activations=float, i8-token, i8-group or i8-static, found 'i4'
// BLOCK: error: rtn-quantize: activations=i8-group needs groups of weights, and there are none here; use i8-token
// REGEX: error: include=( is no regular expression
// EXCLUDE: error: exclude=[ is no regular expression

func.func @not_finite(%x: tensor<?x?x4xf32>) -> tensor<?x?x2xf32> {
  %a = llmc.weight "a.weight" {values = dense<1.0> : tensor<2x4xf32>} : tensor<2x4xf32>
  // expected-error @+1 {{rtn-quantize: weight "b.weight": weight at row 1, column 2 is not finite}}
  %b = llmc.weight "b.weight" {values = dense<[[1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 0x7FC00000, 0x7F800000]]> : tensor<2x4xf32>} : tensor<2x4xf32>
  %y = llmc.linear %x, %a : tensor<?x?x4xf32>, tensor<2x4xf32>
  %z = llmc.linear %x, %b : tensor<?x?x4xf32>, tensor<2x4xf32>
  %s = arith.addf %y, %z : tensor<?x?x2xf32>
  return %s : tensor<?x?x2xf32>
}

// -----

func.func @not_finite_half(%x: tensor<?x?x2xf32>) -> tensor<?x?x1xf32> {
  // expected-error @+1 {{rtn-quantize: weight "h.weight": weight at row 0, column 1 is not finite}}
  %h = llmc.weight "h.weight" {values = dense<[[1.0, 0x7C00]]> : tensor<1x2xf16>} : tensor<1x2xf16>
  %y = llmc.linear %x, %h : tensor<?x?x2xf32>, tensor<1x2xf16>
  return %y : tensor<?x?x1xf32>
}

// -----

// The scale of the group is its range over 15, too large for f16.
func.func @scale_overflows(%x: tensor<?x?x2xf32>) -> tensor<?x?x1xf32> {
  // expected-error @+1 {{rtn-quantize: weight "large.weight": the scale of the group at row 0, column 0}}
  %w = llmc.weight "large.weight" {values = dense<[[1.0e7, -1.0e7]]> : tensor<1x2xf32>} : tensor<1x2xf32>
  %y = llmc.linear %x, %w : tensor<?x?x2xf32>, tensor<1x2xf32>
  return %y : tensor<?x?x1xf32>
}

// -----

// Regular expressions and records go by name, so a name means one weight.
func.func @one_name(%x: tensor<?x?x2xf32>) -> tensor<?x?x2xf32> {
  %a = llmc.weight "same.weight" {values = dense<1.0> : tensor<2x2xf32>} : tensor<2x2xf32>
  // expected-error @+1 {{two different weights are called "same.weight"}}
  %b = llmc.weight "same.weight" {values = dense<2.0> : tensor<2x2xf32>} : tensor<2x2xf32>
  %y = llmc.linear %x, %a : tensor<?x?x2xf32>, tensor<2x2xf32>
  %z = llmc.linear %y, %b : tensor<?x?x2xf32>, tensor<2x2xf32>
  return %z : tensor<?x?x2xf32>
}

// -----

// expected-error @+1 {{rtn-quantize: include=. matches no weight of a linear or embedding}}
module {
  func.func @no_linear(%x: tensor<?x?x2xf32>) -> tensor<?x?x2xf32> {
    %y = llmc.softmax %x : tensor<?x?x2xf32>
    return %y : tensor<?x?x2xf32>
  }
}
