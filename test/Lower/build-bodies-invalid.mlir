// RUN: llmc-opt %s --fuse-stages --split-input-file --verify-diagnostics

// A call of a step has some rows of a sequence, so nothing can be said of all.
llmc.cache @kv : tensor<1x16xf32>
func.func @step(%ids: tensor<?x?xi64>) -> tensor<?x1x16xf32> attributes {llmc.role = "step"} {
  %e = llmc.weight "e" {values = dense<0.5> : tensor<16x16xf32>} : tensor<16x16xf32>
  %x = llmc.embedding %e, %ids : tensor<16x16xf32>, tensor<?x?xi64>
  %a = llmc.attention %x, %x, %x cache @kv {heads = 1 : i64, kv_heads = 1 : i64, scale = 0.25 : f64, causal}
      : tensor<?x?x16xf32>, tensor<?x?x16xf32>, tensor<?x?x16xf32>
  // expected-error @+1 {{needs all rows of a sequence, of which a step sees those of a call}}
  %y = llmc.reduce %a {kind = #llmc.reduce_kind<sum>, axes = array<i64: 1>} : tensor<?x?x16xf32>
  return %y : tensor<?x1x16xf32>
}

// -----

func.func @table(%ids: tensor<?x?xi64>) -> tensor<?x?x16xf32> attributes {llmc.role = "run"} {
  %t = llmc.weight "t" {values = dense<0.5> : tensor<16x16xf32>} : tensor<16x16xf32>
  %rows = llmc.scale %t {factor = 2.0 : f64} : tensor<16x16xf32>
  // expected-error @+1 {{expects a table made by llmc.weight}}
  %y = llmc.gather %rows at %ids : tensor<16x16xf32>, tensor<?x?xi64>
  return %y : tensor<?x?x16xf32>
}

// -----

// What the caller gives is checked for what it is: ids and indices for their range, a mask becomes 0 or 1.
func.func @raw(%ids: tensor<?x?x1xi64>) -> tensor<?x?x1xf32> attributes {llmc.role = "run"} {
  // expected-error @+1 {{expects ids, indices and masks of the caller to be read as such}}
  %y = arith.sitofp %ids : tensor<?x?x1xi64> to tensor<?x?x1xf32>
  return %y : tensor<?x?x1xf32>
}

// -----

// Rows that are neither of tokens nor of sequences have no buffer.
func.func @two_rows(%ids: tensor<?x?xi64>) -> tensor<?x2x4xf32> attributes {llmc.role = "run"} {
  %e = llmc.weight "e" {values = dense<0.5> : tensor<16x4xf32>} : tensor<16x4xf32>
  %x = llmc.gather %e at %ids : tensor<16x4xf32>, tensor<?x?xi64>
  %c = llmc.gather %x {position = 0 : i64} : tensor<?x?x4xf32>
  %v, %i = llmc.top_k %c {k = 2 : i64} : tensor<?x1x4xf32>
  %flat = tensor.collapse_shape %i [[0, 1], [2]] : tensor<?x1x2xi64> into tensor<?x2xi64>
  // expected-error @+1 {{gives 2 rows of a sequence, expected one, or one for each token}}
  %y = llmc.gather %x at %flat : tensor<?x?x4xf32>, tensor<?x2xi64>
  return %y : tensor<?x2x4xf32>
}

// -----

func.func @reshape(%ids: tensor<?x?xi64>) -> tensor<?x4xf32> attributes {llmc.role = "run"} {
  %e = llmc.weight "e" {values = dense<0.5> : tensor<16x4xf32>} : tensor<16x4xf32>
  %x = llmc.gather %e at %ids : tensor<16x4xf32>, tensor<?x?xi64>
  // expected-error @+1 {{expects to drop or add a sequence of 1 between batch and width, got 'tensor<?x?x4xf32>' to 'tensor<?x4xf32>'}}
  %y = tensor.collapse_shape %x [[0, 1], [2]] : tensor<?x?x4xf32> into tensor<?x4xf32>
  return %y : tensor<?x4xf32>
}
