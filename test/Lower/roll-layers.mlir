// RUN: llmc-opt %s --roll-layers --mlir-print-debuginfo=false | FileCheck %s

// Two layers of two stages, different in a matrix, in the buffers between them and in the cache. The rest lies in one place in both layers.
llmc.cache @kv.0 : tensor<1x4xf32>
llmc.cache @kv.1 : tensor<1x4xf32>
// CHECK-LABEL: exec.program @main step
exec.program @main step rows = 16 attributes {weight_bytes = 1024 : i64, arena_bytes = 16384 : i64, private_bytes = 0 : i64} {
  %a = llmc.weight "layers.0.weight" {values = dense<0.5> : tensor<4x4xf32>} : tensor<4x4xf32>
  %b = llmc.weight "layers.1.weight" {values = dense<0.25> : tensor<4x4xf32>} : tensor<4x4xf32>
  // CHECK: %[[A:.*]] = exec.weight %{{.*}} at 0
  // CHECK: %[[B:.*]] = exec.weight %{{.*}} at 512
  %0 = exec.weight %a at 0 bytes 512 : !exec.packed<linear, tensor<4x4xf32>>
  %1 = exec.weight %b at 512 bytes 512 : !exec.packed<linear, tensor<4x4xf32>>
  // CHECK: %[[X:.*]] = exec.buffer at 0
  // CHECK: %[[H:.*]] = exec.buffer at 4096
  // CHECK-NOT: exec.buffer
  %x = exec.buffer at 0 : !exec.buffer<?x4xf32, stride = 64>
  %h = exec.buffer at 4096 : !exec.buffer<?x4xf32, stride = 64>
  %y = exec.buffer at 0 : !exec.buffer<?x4xf32, stride = 64>
  %i = exec.buffer at 4096 : !exec.buffer<?x4xf32, stride = 64>
  %z = exec.buffer at 0 : !exec.buffer<?x4xf32, stride = 64>
  // CHECK: exec.repeat 2 (%[[W:.*]] = [%[[A]], %[[B]]] : !exec.packed<linear, tensor<4x4xf32>>) caches {{\[}}[@kv.0, @kv.1]] {
  // CHECK-NEXT: exec.stage {
  // CHECK-NEXT: exec.linear %[[X]], %[[W]] to %[[H]]
  // CHECK-NEXT: exec.cache_store %[[X]] in @kv.0 {{.*}}
  // CHECK: exec.stage {
  // CHECK-NEXT: exec.cached_attention %[[H]] in @kv.0 to %[[X]] {{.*}}
  // CHECK-NOT: exec.stage
  exec.stage {
    exec.linear %x, %0 to %h : !exec.buffer<?x4xf32, stride = 64>, !exec.packed<linear, tensor<4x4xf32>>, !exec.buffer<?x4xf32, stride = 64>
    exec.cache_store %x in @kv.0 {heads = 1 : i64, part = #llmc.cache_part<keys>} : !exec.buffer<?x4xf32, stride = 64>
  }
  exec.stage {
    exec.cached_attention %h in @kv.0 to %y {causal, heads = 1 : i64, kv_heads = 1 : i64, scale = 0.5 : f64}
        : !exec.buffer<?x4xf32, stride = 64>, !exec.buffer<?x4xf32, stride = 64>
  }
  exec.stage {
    exec.linear %y, %1 to %i : !exec.buffer<?x4xf32, stride = 64>, !exec.packed<linear, tensor<4x4xf32>>, !exec.buffer<?x4xf32, stride = 64>
    exec.cache_store %y in @kv.1 {heads = 1 : i64, part = #llmc.cache_part<keys>} : !exec.buffer<?x4xf32, stride = 64>
  }
  exec.stage {
    exec.cached_attention %i in @kv.1 to %z {causal, heads = 1 : i64, kv_heads = 1 : i64, scale = 0.5 : f64}
        : !exec.buffer<?x4xf32, stride = 64>, !exec.buffer<?x4xf32, stride = 64>
  }
}
