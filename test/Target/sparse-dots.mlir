// The same with bytes as inputs, one row and many: vpshufb picks for two patterns of four at a time. Zero points are multiplied
// with a second sum of the picked inputs in the first loop, and subtracted from the codes of the panel for the second.
// RUN: llmc-compile --target=x86_64-linux-gnu --cpu=haswell --until=object --assembly %s -o - | %python %S/Inputs/loops.py | FileCheck %s
// CHECK: loop: prefetcht0=6 vpaddd=8 vpaddw=24 vpand={{2.}} {{.*}}vpbroadcastq=4 vpmaddubsw=32 vpmaddwd=8 vpshufb=16 vpsrld={{2.}} stack={{1.}} all={{2[01].$}}
// CHECK: loop: {{.*}}vpaddw=56 {{.*}}vpbroadcastq=32 vpmaddubsw=64 vpmaddwd=8 vpshufb=64 vpsignb=64 stack={{1.}} all={{39.$}}
func.func @main(%ids: tensor<?x?xi64> {llmc.name = "input_ids", llmc.dims = ["batch", "sequence"]})
    -> (tensor<?x?x512xf32> {llmc.name = "a"}) attributes {llmc.role = "run"} {
  %table = llmc.weight "table" {values = dense<0.5> : tensor<2x1024xf32>} : tensor<2x1024xf32>
  %x = llmc.embedding %table, %ids : tensor<2x1024xf32>, tensor<?x?xi64>
  %w = llmc.weight "w"
      {mask = dense<51> : tensor<512x128xui8>, codes = dense<119> : tensor<512x256xui8>, scales = dense<0.5> : tensor<512x16xf16>, zeros = dense<8> : tensor<512x16xui8>}
      : !llmc.compressed<512x1024xf32, #llmc.nm<2:4, #llmc.int<4, group = 64, scale = f16>>>
  %a = llmc.linear %x, %w {activations = #llmc.dynamic<i8, per_token>} : tensor<?x?x1024xf32>, !llmc.compressed<512x1024xf32, #llmc.nm<2:4, #llmc.int<4, group = 64, scale = f16>>>
  return %a : tensor<?x?x512xf32>
}
