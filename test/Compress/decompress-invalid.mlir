// RUN: llmc-opt %s --decompress=include=^a --verify-diagnostics
// RUN: %exits 2 llmc-opt %s --decompress="include=(" | FileCheck %s --check-prefix=REGEX

// REGEX: error: include=( is no regular expression

// expected-error @+1 {{decompress: include=^a matches no weight of a linear or embedding}}
module {
  func.func @no_match(%x: tensor<?x?x4xf32>) -> tensor<?x?x1xf32> {
    %w = llmc.weight "b.weight" {codes = dense<6> : tensor<1x1xui8>, scales = dense<1.0> : tensor<1xf32>} : !llmc.compressed<1x4xf32, #llmc.ternary>
    %y = llmc.linear %x, %w : tensor<?x?x4xf32>, !llmc.compressed<1x4xf32, #llmc.ternary>
    return %y : tensor<?x?x1xf32>
  }
}
