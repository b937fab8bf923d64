// RUN: rm -rf %t && mkdir %t && llmc-opt %s --detach-statistics=file=%t/model.stats --mlir-print-debuginfo=false -o %t/names.mlir
// RUN: FileCheck %s < %t/names.mlir
// RUN: llmc-opt --attach-statistics=folder=%t - < %t/names.mlir | FileCheck %s --check-prefix=BACK
// RUN: %python -c "import json, sys; f = open(sys.argv[1], 'rb'); n = int.from_bytes(f.read(8), 'little'); h = json.loads(f.read(n)); assert h['w.input.mean'] == {'dtype': 'F64', 'shape': [2], 'data_offsets': [0, 16]}, h; assert (n + 8) %% 64 == 0" %t/model.stats

// CHECK: module attributes {llmc.statistics_file = {hash = "{{[0-9a-f]+}}", name = "model.stats"}}
// CHECK: llmc.statistics = {count = 4 : i64, mean = "w.input.mean"}
// BACK: llmc.statistics = {count = 4 : i64, mean = dense_resource<w.input.mean> : tensor<2xf64>}
// BACK: w.input.mean: "0x{{[0-9A-F]+}}000000000000F03F0000000000000040"
module {
  func.func @main(%x: tensor<?x?x2xf32>) -> tensor<?x?x2xf32> attributes {llmc.role = "run"} {
    %w = llmc.weight "w" {values = dense<0.5> : tensor<2x2xf32>} : tensor<2x2xf32>
    %y = llmc.linear %x, %w {llmc.statistics = {count = 4 : i64, mean = dense_resource<w.input.mean> : tensor<2xf64>}}
        : tensor<?x?x2xf32>, tensor<2x2xf32>
    return %y : tensor<?x?x2xf32>
  }
}

{-#
  dialect_resources: {
    builtin: {
      w.input.mean: "0x08000000000000000000F03F0000000000000040"
    }
  }
#-}
