// Of the weights: at their place.
// RUN: llmc-opt %s --scheme-quantize="scheme=int<4> include=." --split-input-file --verify-diagnostics
// Of the options: before any weight is read.
// RUN: %exits 2 llmc-opt %s --scheme-quantize | FileCheck %s --check-prefix=NONE
// RUN: %exits 2 llmc-opt %s --scheme-quantize="scheme=int<9>" | FileCheck %s --check-prefix=BITS
// RUN: %exits 2 llmc-opt %s --scheme-quantize="scheme=dense<f16>" | FileCheck %s --check-prefix=VALUES
// RUN: %exits 2 llmc-opt %s --scheme-quantize="scheme=mask<#llmc.ternary>" | FileCheck %s --check-prefix=MASK
// RUN: %exits 2 llmc-opt %s --scheme-quantize="scheme=#builtin.int<4>" | FileCheck %s --check-prefix=OTHER
// RUN: %exits 2 llmc-opt %s --scheme-quantize="scheme=int<4> activations=i4" | FileCheck %s --check-prefix=ACTIVATIONS
// RUN: %exits 2 llmc-opt %s --scheme-quantize="scheme=ternary activations=i8-group" | FileCheck %s --check-prefix=BLOCK
// RUN: %exits 2 llmc-opt %s --scheme-quantize="scheme=int<4> include=." -o %t.mlir
// RUN: not ls %t.mlir

// NONE: error: scheme-quantize: expected a scheme with codes and no mask, such as scheme=int<4,group=32>, found ''
// BITS: error: expects 2 to 8 bits, got 9
// BITS: error: scheme-quantize: expected a scheme with codes and no mask, such as scheme=int<4,group=32>, found 'int<9>'
// VALUES: found 'dense<f16>'
// MASK: found 'mask<#llmc.ternary>'
// OTHER: found '#builtin.int<4>'
// ACTIVATIONS: error: scheme-quantize: expected activations=float, i8-token, i8-group or i8-static, found 'i4'
// BLOCK: error: scheme-quantize: activations=i8-group needs groups of weights, and there are none here; use i8-token

func.func @scale_overflows(%x: tensor<?x?x2xf32>) -> tensor<?x?x1xf32> {
  // expected-error @+1 {{scheme-quantize: weight "large.weight": }}
  %w = llmc.weight "large.weight" {values = dense<[[1.0e7, -1.0e7]]> : tensor<1x2xf32>} : tensor<1x2xf32>
  %y = llmc.linear %x, %w : tensor<?x?x2xf32>, tensor<1x2xf32>
  return %y : tensor<?x?x1xf32>
}
