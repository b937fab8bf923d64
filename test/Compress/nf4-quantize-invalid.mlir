// Of the weights: at their place.
// RUN: llmc-opt %s --nf4-quantize=include=. --split-input-file --verify-diagnostics
// Of the options: before any weight is read.
// RUN: %exits 2 llmc-opt %s --nf4-quantize=group=-1 | FileCheck %s --check-prefix=GROUP
// RUN: %exits 2 llmc-opt %s --nf4-quantize=scale=bf16 | FileCheck %s --check-prefix=SCALE
// RUN: %exits 2 llmc-opt %s --nf4-quantize=table=fp4 | FileCheck %s --check-prefix=TABLE
// RUN: %exits 2 llmc-opt %s --nf4-quantize=activations=i4 | FileCheck %s --check-prefix=ACTIVATIONS
// RUN: %exits 2 llmc-opt %s --nf4-quantize="activations=i8-group group=0" | FileCheck %s --check-prefix=BLOCK
// RUN: %exits 2 llmc-opt %s --nf4-quantize=include=. -o %t.mlir
// RUN: not ls %t.mlir

// GROUP: error: nf4-quantize: expected a group of 1 or more inputs, or 0 (per channel), found -1
// SCALE: error: nf4-quantize: expected scale=f16 or f32, found 'bf16'
// TABLE: error: nf4-quantize: expected table=nf4 or nf4_i8, found 'fp4'
// ACTIVATIONS: error: nf4-quantize: expected activations=float, i8-token, i8-group or i8-static, found 'i4'
// BLOCK: error: nf4-quantize: activations=i8-group needs groups of weights, and there are none here; use i8-token

func.func @not_finite(%x: tensor<?x?x4xf32>) -> tensor<?x?x2xf32> {
  // expected-error @+1 {{nf4-quantize: weight "b.weight": weight at row 1, column 2 is not finite}}
  %b = llmc.weight "b.weight" {values = dense<[[1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 0x7FC00000, 0x7F800000]]> : tensor<2x4xf32>} : tensor<2x4xf32>
  %z = llmc.linear %x, %b : tensor<?x?x4xf32>, tensor<2x4xf32>
  return %z : tensor<?x?x2xf32>
}

// -----

// The scale of a group is its largest magnitude, here too large for f16.
func.func @scale_overflows(%x: tensor<?x?x2xf32>) -> tensor<?x?x1xf32> {
  // expected-error @+1 {{nf4-quantize: weight "large.weight": the scale of the group at row 0, column 0 is too large for f16; expected scale=f32}}
  %w = llmc.weight "large.weight" {values = dense<[[1.0e7, -1.0e7]]> : tensor<1x2xf32>} : tensor<1x2xf32>
  %y = llmc.linear %x, %w : tensor<?x?x2xf32>, tensor<1x2xf32>
  return %y : tensor<?x?x1xf32>
}
