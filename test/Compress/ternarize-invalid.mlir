// RUN: %exits 2 llmc-opt %s --ternarize=activations=i8-group | FileCheck %s --check-prefix=GROUP
// RUN: %exits 2 llmc-opt %s --ternarize | FileCheck %s --check-prefix=FINITE

// GROUP: error: ternarize: activations=i8-group needs groups of weights, and there are none here; use i8-token
// FINITE: error: ternarize: weight "a.weight": {{.*}}row 0, column 1

func.func @main(%x: tensor<?x?x4xf32>) -> tensor<?x?x1xf32> {
  %a = llmc.weight "a.weight" {values = dense<[[1.0, 0x7FC00000, -2.0, 1.5]]> : tensor<1x4xf32>} : tensor<1x4xf32>
  %y = llmc.linear %x, %a : tensor<?x?x4xf32>, tensor<1x4xf32>
  %s = llmc.softmax %y : tensor<?x?x1xf32>
  return %s : tensor<?x?x1xf32>
}
