// RUN: llmc-opt %s --verify-roundtrip --mlir-print-debuginfo=false | FileCheck %s
// RUN: llmc-opt %s --emit-bytecode | llmc-opt --mlir-print-debuginfo=false | FileCheck %s
// RUN: llmc-opt %s --mlir-print-op-generic | llmc-opt --mlir-print-debuginfo=false | FileCheck %s

// Every operation once; the reference page takes its examples from here.

// CHECK: module attributes {exec.artifact = #exec.artifact<arena_bytes = 4096, scratch_bytes = 256, kv_block_bytes = 0, vocabulary = 0, id_limit = 8, longest_sequence = 16, observations = [#exec.observation<name = "x", offset = 0, width = 4, stride = 64>], checks = [#exec.check<kind = "expect_eq", expected = "w", source = "a.mlir:1", offset = 64, width = 4>]>}
module attributes {exec.artifact =
    #exec.artifact<arena_bytes = 4096, scratch_bytes = 256, kv_block_bytes = 0, vocabulary = 0, id_limit = 8, longest_sequence = 16,
        observations = [#exec.observation<name = "x", offset = 0, width = 4, stride = 64>],
        checks = [#exec.check<kind = "expect_eq", expected = "w", source = "a.mlir:1", offset = 64, width = 4>]>} {

llmc.cache @kv : tensor<4x8xf32>
llmc.cache @kv.0 : tensor<8x8xf32>
llmc.cache @kv.1 : tensor<8x8xf32>

// CHECK-LABEL: exec.program @main run rows = 16 {
// CHECK-NEXT: %[[I:.*]] = exec.input 0 : <?x1xi32>
// CHECK-NEXT: %[[P:.*]] = exec.buffer : <?x1xi32>
// CHECK-NEXT: exec.stage {
// CHECK-NEXT: exec.positions to %[[P]] {offset = 2 : i64} : <?x1xi32>
exec.program @main run rows = 16 {
  %0 = exec.input 0 : !exec.buffer<?x1xi32>
  %1 = exec.buffer : !exec.buffer<?x1xi32>
  exec.stage {
    exec.positions to %1 {offset = 2 : i64} : !exec.buffer<?x1xi32>
  }
}

// CHECK-LABEL: exec.program @planned step rows = 512 attributes {arena_bytes = 8192 : i64, private_bytes = 0 : i64, weight_bytes = 45056 : i64} {
exec.program @planned step rows = 512 attributes {arena_bytes = 8192 : i64, private_bytes = 0 : i64, weight_bytes = 45056 : i64} {
  // CHECK: exec.input 1 at 128 : <?x1xi32>
  %1 = exec.input 1 at 128 : !exec.buffer<?x1xi32>
  // CHECK: exec.buffer at 4096 : <?x64xf32, private>
  %2 = exec.buffer at 4096 : !exec.buffer<?x64xf32, private>
  %w = llmc.weight "w" {values = dense<0.5> : tensor<172x64xf32>} : tensor<172x64xf32>
  // CHECK: exec.weight %{{.*}} at 0 bytes 45056 : <linear, tensor<172x64xf32>>
  %q = exec.weight %w at 0 bytes 45056 : !exec.packed<linear, tensor<172x64xf32>>
  // CHECK: exec.rope_table [1.000000e+00, 1.000000e-02] at 704 bytes 256 {attention_factor = 2.000000e+00 : f64} : <rope, tensor<16x4xf32>>
  %u = exec.rope_table [1.0, 0.01] at 704 bytes 256 {attention_factor = 2.0 : f64} : !exec.packed<rope, tensor<16x4xf32>>
  // The elements that buffers may have.
  // CHECK: <?x64xf16>
  // CHECK: <?x64xbf16, stride = 128, private>
  // CHECK: <4x64xi8, caller>
  %3 = exec.buffer : !exec.buffer<?x64xf16>
  %4 = exec.buffer : !exec.buffer<?x64xbf16, private, stride = 128>
  %5 = exec.buffer : !exec.buffer<4x64xi8, stride = 64, caller>
}

// CHECK-LABEL: exec.program @views run
exec.program @views run rows = 16 {
  // CHECK: %[[B:.*]] = exec.buffer : <?x40xf32, stride = 64>
  %0 = exec.buffer : !exec.buffer<?x40xf32, stride = 64>
  // CHECK: exec.view %[[B]][8] : <?x40xf32, stride = 64> -> <?x16xf32, stride = 64>
  %1 = exec.view %0[8] : !exec.buffer<?x40xf32, stride = 64> -> !exec.buffer<?x16xf32, stride = 64>
  // CHECK: exec.output %[[B]] : <?x40xf32, stride = 64>
  exec.output %0 : !exec.buffer<?x40xf32, stride = 64>
  // CHECK: exec.observe "model.layers.0.self_attn.q_proj" %[[B]] : <?x40xf32, stride = 64>
  exec.observe "model.layers.0.self_attn.q_proj" %0 : !exec.buffer<?x40xf32, stride = 64>
}

// CHECK-LABEL: exec.program @stages step
exec.program @stages step rows = 16 {
  %0 = exec.buffer : !exec.buffer<?x64xf32>
  %1 = exec.buffer : !exec.buffer<?x64xf32>
  %3 = exec.buffer : !exec.buffer<?x64xf32>
  %4 = exec.buffer : !exec.buffer<?x64xf32>
  // CHECK: exec.stage {
  // CHECK-NEXT: exec.scale %{{.*}} to %{{.*}} {factor = 8.000000e+00 : f64, share = #exec.share<unit = 16, total = 64, first = 0, width = 64, column = 0>} : !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>
  // CHECK-NEXT: exec.softmax %{{.*}} to %{{.*}} : !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>
  exec.stage {
    exec.scale %0 to %1 {factor = 8.0 : f64, share = #exec.share<unit = 16, total = 64, first = 0, width = 64, column = 0>}
        : !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>
    exec.softmax %3 to %4 : !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>
  }
  // CHECK: exec.tail rows = 64 {
  // CHECK-NEXT: exec.buffer
  // CHECK-NEXT: exec.buffer
  // CHECK-NEXT: exec.stage {
  // CHECK: exec.copy %{{.*}} to %{{.*}} : !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32, caller>
  exec.tail rows = 64 {
    %5 = exec.buffer : !exec.buffer<?x64xf32>
    %logits = exec.buffer : !exec.buffer<?x64xf32, caller>
    exec.stage {
      exec.softmax %0 to %5 : !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>
    }
    exec.stage {
      exec.copy %5 to %logits : !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32, caller>
    }
  }
}

// CHECK-LABEL: exec.program @repeated step
exec.program @repeated step rows = 16 {
  %m = llmc.weight "m" {values = dense<0.5> : tensor<64x64xf32>} : tensor<64x64xf32>
  %w0 = exec.weight %m : !exec.packed<linear, tensor<64x64xf32>>
  %w1 = exec.weight %m : !exec.packed<linear, tensor<64x64xf32>>
  %x = exec.buffer : !exec.buffer<?x64xf32>
  %k = exec.buffer : !exec.buffer<?x64xf32>
  %v = exec.buffer : !exec.buffer<?x64xf32>
  // CHECK: exec.repeat 2 (%[[ARG:.*]] = [%{{.*}}, %{{.*}}] : !exec.packed<linear, tensor<64x64xf32>>) caches {{\[}}[@kv.0, @kv.1]] {
  // CHECK-NEXT: exec.stage {
  // CHECK-NEXT: exec.linear %{{.*}}, %[[ARG]] to
  exec.repeat 2 (%w = [%w0, %w1] : !exec.packed<linear, tensor<64x64xf32>>) caches [[@kv.0, @kv.1]] {
    exec.stage {
      exec.linear %x, %w to %k : !exec.buffer<?x64xf32>, !exec.packed<linear, tensor<64x64xf32>>, !exec.buffer<?x64xf32>
      exec.cache_store %v in @kv.0 {heads = 8 : i64, part = #llmc.cache_part<values>} : !exec.buffer<?x64xf32>
    }
    exec.stage {
      exec.softmax %k to %x : !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>
    }
  }
  // Nothing but the number of turns, and an attribute of somebody else's.
  // CHECK: exec.repeat 3 attributes {llmc.note} {
  exec.repeat 3 attributes {llmc.note} {
    exec.stage {
      exec.softmax %k to %x : !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>
    }
  }
}

// CHECK-LABEL: exec.program @tail step
exec.program @tail step rows = 16 {
  %0 = exec.buffer : !exec.buffer<?x64xf32>
  exec.tail rows = 64 {
    %1 = exec.buffer : !exec.buffer<?x64xf32>
    exec.stage {
      exec.softmax %0 to %1 : !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>
    }
  }
}

// CHECK-LABEL: exec.program @kernels run
exec.program @kernels run rows = 16 {
  %w = llmc.weight "w.weight" {values = dense<0.5> : tensor<172x64xf32>} : tensor<172x64xf32>
  %v = llmc.weight "w.bias" {values = dense<0.5> : tensor<172xf32>} : tensor<172xf32>
  %g = llmc.weight "g" {values = dense<0.5> : tensor<64xf32>} : tensor<64xf32>
  %e = llmc.weight "e" {values = dense<0.5> : tensor<2x64xf32>} : tensor<2x64xf32>
  // CHECK: %[[W:.*]] = exec.weight %{{.*}} : <linear, tensor<172x64xf32>>
  %p = exec.weight %w : !exec.packed<linear, tensor<172x64xf32>>
  %bias_file = exec.weight %v : !exec.packed<bias, tensor<172xf32>>
  %scale = exec.weight %g : !exec.packed<vector, tensor<64xf32>>
  %f = llmc.weight "f" {values = dense<0.5> : tensor<1xf32>} : tensor<1xf32>
  %one = exec.weight %f : !exec.packed<vector, tensor<1xf32>>
  %rows = exec.weight %e : !exec.packed<rows, tensor<2x64xf32>>
  // CHECK: %[[T:.*]] = exec.rope_table [1.000000e+00, 1.000000e-02] : <rope, tensor<16x4xf32>>
  %t = exec.rope_table [1.0, 0.01] : !exec.packed<rope, tensor<16x4xf32>>
  // CHECK: %[[L:.*]] = exec.rope_table [2.500000e-01, 2.500000e-03] : <rope, tensor<16x4xf32>>
  %l = exec.rope_table [0.25, 0.0025] : !exec.packed<rope, tensor<16x4xf32>>
  %ids = exec.input 0 : !exec.buffer<?x1xi32>
  %m = exec.input 1 : !exec.buffer<?x1xi32>
  %x = exec.buffer : !exec.buffer<?x64xf32>
  %a = exec.buffer : !exec.buffer<?x64xf32>
  %b = exec.buffer : !exec.buffer<?x64xf32>
  %y = exec.buffer : !exec.buffer<?x64xf32>
  %n = exec.buffer : !exec.buffer<?x64xf32, private>
  %c = exec.buffer : !exec.buffer<?x64xi8, private>
  %s = exec.buffer : !exec.buffer<?x1xf32, private>
  %s2 = exec.buffer : !exec.buffer<?x2xf32, private>
  %k = exec.buffer : !exec.buffer<?x32xf32>
  %h = exec.buffer : !exec.buffer<?x8xf32>
  %hr = exec.buffer : !exec.buffer<?x8xf32>
  %r = exec.buffer : !exec.buffer<?x172xf32, stride = 192>
  %z = exec.buffer : !exec.buffer<?x172xf32, stride = 192>
  %outcome = exec.buffer : !exec.buffer<1x3xi32, stride = 16>
  exec.stage {
    // CHECK: exec.embedding %[[W]], %{{.*}} to %{{.*}} : !exec.packed<linear, tensor<172x64xf32>>, !exec.buffer<?x1xi32>, !exec.buffer<?x64xf32>
    exec.embedding %p, %ids to %a : !exec.packed<linear, tensor<172x64xf32>>, !exec.buffer<?x1xi32>, !exec.buffer<?x64xf32>
    // CHECK: exec.copy %{{.*}} to %{{.*}} : !exec.packed<rows, tensor<2x64xf32>>, !exec.buffer<?x64xf32>
    exec.copy %rows to %x : !exec.packed<rows, tensor<2x64xf32>>, !exec.buffer<?x64xf32>
  }
  exec.stage {
    // CHECK: exec.rms_norm %{{.*}}, %{{.*}} to %{{.*}} {eps = 1.000000e-05 : f64} : !exec.buffer<?x64xf32>, !exec.packed<vector, tensor<64xf32>>, !exec.buffer<?x64xf32, private>
    exec.rms_norm %x, %scale to %n {eps = 1.0e-5 : f64} : !exec.buffer<?x64xf32>, !exec.packed<vector, tensor<64xf32>>, !exec.buffer<?x64xf32, private>
    // Private to each worker, so it is read in the same stage.
    // CHECK: exec.linear %{{.*}}, %[[W]] bias %{{.*}} residual %{{.*}} to %{{.*}} {share = #exec.share<unit = 32, total = 172, first = 0, width = 172, column = 0>} : !exec.buffer<?x64xf32, private>, !exec.packed<linear, tensor<172x64xf32>>, !exec.packed<bias, tensor<172xf32>>, !exec.buffer<?x172xf32, stride = 192>, !exec.buffer<?x172xf32, stride = 192>
    exec.linear %n, %p bias %bias_file residual %r to %z {share = #exec.share<unit = 32, total = 172, first = 0, width = 172, column = 0>}
        : !exec.buffer<?x64xf32, private>, !exec.packed<linear, tensor<172x64xf32>>, !exec.packed<bias, tensor<172xf32>>,
          !exec.buffer<?x172xf32, stride = 192>, !exec.buffer<?x172xf32, stride = 192>
  }
  exec.stage {
    // CHECK: exec.quantize %{{.*}} to %[[C:.*]], %[[S:.*]] : !exec.buffer<?x64xf32, private>, !exec.buffer<?x64xi8, private>, !exec.buffer<?x1xf32, private>
    exec.quantize %n to %c, %s : !exec.buffer<?x64xf32, private>, !exec.buffer<?x64xi8, private>, !exec.buffer<?x1xf32, private>
    // CHECK: exec.linear %[[C]] scales %[[S]], %[[W]] to %{{.*}} : !exec.buffer<?x64xi8, private>, !exec.buffer<?x1xf32, private>, !exec.packed<linear, tensor<172x64xf32>>, !exec.buffer<?x172xf32, stride = 192>
    exec.linear %c scales %s, %p to %z : !exec.buffer<?x64xi8, private>, !exec.buffer<?x1xf32, private>,
        !exec.packed<linear, tensor<172x64xf32>>, !exec.buffer<?x172xf32, stride = 192>
    // CHECK: exec.quantize %{{.*}} by %{{.*}} to %[[C]], %[[S]] : !exec.buffer<?x64xf32, private>, !exec.packed<vector, tensor<1xf32>>, !exec.buffer<?x64xi8, private>, !exec.buffer<?x1xf32, private>
    exec.quantize %n by %one to %c, %s : !exec.buffer<?x64xf32, private>, !exec.packed<vector, tensor<1xf32>>, !exec.buffer<?x64xi8, private>,
        !exec.buffer<?x1xf32, private>
    // CHECK: exec.quantize %{{.*}} to %[[C]], %[[G:.*]] {group = 32 : i64} : {{.*}}, !exec.buffer<?x2xf32, private>
    exec.quantize %n to %c, %s2 {group = 32 : i64} : !exec.buffer<?x64xf32, private>, !exec.buffer<?x64xi8, private>, !exec.buffer<?x2xf32, private>
    // CHECK: exec.linear %[[C]] scales %[[G]], %[[W]] to %{{.*}} {group = 32 : i64} :
    exec.linear %c scales %s2, %p to %z {group = 32 : i64} : !exec.buffer<?x64xi8, private>, !exec.buffer<?x2xf32, private>,
        !exec.packed<linear, tensor<172x64xf32>>, !exec.buffer<?x172xf32, stride = 192>
  }
  exec.stage {
    // CHECK: exec.layer_norm %{{.*}}, %{{.*}}, %{{.*}} to %{{.*}} {eps = 1.000000e-05 : f64}
    exec.layer_norm %x, %scale, %scale to %y {eps = 1.0e-5 : f64} : !exec.buffer<?x64xf32>, !exec.packed<vector, tensor<64xf32>>,
        !exec.packed<vector, tensor<64xf32>>, !exec.buffer<?x64xf32>
    // CHECK: exec.rope %{{.*}}, %[[T]] to %{{.*}} {heads = 2 : i64, layout = #llmc.rope_layout<half>} : !exec.buffer<?x8xf32>, !exec.packed<rope, tensor<16x4xf32>>, !exec.buffer<?x8xf32>
    exec.rope %h, %t to %hr {heads = 2 : i64, layout = #llmc.rope_layout<half>}
        : !exec.buffer<?x8xf32>, !exec.packed<rope, tensor<16x4xf32>>, !exec.buffer<?x8xf32>
    // CHECK: exec.rope %{{.*}}, %[[T]] long %[[L]] to %{{.*}} {heads = 2 : i64, layout = #llmc.rope_layout<half>, original_context = 8 : i64} : !exec.buffer<?x8xf32>, !exec.packed<rope, tensor<16x4xf32>>, !exec.packed<rope, tensor<16x4xf32>>, !exec.buffer<?x8xf32>
    exec.rope %h, %t long %l to %hr {heads = 2 : i64, layout = #llmc.rope_layout<half>, original_context = 8 : i64}
        : !exec.buffer<?x8xf32>, !exec.packed<rope, tensor<16x4xf32>>, !exec.packed<rope, tensor<16x4xf32>>, !exec.buffer<?x8xf32>
    // CHECK: exec.cache_store %{{.*}} in @kv {heads = 4 : i64, part = #llmc.cache_part<keys>} : <?x32xf32>
    exec.cache_store %k in @kv {heads = 4 : i64, part = #llmc.cache_part<keys>} : !exec.buffer<?x32xf32>
  }
  exec.stage {
    // CHECK: exec.attention %{{.*}}, %{{.*}}, %{{.*}} mask %{{.*}} to %{{.*}} {heads = 8 : i64, kv_heads = 4 : i64, scale = 0.353553385 : f64} : !exec.buffer<?x64xf32>, !exec.buffer<?x32xf32>, !exec.buffer<?x32xf32>, !exec.buffer<?x1xi32>, !exec.buffer<?x64xf32>
    exec.attention %x, %k, %k mask %m to %y {heads = 8 : i64, kv_heads = 4 : i64, scale = 0.353553385 : f64}
        : !exec.buffer<?x64xf32>, !exec.buffer<?x32xf32>, !exec.buffer<?x32xf32>, !exec.buffer<?x1xi32>, !exec.buffer<?x64xf32>
    // CHECK: exec.cached_attention %{{.*}} in @kv to %{{.*}} {causal, heads = 8 : i64, kv_heads = 4 : i64, scale = 0.353553385 : f64} : !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>
    exec.cached_attention %x in @kv to %y {causal, heads = 8 : i64, kv_heads = 4 : i64, scale = 0.353553385 : f64}
        : !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>
  }
  exec.stage {
    // CHECK: exec.gate %{{.*}}, %{{.*}} to %{{.*}} {kind = #llmc.activation_kind<silu>} : !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>
    exec.gate %a, %b to %y {kind = #llmc.activation_kind<silu>} : !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>
  }
  exec.stage {
    // CHECK: exec.activation %{{.*}} to %{{.*}} {kind = #llmc.activation_kind<gelu>} : !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>
    exec.activation %x to %y {kind = #llmc.activation_kind<gelu>} : !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>
  }
  exec.stage {
    // CHECK: exec.scale %{{.*}} to %{{.*}} {factor = 8.000000e+00 : f64} : !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>
    exec.scale %x to %y {factor = 8.0 : f64} : !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>
  }
  exec.stage {
    // CHECK: exec.softmax %{{.*}} to %{{.*}} : !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>
    exec.softmax %x to %y : !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>
  }
  exec.stage {
    // CHECK: exec.binary add %{{.*}}, %{{.*}} to %{{.*}} : !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>
    exec.binary add %a, %b to %y : !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>
    // CHECK: exec.expect %{{.*}}, %{{.*}} to %{{.*}} {atol = 9.9999999999999995E-7 : f64, rtol = 1.000000e-05 : f64} : !exec.buffer<?x64xf32>, !exec.packed<rows, tensor<2x64xf32>>, !exec.buffer<1x3xi32, stride = 16>
    exec.expect %x, %rows to %outcome {atol = 1.0e-6 : f64, rtol = 1.0e-5 : f64}
        : !exec.buffer<?x64xf32>, !exec.packed<rows, tensor<2x64xf32>>, !exec.buffer<1x3xi32, stride = 16>
  }
}

// CHECK-LABEL: exec.program @bodies run
exec.program @bodies run rows = 16 {
  %w = llmc.weight "w" {values = dense<0.5> : tensor<8x64xf32>} : tensor<8x64xf32>
  %table = exec.weight %w : !exec.packed<rows, tensor<8x64xf32>>
  %ids = exec.input 0 : !exec.buffer<?x1xi32>
  %x = exec.buffer : !exec.buffer<?x64xf32>
  // CHECK: exec.buffer : <?x64xf32, sequences>
  %p = exec.buffer : !exec.buffer<?x64xf32, sequences>
  %q = exec.buffer : !exec.buffer<?x64xf32, sequences>
  exec.stage {
    // CHECK: exec.generic "llmc.gather" each row(%{{.*}}, %{{.*}}) to(%{{.*}}) {index_limits = array<i64: 0, 8>} : (!exec.packed<rows, tensor<8x64xf32>>, !exec.buffer<?x1xi32>) to(!exec.buffer<?x64xf32>) {
    // CHECK-NEXT: ^bb0(%{{.*}}: tensor<8x64xf32>, %{{.*}}: tensor<1x1xi32>):
    exec.generic "llmc.gather" each row (%table, %ids) to (%x) {index_limits = array<i64: 0, 8>}
        : (!exec.packed<rows, tensor<8x64xf32>>, !exec.buffer<?x1xi32>) to (!exec.buffer<?x64xf32>) {
    ^bb0(%rows: tensor<8x64xf32>, %id: tensor<1x1xi32>):
      %y = tensor.empty() : tensor<1x1x64xf32>
      exec.yield %y : tensor<1x1x64xf32>
    }
  }
  exec.stage {
    // CHECK: exec.generic "llmc.gather" each sequence(%{{.*}}) to(%{{.*}}) : (!exec.buffer<?x64xf32>) to(!exec.buffer<?x64xf32, sequences>) {
    // CHECK: exec.yield %{{.*}} : tensor<1x1x64xf32>
    exec.generic "llmc.gather" each sequence (%x) to (%p) : (!exec.buffer<?x64xf32>) to (!exec.buffer<?x64xf32, sequences>) {
    ^bb0(%rows: tensor<1x?x64xf32>):
      %first = tensor.extract_slice %rows[0, 0, 0] [1, 1, 64] [1, 1, 1] : tensor<1x?x64xf32> to tensor<1x1x64xf32>
      exec.yield %first : tensor<1x1x64xf32>
    }
  }
  exec.stage {
    // CHECK: exec.generic "math.absf" each row(%{{.*}}) to(%{{.*}}) {scratch_bytes = 64 : i64} : (!exec.buffer<?x64xf32, sequences>) to(!exec.buffer<?x64xf32, sequences>) {
    // CHECK: exec.yield
    exec.generic "math.absf" each row (%p) to (%q) {scratch_bytes = 64 : i64} : (!exec.buffer<?x64xf32, sequences>) to (!exec.buffer<?x64xf32, sequences>) {
    ^bb0(%in: memref<1x1x64xf32>, %out: memref<1x1x64xf32>, %scratch: memref<?xi8>):
      exec.yield
    }
  }
  // CHECK: exec.output %{{.*}} {rank = 2 : i64} : <?x64xf32, sequences>
  exec.output %p {rank = 2 : i64} : !exec.buffer<?x64xf32, sequences>
}

}
