// The innermost loops of attention over a cache of bytes, 8 query heads to a key head of 64: scores, exponentials, values, for a tile of the queries.
// RUN: llmc-compile --target=x86_64-linux-gnu --cpu=haswell --until=object --assembly %s -o - | %python %S/Inputs/loops.py --of=attention | FileCheck %s --check-prefix=AVX2
// RUN: llmc-compile --target=x86_64-linux-gnu --cpu=znver5 --until=object --assembly %s -o - | %python %S/Inputs/loops.py --of=attention | FileCheck %s --check-prefix=AVX512

// Four elements of a head: 16 keys widened once meet four queries (AVX2), 32 keys eight.
// AVX2: loop: prefetcht0=1 vbroadcastss=16 vcvtdq2ps=8 vfmaddps=32 stack=0 all={{[67].$}}
// Powers of two of 16 keys, for each of four queries.
// AVX2: loop: vbroadcastss={{[0-9]+}} vfmaddps=10 stack={{[01]}} all={{4.$}}
// Values of two keys, 16 columns, with prefetches of the next keys for the last columns only.
// AVX2: loop: vbroadcastss=8 vcvtdq2ps=4 vfmaddps=16 stack=0 all={{3.$}}
// AVX2: loop: prefetcht0=2 vbroadcastss=8 vcvtdq2ps=4 vfmaddps=16 stack=0 all={{[34].$}}

// AVX512: loop: prefetcht0=2 vbroadcastss=32 vcvtdq2ps=8 vfmaddps=64 stack=0 all={{1[12].$}}
// AVX512: loop: prefetcht0=2 vbroadcastss=16 vcvtdq2ps=4 vfmaddps=32 stack=0 all={{6.$}}
// AVX512: loop: vbroadcastss=16 vcvtdq2ps=4 vfmaddps=32 stack=0 all={{6.$}}
llmc.cache @kv : tensor<1x64xi8>
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
