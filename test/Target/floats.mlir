// The innermost loops of linears with float inputs, in the order of the weights: which instructions, how many, no sum spilled.
// RUN: llmc-compile --target=x86_64-linux-gnu --cpu=haswell --until=object --assembly %s -o - | %python %S/Inputs/loops.py | FileCheck %s --check-prefix=AVX2
// RUN: llmc-compile --target=x86_64-linux-gnu --cpu=znver4 --until=object --assembly %s -o - | %python %S/Inputs/loops.py | FileCheck %s --check-prefix=AVX512

// A dword of 32 rows is 256 weights of four bits, masked where they lie by seven masks, three of them from memory; 6 rows by 2 vectors, or by 4, of a panel.
// Where that does not wait for arithmetic, four tiles go side by side before a tile that is left over. Four rows and two share
// what is made of a dword.
// AVX2: loop: prefetcht0=2 vbroadcastss=8 vcvtdq2ps=32 vfmaddps=32 vpsrld=4 stack=3 all={{1[12].$}}
// AVX2: loop: prefetcht0=2 vbroadcastss=3{{.}} vcvtdq2ps=16 vfmaddps=64 vpsrld=2 stack={{.}} all={{14.$}}
// AVX2: loop: prefetcht0=2 vbroadcastss={{..}} vcvtdq2ps=32 vfmaddps=64 vpsrld=4 stack={{.}} all={{1[56].$}}
// AVX2: loop: vbroadcastss=6 vfmaddps=12 stack=0 all={{[23].$}}
// AVX2: loop: prefetcht0=4 vbroadcastss=8 vcvtdq2ps=32 vfmaddps=32 vpsrld=8 stack=0 all={{1[12].$}}
// AVX2: loop: prefetcht0=4 vbroadcastss=32 vcvtdq2ps=16 vfmaddps=64 vpsrld=4 stack={{.}} all={{14.$}}
// AVX2: loop: prefetcht0=4 vbroadcastss=16 vcvtdq2ps=32 vfmaddps=64 vpsrld=8 stack={{1?.}} all={{1[78].$}}
// AVX2: loop: vbroadcastss=6 vfmaddps=12 stack=0 all={{[23].$}}
// AVX2: loop: prefetcht0=64 vbroadcastss=32 vfmaddps=128 stack={{.}} all={{2[0-6].$}}
// AVX2: loop: prefetcht0=16 vbroadcastss=8 vfmaddps=32 stack=0 all={{6.$}}
// AVX2: loop: vbroadcastss=6 vfmaddps=12 stack=0 all={{[23].$}}
// AVX2: loop: prefetcht0=16 vbroadcastss=32 vfmaddps=64 stack=0 all={{13.$}}
// AVX2: loop: prefetcht0=16 vbroadcastss=16 vfmaddps=64 stack=0 all={{13.$}}

// AVX512: loop: prefetcht0=16 vbroadcastss=32 vcvtdq2ps=128 vfmaddps=128 {{.*}}vpsrld=16 stack={{[01]}} all={{4[0-7].$}}
// AVX512: loop: prefetcht0=4 vbroadcastss=8 vcvtdq2ps=32 vfmaddps=32 {{.*}}vpsrld=4 stack=0 all={{1[12].$}}
// AVX512: loop: prefetcht0=4 vbroadcastss=32 vcvtdq2ps=32 vfmaddps=128 {{.*}}vpsrld=4 stack=0 all={{2[34].$}}
// AVX512: loop: prefetcht0=4 vbroadcastss=16 vcvtdq2ps=32 vfmaddps=64 {{.*}}vpsrld=4 stack=0 all={{15.$}}
// AVX512: loop: vbroadcastss=12 vfmaddps=48 stack=0 all={{7.$}}
// AVX512: loop: prefetcht0=32 vbroadcastss=32 vcvtdq2ps=128 vfmaddps=128 {{.*}}stack=0 all={{4[0-9].$}}
// AVX512: loop: prefetcht0=8 vbroadcastss=8 vcvtdq2ps=32 vfmaddps=32 {{.*}}stack=0 all={{1[23].$}}
// AVX512: loop: prefetcht0=8 vbroadcastss=32 vcvtdq2ps=32 vfmaddps=128 {{.*}}stack=0 all={{2[45].$}}
// AVX512: loop: vbroadcastss=12 vfmaddps=48 stack=0 all={{7.$}}
// AVX512: loop: prefetcht0=128 vbroadcastss=32 vfmaddps=128 stack=0 all={{[23]..$}}
// AVX512: loop: prefetcht0=32 vbroadcastss=8 vfmaddps=32 stack=0 all={{[78].$}}
// AVX512: loop: vbroadcastss=12 vfmaddps=48 stack=0 all={{7.$}}
func.func @main(%ids: tensor<?x?xi64> {llmc.name = "input_ids", llmc.dims = ["batch", "sequence"]})
    -> (tensor<?x?x512xf32> {llmc.name = "a"}, tensor<?x?x512xf32> {llmc.name = "b"}, tensor<?x?x512xf32> {llmc.name = "c"})
    attributes {llmc.role = "run"} {
  %table = llmc.weight "table" {values = dense<0.5> : tensor<2x1024xf32>} : tensor<2x1024xf32>
  %x = llmc.embedding %table, %ids : tensor<2x1024xf32>, tensor<?x?xi64>
  %four = llmc.weight "four"
      {codes = dense<119> : tensor<512x512xui8>, scales = dense<0.5> : tensor<512x32xf16>, zeros = dense<8> : tensor<512x32xui8>}
      : !llmc.compressed<512x1024xf32, #llmc.int<4, group = 32, scale = f16>>
  %eight = llmc.weight "eight" {codes = dense<119> : tensor<512x1024xui8>, scales = dense<0.5> : tensor<512x1xf32>}
      : !llmc.compressed<512x1024xf32, #llmc.int<8, group = 0, symmetric, scale = f32>>
  %dense = llmc.weight "dense" {values = dense<0.5> : tensor<512x1024xf32>} : tensor<512x1024xf32>
  %a = llmc.linear %x, %four : tensor<?x?x1024xf32>, !llmc.compressed<512x1024xf32, #llmc.int<4, group = 32, scale = f16>>
  %b = llmc.linear %x, %eight
      : tensor<?x?x1024xf32>, !llmc.compressed<512x1024xf32, #llmc.int<8, group = 0, symmetric, scale = f32>>
  %c = llmc.linear %x, %dense : tensor<?x?x1024xf32>, tensor<512x1024xf32>
  return %a, %b, %c : tensor<?x?x512xf32>, tensor<?x?x512xf32>, tensor<?x?x512xf32>
}
