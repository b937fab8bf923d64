// RUN: llmc-opt %s --fuse-stages --pack-weights --plan-memory --lower-step --mlir-print-debuginfo=false | FileCheck %s --implicit-check-not="= llmc."

// One step: kernels in stages with barriers between; both linears of the first stage are one kernel.
// CHECK: module attributes
module attributes {llmc.compile = {prefix = "m", context = 16 : i64, chunk = 16 : i64}, llmc.cpu = {lanes = 8 : i64, registers = 16 : i64}} {
  llmc.cache @kv : tensor<1x4xf32>
  // CHECK-SAME: exec.artifact = #exec.artifact<arena_bytes = {{[0-9]+}}, scratch_bytes = {{[0-9]+}}, kv_block_bytes = 512, vocabulary = 8, id_limit = 8, longest_sequence = 0, observations = [], checks = []>
  // CHECK: func.func private @m_step(
  func.func @main(%ids: tensor<?x?xi64>) -> tensor<?x?x8xf32> attributes {llmc.role = "step"} {
    %e = llmc.weight "embed.weight" {values = dense<0.5> : tensor<8x4xf32>} : tensor<8x4xf32>
    %v = llmc.weight "v.weight" {values = dense<0.25> : tensor<4x4xf32>} : tensor<4x4xf32>
    %w = llmc.weight "w.weight" {values = dense<0.5> : tensor<4x4xf32>} : tensor<4x4xf32>
    // CHECK: call @embedding_packed_f32_8x4_y64(
    // CHECK: call @m_barrier(
    %x = llmc.embedding %e, %ids : tensor<8x4xf32>, tensor<?x?xi64>
    // CHECK: call @[[LINEAR:linear_f32_4x4_x64_y64]](
    // CHECK-NOT: call @m_barrier(
    // CHECK: call @[[LINEAR]](
    // CHECK-NOT: call @m_barrier(
    %q = llmc.linear %x, %v : tensor<?x?x4xf32>, tensor<4x4xf32>
    %k = llmc.linear %x, %w : tensor<?x?x4xf32>, tensor<4x4xf32>
    // CHECK: call @store_keys
    // CHECK: call @store_values
    // CHECK: call @m_barrier(
    // CHECK: call @attention_cached
    %a = llmc.attention %q, %k, %k cache @kv {heads = 1 : i64, kv_heads = 1 : i64, scale = 0.5 : f64, causal}
        : tensor<?x?x4xf32>, tensor<?x?x4xf32>, tensor<?x?x4xf32>
    // Behind the last attention: for the wanted rows only.
    // CHECK: scf.for
    // CHECK: call @linear_f32_8x4
    %logits = llmc.linear %a, %e : tensor<?x?x4xf32>, tensor<8x4xf32>
    return %logits : tensor<?x?x8xf32>
  }
}
// CHECK-COUNT-1: func.func private @[[LINEAR]](
// CHECK-DAG: func.func @m_prefill(
// CHECK-DAG: func.func @m_decode(
