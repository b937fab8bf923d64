// The innermost loops of a linear with ternary weights, five to a byte, and bytes as inputs: a row; many.
// RUN: llmc-compile --target=x86_64-linux-gnu --cpu=haswell --until=object --assembly %s -o - | %python %S/Inputs/loops.py | FileCheck %s --check-prefix=AVX2
// RUN: llmc-compile --target=x86_64-linux-gnu --cpu=alderlake --until=object --assembly %s -o - | %python %S/Inputs/loops.py | FileCheck %s --check-prefix=VNNI
// RUN: llmc-compile --target=x86_64-linux-gnu --cpu=znver4 --until=object --assembly %s -o - | %python %S/Inputs/loops.py | FileCheck %s --check-prefix=VNNI

// Ten quads by four vectors, two at a time. A digit is two comparisons and what joins them, the next byte two additions.
// AVX2: loop: {{.*}}vpaddw=36 {{.*}}vpmaddubsw=40 vpmaddwd=4 stack={{. }}all={{3[67].$}}
// AVX2: loop: {{.*}}vpaddw=56 {{.*}}vpmaddubsw=64 vpmaddwd=8

// Five quads by four vectors, and no digit is taken out: a product with each byte and one with what follows it.
// VNNI: loop: {{.*}}vpbroadcastd=5 vpdpbusd=40 stack=0 all={{9.$}}
// VNNI: loop: {{.*}}vpdpbusd=48 stack=0
func.func @main(%ids: tensor<?x?xi64> {llmc.name = "input_ids", llmc.dims = ["batch", "sequence"]})
    -> (tensor<?x?x512xf32> {llmc.name = "y"}) attributes {llmc.role = "run"} {
  %table = llmc.weight "table" {values = dense<0.5> : tensor<2x1280xf32>} : tensor<2x1280xf32>
  %x = llmc.embedding %table, %ids : tensor<2x1280xf32>, tensor<?x?xi64>
  %w = llmc.weight "w" {codes = dense<128> : tensor<512x256xui8>, scales = dense<0.5> : tensor<1xf32>}
      : !llmc.compressed<512x1280xf32, #llmc.ternary<base3>>
  %y = llmc.linear %x, %w {activations = #llmc.dynamic<i8, per_token>}
      : tensor<?x?x1280xf32>, !llmc.compressed<512x1280xf32, #llmc.ternary<base3>>
  return %y : tensor<?x?x512xf32>
}
