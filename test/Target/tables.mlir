// The innermost loops of linears whose weights are codes into a table of NF4: two with bytes as inputs (a row; many), and the
// decode loop with float inputs. A table is a register, and each vector of codes is looked up by one shuffle of bytes.
// RUN: llmc-compile --target=x86_64-linux-gnu --cpu=haswell --until=object --assembly %s -o - | %python %S/Inputs/loops.py | FileCheck %s --check-prefix=AVX2
// RUN: llmc-compile --target=x86_64-linux-gnu --cpu=alderlake --until=object --assembly %s -o - | %python %S/Inputs/loops.py | FileCheck %s --check-prefix=AVXVNNI
// RUN: llmc-compile --target=x86_64-linux-gnu --cpu=znver4 --until=object --assembly %s -o - | %python %S/Inputs/loops.py | FileCheck %s --check-prefix=AVX512
// RUN: llmc-compile --target=aarch64-linux-gnu --cpu=cortex-a76 --until=object --assembly %s -o - | %python %S/Inputs/loops.py | FileCheck %s --check-prefix=NEON

// Levels are signed: vpmaddubsw takes their magnitudes, and the inputs their signs. Two products of 127 fill 16 bits.
// AVX2: loop: {{.*}}vpabsb=32 vpaddd=32 vpand=32 vpbroadcastd=8 vpmaddubsw=32 vpmaddwd=32 vpshufb=32 vpsignb=32 vpsrld=16 stack=0 all={{2[78].$}}
// AVX2: loop: {{.*}}vpmaddubsw=64 vpmaddwd=64 vpsignb=64
// Floats: of four codes in eight rows one shuffle for their order and one for each byte of the levels.
// AVX2: loop: {{.*}}vbroadcastss=8 vfmaddps=32 vpand=8 {{.*}}vpshufb=40 vpsrld=4

// Levels are 128 more than they are, as bytes without sign; sums start at -128 times the inputs.
// AVXVNNI: loop: {{.*}}vpand=32 vpbroadcastd=8 vpdpbusd=32 vpshufb=32 vpsrld=16 stack=0 all={{1[0-6].$}}
// AVXVNNI: loop: vpbroadcastd=24 vpdpbusd=48 stack=0 all={{8.$}}

// AVX512: loop: {{.*}}vpandq=32 vpbroadcastd=8 vpdpbusd=32 vpshufb=32 vpsrld=16 stack=0 all={{1[0-7].$}}
// AVX512: loop: vpbroadcastd=12 vpdpbusd=48 stack=0 all={{7.$}}
// The table of floats is one register, and an index need not be masked.
// AVX512: loop: {{.*}}vbroadcastss=8 vfmaddps=32 vperm{{.*}} vpsrld=28 stack=0 all={{1[01].$}}

// NEON: loop: {{.*}}sdot=64 tbl=64 ushr=32
// NEON: loop: sdot=48 stack=0
// NEON: loop: {{.*}}fmla=64 {{.*}}tbl=80
func.func @main(%ids: tensor<?x?xi64> {llmc.name = "input_ids", llmc.dims = ["batch", "sequence"]})
    -> (tensor<?x?x512xf32> {llmc.name = "y"}) attributes {llmc.role = "run"} {
  %table = llmc.weight "table" {values = dense<0.5> : tensor<2x1024xf32>} : tensor<2x1024xf32>
  %x = llmc.embedding %table, %ids : tensor<2x1024xf32>, tensor<?x?xi64>
  %w = llmc.weight "w" {codes = dense<119> : tensor<1024x512xui8>, scales = dense<0.5> : tensor<1024x16xf16>}
      : !llmc.compressed<1024x1024xf32, #llmc.table<nf4_i8, group = 64, scale = f16>>
  %h = llmc.linear %x, %w {activations = #llmc.dynamic<i8, per_token>}
      : tensor<?x?x1024xf32>, !llmc.compressed<1024x1024xf32, #llmc.table<nf4_i8, group = 64, scale = f16>>
  %v = llmc.weight "v" {codes = dense<119> : tensor<512x512xui8>, scales = dense<0.5> : tensor<512x16xf16>}
      : !llmc.compressed<512x1024xf32, #llmc.table<nf4, group = 64, scale = f16>>
  %y = llmc.linear %h, %v : tensor<?x?x1024xf32>, !llmc.compressed<512x1024xf32, #llmc.table<nf4, group = 64, scale = f16>>
  return %y : tensor<?x?x512xf32>
}
