// RUN: llmc-opt %s --magnitude-prune="sparsity=0.75 include=." --split-input-file --verify-diagnostics
// RUN: %exits 2 llmc-opt %s --magnitude-prune=sparsity=1.5 | FileCheck %s --check-prefix=SPARSITY
// RUN: %exits 2 llmc-opt %s --magnitude-prune=pattern=4:2 | FileCheck %s --check-prefix=PATTERN
// RUN: %exits 2 llmc-opt %s --magnitude-prune=pattern=half | FileCheck %s --check-prefix=WORD

// SPARSITY: error: magnitude-prune: expected a sparsity of at least 0 and less than 1, found 1.5
// PATTERN: error: magnitude-prune: expected a pattern N:M with 1 <= N < M <= 32, found '4:2'
// WORD: error: magnitude-prune: expected a pattern N:M with 1 <= N < M <= 32, found 'half'

func.func @mask(%x: tensor<?x?x4xf32>) -> tensor<?x?x1xf32> {
  // expected-error @+1 {{magnitude-prune: weight "m.weight": has a 2:4 mask, which pruning without a pattern would give up}}
  %a = llmc.weight "m.weight" {mask = dense<12> : tensor<1x1xui8>, values = dense<[[3.0, 4.0]]> : tensor<1x2xf32>} : !llmc.compressed<1x4xf32, #llmc.nm<2:4, #llmc.dense<f32>>>
  %y = llmc.linear %x, %a : tensor<?x?x4xf32>, !llmc.compressed<1x4xf32, #llmc.nm<2:4, #llmc.dense<f32>>>
  return %y : tensor<?x?x1xf32>
}

// -----

func.func @not_finite(%x: tensor<?x?x4xf32>) -> tensor<?x?x1xf32> {
  // expected-error @+1 {{magnitude-prune: weight "n.weight": weight at row 0, column 3 is not finite}}
  %a = llmc.weight "n.weight" {values = dense<[[1.0, 2.0, 3.0, 0xFFC00000]]> : tensor<1x4xf32>} : tensor<1x4xf32>
  %y = llmc.linear %x, %a : tensor<?x?x4xf32>, tensor<1x4xf32>
  return %y : tensor<?x?x1xf32>
}
