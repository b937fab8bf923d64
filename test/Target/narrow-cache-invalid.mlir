// A cache of f16 where the target cannot widen it; nothing is written.
// RUN: rm -rf %t && mkdir %t
// RUN: %exits 2 llmc-compile --target=x86_64-linux-gnu %s -o %t/model | FileCheck %s
// RUN: not test -e %t/model.so
// CHECK: narrow-cache-invalid.mlir:{{[0-9]+}}:{{[0-9]+}}: error: a cache of f16 needs a target that converts f16 (F16C on x86)
llmc.cache @kv : tensor<1x64xf16>
func.func @main(%ids: tensor<?x?xi64>) -> tensor<?x?x8xf32> attributes {llmc.role = "step"} {
  %e = llmc.weight "embed.weight" {values = dense<0.5> : tensor<8x512xf32>} : tensor<8x512xf32>
  %w = llmc.weight "w.weight" {values = dense<0.5> : tensor<64x512xf32>} : tensor<64x512xf32>
  %x = llmc.embedding %e, %ids : tensor<8x512xf32>, tensor<?x?xi64>
  %k = llmc.linear %x, %w : tensor<?x?x512xf32>, tensor<64x512xf32>
  %a = llmc.attention %x, %k, %k cache @kv {heads = 8 : i64, kv_heads = 1 : i64, scale = 0.125 : f64, causal}
      : tensor<?x?x512xf32>, tensor<?x?x64xf32>, tensor<?x?x64xf32>
  %logits = llmc.linear %a, %e : tensor<?x?x512xf32>, tensor<8x512xf32>
  return %logits : tensor<?x?x8xf32>
}
