// The innermost loops of a linear with bytes as inputs: which instructions, how many, no register spilled. The first is of
// one row and four tiles side by side (a group of 32 inputs, 32 or 64 outputs each), the second of one row and a tile that is
// left over, the third of many rows, the last two of four and of two rows, for which codes are taken out of words once: masks
// and shifts of one row or, where only half of a tile has room for its sums, half of them, and four times its products.
// RUN: llmc-compile --target=x86_64-linux-gnu --cpu=haswell --until=object --assembly %s -o - | %python %S/Inputs/loops.py | FileCheck %s --check-prefix=AVX2
// RUN: llmc-compile --target=x86_64-linux-gnu --cpu=alderlake --until=object --assembly %s -o - | %python %S/Inputs/loops.py | FileCheck %s --check-prefix=AVXVNNI
// RUN: llmc-compile --target=x86_64-linux-gnu --cpu=znver4 --until=object --assembly %s -o - | %python %S/Inputs/loops.py | FileCheck %s --check-prefix=AVX512
// RUN: llmc-compile --target=aarch64-linux-gnu --cpu=cortex-a76 --until=object --assembly %s -o - | %python %S/Inputs/loops.py | FileCheck %s --check-prefix=NEON
// RUN: llmc-compile --target=aarch64-linux-gnu --cpu=cortex-a72 --until=object --assembly %s -o - | %python %S/Inputs/loops.py | FileCheck %s --check-prefix=NODOT

// Eight quads by four vectors; eight products of a vector are added in 16 bits. All lines of the 608 bytes of a group are
// prefetched. Side by side, only the totals of 16 vectors wait on the stack where there are 16 registers.
// AVX2: loop: prefetcht0=40 {{.*}}vpaddw=112 vpand=128 {{.*}}vpmaddubsw=128 vpmaddwd=16 vpsrld=64 stack={{3.}} all={{7[0-5].$}}
// AVX2: loop: prefetcht0=10 {{.*}}vpaddw=28 vpand=32 vpbroadcastd=9 vpmaddubsw=32 vpmaddwd=4 vpsrld=16 stack=0 all={{17.$}}
// AVX2: loop: {{.*}}vpaddw=56 vpbroadcastd=3{{.}} vpmaddubsw=64 vpmaddwd=8 stack=0 all={{22.$}}
// AVX2: loop: prefetcht0=10 {{.*}}vpaddw=56 vpand=16 vpbroadcastd=3{{.}} vpmaddubsw=64 vpmaddwd=8 vpsrld=8 stack={{3.}} all={{2[89].$}}
// AVX2: loop: prefetcht0=10 {{.*}}vpaddw=56 vpand=32 vpbroadcastd=1{{.}} vpmaddubsw=64 vpmaddwd=8 vpsrld=16 stack={{1.}} all={{2[89].$}}

// AVXVNNI: loop: {{.*}}vpand=128 vpbroadcastd=32 vpdpbusd=128 vpsrld=64 stack={{[1-3].}} all={{[5-6]..$}}
// AVXVNNI: loop: {{.*}}vpand=32 vpbroadcastd=8 vpdpbusd=32 vpsrld=16 stack=0 all={{1[0-5].$}}
// AVXVNNI: loop: vpbroadcastd=24 vpdpbusd=48 stack=0 all={{8.$}}
// AVXVNNI: loop: {{.*}}vpand=16 vpbroadcastd=3{{.}} vpdpbusd=64 vpsrld=8 stack={{.}} all={{[12]..$}}
// AVXVNNI: loop: {{.*}}vpand=32 vpbroadcastd=1{{.}} vpdpbusd=64 vpsrld=16 stack={{1?.}} all={{2[0-4].$}}

// AVX512: loop: {{.*}}vpandq=128 vpbroadcastd=32 vpdpbusd=128 vpsrld=64 stack=0 all={{6..$}}
// AVX512: loop: {{.*}}vpandq=32 vpbroadcastd=8 vpdpbusd=32 vpsrld=16 stack=0 all={{1[0-6].$}}
// AVX512: loop: vpbroadcastd=12 vpdpbusd=48 stack=0 all={{7.$}}
// AVX512: loop: {{.*}}vpandq=32 vpbroadcastd=32 vpdpbusd=128 vpsrld=16 stack={{1?.}} all={{3[0-5].$}}
// AVX512: loop: {{.*}}vpandq=32 vpbroadcastd=16 vpdpbusd=64 vpsrld=16 stack=0 all={{2[01].$}}

// NEON: loop: and=64 {{.*}}sdot=64 ushr=32
// NEON: loop: sdot=48 stack=0 all={{[78].$}}
// NEON: loop: and=32 {{.*}}sdot=128 ushr=16
// NEON: loop: and=64 {{.*}}sdot=128 ushr=32

// NODOT-NOT: sdot
func.func @main(%ids: tensor<?x?xi64> {llmc.name = "input_ids", llmc.dims = ["batch", "sequence"]})
    -> (tensor<?x?x512xf32> {llmc.name = "y"}) attributes {llmc.role = "run"} {
  %table = llmc.weight "table" {values = dense<0.5> : tensor<2x1024xf32>} : tensor<2x1024xf32>
  %x = llmc.embedding %table, %ids : tensor<2x1024xf32>, tensor<?x?xi64>
  %w = llmc.weight "w"
      {codes = dense<119> : tensor<512x512xui8>, scales = dense<0.5> : tensor<512x32xf16>, zeros = dense<8> : tensor<512x32xui8>}
      : !llmc.compressed<512x1024xf32, #llmc.int<4, group = 32, scale = f16>>
  %y = llmc.linear %x, %w {activations = #llmc.dynamic<i8, per_token>}
      : tensor<?x?x1024xf32>, !llmc.compressed<512x1024xf32, #llmc.int<4, group = 32, scale = f16>>
  return %y : tensor<?x?x512xf32>
}
