// RUN: llmc-opt %s --fuse-stages --mlir-print-debuginfo=false | FileCheck %s

// A decoder layer is five stages. q, k and v are shared out as one matrix of 16 + 8 + 8 columns; the rotation and the cache follow in
// the same thread; both norms are computed by every thread for itself.
llmc.cache @kv : tensor<1x8xf32>
func.func @main(%ids: tensor<?x?xi64>) -> tensor<?x?x64xf32> attributes {llmc.role = "step"} {
  %e = llmc.weight "embed.weight" {values = dense<0.5> : tensor<64x16xf32>} : tensor<64x16xf32>
  %g = llmc.weight "norm.weight" {values = dense<1.0> : tensor<16xf32>} : tensor<16xf32>
  %wq = llmc.weight "q.weight" {values = dense<0.5> : tensor<16x16xf32>} : tensor<16x16xf32>
  %wk = llmc.weight "k.weight" {values = dense<0.5> : tensor<8x16xf32>} : tensor<8x16xf32>
  %wu = llmc.weight "up.weight" {values = dense<0.5> : tensor<40x16xf32>} : tensor<40x16xf32>
  %wd = llmc.weight "down.weight" {values = dense<0.5> : tensor<16x40xf32>} : tensor<16x40xf32>
  // CHECK: %[[X:.*]] = llmc.embedding {{.*}} {llmc.stage = 1 : i64}
  %x = llmc.embedding %e, %ids : tensor<64x16xf32>, tensor<?x?xi64>
  // CHECK: %[[N:.*]] = llmc.rms_norm %[[X]], {{.*}}llmc.private, llmc.stage = 2 : i64
  %n = llmc.rms_norm %x, %g {eps = 1.0e-5 : f64} : tensor<?x?x16xf32>, tensor<16xf32>
  // CHECK: %[[Q:.*]] = llmc.linear %[[N]], {{.*}} {llmc.share = array<i64: 32, 32, 0, 16, 0>, llmc.stage = 2 : i64}
  // CHECK: %[[K:.*]] = llmc.linear %[[N]], {{.*}} {llmc.share = array<i64: 32, 32, 16, 8, 0>, llmc.stage = 2 : i64}
  // CHECK: %[[V:.*]] = llmc.linear %[[N]], {{.*}} {llmc.share = array<i64: 32, 32, 24, 8, 0>, llmc.stage = 2 : i64}
  %q = llmc.linear %n, %wq : tensor<?x?x16xf32>, tensor<16x16xf32>
  %k = llmc.linear %n, %wk : tensor<?x?x16xf32>, tensor<8x16xf32>
  %v = llmc.linear %n, %wk : tensor<?x?x16xf32>, tensor<8x16xf32>
  // CHECK: %[[QR:.*]] = llmc.rope %[[Q]] {{.*}}llmc.share = array<i64: 32, 32, 0, 16, 0>, llmc.stage = 2 : i64
  // CHECK: %[[KR:.*]] = llmc.rope %[[K]] {{.*}}llmc.share = array<i64: 32, 32, 16, 8, 0>, llmc.stage = 2 : i64
  // CHECK: llmc.cache_store %[[KR]] in @kv {{.*}}llmc.stage = 2 : i64, part = #llmc.cache_part<keys>
  // CHECK: llmc.cache_store %[[V]] in @kv {{.*}}llmc.stage = 2 : i64, part = #llmc.cache_part<values>
  %qr = llmc.rope %q {heads = 2 : i64, frequencies = array<f64: 1.0, 0.1>, layout = #llmc.rope_layout<half>} : tensor<?x?x16xf32>
  %kr = llmc.rope %k {heads = 1 : i64, frequencies = array<f64: 1.0, 0.1>, layout = #llmc.rope_layout<half>} : tensor<?x?x8xf32>
  // CHECK: %[[A:.*]] = llmc.attention %[[QR]], {{.*}}llmc.stage = 3 : i64
  %a = llmc.attention %qr, %kr, %v cache @kv {heads = 2 : i64, kv_heads = 1 : i64, scale = 0.5 : f64, causal}
      : tensor<?x?x16xf32>, tensor<?x?x8xf32>, tensor<?x?x8xf32>
  // The residual is added by the linear, and from here on only the wanted rows are computed.
  // CHECK: %[[O:.*]] = llmc.linear %[[A]], {{.*}} {llmc.fused, llmc.stage = 4 : i64, llmc.tail}
  // CHECK: %[[R:.*]] = arith.addf %[[X]], %[[O]] {llmc.share = array<i64: 32, 16, 0, 16, 0>, llmc.stage = 4 : i64, llmc.tail}
  %o = llmc.linear %a, %wq : tensor<?x?x16xf32>, tensor<16x16xf32>
  %r = arith.addf %x, %o : tensor<?x?x16xf32>
  // Gate and up are shared out alike, so their product needs no barrier.
  // CHECK: %[[M:.*]] = llmc.rms_norm %[[R]], {{.*}}llmc.private, llmc.stage = 5 : i64, llmc.tail
  // CHECK: %[[G:.*]] = llmc.linear %[[M]], {{.*}} {llmc.share = array<i64: 32, 40, 0, 40, 0>, llmc.stage = 5 : i64, llmc.tail}
  // CHECK: %[[U:.*]] = llmc.linear %[[M]], {{.*}} {llmc.share = array<i64: 32, 40, 0, 40, 0>, llmc.stage = 5 : i64, llmc.tail}
  // CHECK: llmc.gated_activation %[[G]], %[[U]] {kind = #llmc.activation_kind<silu>, llmc.share = array<i64: 32, 40, 0, 40, 0>, llmc.stage = 5 : i64, llmc.tail}
  %m = llmc.rms_norm %r, %g {eps = 1.0e-5 : f64} : tensor<?x?x16xf32>, tensor<16xf32>
  %gate = llmc.linear %m, %wu : tensor<?x?x16xf32>, tensor<40x16xf32>
  %up = llmc.linear %m, %wu : tensor<?x?x16xf32>, tensor<40x16xf32>
  %act = llmc.activation %gate {kind = #llmc.activation_kind<silu>} : tensor<?x?x40xf32>
  %p = arith.mulf %act, %up : tensor<?x?x40xf32>
  // CHECK: arith.addf {{.*}}llmc.stage = 6 : i64, llmc.tail}
  %d = llmc.linear %p, %wd : tensor<?x?x40xf32>, tensor<16x40xf32>
  %s = arith.addf %r, %d : tensor<?x?x16xf32>
  // CHECK: llmc.linear {{.*}} {llmc.share = array<i64: 32, 64, 0, 64, 0>, llmc.stage = 7 : i64, llmc.tail}
  %logits = llmc.linear %s, %e : tensor<?x?x16xf32>, tensor<64x16xf32>
  return %logits : tensor<?x?x64xf32>
}
