// The innermost decode loop of a 2:4 linear with float inputs: inputs are picked by vpermilps, one for each kept weight, nothing is blended.
// RUN: llmc-compile --target=x86_64-linux-gnu --cpu=haswell --until=object --assembly %s -o - | %python %S/Inputs/loops.py | FileCheck %s
// CHECK: loop: prefetcht0=8 vbroadcastf128=8 vcvtdq2ps=68 vfmaddps=68 vpand={{..}} vpermilps=64 vpsrld=116
// CHECK-SAME: all={{5..$}}
func.func @main(%ids: tensor<?x?xi64> {llmc.name = "input_ids", llmc.dims = ["batch", "sequence"]})
    -> (tensor<?x?x512xf32> {llmc.name = "a"}) attributes {llmc.role = "run"} {
  %table = llmc.weight "table" {values = dense<0.5> : tensor<2x1024xf32>} : tensor<2x1024xf32>
  %x = llmc.embedding %table, %ids : tensor<2x1024xf32>, tensor<?x?xi64>
  %w = llmc.weight "w"
      {mask = dense<51> : tensor<512x128xui8>, codes = dense<119> : tensor<512x256xui8>, scales = dense<0.5> : tensor<512x32xf16>, zeros = dense<8> : tensor<512x32xui8>}
      : !llmc.compressed<512x1024xf32, #llmc.nm<2:4, #llmc.int<4, group = 32, scale = f16>>>
  %a = llmc.linear %x, %w : tensor<?x?x1024xf32>, !llmc.compressed<512x1024xf32, #llmc.nm<2:4, #llmc.int<4, group = 32, scale = f16>>>
  return %a : tensor<?x?x512xf32>
}
