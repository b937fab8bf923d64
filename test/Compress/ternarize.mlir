// RUN: llmc-opt %s --ternarize --mlir-print-debuginfo=false | FileCheck %s
// RUN: llmc-opt %s --ternarize=activations=float --mlir-print-debuginfo=false | FileCheck %s --check-prefix=FLOAT
// RUN: llmc-opt %s --sparsify-2-4 --ternarize --mlir-print-debuginfo=false 2>&1 | FileCheck %s --check-prefix=MASK
// RUN: llmc-opt %s --ternarize=packing=base3 --mlir-print-debuginfo=false | FileCheck %s --check-prefix=BASE3
// RUN: llmc-opt %s --rtn-quantize --ternarize --mlir-print-debuginfo=false 2>&1 | FileCheck %s --check-prefix=AGAIN

// mean |w| = 1.25: 1 -> 1, -0.5 -> 0, -2 -> -1, 1.5 -> 1. Codes 2, 1, 0, 2 in pairs of bits: 0b10000110.
// CHECK: llmc.weight "a.weight" {codes = {{.*}} : tensor<1x1xui8>, scales = {{.*}} : tensor<1xf32>} : !llmc.compressed<1x4xf32, #llmc.ternary>
// CHECK: llmc.linear {{.*}}!llmc.quantized<{{.*}}#llmc.dynamic<i8, per_token>>
// CHECK: a.weight.codes.1: "0x4000000086"
// CHECK: a.weight.scales.1: "0x400000000000A03F"

// Codes 2, 1, 0, 2 and a 1 behind the last are 196 of 243: 206.5 of 256, rounded up.
// BASE3: options = "packing=base3 activations=i8-token", pass = "ternarize"
// BASE3: llmc.weight "a.weight" {codes = {{.*}} : tensor<1x1xui8>, scales = {{.*}} : tensor<1xf32>} : !llmc.compressed<1x4xf32, #llmc.ternary<base3>>
// BASE3: a.weight.codes.1: "0x40000000CF"

// FLOAT-NOT: llmc.quantize

// Only the kept -2 and 1.5 make the scale, 1.75; the mask stays.
// MASK: !llmc.compressed<1x4xf32, #llmc.nm<2:4, #llmc.ternary>>
// MASK: a.weight.codes.2: "0x4000000008"
// MASK: a.weight.scales.2: "0x400000000000E03F"

// AGAIN: remark: ternarize: already quantized, so decompressed and quantized again, which adds to the error of the first time: "a.weight"
// AGAIN: !llmc.compressed<1x4xf32, #llmc.ternary>

func.func @main(%x: tensor<?x?x4xf32>) -> tensor<?x?x1xf32> {
  %a = llmc.weight "a.weight" {values = dense<[[1.0, -0.5, -2.0, 1.5]]> : tensor<1x4xf32>} : tensor<1x4xf32>
  %y = llmc.linear %x, %a : tensor<?x?x4xf32>, tensor<1x4xf32>
  %s = llmc.softmax %y : tensor<?x?x1xf32>
  return %s : tensor<?x?x1xf32>
}
