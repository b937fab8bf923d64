// A value that is not finite is refused by name and place in every form a weight is packed in, and nothing is left behind.
// RUN: rm -rf %t && split-file %s %t
// RUN: %exits 2 llmc-compile --target=x86_64-linux-gnu --cpu=haswell %t/linear.mlir -o %t/out | FileCheck %s --check-prefix=LINEAR
// RUN: %exits 2 llmc-compile --target=x86_64-linux-gnu --cpu=haswell %t/half.mlir -o %t/out | FileCheck %s --check-prefix=HALF
// RUN: %exits 2 llmc-compile --target=x86_64-linux-gnu --cpu=haswell %t/wide.mlir -o %t/out | FileCheck %s --check-prefix=WIDE
// RUN: %exits 2 llmc-compile --target=x86_64-linux-gnu --cpu=haswell %t/kept.mlir -o %t/out | FileCheck %s --check-prefix=KEPT
// RUN: %exits 2 llmc-compile --target=x86_64-linux-gnu --cpu=haswell %t/table.mlir -o %t/out | FileCheck %s --check-prefix=TABLE
// RUN: %exits 2 llmc-compile --target=x86_64-linux-gnu --cpu=haswell %t/bias.mlir -o %t/out | FileCheck %s --check-prefix=BIAS
// RUN: %exits 2 llmc-compile --target=x86_64-linux-gnu --cpu=haswell %t/norm.mlir -o %t/out | FileCheck %s --check-prefix=NORM
// RUN: not ls %t/out.o %t/out.so %t/out.safetensors %t/out.json

//--- linear.mlir
// LINEAR: linear.mlir:3:8: error: weight "a.weight" expects finite values, got inf at row 1, column 2
func.func @main(%x: tensor<?x?x3xf32>) -> tensor<?x?x2xf32> attributes {llmc.role = "run"} {
  %a = llmc.weight "a.weight" {values = dense<[[1.0, 2.0, 3.0], [4.0, 5.0, 0xFF800000]]> : tensor<2x3xf32>} : tensor<2x3xf32>
  %y = llmc.linear %x, %a : tensor<?x?x3xf32>, tensor<2x3xf32>
  return %y : tensor<?x?x2xf32>
}
//--- half.mlir
// HALF: error: weight "a.weight" expects finite values, got nan at row 0, column 1
func.func @main(%x: tensor<?x?x3xf32>) -> tensor<?x?x1xf32> attributes {llmc.role = "run"} {
  %a = llmc.weight "a.weight" {values = dense<[[1.0, 0x7E00, 3.0]]> : tensor<1x3xf16>} : tensor<1x3xf16>
  %y = llmc.linear %x, %a : tensor<?x?x3xf32>, tensor<1x3xf16>
  return %y : tensor<?x?x1xf32>
}
//--- wide.mlir
// Finite in f64, not in the f32 it is packed as.
// WIDE: error: weight "a.weight" expects finite values, got inf at row 0, column 0
func.func @main(%x: tensor<?x?x3xf32>) -> tensor<?x?x1xf32> attributes {llmc.role = "run"} {
  %a = llmc.weight "a.weight" {values = dense<[[1.0e300, 2.0, 3.0]]> : tensor<1x3xf64>} : tensor<1x3xf64>
  %y = llmc.linear %x, %a : tensor<?x?x3xf32>, tensor<1x3xf64>
  return %y : tensor<?x?x1xf32>
}
//--- kept.mlir
// Compressed data is verified with its type.
// KEPT: error: 'llmc.weight' op "a.weight" expects finite values, got {{-?}}{{[nN]}}a{{[nN]}} at index 1
func.func @main(%x: tensor<?x?x4xf32>) -> tensor<?x?x1xf32> attributes {llmc.role = "run"} {
  %a = llmc.weight "a.weight" {mask = dense<9> : tensor<1x1xui8>, values = dense<[[1.0, 0x7FC0]]> : tensor<1x2xbf16>} : !llmc.compressed<1x4xf32, #llmc.nm<2:4, #llmc.dense<bf16>>>
  %y = llmc.linear %x, %a : tensor<?x?x4xf32>, !llmc.compressed<1x4xf32, #llmc.nm<2:4, #llmc.dense<bf16>>>
  return %y : tensor<?x?x1xf32>
}
//--- table.mlir
// TABLE: error: weight "embed.weight" expects finite values, got nan at row 1, column 0
func.func @main(%ids: tensor<?x?xi64>) -> tensor<?x?x2xf32> attributes {llmc.role = "run"} {
  %a = llmc.weight "embed.weight" {values = dense<[[1.0, 2.0], [0x7FC00000, 3.0]]> : tensor<2x2xf32>} : tensor<2x2xf32>
  %y = llmc.embedding %a, %ids : tensor<2x2xf32>, tensor<?x?xi64>
  return %y : tensor<?x?x2xf32>
}
//--- bias.mlir
// BIAS: error: weight "a.bias" expects finite values, got inf at index 1
func.func @main(%x: tensor<?x?x2xf32>) -> tensor<?x?x2xf32> attributes {llmc.role = "run"} {
  %a = llmc.weight "a.weight" {values = dense<1.0> : tensor<2x2xf32>} : tensor<2x2xf32>
  %b = llmc.weight "a.bias" {values = dense<[1.0, 0x7F800000]> : tensor<2xf32>} : tensor<2xf32>
  %y = llmc.linear %x, %a bias %b : tensor<?x?x2xf32>, tensor<2x2xf32>, tensor<2xf32>
  return %y : tensor<?x?x2xf32>
}
//--- norm.mlir
// NORM: error: weight "norm.weight" expects finite values, got nan at index 0
func.func @main(%x: tensor<?x?x2xf32>) -> tensor<?x?x2xf32> attributes {llmc.role = "run"} {
  %g = llmc.weight "norm.weight" {values = dense<[0x7FC00000, 1.0]> : tensor<2xf32>} : tensor<2xf32>
  %y = llmc.rms_norm %x, %g {eps = 1.0e-5 : f64} : tensor<?x?x2xf32>, tensor<2xf32>
  return %y : tensor<?x?x2xf32>
}
