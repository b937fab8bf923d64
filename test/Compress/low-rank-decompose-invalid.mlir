// RUN: llmc-opt %s --low-rank-decompose="rank=3 include=." --split-input-file --verify-diagnostics=only-expected
// RUN: %exits 2 llmc-opt %s --low-rank-decompose=ratio=1.0 | FileCheck %s --check-prefix=RATIO
// RUN: %exits 2 llmc-opt %s --low-rank-decompose="ratio=0.1 include=^a" | FileCheck %s --check-prefix=LITTLE
// RUN: %exits 2 llmc-opt %s --low-rank-decompose=rank=-1 | FileCheck %s --check-prefix=NEGATIVE

// RATIO: error: low-rank-decompose: expected a ratio between 0 and 1, found 1.0
// LITTLE: error: low-rank-decompose: weight "a.weight": the ratio leaves no rank of a 4x6 matrix
// NEGATIVE: error: low-rank-decompose: expected a rank of 1 or more, found -1

func.func @too_large(%x: tensor<?x?x6xf32>) -> tensor<?x?x4xf32> {
  // expected-error @+1 {{low-rank-decompose: weight "a.weight": rank 3 saves nothing on a 4x6 matrix, where less than 3 does; choose a smaller one or leave the weight out with exclude=}}
  %w = llmc.weight "a.weight" {values = dense<1.0> : tensor<4x6xf32>} : tensor<4x6xf32>
  %y = llmc.linear %x, %w : tensor<?x?x6xf32>, tensor<4x6xf32>
  return %y : tensor<?x?x4xf32>
}

// -----

func.func @mask(%x: tensor<?x?x8xf32>) -> tensor<?x?x8xf32> {
  // expected-error @+1 {{low-rank-decompose: weight "m.weight": has a mask, which a decomposition would give up}}
  %w = llmc.weight "m.weight" {mask = dense<51> : tensor<8x1xui8>, values = dense<1.0> : tensor<8x4xf32>} : !llmc.compressed<8x8xf32, #llmc.nm<2:4, #llmc.dense<f32>>>
  %y = llmc.linear %x, %w : tensor<?x?x8xf32>, !llmc.compressed<8x8xf32, #llmc.nm<2:4, #llmc.dense<f32>>>
  return %y : tensor<?x?x8xf32>
}

// -----

func.func @not_finite(%x: tensor<?x?x8xf32>) -> tensor<?x?x8xf32> {
  // expected-error @+1 {{low-rank-decompose: weight "i.weight": weight at row 0, column 0 is not finite}}
  %w = llmc.weight "i.weight" {values = dense<0x7F800000> : tensor<8x8xf32>} : tensor<8x8xf32>
  %y = llmc.linear %x, %w : tensor<?x?x8xf32>, tensor<8x8xf32>
  return %y : tensor<?x?x8xf32>
}

// -----

func.func @static(%x: tensor<?x?x8xf32>) -> tensor<?x?x8xf32> {
  %s = llmc.weight "input_scale" {values = dense<0.5> : tensor<1xf32>} : tensor<1xf32>
  %w = llmc.weight "s.weight" {values = dense<1.0> : tensor<8x8xf32>} : tensor<8x8xf32>
  %q = llmc.quantize %x scale %s : tensor<?x?x8xf32>, tensor<1xf32> -> !llmc.quantized<?x?x8xf32, #llmc.static<i8>>
  // expected-error @+1 {{low-rank-decompose: weight "s.weight" reads an input of a static scale, and nothing is known of what its second factor would read; decompose first, then calibrate and quantize}}
  %y = llmc.linear %q, %w : !llmc.quantized<?x?x8xf32, #llmc.static<i8>>, tensor<8x8xf32>
  return %y : tensor<?x?x8xf32>
}
