// RUN: %exits 2 llmc-opt %s --low-rank-decompose=rank=3 | FileCheck %s --check-prefix=RANK
// RUN: %exits 2 llmc-opt %s --low-rank-decompose=ratio=1.0 | FileCheck %s --check-prefix=RATIO
// RUN: %exits 2 llmc-opt %s --low-rank-decompose=ratio=0.1 | FileCheck %s --check-prefix=LITTLE
// RUN: %exits 2 llmc-opt %s --low-rank-decompose=rank=-1 | FileCheck %s --check-prefix=NEGATIVE
// RUN: %exits 2 llmc-opt %s --sparsify-2-4 --low-rank-decompose=rank=1 | FileCheck %s --check-prefix=MASK

// RANK: error: low-rank-decompose: weight "a.weight": rank 3 saves nothing on a 4x6 matrix, where less than 3 does; choose a smaller one or leave the weight out with exclude=
// RATIO: error: low-rank-decompose: expected a ratio between 0 and 1, found 1.0
// LITTLE: error: low-rank-decompose: weight "a.weight": the ratio leaves no rank of a 4x6 matrix
// NEGATIVE: error: low-rank-decompose: expected a rank of 1 or more, found -1
// MASK: error: low-rank-decompose: weight "a.weight": has a mask, which a decomposition would give up

func.func @main(%x: tensor<?x?x6xf32>) -> tensor<?x?x4xf32> {
  %w = llmc.weight "a.weight" {values = dense<1.0> : tensor<4x6xf32>} : tensor<4x6xf32>
  %y = llmc.linear %x, %w : tensor<?x?x6xf32>, tensor<4x6xf32>
  %s = llmc.softmax %y : tensor<?x?x4xf32>
  return %s : tensor<?x?x4xf32>
}
