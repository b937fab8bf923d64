// RUN: llmc-opt %s --ternarize=include=. --split-input-file --verify-diagnostics
// RUN: %exits 2 llmc-opt %s --ternarize=activations=i8-group | FileCheck %s --check-prefix=GROUP
// RUN: %exits 2 llmc-opt %s --ternarize=packing=base4 | FileCheck %s --check-prefix=PACKING

// PACKING: error: ternarize: expected packing=2bit or base3, found 'base4'
// GROUP: error: ternarize: activations=i8-group needs groups of weights, and there are none here; use i8-token

func.func @not_finite(%x: tensor<?x?x4xf32>) -> tensor<?x?x1xf32> {
  // expected-error @+1 {{ternarize: weight "a.weight": weight at row 0, column 1 is not finite}}
  %a = llmc.weight "a.weight" {values = dense<[[1.0, 0x7FC00000, -2.0, 1.5]]> : tensor<1x4xf32>} : tensor<1x4xf32>
  %y = llmc.linear %x, %a : tensor<?x?x4xf32>, tensor<1x4xf32>
  return %y : tensor<?x?x1xf32>
}
