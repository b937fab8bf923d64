// RUN: llmc-opt %s --verify-diagnostics --split-input-file

// expected-error @+1 {{expects 2 to 8 bits, got 9}}
func.func private @bits(!llmc.compressed<4x4xf32, #llmc.int<9, group = 0, scale = f16>>)

// -----

// expected-error @+1 {{expects a group of 0 (per channel) or more, got -1}}
func.func private @group(!llmc.compressed<4x4xf32, #llmc.int<4, group = -1, scale = f16>>)

// -----

// expected-error @+1 {{expects scales of f16 or f32, got 'bf16'}}
func.func private @scale(!llmc.compressed<4x4xf32, #llmc.int<4, group = 0, scale = bf16>>)

// -----

// expected-error @+1 {{expects group, symmetric, scale or zero, got shape}}
func.func private @key(!llmc.compressed<4x4xf32, #llmc.int<4, shape = 3>>)

// -----

// expected-error @+1 {{expects a table nf4, nf4_i8 or bnb_fp4, got fp4}}
func.func private @table(!llmc.compressed<4x4xf32, #llmc.table<fp4, group = 64>>)

// -----

// expected-error @+1 {{expects a group of 0 (per channel) or more, got -64}}
func.func private @table_group(!llmc.compressed<4x4xf32, #llmc.table<nf4, group = -64>>)

// -----

// expected-error @+1 {{expects scales of f16 or f32, got 'i8'}}
func.func private @table_scale(!llmc.compressed<4x4xf32, #llmc.table<nf4, group = 64, scale = i8>>)

// -----

// expected-error @+1 {{expects group or scale, got symmetric}}
func.func private @table_key(!llmc.compressed<4x4xf32, #llmc.table<nf4, symmetric>>)

// -----

// expected-error @+1 {{expects a float e4m3 or e5m2, got e3m4}}
func.func private @float_format(!llmc.compressed<4x4xf32, #llmc.float<e3m4>>)

// -----

// expected-error @+1 {{expects a scale per matrix, row or block, got column}}
func.func private @float_per(!llmc.compressed<4x4xf32, #llmc.float<e4m3, per = column>>)

// -----

// expected-error @+1 {{expects per or scale, got group}}
func.func private @float_key(!llmc.compressed<4x4xf32, #llmc.float<e4m3, group = 4>>)

// -----

// expected-error @+1 {{expects scales of f16 or f32, got 'bf16'}}
func.func private @float_scale(!llmc.compressed<4x4xf32, #llmc.float<e4m3, scale = bf16>>)

// -----

// expected-error @+1 {{expects levels for 0 (all) or more rows, got -1}}
func.func private @levels_rows(!llmc.compressed<4x4xf32, #llmc.levels<rows = -1, type = f16>>)

// -----

// expected-error @+1 {{expects levels of f16 or f32, got 'bf16'}}
func.func private @levels_type(!llmc.compressed<4x4xf32, #llmc.levels<rows = 4, type = bf16>>)

// -----

// expected-error @+1 {{expected 'base3'}}
func.func private @ternary_packing(!llmc.compressed<4x4xf32, #llmc.ternary<base4>>)

// -----

// expected-error @+1 {{expects dense storage as f32, f16 or bf16, got 'f64'}}
func.func private @dense(!llmc.compressed<4x4xf32, #llmc.dense<f64>>)

// -----

// expected-error @+1 {{expects N:M with 1 <= N < M <= 32, got 4:4}}
func.func private @nm(!llmc.compressed<4x4xf32, #llmc.nm<4:4, #llmc.ternary>>)

// -----

// expected-error @+1 {{expects an inner scheme with a code or value for each weight, got #llmc.mask<#llmc.ternary>}}
func.func private @nested(!llmc.compressed<4x4xf32, #llmc.nm<2:4, #llmc.mask<#llmc.ternary>>>)

// -----

// expected-error @+1 {{expects an inner scheme with a code or value for each weight, got 4 : i64}}
func.func private @mask(!llmc.compressed<4x4xf32, #llmc.mask<4 : i64>>)

// -----

// expected-error @+1 {{expects a compressed weight of two positive dimensions}}
func.func private @rank(!llmc.compressed<4xf32, #llmc.ternary>)

// -----

// expected-error @+1 {{expects a compressed weight of two positive dimensions}}
func.func private @empty(!llmc.compressed<4x0xf32, #llmc.ternary>)

// -----

// expected-error @+1 {{expects a compressed weight of f32, f16 or bf16, got 'i8'}}
func.func private @element(!llmc.compressed<4x4xi8, #llmc.ternary>)

// -----

// expected-error @+1 {{expects a compression scheme, got "int4"}}
func.func private @scheme(!llmc.compressed<4x4xf32, "int4">)

// -----

// expected-error @+1 {{expects activations quantized to i8, got 'i4'}}
func.func private @activations() attributes {test.a = #llmc.dynamic<i4, per_token>}

// -----

// expected-error @+1 {{expects a positive block of channels, got 0}}
func.func private @activations() attributes {test.a = #llmc.dynamic<i8, per_group<0>>}

// -----

// expected-error @+1 {{expects per_token or per_group<N>, got per_tensor}}
func.func private @activations() attributes {test.a = #llmc.dynamic<i8, per_tensor>}

// -----

// expected-error @+1 {{expects activations quantized to i8, got 'i16'}}
func.func private @activations() attributes {test.a = #llmc.static<i16>}

// -----

// expected-error @+1 {{expects quantized rows of a static width of at least one element}}
func.func private @quantized(!llmc.quantized<4x?xf32, #llmc.static<i8>>)

// -----

// expected-error @+1 {{expects quantized rows of f32, f16, bf16 or f64, got 'i8'}}
func.func private @quantized(!llmc.quantized<?x4xi8, #llmc.static<i8>>)

// -----

// expected-error @+1 {{expects #llmc.dynamic or #llmc.static, got "i8"}}
func.func private @quantized(!llmc.quantized<?x4xf32, "i8">)

// -----

// expected-error @+1 {{expects zero points of f16 or f32 (bytes where none is named), got 'bf16'}}
func.func private @int_zero(!llmc.compressed<4x4xf32, #llmc.int<4, group = 4, scale = f16, zero = bf16>>)

// -----

// expected-error @+1 {{expects symmetric or zero points of 'f16', got both}}
func.func private @int_both(!llmc.compressed<4x4xf32, #llmc.int<4, group = 4, symmetric, scale = f16, zero = f16>>)
