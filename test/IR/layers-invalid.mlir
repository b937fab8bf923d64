// RUN: llmc-opt %s --verify-diagnostics --split-input-file

// llmc.layer C1: it is private, and has a body.
// expected-error @+1 {{expects private visibility: entry points are func.func}}
llmc.layer @layer.0(%x: tensor<?x?x8xf32>) -> tensor<?x?x8xf32> {
  llmc.return %x : tensor<?x?x8xf32>
}

// -----

// expected-error @+1 {{'llmc.layer' op Operations with a 'SymbolTable' must have exactly one block}}
llmc.layer private @layer.0(tensor<?x?x8xf32>) -> tensor<?x?x8xf32>

// -----

// C2: weights and calls belong to the entry points.
llmc.layer private @layer.0(%x: tensor<?x?x8xf32>) -> tensor<?x?x8xf32> {
  // expected-error @+1 {{'llmc.weight' op cannot stand in llmc.layer @layer.0: it belongs to the entry point that calls the layer}}
  %w = llmc.weight "w" {values = dense<1.0> : tensor<8x8xf32>} : tensor<8x8xf32>
  %y = llmc.linear %x, %w : tensor<?x?x8xf32>, tensor<8x8xf32>
  llmc.return %y : tensor<?x?x8xf32>
}

// -----

// So a layer cannot call itself.
llmc.layer private @layer.0(%x: tensor<?x?x8xf32>) -> tensor<?x?x8xf32> {
  // expected-error @+1 {{'llmc.call' op expects parent op 'func.func'}}
  %y = llmc.call @layer.0(%x) : (tensor<?x?x8xf32>) -> tensor<?x?x8xf32>
  llmc.return %y : tensor<?x?x8xf32>
}

// -----

// llmc.return C1.
llmc.layer private @layer.0(%x: tensor<?x?x8xf32>) -> tensor<?x?x4xf32> {
  // expected-error @+1 {{expects the results of llmc.layer @layer.0, '(tensor<?x?x8xf32>) -> tensor<?x?x4xf32>'}}
  llmc.return %x : tensor<?x?x8xf32>
}

// -----

// Caches of the module are not seen from within.
llmc.cache @kv : tensor<1x8xf32>
llmc.layer private @layer.0(%x: tensor<?x?x8xf32>) -> tensor<?x?x8xf32> {
  // expected-error @+1 {{'llmc.attention' op expects llmc.cache @kv in the module}}
  %a = llmc.attention %x, %x, %x cache @kv {heads = 1 : i64, kv_heads = 1 : i64, scale = 1.0 : f64, causal} : tensor<?x?x8xf32>, tensor<?x?x8xf32>, tensor<?x?x8xf32>
  llmc.return %a : tensor<?x?x8xf32>
}

// -----

// llmc.call C1: the callee is a layer.
func.func private @other(%x: tensor<?x?x8xf32>) -> tensor<?x?x8xf32>
func.func @main(%x: tensor<?x?x8xf32>) -> tensor<?x?x8xf32> {
  // expected-error @+1 {{'llmc.call' op expects llmc.layer @other in the module}}
  %y = llmc.call @other(%x) : (tensor<?x?x8xf32>) -> tensor<?x?x8xf32>
  return %y : tensor<?x?x8xf32>
}

// -----

func.func @main(%x: tensor<?x?x8xf32>) -> tensor<?x?x8xf32> {
  // expected-error @+1 {{'llmc.call' op expects llmc.layer @layer.0 in the module}}
  %y = llmc.call @layer.0(%x) : (tensor<?x?x8xf32>) -> tensor<?x?x8xf32>
  return %y : tensor<?x?x8xf32>
}

// -----

// C2: operands and results have its types; here a weight is missing.
llmc.layer private @layer.0(%x: tensor<?x?x8xf32>, %w: tensor<8x8xf32>) -> tensor<?x?x8xf32> {
  %y = llmc.linear %x, %w : tensor<?x?x8xf32>, tensor<8x8xf32>
  llmc.return %y : tensor<?x?x8xf32>
}
func.func @main(%x: tensor<?x?x8xf32>) -> tensor<?x?x8xf32> {
  // expected-error @+1 {{expects operands and results of @layer.0, '(tensor<?x?x8xf32>, tensor<8x8xf32>) -> tensor<?x?x8xf32>', got '(tensor<?x?x8xf32>) -> tensor<?x?x8xf32>'}}
  %y = llmc.call @layer.0(%x) : (tensor<?x?x8xf32>) -> tensor<?x?x8xf32>
  return %y : tensor<?x?x8xf32>
}

// -----

llmc.layer private @layer.0(%x: tensor<?x?x8xf32>, %w: tensor<8x8xf32>) -> tensor<?x?x8xf32> {
  %y = llmc.linear %x, %w : tensor<?x?x8xf32>, tensor<8x8xf32>
  llmc.return %y : tensor<?x?x8xf32>
}
func.func @main(%x: tensor<?x?x8xf32>) -> tensor<?x?x4xf32> {
  %w = llmc.weight "w" {values = dense<1.0> : tensor<8x8xf32>} : tensor<8x8xf32>
  // expected-error @+1 {{expects operands and results of @layer.0}}
  %y = llmc.call @layer.0(%x, %w) : (tensor<?x?x8xf32>, tensor<8x8xf32>) -> tensor<?x?x4xf32>
  return %y : tensor<?x?x4xf32>
}

// -----

// C3: as many caches as the layer has, of the same types, in the module.
llmc.layer private @layer.0(%x: tensor<?x?x8xf32>) -> tensor<?x?x8xf32> {
  llmc.cache @kv.0 : tensor<1x8xf32>
  %a = llmc.attention %x, %x, %x cache @kv.0 {heads = 1 : i64, kv_heads = 1 : i64, scale = 1.0 : f64, causal} : tensor<?x?x8xf32>, tensor<?x?x8xf32>, tensor<?x?x8xf32>
  llmc.return %a : tensor<?x?x8xf32>
}
func.func @main(%x: tensor<?x?x8xf32>) -> tensor<?x?x8xf32> {
  // expected-error @+1 {{expects 1 caches for @layer.0, got 0}}
  %y = llmc.call @layer.0(%x) : (tensor<?x?x8xf32>) -> tensor<?x?x8xf32>
  return %y : tensor<?x?x8xf32>
}

// -----

llmc.layer private @layer.0(%x: tensor<?x?x8xf32>) -> tensor<?x?x8xf32> {
  llmc.cache @kv.0 : tensor<1x8xf32>
  %a = llmc.attention %x, %x, %x cache @kv.0 {heads = 1 : i64, kv_heads = 1 : i64, scale = 1.0 : f64, causal} : tensor<?x?x8xf32>, tensor<?x?x8xf32>, tensor<?x?x8xf32>
  llmc.return %a : tensor<?x?x8xf32>
}
func.func @main(%x: tensor<?x?x8xf32>) -> tensor<?x?x8xf32> {
  // expected-error @+1 {{expects llmc.cache @kv.0 in the module}}
  %y = llmc.call @layer.0(%x) caches [@kv.0] : (tensor<?x?x8xf32>) -> tensor<?x?x8xf32>
  return %y : tensor<?x?x8xf32>
}

// -----

llmc.cache @kv : tensor<1x8xi8>
llmc.layer private @layer.0(%x: tensor<?x?x8xf32>) -> tensor<?x?x8xf32> {
  llmc.cache @kv.0 {byte_products} : tensor<1x8xi8>
  %a = llmc.attention %x, %x, %x cache @kv.0 {heads = 1 : i64, kv_heads = 1 : i64, scale = 1.0 : f64, causal} : tensor<?x?x8xf32>, tensor<?x?x8xf32>, tensor<?x?x8xf32>
  llmc.return %a : tensor<?x?x8xf32>
}
func.func @main(%x: tensor<?x?x8xf32>) -> tensor<?x?x8xf32> {
  // expected-error @+1 {{expects @kv to be a cache like @kv.0 of @layer.0, 'tensor<1x8xi8>' with byte_products, got 'tensor<1x8xi8>'}}
  %y = llmc.call @layer.0(%x) caches [@kv] : (tensor<?x?x8xf32>) -> tensor<?x?x8xf32>
  return %y : tensor<?x?x8xf32>
}

// -----

// C4: an entry for each number that the body names.
llmc.layer private @layer.0(%x: tensor<?x?x8xf32>) -> tensor<?x?x8xf32> {
  %y = llmc.scale %x {factor = 2.0 : f64, note = #llmc.per_layer<1>} : tensor<?x?x8xf32>
  llmc.return %y : tensor<?x?x8xf32>
}
func.func @main(%x: tensor<?x?x8xf32>) -> tensor<?x?x8xf32> {
  // expected-error @+1 {{expects per_layer of 2 entries for @layer.0, got 1}}
  %y = llmc.call @layer.0(%x) {per_layer = [none]} : (tensor<?x?x8xf32>) -> tensor<?x?x8xf32>
  return %y : tensor<?x?x8xf32>
}

// -----

// C5: places are not negative.
llmc.layer private @layer.0(%x: tensor<?x?x8xf32>) -> tensor<?x?x8xf32> {
  llmc.return %x : tensor<?x?x8xf32>
}
func.func @main(%x: tensor<?x?x8xf32>) -> tensor<?x?x8xf32> {
  // expected-error @+1 {{expects places of 0 or more, got -1}}
  %y = llmc.call @layer.0(%x) {places = array<i64: -1>} : (tensor<?x?x8xf32>) -> tensor<?x?x8xf32>
  return %y : tensor<?x?x8xf32>
}

// -----

func.func @main(%x: tensor<?x?x8xf32>) -> tensor<?x?x8xf32> {
  // expected-error @+1 {{expects a number of 0 or more, got -1}}
  %y = llmc.scale %x {factor = 2.0 : f64, note = #llmc.per_layer<-1>} : tensor<?x?x8xf32>
  return %y : tensor<?x?x8xf32>
}
