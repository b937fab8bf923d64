// RUN: %exits 2 llmc-opt %s --rtn-quantize=bits=9 | FileCheck %s --check-prefix=BITS
// RUN: %exits 2 llmc-opt %s --rtn-quantize=group=-1 | FileCheck %s --check-prefix=GROUP
// RUN: %exits 2 llmc-opt %s --rtn-quantize=scale=f8 | FileCheck %s --check-prefix=SCALE
// RUN: %exits 2 llmc-opt %s --rtn-quantize=activations=i4 | FileCheck %s --check-prefix=ACTIVATIONS
// RUN: %exits 2 llmc-opt %s --rtn-quantize="activations=i8-group group=0" | FileCheck %s --check-prefix=BLOCK
// RUN: %exits 2 llmc-opt %s --rtn-quantize="include=(" | FileCheck %s --check-prefix=REGEX
// RUN: %exits 2 llmc-opt %s --rtn-quantize=include=nothing | FileCheck %s --check-prefix=NONE
// RUN: %exits 2 llmc-opt %s --rtn-quantize -o %t.mlir | FileCheck %s --check-prefix=FINITE
// RUN: not ls %t.mlir

// BITS: error: rtn-quantize: expected bits from 2 to 8, found 9
// GROUP: error: rtn-quantize: expected a group of 1 or more inputs, or 0 (per channel), found -1
// SCALE: error: rtn-quantize: expected scale=f16 or f32, found 'f8'
// ACTIVATIONS: error: rtn-quantize: expected activations=float, i8-token or i8-group, found 'i4'
// BLOCK: error: rtn-quantize: activations=i8-group needs groups of weights, and there are none here; use i8-token
// REGEX: error: include=( is no regular expression
// NONE: error: rtn-quantize: include=nothing matches no weight of a linear or embedding
// FINITE: error: rtn-quantize: weight "b.weight": {{.*}}row 1, column 2

func.func @main(%x: tensor<?x?x4xf32>) -> (tensor<?x?x2xf32>, tensor<?x?x2xf32>) {
  %a = llmc.weight "a.weight" {values = dense<1.0> : tensor<2x4xf32>} : tensor<2x4xf32>
  %b = llmc.weight "b.weight" {values = dense<[[1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 0x7FC00000, 0x7F800000]]> : tensor<2x4xf32>} : tensor<2x4xf32>
  %y = llmc.linear %x, %a : tensor<?x?x4xf32>, tensor<2x4xf32>
  %z = llmc.linear %x, %b : tensor<?x?x4xf32>, tensor<2x4xf32>
  %s = llmc.softmax %y : tensor<?x?x2xf32>
  %t = llmc.softmax %z : tensor<?x?x2xf32>
  return %s, %t : tensor<?x?x2xf32>, tensor<?x?x2xf32>
}
