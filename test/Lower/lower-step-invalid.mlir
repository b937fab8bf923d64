// RUN: llmc-opt %s --fuse-stages --pack-weights --plan-memory --lower-step --split-input-file --verify-diagnostics

module {
  // expected-error @+1 {{input 0 is both ids and a mask}}
  func.func @two_meanings(%ids: tensor<?x?xi64>) -> tensor<?x?x4xf32> attributes {llmc.role = "run"} {
    %e = llmc.weight "e" {values = dense<0.5> : tensor<8x4xf32>} : tensor<8x4xf32>
    %x = llmc.embedding %e, %ids : tensor<8x4xf32>, tensor<?x?xi64>
    %a = llmc.attention %x, %x, %x mask %ids {heads = 1 : i64, kv_heads = 1 : i64, scale = 1.0 : f64}
        : tensor<?x?x4xf32>, tensor<?x?x4xf32>, tensor<?x?x4xf32>, tensor<?x?xi64>
    return %a : tensor<?x?x4xf32>
  }
}

// -----

// A weight that is computed has no place in the weight file.
module {
  func.func @decompressed(%ids: tensor<?x?xi64>) -> tensor<?x?x1xf32> attributes {llmc.role = "run"} {
    %e = llmc.weight "e" {values = dense<0.5> : tensor<8x4xf32>} : tensor<8x4xf32>
    %x = llmc.embedding %e, %ids : tensor<8x4xf32>, tensor<?x?xi64>
    %w = llmc.weight "w" {codes = dense<6> : tensor<1x1xui8>, scales = dense<1.0> : tensor<1xf32>} : !llmc.compressed<1x4xf32, #llmc.ternary>
    // expected-error @+1 {{has no lowering in a step (is it an operation on whole rows?)}}
    %d = llmc.decompress %w : !llmc.compressed<1x4xf32, #llmc.ternary>
    %y = llmc.linear %x, %d : tensor<?x?x4xf32>, tensor<1x4xf32>
    return %y : tensor<?x?x1xf32>
  }
}

// -----

module {
  func.func @computed_scale(%ids: tensor<?x?xi64>) -> tensor<?x?x4xf32> attributes {llmc.role = "run"} {
    %e = llmc.weight "e" {values = dense<0.5> : tensor<8x4xf32>} : tensor<8x4xf32>
    %x = llmc.embedding %e, %ids : tensor<8x4xf32>, tensor<?x?xi64>
    %g = llmc.weight "g" {values = dense<0.5> : tensor<4xf32>} : tensor<4xf32>
    %h = llmc.scale %g {factor = 2.0 : f64} : tensor<4xf32>
    // expected-error @+1 {{expects scale and bias made by llmc.weight}}
    %y = llmc.rms_norm %x, %h {eps = 1.0e-5 : f64} : tensor<?x?x4xf32>, tensor<4xf32>
    return %y : tensor<?x?x4xf32>
  }
}

// -----

module {
  llmc.cache @kv : tensor<1x4xf32>
  // expected-error @+1 {{expects a step to return the logits and nothing else}}
  func.func @two_results(%ids: tensor<?x?xi64>) -> (tensor<?x?x4xf32>, tensor<?x?x4xf32>) attributes {llmc.role = "step"} {
    %e = llmc.weight "e" {values = dense<0.5> : tensor<8x4xf32>} : tensor<8x4xf32>
    %x = llmc.embedding %e, %ids : tensor<8x4xf32>, tensor<?x?xi64>
    %a = llmc.attention %x, %x, %x cache @kv {heads = 1 : i64, kv_heads = 1 : i64, scale = 1.0 : f64, causal} : tensor<?x?x4xf32>, tensor<?x?x4xf32>, tensor<?x?x4xf32>
    return %a, %x : tensor<?x?x4xf32>, tensor<?x?x4xf32>
  }
}

// -----

module {
  llmc.cache @kv : tensor<1x4xf32>
  func.func @cache_and_mask(%ids: tensor<?x?xi64>, %m: tensor<?x?xi64>) -> tensor<?x?x4xf32> attributes {llmc.role = "step"} {
    %e = llmc.weight "e" {values = dense<0.5> : tensor<8x4xf32>} : tensor<8x4xf32>
    %x = llmc.embedding %e, %ids : tensor<8x4xf32>, tensor<?x?xi64>
    // expected-error @+1 {{cannot have both a cache and a padding mask: a state is one sequence}}
    %a = llmc.attention %x, %x, %x mask %m cache @kv {heads = 1 : i64, kv_heads = 1 : i64, scale = 1.0 : f64, causal}
        : tensor<?x?x4xf32>, tensor<?x?x4xf32>, tensor<?x?x4xf32>, tensor<?x?xi64>
    return %a : tensor<?x?x4xf32>
  }
}

// -----

// Nobody would hear of it.
module {
  llmc.cache @kv : tensor<1x4xf32>
  func.func @check_in_step(%ids: tensor<?x?xi64>) -> tensor<?x?x4xf32> attributes {llmc.role = "step"} {
    %e = llmc.weight "e" {values = dense<0.5> : tensor<8x4xf32>} : tensor<8x4xf32>
    %x = llmc.embedding %e, %ids : tensor<8x4xf32>, tensor<?x?xi64>
    // expected-error @+1 {{expects a function with llmc.role "run", where its outcome is reported}}
    llmc.expect_eq %x, %x : tensor<?x?x4xf32>, tensor<?x?x4xf32>
    %a = llmc.attention %x, %x, %x cache @kv {heads = 1 : i64, kv_heads = 1 : i64, scale = 1.0 : f64, causal} : tensor<?x?x4xf32>, tensor<?x?x4xf32>, tensor<?x?x4xf32>
    return %a : tensor<?x?x4xf32>
  }
}
