// RUN: llmc-opt %s --configure-lowering="target=x86_64-linux-gnu cpu=znver4 prefix=small chunk=128" --mlir-print-debuginfo=false | FileCheck %s

// The table has 64 positions, so the context is not more, nor a chunk.
// CHECK: llmc.compile = {chunk = 64 : i64, context = 64 : i64, embed_weights = false, max_tokens = 2048 : i64, prefix = "small", unit = 64 : i64}
// CHECK-SAME: llmc.cpu = {dot = "vnni", half = true, lanes = 16 : i64, model = "znver4", registers = 32 : i64, tiles = false}
func.func @main(%ids: tensor<?x?xi64>) -> tensor<?x?x4xf32> attributes {llmc.role = "run"} {
  %t = llmc.weight "positions.weight" {values = dense<0.5> : tensor<64x4xf32>} : tensor<64x4xf32>
  %p = llmc.positions %ids : tensor<?x?xi64>
  %x = llmc.embedding %t, %p : tensor<64x4xf32>, tensor<?x?xi64>
  return %x : tensor<?x?x4xf32>
}
