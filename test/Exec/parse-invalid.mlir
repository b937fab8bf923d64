// RUN: llmc-opt %s --split-input-file --verify-diagnostics

// What attributes and types refuse while they are read.

// expected-error @+1 {{expects a positive unit and width of a share, got 0 and 8}}
func.func private @share() attributes {a = #exec.share<unit = 0, total = 8, first = 0, width = 8, column = 0>}

// -----

// expected-error @+1 {{expects columns 4 to 4 + 8 of a share within its total of 8}}
func.func private @share() attributes {a = #exec.share<unit = 8, total = 8, first = 4, width = 8, column = 0>}

// -----

// expected-error @+1 {{expects a column of a share from 0 to 7, got 8}}
func.func private @share() attributes {a = #exec.share<unit = 8, total = 8, first = 0, width = 8, column = 8>}

// -----

// expected-error @+1 {{expects sizes of an artifact of 0 or more, got -1}}
module attributes {exec.artifact = #exec.artifact<arena_bytes = -1, scratch_bytes = 0, kv_block_bytes = 0, vocabulary = 0, id_limit = 0, longest_sequence = 0, observations = [], checks = []>} {
}

// -----

// expected-error @+1 {{expects a list of #exec.observation, got [1]}}
module attributes {exec.artifact = #exec.artifact<arena_bytes = 0, scratch_bytes = 0, kv_block_bytes = 0, vocabulary = 0, id_limit = 0, longest_sequence = 0, observations = [1], checks = []>} {
}

// -----

// expected-error @+1 {{expects rows and width of a buffer, as ?x64xf32}}
func.func private @buffer(!exec.buffer<64xf32>)

// -----

// expected-error @+1 {{expects rows of at least one element}}
func.func private @buffer(!exec.buffer<?x0xf32>)

// -----

// expected-error @+1 {{expects a stride of at least the width of 64, got 32}}
func.func private @buffer(!exec.buffer<?x64xf32, stride = 32>)

// -----

// expected-error @+1 {{expects elements of f32, f16, bf16, i8 or i32, got 'f64'}}
func.func private @buffer(!exec.buffer<?x64xf64>)

// -----

// expected-error @+1 {{expects stride, sequences, arena, private or caller, got shared}}
func.func private @buffer(!exec.buffer<?x64xf32, shared>)

// -----

// expected-error @+1 {{expects linear, embedding, bias, vector, rows or rope, got matrix}}
func.func private @packed(!exec.packed<matrix, tensor<4x4xf32>>)

// -----

// expected-error @+1 {{expects a tensor of floats or a compressed weight, got 'tensor<4x4xi32>'}}
func.func private @packed(!exec.packed<linear, tensor<4x4xi32>>)

// -----

// expected-error @+1 {{expects a matrix in form linear, got 'tensor<4xf32>'}}
func.func private @packed(!exec.packed<linear, tensor<4xf32>>)

// -----

// expected-error @+1 {{expects a vector in form bias, got 'tensor<4x4xf32>'}}
func.func private @packed(!exec.packed<bias, tensor<4x4xf32>>)

// -----

// expected-error @+1 {{expects a matrix of f32 in form rope, got 'tensor<4x4xf16>'}}
func.func private @packed(!exec.packed<rope, tensor<4x4xf16>>)

// -----

exec.program @repeated run rows = 16 {
  %x = exec.buffer : !exec.buffer<?x64xf32>
  // expected-error @+1 {{expects a value for each of 2 turns, got 1}}
  exec.repeat 2 (%a = [%x] : !exec.buffer<?x64xf32>) {
  }
}
