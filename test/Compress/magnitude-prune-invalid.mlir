// RUN: %exits 2 llmc-opt %s --magnitude-prune=sparsity=1.5 | FileCheck %s --check-prefix=SPARSITY
// RUN: %exits 2 llmc-opt %s --magnitude-prune=pattern=4:2 | FileCheck %s --check-prefix=PATTERN
// RUN: %exits 2 llmc-opt %s --magnitude-prune=pattern=half | FileCheck %s --check-prefix=WORD
// RUN: %exits 2 llmc-opt %s --sparsify-2-4 --magnitude-prune=sparsity=0.75 | FileCheck %s --check-prefix=MASK

// SPARSITY: error: magnitude-prune: expected a sparsity of at least 0 and less than 1, found 1.5
// PATTERN: error: magnitude-prune: expected a pattern N:M with 1 <= N < M <= 32, found '4:2'
// WORD: error: magnitude-prune: expected a pattern N:M with 1 <= N < M <= 32, found 'half'
// MASK: error: magnitude-prune: weight "a.weight": has a 2:4 mask, which pruning without a pattern would give up

func.func @main(%x: tensor<?x?x4xf32>) -> tensor<?x?x1xf32> {
  %a = llmc.weight "a.weight" {values = dense<[[1.0, 2.0, 3.0, 4.0]]> : tensor<1x4xf32>} : tensor<1x4xf32>
  %y = llmc.linear %x, %a : tensor<?x?x4xf32>, tensor<1x4xf32>
  %s = llmc.softmax %y : tensor<?x?x1xf32>
  return %s : tensor<?x?x1xf32>
}
