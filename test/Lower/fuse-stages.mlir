// RUN: llmc-opt %s --fuse-stages --mlir-print-debuginfo=false | FileCheck %s

// A decoder layer is five stages. q, k and v are shared out as one matrix of 16 + 8 + 8 columns; the rotation and the cache follow in
// the same thread; both norms are computed by every thread for itself.
llmc.cache @kv : tensor<1x8xf32>
// CHECK: exec.program @main step rows = 512 {
func.func @main(%ids: tensor<?x?xi64>) -> tensor<?x?x64xf32> attributes {llmc.role = "step"} {
  %e = llmc.weight "embed.weight" {values = dense<0.5> : tensor<64x16xf32>} : tensor<64x16xf32>
  %g = llmc.weight "norm.weight" {values = dense<1.0> : tensor<16xf32>} : tensor<16xf32>
  %wq = llmc.weight "q.weight" {values = dense<0.5> : tensor<16x16xf32>} : tensor<16x16xf32>
  %wk = llmc.weight "k.weight" {values = dense<0.5> : tensor<8x16xf32>} : tensor<8x16xf32>
  %wu = llmc.weight "up.weight" {values = dense<0.5> : tensor<40x16xf32>} : tensor<40x16xf32>
  %wd = llmc.weight "down.weight" {values = dense<0.5> : tensor<16x40xf32>} : tensor<16x40xf32>
  // Each weight in the forms that are read, the table of the embedding as the logits want it.
  // CHECK: %[[E:.*]] = exec.weight %embed_weight : <linear, tensor<64x16xf32>>
  // CHECK: %[[WG:.*]] = exec.weight %norm_weight : <vector, tensor<16xf32>>
  // CHECK: %[[WQ:.*]] = exec.weight %q_weight : <linear, tensor<16x16xf32>>
  // CHECK: %[[T:.*]] = exec.rope_table [1.000000e+00, 1.000000e-01] : <rope, tensor<2048x4xf32>>
  // CHECK: %[[IDS:.*]] = exec.input 0 : <?x1xi32>
  // CHECK: exec.stage {
  // CHECK-NEXT: exec.embedding %[[E]], %[[IDS]] to %[[X:[0-9]+]] :
  // CHECK-NEXT: {{^ *[}]$}}
  %x = llmc.embedding %e, %ids : tensor<64x16xf32>, tensor<?x?xi64>
  // CHECK-NEXT: exec.stage {
  // CHECK-NEXT: exec.rms_norm %[[X]], %[[WG]] to %[[N:[0-9]+]] {{.*}}!exec.buffer<?x16xf32, stride = 64, private>
  %n = llmc.rms_norm %x, %g {eps = 1.0e-5 : f64} : tensor<?x?x16xf32>, tensor<16xf32>
  // CHECK-NEXT: exec.linear %[[N]], %[[WQ]] to %[[Q:[0-9]+]] {share = #exec.share<unit = 32, total = 32, first = 0, width = 16, column = 0>}
  // CHECK-NEXT: exec.linear %[[N]], %{{.*}} to %[[K:[0-9]+]] {share = #exec.share<unit = 32, total = 32, first = 16, width = 8, column = 0>}
  // CHECK-NEXT: exec.linear %[[N]], %{{.*}} to %[[V:[0-9]+]] {share = #exec.share<unit = 32, total = 32, first = 24, width = 8, column = 0>}
  %q = llmc.linear %n, %wq : tensor<?x?x16xf32>, tensor<16x16xf32>
  %k = llmc.linear %n, %wk : tensor<?x?x16xf32>, tensor<8x16xf32>
  %v = llmc.linear %n, %wk : tensor<?x?x16xf32>, tensor<8x16xf32>
  // CHECK-NEXT: exec.rope %[[Q]], %[[T]] to %[[QR:[0-9]+]] {{.*}}share = #exec.share<unit = 32, total = 32, first = 0, width = 16, column = 0>}
  // CHECK-NEXT: exec.rope %[[K]], %[[T]] to %[[KR:[0-9]+]] {{.*}}share = #exec.share<unit = 32, total = 32, first = 16, width = 8, column = 0>}
  // CHECK-NEXT: exec.cache_store %[[KR]] in @kv {{.*}}part = #llmc.cache_part<keys>
  // CHECK-NEXT: exec.cache_store %[[V]] in @kv {{.*}}part = #llmc.cache_part<values>
  // CHECK-NEXT: {{^ *[}]$}}
  %qr = llmc.rope %q {heads = 2 : i64, frequencies = array<f64: 1.0, 0.1>, layout = #llmc.rope_layout<half>} : tensor<?x?x16xf32>
  %kr = llmc.rope %k {heads = 1 : i64, frequencies = array<f64: 1.0, 0.1>, layout = #llmc.rope_layout<half>} : tensor<?x?x8xf32>
  // CHECK-NEXT: exec.stage {
  // CHECK-NEXT: exec.cached_attention %[[QR]] in @kv to %[[A:[0-9]+]] {causal, heads = 2 : i64, kv_heads = 1 : i64
  // CHECK-NEXT: {{^ *[}]$}}
  %a = llmc.attention %qr, %kr, %v cache @kv {heads = 2 : i64, kv_heads = 1 : i64, scale = 0.5 : f64, causal}
      : tensor<?x?x16xf32>, tensor<?x?x8xf32>, tensor<?x?x8xf32>
  // The residual is added by the linear, and from here on only the wanted rows are computed.
  // CHECK-NEXT: exec.tail rows = 64 {
  // CHECK: %[[LOGITS:.*]] = exec.buffer : <?x64xf32, caller>
  // CHECK-NEXT: exec.stage {
  // CHECK-NEXT: exec.linear %[[A]], %[[WQ]] residual %[[X]] to %[[R:[0-9]+]] {share = #exec.share<unit = 32, total = 16, first = 0, width = 16, column = 0>}
  // CHECK-NEXT: {{^ *[}]$}}
  %o = llmc.linear %a, %wq : tensor<?x?x16xf32>, tensor<16x16xf32>
  %r = arith.addf %x, %o : tensor<?x?x16xf32>
  // Gate and up are shared out alike, so their product needs no barrier.
  // CHECK-NEXT: exec.stage {
  // CHECK-NEXT: exec.rms_norm %[[R]], %[[WG]] to %[[M:[0-9]+]] {{.*}}private>
  // CHECK-NEXT: exec.linear %[[M]], %{{.*}} to %[[GATE:[0-9]+]] {share = #exec.share<unit = 32, total = 40, first = 0, width = 40, column = 0>}
  // CHECK-NEXT: exec.linear %[[M]], %{{.*}} to %[[UP:[0-9]+]] {share = #exec.share<unit = 32, total = 40, first = 0, width = 40, column = 0>}
  // CHECK-NEXT: exec.gate %[[GATE]], %[[UP]] to %[[P:[0-9]+]] {kind = #llmc.activation_kind<silu>, share = #exec.share<unit = 32, total = 40, first = 0, width = 40, column = 0>}
  // CHECK-NEXT: {{^ *[}]$}}
  %m = llmc.rms_norm %r, %g {eps = 1.0e-5 : f64} : tensor<?x?x16xf32>, tensor<16xf32>
  %gate = llmc.linear %m, %wu : tensor<?x?x16xf32>, tensor<40x16xf32>
  %up = llmc.linear %m, %wu : tensor<?x?x16xf32>, tensor<40x16xf32>
  %act = llmc.activation %gate {kind = #llmc.activation_kind<silu>} : tensor<?x?x40xf32>
  %p = arith.mulf %act, %up : tensor<?x?x40xf32>
  // CHECK-NEXT: exec.stage {
  // CHECK-NEXT: exec.linear %[[P]], %{{.*}} residual %[[R]] to %[[S:[0-9]+]] {
  // CHECK-NEXT: {{^ *[}]$}}
  %d = llmc.linear %p, %wd : tensor<?x?x40xf32>, tensor<16x40xf32>
  %s = arith.addf %r, %d : tensor<?x?x16xf32>
  // The thread that has computed a column of the logits gives it to the caller.
  // CHECK-NEXT: exec.stage {
  // CHECK-NEXT: exec.linear %[[S]], %[[E]] to %[[L:[0-9]+]] {share = #exec.share<unit = 32, total = 64, first = 0, width = 64, column = 0>}
  // CHECK-NEXT: exec.copy %[[L]] to %[[LOGITS]] {share = #exec.share<unit = 32, total = 64, first = 0, width = 64, column = 0>}
  // CHECK-NEXT: {{^ *[}]$}}
  // CHECK-NEXT: {{^ *[}]$}}
  // CHECK-NOT: func.func
  %logits = llmc.linear %s, %e : tensor<?x?x16xf32>, tensor<64x16xf32>
  return %logits : tensor<?x?x64xf32>
}
