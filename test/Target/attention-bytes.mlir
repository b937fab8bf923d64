// The innermost loops of attention as products of bytes, 8 query heads to a key head of 64: scores, powers of two, values, for a tile of the queries.
// RUN: llmc-compile --target=x86_64-linux-gnu --cpu=haswell --until=object --assembly %s -o - | %python %S/Inputs/loops.py --of=attention | FileCheck %s --check-prefix=AVX2
// RUN: llmc-compile --target=x86_64-linux-gnu --cpu=alderlake --until=object --assembly %s -o - | %python %S/Inputs/loops.py --of=attention | FileCheck %s --check-prefix=AVXVNNI
// RUN: llmc-compile --target=x86_64-linux-gnu --cpu=znver5 --until=object --assembly %s -o - | %python %S/Inputs/loops.py --of=attention | FileCheck %s --check-prefix=AVX512
// RUN: llmc-compile --target=aarch64-linux-gnu --features=+dotprod --until=object --assembly %s -o - | %python %S/Inputs/loops.py --of=attention | FileCheck %s --check-prefix=NEON
// RUN: llmc-compile --target=x86_64-linux-gnu --until=object %s -o %t.o 2>&1 | FileCheck %s --check-prefix=NONE

// NONE-COUNT-1: attention-bytes.mlir:{{.*}}: warning: byte_products is slower than f32 on a target without dot products of bytes
// NONE-NOT: warning

// Eight elements of a head: 16 keys meet four queries (AVX2), 32 keys eight (AVX-512).
// AVX2: loop: prefetcht0=2 vpabsb=4 vpaddd=16 vpbroadcastd={{[89]}} vpmaddubsw=16 vpmaddwd=16 vpsignb=16 stack=0 all={{8.$}}
// AVX2: loop: vbroadcastss={{[0-9]+}} vfmaddps=10 stack={{[01]}} all={{5.$}}
// Values of 16 keys, 16 columns; each line asks for that of the next keys.
// AVX2: loop: prefetcht0=4 vpaddd=32 vpbroadcastd=16 vpmaddubsw=32 vpmaddwd=32 stack=0 all={{1[23].$}}

// AVXVNNI: loop: prefetcht0=2 vpbroadcastd={{[89]}} vpdpbusd=16 stack=0 all={{3.$}}
// AVXVNNI: loop: prefetcht0=4 vpbroadcastd=16 vpdpbusd=32 stack=0 all={{6.$}}

// AVX512: loop: prefetcht0=4 vpbroadcastd=16 vpdpbusd=32 stack=0 all={{6.$}}
// AVX512: loop: prefetcht0=8 vpbroadcastd=32 vpdpbusd=64 stack=0 all={{1[012].$}}

// NEON: loop: prfm=2 sdot=32 stack=0 all={{5.$}}
// NEON: loop: prfm=4 sdot=64 stack=0 all={{1[012].$}}
llmc.cache @kv {byte_products} : tensor<1x64xi8>
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
