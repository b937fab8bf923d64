// RUN: llmc-opt %s --fuse-stages --split-input-file --mlir-print-debuginfo=false | FileCheck %s

// What has no kernel is a body. A row for each sequence goes on through kernels as such rows.
// CHECK-LABEL: exec.program @pooled run
func.func @pooled(%ids: tensor<?x?xi64>, %mask: tensor<?x?xi64>) -> (tensor<?x8xf32>, tensor<?x1x1xf32>) attributes {llmc.role = "run"} {
  // CHECK: %[[TABLE:.*]] = exec.weight %{{.*}} : <rows, tensor<16x64xf32>>
  // CHECK: %[[IDS:.*]] = exec.input 0 : <?x1xi32>
  // CHECK: %[[MASK:.*]] = exec.input 1 : <?x1xi32>
  // CHECK-NEXT: %[[X:.*]] = exec.buffer : <?x64xf32>
  // CHECK-NEXT: %[[P:.*]] = exec.buffer : <?x64xf32, sequences>
  // CHECK-NEXT: %[[M:.*]] = exec.buffer : <?x1xf32, stride = 64, sequences>
  // CHECK-NEXT: %[[Y:.*]] = exec.buffer : <?x8xf32, stride = 64, sequences>
  // CHECK-NEXT: %[[Z:.*]] = exec.buffer : <?x8xf32, stride = 64, sequences>
  %e = llmc.weight "e" {values = dense<0.5> : tensor<16x64xf32>} : tensor<16x64xf32>
  %w = llmc.weight "w" {values = dense<0.5> : tensor<8x64xf32>} : tensor<8x64xf32>
  // CHECK: exec.generic "llmc.gather" each row(%[[TABLE]], %[[IDS]]) to(%[[X]]) {index_limits = array<i64: 0, 16>}
  // CHECK-NEXT: ^bb0(%{{.*}}: tensor<16x64xf32>, %{{.*}}: tensor<1x1xi32>):
  %x = llmc.gather %e at %ids : tensor<16x64xf32>, tensor<?x?xi64>
  // CHECK: exec.generic "llmc.reduce" each sequence(%[[X]], %[[MASK]]) to(%[[P]]) :
  // CHECK-NEXT: ^bb0(%{{.*}}: tensor<1x?x64xf32>, %{{.*}}: tensor<1x?xi32>):
  // CHECK: exec.yield %{{.*}} : tensor<1x1x64xf32>
  %p = llmc.reduce %x mask %mask {kind = #llmc.reduce_kind<mean>, axes = array<i64: 1>} : tensor<?x?x64xf32>, tensor<?x?xi64>
  %flat = tensor.collapse_shape %p [[0, 1], [2]] : tensor<?x1x64xf32> into tensor<?x64xf32>
  // CHECK: exec.generic "llmc.reduce" each sequence(%[[X]]) to(%[[M]])
  %m = llmc.reduce %x {kind = #llmc.reduce_kind<max>, axes = array<i64: 1, 2>} : tensor<?x?x64xf32>
  // CHECK: exec.linear %[[P]], %{{.*}} to %[[Y]]
  %y = llmc.linear %flat, %w : tensor<?x64xf32>, tensor<8x64xf32>
  // A scalar operation without a kernel, on each row that there is.
  // CHECK: exec.generic "math.exp" each row(%[[Y]]) to(%[[Z]]) :
  // CHECK-NEXT: ^bb0(%{{.*}}: tensor<1x8xf32>):
  // CHECK: math.exp %{{.*}} : f32
  %z = math.exp %y : tensor<?x8xf32>
  // CHECK: exec.output %[[Z]] {rank = 2 : i64}
  // CHECK: exec.output %[[M]] :
  return %z, %m : tensor<?x8xf32>, tensor<?x1x1xf32>
}

// -----

// Of a step, a body for each row may be in the tail.
// CHECK-LABEL: exec.program @step step
llmc.cache @kv : tensor<1x16xf32>
func.func @step(%ids: tensor<?x?xi64>) -> tensor<?x?x16xf32> attributes {llmc.role = "step"} {
  %e = llmc.weight "e" {values = dense<0.5> : tensor<16x16xf32>} : tensor<16x16xf32>
  %x = llmc.embedding %e, %ids : tensor<16x16xf32>, tensor<?x?xi64>
  %a = llmc.attention %x, %x, %x cache @kv {heads = 1 : i64, kv_heads = 1 : i64, scale = 0.25 : f64, causal}
      : tensor<?x?x16xf32>, tensor<?x?x16xf32>, tensor<?x?x16xf32>
  // CHECK: exec.tail
  // CHECK: exec.generic "math.tanh" each row
  %y = math.tanh %a : tensor<?x?x16xf32>
  return %y : tensor<?x?x16xf32>
}
