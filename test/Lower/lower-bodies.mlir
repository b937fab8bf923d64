// RUN: llmc-opt %s --lower-bodies --mlir-print-debuginfo=false | FileCheck %s

// Rows of a sequence become one, by vectors of 8 and what is left of 21; the mean is divided at the end.
// CHECK-LABEL: exec.program @mean
module attributes {llmc.cpu = {lanes = 8 : i64, registers = 16 : i64}} {
exec.program @mean run rows = 16 {
  %x = exec.buffer : !exec.buffer<?x21xf32, stride = 64>
  %p = exec.buffer : !exec.buffer<?x21xf32, stride = 64, sequences>
  exec.stage {
    // CHECK: exec.generic "llmc.reduce" each sequence(%{{.*}}) to(%{{.*}}) {scratch_bytes = 128 : i64}
    // CHECK-NEXT: ^bb0(%[[X:.*]]: memref<1x?x21xf32, strided<[64, 64, 1], offset: ?>>, %[[P:.*]]: memref<1x1x21xf32, strided<[64, 64, 1], offset: ?>>, %{{.*}}: memref<?xi8>):
    exec.generic "llmc.reduce" each sequence (%x) to (%p)
        : (!exec.buffer<?x21xf32, stride = 64>) to (!exec.buffer<?x21xf32, stride = 64, sequences>) {
    ^bb0(%rows: tensor<1x?x21xf32>):
      %c0 = arith.constant 0.0 : f32
      %half = arith.constant 0.5 : f32
      %empty = tensor.empty() : tensor<1x21xf32>
      %zero = linalg.fill ins(%c0 : f32) outs(%empty : tensor<1x21xf32>) -> tensor<1x21xf32>
      // CHECK-NOT: memref.alloc
      // CHECK: scf.for
      // CHECK: vector.load {{.*}}, vector<8xf32>
      // CHECK: arith.addf %{{.*}}, %{{.*}} : vector<8xf32>
      // CHECK: arith.addf %{{.*}}, %{{.*}} : vector<5xf32>
      %sum = linalg.generic {indexing_maps = [affine_map<(b, s, w) -> (b, s, w)>, affine_map<(b, s, w) -> (b, w)>],
                             iterator_types = ["parallel", "reduction", "parallel"]} ins(%rows : tensor<1x?x21xf32>) outs(%zero : tensor<1x21xf32>) {
      ^bb0(%a: f32, %s: f32):
        %t = arith.addf %s, %a : f32
        linalg.yield %t : f32
      } -> tensor<1x21xf32>
      // CHECK: arith.mulf %{{.*}}, %{{.*}} : vector<8xf32>
      %scaled = linalg.generic {indexing_maps = [affine_map<(b, w) -> (b, w)>], iterator_types = ["parallel", "parallel"]}
          outs(%sum : tensor<1x21xf32>) {
      ^bb0(%s: f32):
        %t = arith.mulf %s, %half : f32
        linalg.yield %t : f32
      } -> tensor<1x21xf32>
      %all = tensor.empty() : tensor<1x1x21xf32>
      %y = tensor.insert_slice %scaled into %all[0, 0, 0] [1, 1, 21] [1, 1, 1] : tensor<1x21xf32> into tensor<1x1x21xf32>
      // CHECK: exec.yield
      // CHECK-NEXT: }
      exec.yield %y : tensor<1x1x21xf32>
    }
  }
  // What is needed besides the result lies in the scratch memory of a thread; exp is arithmetic.
  exec.stage {
    // CHECK: exec.generic "exp of a sequence" each sequence(%{{.*}}) to(%{{.*}}) {scratch_bytes = 1344 : i64}
    // CHECK: memref.view %{{.*}}[%{{.*}}][%{{.*}}] : memref<?xi8> to memref<1x?x21xf32>
    // CHECK: vector.fma
    // CHECK-NOT: math.exp
    exec.generic "exp of a sequence" each sequence (%x) to (%p)
        : (!exec.buffer<?x21xf32, stride = 64>) to (!exec.buffer<?x21xf32, stride = 64, sequences>) {
    ^bb0(%rows: tensor<1x?x21xf32>):
      %i1 = arith.constant 1 : index
      %n = tensor.dim %rows, %i1 : tensor<1x?x21xf32>
      %empty = tensor.empty(%n) : tensor<1x?x21xf32>
      %e = linalg.exp ins(%rows : tensor<1x?x21xf32>) outs(%empty : tensor<1x?x21xf32>) -> tensor<1x?x21xf32>
      %last = arith.subi %n, %i1 : index
      %y = tensor.extract_slice %e[0, %last, 0] [1, 1, 21] [1, 1, 1] : tensor<1x?x21xf32> to tensor<1x1x21xf32>
      exec.yield %y : tensor<1x1x21xf32>
    }
  }
}
}
