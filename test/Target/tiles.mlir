// Tile registers of AMX: prefill of a linear with bytes as inputs, by blocks of 32 rows and 32 outputs; one row goes as it does
// on AVX-512 VNNI. Which instructions the inner loops have, how many, no register spilled.
// RUN: llmc-compile --target=x86_64-linux-gnu --cpu=sapphirerapids --until=lower %s -o - | FileCheck %s --check-prefix=BLOCK
// RUN: llmc-compile --target=x86_64-linux-gnu --cpu=sapphirerapids --until=object --assembly %s -o - | %python %S/Inputs/loops.py | FileCheck %s --check-prefix=LOOP
// RUN: llmc-compile --target=x86_64-linux-gnu --cpu=graniterapids --until=object --assembly %s -o - | FileCheck %s --check-prefix=CODE
// RUN: llmc-compile --target=x86_64-linux-gnu --cpu=sapphirerapids --features=-amx-int8 --until=object --assembly %s -o - | FileCheck %s --check-prefix=OFF
// RUN: llmc-compile --target=x86_64-linux-gnu --cpu=sapphirerapids --dry-run --explain %s | FileCheck %s --check-prefix=EXPLAIN

// A group of 128 inputs is summed by itself; a row of 640 in parts that panels hold, onto what is there.
// BLOCK: llmc.block_i8 {{.*}}bound = 15 : i64, code_stride = 256 : i64, columns = 32 : i64, depth = 64 : i64, input_stride = {{[0-9]+}} : i64, inputs = 128 : i64, rows = 32 : i64
// BLOCK: llmc.block_i8 {{.*}}accumulate, bound = 255 : i64, {{.*}}inputs = 512 : i64
// BLOCK: llmc.block_i8 {{.*}}accumulate, bound = 255 : i64, {{.*}}inputs = 128 : i64

// Decode, then the scales of a group for two rows at a time. The eight steps of a panel of the row of 640 are unrolled for both
// halves of a tile: each has four products for four loads, sums are loaded and stored once.
// LOOP: loop: {{.*}}vpdpbusd=32 {{.*}}stack=0
// LOOP: loop: vbroadcastss=2 vcvtdq2ps=4 vfmaddps=8 stack=0 all=2{{.$}}
// LOOP: loop: {{.*}}vpdpbusd=32 {{.*}}stack=0
// LOOP: loop: tdpbsud=64 tileloadd=72 tilestored=8 stack=0

// Registers are given shapes outside of loops, and once more behind a call; two steps of a group are unrolled.
// CODE: ldtilecfg
// CODE: memset
// CODE: ldtilecfg
// CODE-NOT: ldtilecfg
// CODE: tilezero %tmm0
// CODE-COUNT-8: tdpbsud
// CODE-NOT: tdpbsud
// CODE-COUNT-4: tilestored
// CODE-NOT: tile{{.*}}rsp
// CODE: vcvtdq2ps
// CODE: tilerelease

// OFF: vpdpbusd
// OFF-NOT: {{ldtilecfg|tileload|tdpb}}

// EXPLAIN: cpu sapphirerapids, strategy amx-int8,
// EXPLAIN: group {{.*}}(vnni), 32 inputs at a time; more: panels of 256 inputs as bytes, dot products of 32 rows by 32 outputs in tile registers, 64 inputs at a time; expected
// EXPLAIN: row {{.*}}in tile registers, 64 inputs at a time; expected
func.func @main(%ids: tensor<?x?xi64> {llmc.name = "input_ids", llmc.dims = ["batch", "sequence"]})
    -> (tensor<?x?x64xf32> {llmc.name = "y"}) attributes {llmc.role = "run"} {
  %table = llmc.weight "table" {values = dense<0.5> : tensor<2x256xf32>} : tensor<2x256xf32>
  %x = llmc.embedding %table, %ids : tensor<2x256xf32>, tensor<?x?xi64>
  %group = llmc.weight "group"
      {codes = dense<119> : tensor<640x128xui8>, scales = dense<0.5> : tensor<640x2xf16>, zeros = dense<8> : tensor<640x2xui8>}
      : !llmc.compressed<640x256xf32, #llmc.int<4, group = 128, scale = f16>>
  %h = llmc.linear %x, %group {activations = #llmc.dynamic<i8, per_token>}
      : tensor<?x?x256xf32>, !llmc.compressed<640x256xf32, #llmc.int<4, group = 128, scale = f16>>
  %row = llmc.weight "row" {codes = dense<119> : tensor<64x640xui8>, scales = dense<0.5> : tensor<64x1xf16>}
      : !llmc.compressed<64x640xf32, #llmc.int<8, group = 0, symmetric, scale = f16>>
  %y = llmc.linear %h, %row {activations = #llmc.dynamic<i8, per_token>}
      : tensor<?x?x640xf32>, !llmc.compressed<64x640xf32, #llmc.int<8, group = 0, symmetric, scale = f16>>
  return %y : tensor<?x?x64xf32>
}
