// RUN: llmc-opt %s --split-input-file --verify-diagnostics

// Each constraint of an operation broken once.

exec.program @two_tails step rows = 16 {
  exec.tail rows = 16 {
  }
  // expected-error @+1 {{comes after the tail of the program}}
  exec.tail rows = 16 {
  }
}

// -----

exec.program @run_with_tail run rows = 16 {
  // expected-error @+1 {{belongs to a step, not to a run}}
  exec.tail rows = 16 {
  }
}

// -----

// expected-error @+1 {{expects at least one row, got 0}}
exec.program @no_rows run rows = 0 {
}

// -----

// expected-error @+1 {{expects sizes of 0 or more, got -64}}
exec.program @negative run rows = 16 attributes {arena_bytes = -64 : i64} {
}

// -----

exec.program @foreign run rows = 16 {
  // expected-error @+1 {{has no place in a program, which has declarations and stages}}
  %0 = arith.constant 0 : i32
}

// -----

exec.program @input run rows = 16 {
  // expected-error @+1 {{expects an index of 0 or more, got -1}}
  %0 = exec.input -1 : !exec.buffer<?x1xi32>
}

// -----

exec.program @input run rows = 16 {
  // expected-error @+1 {{expects the rows of a call in the arena, got '!exec.buffer<?x1xi32, private>'}}
  %0 = exec.input 0 : !exec.buffer<?x1xi32, private>
}

// -----

exec.program @input run rows = 16 {
  // expected-error @+1 {{expects an offset that is a multiple of 64, got 4}}
  %0 = exec.input 0 at 4 : !exec.buffer<?x1xi32>
}

// -----

exec.program @buffer run rows = 16 {
  // expected-error @+1 {{cannot have an offset in the caller's memory}}
  %0 = exec.buffer at 0 : !exec.buffer<?x4xf32, caller>
}

// -----

exec.program @view run rows = 16 {
  %0 = exec.buffer : !exec.buffer<?x8xf32>
  // expected-error @+1 {{expects columns 6 to 6 + 4 within a row of 8}}
  %1 = exec.view %0[6] : !exec.buffer<?x8xf32> -> !exec.buffer<?x4xf32, stride = 8>
}

// -----

exec.program @view run rows = 16 {
  %0 = exec.buffer : !exec.buffer<?x8xf32>
  // expected-error @+1 {{expects rows, element type, stride and space of '!exec.buffer<?x8xf32>', got '!exec.buffer<?x4xf32>'}}
  %1 = exec.view %0[4] : !exec.buffer<?x8xf32> -> !exec.buffer<?x4xf32>
}

// -----

exec.program @weight run rows = 16 {
  %w = llmc.weight "w" {values = dense<0.5> : tensor<4x4xf32>} : tensor<4x4xf32>
  // expected-error @+1 {{expects both an offset and a size in the weight file, or neither}}
  %p = exec.weight %w at 0 : !exec.packed<linear, tensor<4x4xf32>>
}

// -----

exec.program @weight run rows = 16 {
  %w = llmc.weight "w" {values = dense<0.5> : tensor<4x4xf32>} : tensor<4x4xf32>
  // expected-error @+1 {{expects a positive size, got 0}}
  %p = exec.weight %w at 0 bytes 0 : !exec.packed<linear, tensor<4x4xf32>>
}

// -----

exec.program @weight run rows = 16 {
  %w = llmc.weight "w" {values = dense<0.5> : tensor<4x4xf32>} : tensor<4x4xf32>
  // expected-error @+1 {{cannot be the table of a rotation, which is exec.rope_table}}
  %p = exec.weight %w : !exec.packed<rope, tensor<4x4xf32>>
}

// -----

exec.program @table run rows = 16 {
  // expected-error @+1 {{expects a row of 2 * 2 elements for each position, got 'tensor<16x6xf32>'}}
  %t = exec.rope_table [1.0, 0.5] : !exec.packed<rope, tensor<16x6xf32>>
}

// -----

exec.program @output step rows = 16 {
  %0 = exec.buffer : !exec.buffer<?x8xf32>
  // expected-error @+1 {{belongs to a run; the logits of a step are copied in its tail}}
  exec.output %0 : !exec.buffer<?x8xf32>
}

// -----

exec.program @output run rows = 16 {
  %0 = exec.buffer : !exec.buffer<?x8xf32, private>
  // expected-error @+1 {{expects rows in the arena, got '!exec.buffer<?x8xf32, private>'}}
  exec.output %0 : !exec.buffer<?x8xf32, private>
}

// -----

exec.program @observe run rows = 16 {
  %0 = exec.buffer : !exec.buffer<?x8xf32, private>
  // expected-error @+1 {{expects rows in the arena, got '!exec.buffer<?x8xf32, private>'}}
  exec.observe "x" %0 : !exec.buffer<?x8xf32, private>
}

// -----

exec.program @tail step rows = 16 {
  // expected-error @+1 {{expects at least one row, got 0}}
  exec.tail rows = 0 {
  }
}

// -----

exec.program @tail step rows = 16 {
  exec.tail rows = 16 {
    // expected-error @+1 {{has no place in a tail, which has buffers, views and stages}}
    %0 = exec.input 0 : !exec.buffer<?x1xi32>
  }
}

// -----

exec.program @stage run rows = 16 {
  exec.stage {
    // expected-error @+1 {{is no kernel, but stands in a stage}}
    %0 = exec.buffer : !exec.buffer<?x8xf32>
  }
}

// -----

// By rows, so another worker may have written them: a stage later it is right.
exec.program @stage run rows = 16 {
  %0 = exec.buffer : !exec.buffer<?x8xf32>
  %1 = exec.buffer : !exec.buffer<?x8xf32>
  %2 = exec.buffer : !exec.buffer<?x8xf32>
  exec.stage {
    // expected-note @+1 {{written here}}
    exec.softmax %0 to %1 : !exec.buffer<?x8xf32>, !exec.buffer<?x8xf32>
    // expected-error @+1 {{reads what other workers write in this stage; it belongs to a later one}}
    exec.softmax %1 to %2 : !exec.buffer<?x8xf32>, !exec.buffer<?x8xf32>
  }
}

// -----

// Shares of different chains.
exec.program @stage run rows = 16 {
  %0 = exec.buffer : !exec.buffer<?x64xf32>
  %1 = exec.buffer : !exec.buffer<?x64xf32>
  %2 = exec.buffer : !exec.buffer<?x64xf32>
  exec.stage {
    // expected-note @+1 {{written here}}
    exec.scale %0 to %1 {factor = 2.0 : f64, share = #exec.share<unit = 16, total = 64, first = 0, width = 64, column = 0>} : !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>
    // expected-error @+1 {{reads what other workers write in this stage}}
    exec.scale %1 to %2 {factor = 2.0 : f64, share = #exec.share<unit = 32, total = 64, first = 0, width = 64, column = 0>} : !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>
  }
}

// -----

// Columns 32 to 63 are not those that the reader's worker has written.
exec.program @stage run rows = 16 {
  %0 = exec.buffer : !exec.buffer<?x64xf32>
  %1 = exec.buffer : !exec.buffer<?x64xf32>
  %2 = exec.buffer : !exec.buffer<?x32xf32>
  %3 = exec.view %1[32] : !exec.buffer<?x64xf32> -> !exec.buffer<?x32xf32, stride = 64>
  exec.stage {
    // expected-note @+1 {{written here}}
    exec.scale %0 to %1 {factor = 2.0 : f64, share = #exec.share<unit = 16, total = 64, first = 0, width = 64, column = 0>} : !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>
    // expected-error @+1 {{reads what other workers write in this stage}}
    exec.scale %3 to %2 {factor = 2.0 : f64, share = #exec.share<unit = 16, total = 64, first = 0, width = 64, column = 0>} : !exec.buffer<?x32xf32, stride = 64>, !exec.buffer<?x32xf32>
  }
}

// -----

// A product needs whole rows of its input, whoever has which columns.
exec.program @stage run rows = 16 {
  %w = llmc.weight "w" {values = dense<0.5> : tensor<64x64xf32>} : tensor<64x64xf32>
  %p = exec.weight %w : !exec.packed<linear, tensor<64x64xf32>>
  %0 = exec.buffer : !exec.buffer<?x64xf32>
  %1 = exec.buffer : !exec.buffer<?x64xf32>
  %2 = exec.buffer : !exec.buffer<?x64xf32>
  exec.stage {
    // expected-note @+1 {{written here}}
    exec.scale %0 to %1 {factor = 2.0 : f64, share = #exec.share<unit = 16, total = 64, first = 0, width = 64, column = 0>} : !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>
    // expected-error @+1 {{reads what other workers write in this stage}}
    exec.linear %1, %p to %2 {share = #exec.share<unit = 16, total = 64, first = 0, width = 64, column = 0>} : !exec.buffer<?x64xf32>, !exec.packed<linear, tensor<64x64xf32>>, !exec.buffer<?x64xf32>
  }
}

// -----

llmc.cache @kv : tensor<1x8xf32>
exec.program @stage step rows = 16 {
  %0 = exec.buffer : !exec.buffer<?x8xf32>
  %1 = exec.buffer : !exec.buffer<?x8xf32>
  exec.stage {
    exec.cache_store %0 in @kv {heads = 1 : i64, part = #llmc.cache_part<keys>} : !exec.buffer<?x8xf32>
    // expected-error @+1 {{reads cache @kv, which this stage stores to}}
    exec.cached_attention %0 in @kv to %1 {heads = 1 : i64, kv_heads = 1 : i64, scale = 1.0 : f64} : !exec.buffer<?x8xf32>, !exec.buffer<?x8xf32>
  }
}

// -----

exec.program @kernel run rows = 16 {
  %0 = exec.buffer : !exec.buffer<?x8xf32>
  %1 = exec.view %0[0] : !exec.buffer<?x8xf32> -> !exec.buffer<?x4xf32, stride = 8>
  %2 = exec.buffer : !exec.buffer<?x4xf32>
  exec.stage {
    // expected-error @+1 {{expects to write a whole buffer, not a view}}
    exec.softmax %2 to %1 : !exec.buffer<?x4xf32>, !exec.buffer<?x4xf32, stride = 8>
  }
}

// -----

exec.program @kernel run rows = 16 {
  %0 = exec.input 0 : !exec.buffer<?x1xi32>
  exec.stage {
    // expected-error @+1 {{cannot write what the caller gave}}
    exec.positions to %0 : !exec.buffer<?x1xi32>
  }
}

// -----

exec.program @kernel run rows = 16 {
  %0 = exec.buffer : !exec.buffer<?x8xf32>
  %1 = exec.buffer : !exec.buffer<?x8xf32, private>
  exec.stage {
    // expected-error @+1 {{cannot share out what each worker computes for itself}}
    exec.scale %0 to %1 {factor = 2.0 : f64, share = #exec.share<unit = 8, total = 8, first = 0, width = 8, column = 0>} : !exec.buffer<?x8xf32>, !exec.buffer<?x8xf32, private>
  }
}

// -----

exec.program @kernel run rows = 16 {
  %0 = exec.buffer : !exec.buffer<?x8xf32>
  %1 = exec.buffer : !exec.buffer<?x8xf32>
  exec.stage {
    // expected-error @+1 {{expects its 8 columns within those of its chain, got}}
    exec.scale %0 to %1 {factor = 2.0 : f64, share = #exec.share<unit = 8, total = 8, first = 0, width = 8, column = 4>} : !exec.buffer<?x8xf32>, !exec.buffer<?x8xf32>
  }
}

// -----

exec.program @kernel run rows = 16 {
  %t = exec.rope_table [1.0, 0.5] : !exec.packed<rope, tensor<16x4xf32>>
  %0 = exec.buffer : !exec.buffer<?x16xf32>
  %1 = exec.buffer : !exec.buffer<?x16xf32>
  exec.stage {
    // expected-error @+1 {{expects shares of whole parts of 8 columns, got}}
    exec.rope %0, %t to %1 {heads = 2 : i64, layout = #llmc.rope_layout<half>, share = #exec.share<unit = 4, total = 16, first = 0, width = 16, column = 0>} : !exec.buffer<?x16xf32>, !exec.packed<rope, tensor<16x4xf32>>, !exec.buffer<?x16xf32>
  }
}

// -----

exec.program @embedding run rows = 16 {
  %w = llmc.weight "w" {values = dense<0.5> : tensor<8x4xf32>} : tensor<8x4xf32>
  %p = exec.weight %w : !exec.packed<embedding, tensor<8x4xf32>>
  %ids = exec.input 0 : !exec.buffer<?x1xi32>
  %0 = exec.buffer : !exec.buffer<?x8xf32>
  exec.stage {
    // expected-error @+1 {{expects rows of 4 elements, got '!exec.buffer<?x8xf32>'}}
    exec.embedding %p, %ids to %0 : !exec.packed<embedding, tensor<8x4xf32>>, !exec.buffer<?x1xi32>, !exec.buffer<?x8xf32>
  }
}

// -----

exec.program @embedding run rows = 16 {
  %w = llmc.weight "w" {values = dense<0.5> : tensor<8xf32>} : tensor<8xf32>
  %p = exec.weight %w : !exec.packed<vector, tensor<8xf32>>
  %ids = exec.input 0 : !exec.buffer<?x1xi32>
  %0 = exec.buffer : !exec.buffer<?x8xf32>
  exec.stage {
    // expected-error @+1 {{operand #0 must be a table that can be read by id, but got '!exec.packed<vector, tensor<8xf32>>'}}
    exec.embedding %p, %ids to %0 : !exec.packed<vector, tensor<8xf32>>, !exec.buffer<?x1xi32>, !exec.buffer<?x8xf32>
  }
}

// -----

exec.program @norm run rows = 16 {
  %g = llmc.weight "g" {values = dense<0.5> : tensor<4xf32>} : tensor<4xf32>
  %p = exec.weight %g : !exec.packed<vector, tensor<4xf32>>
  %0 = exec.buffer : !exec.buffer<?x8xf32>
  %1 = exec.buffer : !exec.buffer<?x8xf32>
  exec.stage {
    // expected-error @+1 {{expects a vector of 8 elements, got '!exec.packed<vector, tensor<4xf32>>'}}
    exec.rms_norm %0, %p to %1 {eps = 0.0 : f64} : !exec.buffer<?x8xf32>, !exec.packed<vector, tensor<4xf32>>, !exec.buffer<?x8xf32>
  }
}

// -----

exec.program @norm run rows = 16 {
  %g = llmc.weight "g" {values = dense<0.5> : tensor<8xf32>} : tensor<8xf32>
  %p = exec.weight %g : !exec.packed<vector, tensor<8xf32>>
  %0 = exec.buffer : !exec.buffer<?x8xf32>
  %1 = exec.buffer : !exec.buffer<?x8xf32>
  exec.stage {
    // expected-error @+1 {{cannot share out the norm of a row by columns}}
    exec.rms_norm %0, %p to %1 {eps = 0.0 : f64, share = #exec.share<unit = 8, total = 8, first = 0, width = 8, column = 0>} : !exec.buffer<?x8xf32>, !exec.packed<vector, tensor<8xf32>>, !exec.buffer<?x8xf32>
  }
}

// -----

exec.program @linear run rows = 16 {
  %w = llmc.weight "w" {values = dense<0.5> : tensor<8x4xf32>} : tensor<8x4xf32>
  %p = exec.weight %w : !exec.packed<linear, tensor<8x4xf32>>
  %0 = exec.buffer : !exec.buffer<?x8xf32>
  %1 = exec.buffer : !exec.buffer<?x8xf32>
  exec.stage {
    // expected-error @+1 {{expects an input of 4 columns, got '!exec.buffer<?x8xf32>'}}
    exec.linear %0, %p to %1 : !exec.buffer<?x8xf32>, !exec.packed<linear, tensor<8x4xf32>>, !exec.buffer<?x8xf32>
  }
}

// -----

exec.program @linear run rows = 16 {
  %w = llmc.weight "w" {values = dense<0.5> : tensor<4x8xf32>} : tensor<4x8xf32>
  %p = exec.weight %w : !exec.packed<linear, tensor<4x8xf32>>
  %0 = exec.buffer : !exec.buffer<?x8xf32>
  %1 = exec.buffer : !exec.buffer<?x8xf32>
  exec.stage {
    // expected-error @+1 {{expects a result of 4 columns, got '!exec.buffer<?x8xf32>'}}
    exec.linear %0, %p to %1 : !exec.buffer<?x8xf32>, !exec.packed<linear, tensor<4x8xf32>>, !exec.buffer<?x8xf32>
  }
}

// -----

exec.program @rope run rows = 16 {
  %t = exec.rope_table [1.0, 0.5] : !exec.packed<rope, tensor<16x4xf32>>
  %0 = exec.buffer : !exec.buffer<?x8xf32>
  %1 = exec.buffer : !exec.buffer<?x8xf32>
  exec.stage {
    // expected-error @+1 {{expects a table of at most 2 columns, a head, got '!exec.packed<rope, tensor<16x4xf32>>'}}
    exec.rope %0, %t to %1 {heads = 4 : i64, layout = #llmc.rope_layout<half>} : !exec.buffer<?x8xf32>, !exec.packed<rope, tensor<16x4xf32>>, !exec.buffer<?x8xf32>
  }
}

// -----

exec.program @long_rope run rows = 16 {
  %t = exec.rope_table [1.0, 0.5] : !exec.packed<rope, tensor<16x4xf32>>
  %0 = exec.buffer : !exec.buffer<?x8xf32>
  %1 = exec.buffer : !exec.buffer<?x8xf32>
  exec.stage {
    // expected-error @+1 {{expects a long table together with an original_context of at least 1, got 0 with one}}
    exec.rope %0, %t long %t to %1 {heads = 2 : i64, layout = #llmc.rope_layout<half>} : !exec.buffer<?x8xf32>, !exec.packed<rope, tensor<16x4xf32>>, !exec.packed<rope, tensor<16x4xf32>>, !exec.buffer<?x8xf32>
  }
}

// -----

exec.program @long_rope_alone run rows = 16 {
  %t = exec.rope_table [1.0, 0.5] : !exec.packed<rope, tensor<16x4xf32>>
  %0 = exec.buffer : !exec.buffer<?x8xf32>
  %1 = exec.buffer : !exec.buffer<?x8xf32>
  exec.stage {
    // expected-error @+1 {{got 8 without one}}
    exec.rope %0, %t to %1 {heads = 2 : i64, layout = #llmc.rope_layout<half>, original_context = 8 : i64} : !exec.buffer<?x8xf32>, !exec.packed<rope, tensor<16x4xf32>>, !exec.buffer<?x8xf32>
  }
}

// -----

exec.program @long_rope_type run rows = 16 {
  %t = exec.rope_table [1.0, 0.5] : !exec.packed<rope, tensor<16x4xf32>>
  %l = exec.rope_table [1.0] : !exec.packed<rope, tensor<16x2xf32>>
  %0 = exec.buffer : !exec.buffer<?x8xf32>
  %1 = exec.buffer : !exec.buffer<?x8xf32>
  exec.stage {
    // expected-error @+1 {{expects a long table of '!exec.packed<rope, tensor<16x4xf32>>', got '!exec.packed<rope, tensor<16x2xf32>>'}}
    exec.rope %0, %t long %l to %1 {heads = 2 : i64, layout = #llmc.rope_layout<half>, original_context = 8 : i64} : !exec.buffer<?x8xf32>, !exec.packed<rope, tensor<16x4xf32>>, !exec.packed<rope, tensor<16x2xf32>>, !exec.buffer<?x8xf32>
  }
}

// -----

exec.program @store step rows = 16 {
  %0 = exec.buffer : !exec.buffer<?x8xf32>
  exec.stage {
    // expected-error @+1 {{refers to @kv, which is no llmc.cache}}
    exec.cache_store %0 in @kv {heads = 1 : i64, part = #llmc.cache_part<keys>} : !exec.buffer<?x8xf32>
  }
}

// -----

llmc.cache @kv : tensor<2x8xf32>
exec.program @store step rows = 16 {
  %0 = exec.buffer : !exec.buffer<?x8xf32>
  exec.stage {
    // expected-error @+1 {{expects a cache of 1 heads of 8 elements, got 'tensor<2x8xf32>'}}
    exec.cache_store %0 in @kv {heads = 1 : i64, part = #llmc.cache_part<keys>} : !exec.buffer<?x8xf32>
  }
}

// -----

exec.program @attention run rows = 16 {
  %0 = exec.buffer : !exec.buffer<?x8xf32>
  %1 = exec.buffer : !exec.buffer<?x8xf32>
  exec.stage {
    // expected-error @+1 {{expects heads to be a multiple of kv_heads, got 2 and 4}}
    exec.attention %0, %0, %0 to %1 {heads = 2 : i64, kv_heads = 4 : i64, scale = 1.0 : f64} : !exec.buffer<?x8xf32>, !exec.buffer<?x8xf32>, !exec.buffer<?x8xf32>, !exec.buffer<?x8xf32>
  }
}

// -----

exec.program @attention run rows = 16 {
  %0 = exec.buffer : !exec.buffer<?x8xf32>
  %1 = exec.buffer : !exec.buffer<?x8xf32>
  exec.stage {
    // expected-error @+1 {{expects query heads like key heads and result heads like value heads}}
    exec.attention %0, %0, %0 to %1 {heads = 2 : i64, kv_heads = 1 : i64, scale = 1.0 : f64} : !exec.buffer<?x8xf32>, !exec.buffer<?x8xf32>, !exec.buffer<?x8xf32>, !exec.buffer<?x8xf32>
  }
}

// -----

exec.program @attention run rows = 16 {
  %0 = exec.buffer : !exec.buffer<?x8xf32>
  %1 = exec.buffer : !exec.buffer<?x8xf32>
  exec.stage {
    // expected-error @+1 {{expects a window of 0, or more with causal, got 4}}
    exec.attention %0, %0, %0 to %1 {heads = 1 : i64, kv_heads = 1 : i64, scale = 1.0 : f64, window = 4 : i64} : !exec.buffer<?x8xf32>, !exec.buffer<?x8xf32>, !exec.buffer<?x8xf32>, !exec.buffer<?x8xf32>
  }
}

// -----

exec.program @widths run rows = 16 {
  %0 = exec.buffer : !exec.buffer<?x8xf32>
  %1 = exec.buffer : !exec.buffer<?x4xf32>
  exec.stage {
    // expected-error @+1 {{expects rows of 4 elements, got '!exec.buffer<?x8xf32>'}}
    exec.softmax %0 to %1 : !exec.buffer<?x8xf32>, !exec.buffer<?x4xf32>
  }
}

// -----

exec.program @copy run rows = 16 {
  %0 = exec.buffer : !exec.buffer<?x8xf32>
  %1 = exec.buffer : !exec.buffer<?x8xf32>
  exec.stage {
    // expected-error @+1 {{expects to copy a buffer to the caller, or rows of the weight file to the arena}}
    exec.copy %0 to %1 : !exec.buffer<?x8xf32>, !exec.buffer<?x8xf32>
  }
}

// -----

exec.program @expect run rows = 16 {
  %0 = exec.buffer : !exec.buffer<?x8xf32>
  %1 = exec.buffer : !exec.buffer<1x3xi32>
  exec.stage {
    // expected-error @+1 {{expects tolerances of 0 or more, and none of an exact comparison}}
    exec.expect %0, %0 to %1 {exact, atol = 1.0 : f64} : !exec.buffer<?x8xf32>, !exec.buffer<?x8xf32>, !exec.buffer<1x3xi32>
  }
}

// -----

exec.program @expect step rows = 16 {
  %0 = exec.buffer : !exec.buffer<?x8xf32>
  %1 = exec.buffer : !exec.buffer<1x3xi32>
  exec.stage {
    // expected-error @+1 {{belongs to a run, whose caller hears of its outcome}}
    exec.expect %0, %0 to %1 {exact} : !exec.buffer<?x8xf32>, !exec.buffer<?x8xf32>, !exec.buffer<1x3xi32>
  }
}

// -----

// expected-error @+1 {{'builtin.module' op cannot have this exec.artifact, which is an #exec.artifact on builtin.module}}
module attributes {exec.artifact = 1 : i64} {
}

// -----

// expected-error @+1 {{'builtin.module' op has no meaning for attribute "exec.arena"}}
module attributes {exec.arena = 1 : i64} {
}

// -----

// Rows of one kind.
exec.program @rows run rows = 16 {
  %0 = exec.buffer : !exec.buffer<?x8xf32>
  %1 = exec.buffer : !exec.buffer<?x8xf32, sequences>
  exec.stage {
    // expected-error @+1 {{expects rows of tokens or of sequences, got both: '!exec.buffer<?x8xf32>' and '!exec.buffer<?x8xf32, sequences>'}}
    exec.softmax %0 to %1 : !exec.buffer<?x8xf32>, !exec.buffer<?x8xf32, sequences>
  }
}

// -----

exec.program @positions run rows = 16 {
  %0 = exec.buffer : !exec.buffer<?x1xi32, sequences>
  exec.stage {
    // expected-error @+1 {{expects a row for each token, got '!exec.buffer<?x1xi32, sequences>'}}
    exec.positions to %0 : !exec.buffer<?x1xi32, sequences>
  }
}

// -----

exec.program @output run rows = 16 {
  %0 = exec.buffer : !exec.buffer<?x8xf32>
  // expected-error @+1 {{expects rank 3, or 2 for rows of sequences, got 2}}
  exec.output %0 {rank = 2 : i64} : !exec.buffer<?x8xf32>
}

// -----

// exec.generic C2.
exec.program @body run rows = 16 {
  %0 = exec.buffer : !exec.buffer<?x8xf32>
  %1 = exec.buffer : !exec.buffer<?x8xf32>
  exec.stage {
    // expected-error @+1 {{expects one row of '!exec.buffer<?x8xf32>' in its body, got 'tensor<1x?x8xf32>'}}
    exec.generic "body" each row (%0) to (%1) : (!exec.buffer<?x8xf32>) to (!exec.buffer<?x8xf32>) {
    ^bb0(%x: tensor<1x?x8xf32>):
      exec.yield %x : tensor<1x?x8xf32>
    }
  }
}

// -----

// exec.generic C2.
exec.program @body run rows = 16 {
  %0 = exec.buffer : !exec.buffer<?x8xf32>
  %1 = exec.buffer : !exec.buffer<?x9xf32>
  exec.stage {
    // expected-error @+1 {{expects one row of '!exec.buffer<?x9xf32>' from its body, got 'tensor<1x1x8xf32>'}}
    exec.generic "body" each row (%0) to (%1) : (!exec.buffer<?x8xf32>) to (!exec.buffer<?x9xf32>) {
    ^bb0(%x: tensor<1x1x8xf32>):
      exec.yield %x : tensor<1x1x8xf32>
    }
  }
}

// -----

// exec.generic C3.
exec.program @body run rows = 16 {
  %0 = exec.buffer : !exec.buffer<?x8xf32>
  %1 = exec.buffer : !exec.buffer<?x8xf32>
  exec.stage {
    // expected-error @+1 {{expects a limit for each of 1 inputs, got 2}}
    exec.generic "body" each row (%0) to (%1) {index_limits = array<i64: 0, 0>} : (!exec.buffer<?x8xf32>) to (!exec.buffer<?x8xf32>) {
    ^bb0(%x: tensor<1x1x8xf32>):
      exec.yield %x : tensor<1x1x8xf32>
    }
  }
}

// -----

// exec.generic C4.
exec.program @body step rows = 16 {
  %0 = exec.buffer : !exec.buffer<?x8xf32>
  %1 = exec.buffer : !exec.buffer<?x8xf32>
  exec.stage {
    // expected-error @+1 {{needs all rows of a sequence, of which a step sees those of a call}}
    exec.generic "body" each sequence (%0) to (%1) : (!exec.buffer<?x8xf32>) to (!exec.buffer<?x8xf32>) {
    ^bb0(%x: tensor<1x?x8xf32>):
      exec.yield %x : tensor<1x?x8xf32>
    }
  }
}

// -----

exec.program @repeated run rows = 16 {
  %x = exec.buffer : !exec.buffer<?x64xf32>
  %y = exec.buffer : !exec.buffer<?x64xf32>
  %i = exec.input 0 : !exec.buffer<?x1xi32>
  // expected-error @+1 {{expects at least two turns, got 1}}
  exec.repeat 1 {
    exec.stage {
      exec.softmax %x to %y : !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>
    }
  }
}

// -----

exec.program @repeated run rows = 16 {
  %x = exec.buffer : !exec.buffer<?x64xf32>
  %y = exec.buffer : !exec.buffer<?x64xf32>
  %i = exec.input 0 : !exec.buffer<?x1xi32>
  // expected-error @+1 {{expects 4 values for each of 1 arguments, got 2}}
  "exec.repeat"(%x, %y) <{turns = 4 : i64}> ({
  ^bb0(%a: !exec.buffer<?x64xf32>):
    exec.stage {
      exec.softmax %a to %a : !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>
    }
  }) : (!exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>) -> ()
}

// -----

exec.program @repeated run rows = 16 {
  %x = exec.buffer : !exec.buffer<?x64xf32>
  %y = exec.buffer : !exec.buffer<?x64xf32>
  %i = exec.input 0 : !exec.buffer<?x1xi32>
  // expected-error @+1 {{expects a value of '!exec.buffer<?x64xf32>', got '!exec.buffer<?x1xi32>'}}
  "exec.repeat"(%x, %i) <{turns = 2 : i64}> ({
  ^bb0(%a: !exec.buffer<?x64xf32>):
    exec.stage {
      exec.softmax %y to %a : !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>
    }
  }) : (!exec.buffer<?x64xf32>, !exec.buffer<?x1xi32>) -> ()
}

// -----

exec.program @repeated run rows = 16 {
  %x = exec.buffer : !exec.buffer<?x64xf32>
  %y = exec.buffer : !exec.buffer<?x64xf32>
  %i = exec.input 0 : !exec.buffer<?x1xi32>
  %j = exec.input 1 : !exec.buffer<?x64xf32>
  // expected-error @+1 {{expects values made by exec.weight, exec.rope_table or exec.buffer}}
  exec.repeat 2 (%a = [%x, %j] : !exec.buffer<?x64xf32>) {
    exec.stage {
      exec.softmax %a to %y : !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>
    }
  }
}

// -----

exec.program @repeated run rows = 16 {
  %x = exec.buffer : !exec.buffer<?x64xf32>
  %y = exec.buffer : !exec.buffer<?x64xf32>
  %i = exec.input 0 : !exec.buffer<?x1xi32>
  %c = exec.buffer : !exec.buffer<?x64xf32, caller>
  %d = exec.buffer : !exec.buffer<?x64xf32, caller>
  // expected-error @+1 {{cannot bind the caller's memory, got '!exec.buffer<?x64xf32, caller>'}}
  exec.repeat 2 (%a = [%c, %d] : !exec.buffer<?x64xf32, caller>) {
    exec.stage {
      exec.softmax %x to %a : !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32, caller>
    }
  }
}

// -----

exec.program @repeated run rows = 16 {
  %x = exec.buffer : !exec.buffer<?x64xf32>
  %y = exec.buffer : !exec.buffer<?x64xf32>
  // expected-error @+1 {{has one buffer under two names in turn 1}}
  exec.repeat 2 (%a = [%x, %y] : !exec.buffer<?x64xf32>) {
    exec.stage {
      exec.softmax %a to %y : !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>
    }
  }
}

// -----

exec.program @repeated run rows = 16 {
  %x = exec.buffer : !exec.buffer<?x64xf32>
  %y = exec.buffer : !exec.buffer<?x64xf32>
  %i = exec.input 0 : !exec.buffer<?x1xi32>
  %z = exec.buffer : !exec.buffer<?x64xf32>
  // expected-error @+1 {{has one buffer under two names in turn 0}}
  exec.repeat 2 (%a = [%x, %y] : !exec.buffer<?x64xf32>, %b = [%x, %z] : !exec.buffer<?x64xf32>) {
    exec.stage {
      exec.softmax %a to %b : !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>
    }
  }
}

// -----

exec.program @repeated run rows = 16 {
  %x = exec.buffer : !exec.buffer<?x64xf32>
  %y = exec.buffer : !exec.buffer<?x64xf32>
  %i = exec.input 0 : !exec.buffer<?x1xi32>
  exec.repeat 2 {
    // expected-error @+1 {{has no place in a repeat, which has views and stages}}
    %b = exec.buffer : !exec.buffer<?x64xf32>
    exec.stage {
      exec.softmax %x to %y : !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>
    }
  }
}

// -----

exec.program @repeated run rows = 16 {
  %x = exec.buffer : !exec.buffer<?x64xf32>
  %y = exec.buffer : !exec.buffer<?x64xf32>
  %i = exec.input 0 : !exec.buffer<?x1xi32>
  // expected-error @+1 {{expects at least one stage}}
  exec.repeat 2 {
  }
}

// -----

exec.program @repeated run rows = 16 {
  %x = exec.buffer : !exec.buffer<?x64xf32>
  %y = exec.buffer : !exec.buffer<?x64xf32>
  %i = exec.input 0 : !exec.buffer<?x1xi32>
  %p = exec.buffer : !exec.buffer<?x1xi32>
  exec.repeat 2 {
    exec.stage {
      // expected-error @+1 {{is done once in a call and cannot be repeated}}
      exec.positions to %p : !exec.buffer<?x1xi32>
    }
  }
}

// -----

llmc.cache @a : tensor<8x8xf32>
llmc.cache @b : tensor<8x8xf32>
llmc.cache @c : tensor<8x8xf16>
exec.program @repeated step rows = 16 {
  %x = exec.buffer : !exec.buffer<?x64xf32>
  %y = exec.buffer : !exec.buffer<?x64xf32>
  %i = exec.input 0 : !exec.buffer<?x1xi32>
  // expected-error @+1 {{expects a cache for each of 2 turns, got [@a]}}
  exec.repeat 2 caches [[@a]] {
    exec.stage {
      exec.cache_store %x in @a {heads = 8 : i64, part = #llmc.cache_part<keys>} : !exec.buffer<?x64xf32>
    }
  }
}

// -----

llmc.cache @a : tensor<8x8xf32>
llmc.cache @b : tensor<8x8xf32>
llmc.cache @c : tensor<8x8xf16>
exec.program @repeated step rows = 16 {
  %x = exec.buffer : !exec.buffer<?x64xf32>
  %y = exec.buffer : !exec.buffer<?x64xf32>
  %i = exec.input 0 : !exec.buffer<?x1xi32>
  // expected-error @+1 {{refers to @d, which is no llmc.cache}}
  exec.repeat 2 caches [[@a, @d]] {
    exec.stage {
      exec.cache_store %x in @a {heads = 8 : i64, part = #llmc.cache_part<keys>} : !exec.buffer<?x64xf32>
    }
  }
}

// -----

llmc.cache @a : tensor<8x8xf32>
llmc.cache @b : tensor<8x8xf32>
llmc.cache @c : tensor<8x8xf16>
exec.program @repeated step rows = 16 {
  %x = exec.buffer : !exec.buffer<?x64xf32>
  %y = exec.buffer : !exec.buffer<?x64xf32>
  %i = exec.input 0 : !exec.buffer<?x1xi32>
  // expected-error @+1 {{expects caches like @a, got @c}}
  exec.repeat 2 caches [[@a, @c]] {
    exec.stage {
      exec.cache_store %x in @a {heads = 8 : i64, part = #llmc.cache_part<keys>} : !exec.buffer<?x64xf32>
    }
  }
}

// -----

llmc.cache @a : tensor<8x8xf32>
llmc.cache @b : tensor<8x8xf32>
llmc.cache @c : tensor<8x8xf16>
exec.program @repeated step rows = 16 {
  %x = exec.buffer : !exec.buffer<?x64xf32>
  %y = exec.buffer : !exec.buffer<?x64xf32>
  %i = exec.input 0 : !exec.buffer<?x1xi32>
  // expected-error @+1 {{has cache @b under two names in turn 1}}
  exec.repeat 2 caches [[@a, @b]] {
    exec.stage {
      exec.cache_store %x in @b {heads = 8 : i64, part = #llmc.cache_part<keys>} : !exec.buffer<?x64xf32>
    }
    exec.stage {
      exec.cache_store %x in @a {heads = 8 : i64, part = #llmc.cache_part<keys>} : !exec.buffer<?x64xf32>
    }
  }
}

// -----

// exec.linear C2.
exec.program @main run rows = 8 {
  %w = llmc.weight "w" {values = dense<0.5> : tensor<4x8xf32>} : tensor<4x8xf32>
  %p = exec.weight %w : !exec.packed<linear, tensor<4x8xf32>>
  %0 = exec.buffer : !exec.buffer<?x8xi8, stride = 64>
  %1 = exec.buffer : !exec.buffer<?x4xf32>
  exec.stage {
    // expected-error @+1 {{expects scales with codes and with nothing else, got an input of '!exec.buffer<?x8xi8, stride = 64>' without scales}}
    exec.linear %0, %p to %1 : !exec.buffer<?x8xi8, stride = 64>, !exec.packed<linear, tensor<4x8xf32>>, !exec.buffer<?x4xf32>
  }
}

// -----

// exec.linear C2.
exec.program @main run rows = 8 {
  %w = llmc.weight "w" {values = dense<0.5> : tensor<4x8xf32>} : tensor<4x8xf32>
  %p = exec.weight %w : !exec.packed<linear, tensor<4x8xf32>>
  %0 = exec.buffer : !exec.buffer<?x8xf32>
  %1 = exec.buffer : !exec.buffer<?x1xf32>
  %2 = exec.buffer : !exec.buffer<?x4xf32>
  exec.stage {
    // expected-error @+1 {{expects scales with codes and with nothing else, got an input of '!exec.buffer<?x8xf32>' with scales}}
    exec.linear %0 scales %1, %p to %2 : !exec.buffer<?x8xf32>, !exec.buffer<?x1xf32>, !exec.packed<linear, tensor<4x8xf32>>, !exec.buffer<?x4xf32>
  }
}

// -----

// exec.linear C2.
exec.program @main run rows = 8 {
  %w = llmc.weight "w" {values = dense<0.5> : tensor<4x8xf32>} : tensor<4x8xf32>
  %p = exec.weight %w : !exec.packed<linear, tensor<4x8xf32>>
  %0 = exec.buffer : !exec.buffer<?x8xi8, stride = 64>
  %1 = exec.buffer : !exec.buffer<?x1xf32>
  %2 = exec.buffer : !exec.buffer<?x4xf32>
  exec.stage {
    // expected-error @+1 {{expects rows of 2 scales of 8 codes, got '!exec.buffer<?x1xf32>'}}
    exec.linear %0 scales %1, %p to %2 {group = 4 : i64} : !exec.buffer<?x8xi8, stride = 64>, !exec.buffer<?x1xf32>, !exec.packed<linear, tensor<4x8xf32>>, !exec.buffer<?x4xf32>
  }
}

// -----

// exec.linear C2.
exec.program @main run rows = 8 {
  %w = llmc.weight "w" {values = dense<0.5> : tensor<4x8xf32>} : tensor<4x8xf32>
  %p = exec.weight %w : !exec.packed<linear, tensor<4x8xf32>>
  %0 = exec.buffer : !exec.buffer<?x8xf32>
  %1 = exec.buffer : !exec.buffer<?x4xf32>
  exec.stage {
    // expected-error @+1 {{expects no group without scales, got 4}}
    exec.linear %0, %p to %1 {group = 4 : i64} : !exec.buffer<?x8xf32>, !exec.packed<linear, tensor<4x8xf32>>, !exec.buffer<?x4xf32>
  }
}

// -----

// exec.quantize C1.
exec.program @main run rows = 8 {
  %0 = exec.buffer : !exec.buffer<?x8xf32>
  %1 = exec.buffer : !exec.buffer<?x4xi8>
  %2 = exec.buffer : !exec.buffer<?x1xf32>
  exec.stage {
    // expected-error @+1 {{expects rows of 8 elements, got '!exec.buffer<?x4xi8>'}}
    exec.quantize %0 to %1, %2 : !exec.buffer<?x8xf32>, !exec.buffer<?x4xi8>, !exec.buffer<?x1xf32>
  }
}

// -----

// exec.quantize C1.
exec.program @main run rows = 8 {
  %0 = exec.buffer : !exec.buffer<?x8xf32>
  %1 = exec.buffer : !exec.buffer<?x8xi8>
  %2 = exec.buffer : !exec.buffer<?x1xf32>
  exec.stage {
    // expected-error @+1 {{expects rows of 3 scales of 8 codes, got '!exec.buffer<?x1xf32>'}}
    exec.quantize %0 to %1, %2 {group = 3 : i64} : !exec.buffer<?x8xf32>, !exec.buffer<?x8xi8>, !exec.buffer<?x1xf32>
  }
}

// -----

// exec.quantize C1.
exec.program @main run rows = 8 {
  %0 = exec.buffer : !exec.buffer<?x8xf32>
  %1 = exec.buffer : !exec.buffer<?x8xi8>
  %2 = exec.buffer : !exec.buffer<?x1xf32>
  exec.stage {
    // expected-error @+1 {{expects a group of 0 (the row) or more columns, got -1}}
    exec.quantize %0 to %1, %2 {group = -1 : i64} : !exec.buffer<?x8xf32>, !exec.buffer<?x8xi8>, !exec.buffer<?x1xf32>
  }
}

// -----

// exec.quantize C2.
exec.program @main run rows = 8 {
  %0 = exec.buffer : !exec.buffer<?x8xf32>
  %1 = exec.buffer : !exec.buffer<?x8xi8>
  %2 = exec.buffer : !exec.buffer<?x1xf32, private>
  exec.stage {
    // expected-error @+1 {{expects codes and scales in the arena or private to a worker, got '!exec.buffer<?x8xi8>' and '!exec.buffer<?x1xf32, private>'}}
    exec.quantize %0 to %1, %2 : !exec.buffer<?x8xf32>, !exec.buffer<?x8xi8>, !exec.buffer<?x1xf32, private>
  }
}

// -----

// exec.quantize C3.
exec.program @main run rows = 8 {
  %s = llmc.weight "s" {values = dense<0.5> : tensor<1xf32>} : tensor<1xf32>
  %v = exec.weight %s : !exec.packed<vector, tensor<1xf32>>
  %0 = exec.buffer : !exec.buffer<?x8xf32>
  %1 = exec.buffer : !exec.buffer<?x8xi8>
  %2 = exec.buffer : !exec.buffer<?x2xf32>
  exec.stage {
    // expected-error @+1 {{expects a given scale to be that of whole rows, got one for each 4 columns}}
    exec.quantize %0 by %v to %1, %2 {group = 4 : i64} : !exec.buffer<?x8xf32>, !exec.packed<vector, tensor<1xf32>>, !exec.buffer<?x8xi8>, !exec.buffer<?x2xf32>
  }
}

// -----

// exec.quantize C3.
exec.program @main run rows = 8 {
  %s = llmc.weight "s" {values = dense<0.5> : tensor<2xf32>} : tensor<2xf32>
  %v = exec.weight %s : !exec.packed<vector, tensor<2xf32>>
  %0 = exec.buffer : !exec.buffer<?x8xf32>
  %1 = exec.buffer : !exec.buffer<?x8xi8>
  %2 = exec.buffer : !exec.buffer<?x1xf32>
  exec.stage {
    // expected-error @+1 {{expects a vector of 1 elements, got '!exec.packed<vector, tensor<2xf32>>'}}
    exec.quantize %0 by %v to %1, %2 : !exec.buffer<?x8xf32>, !exec.packed<vector, tensor<2xf32>>, !exec.buffer<?x8xi8>, !exec.buffer<?x1xf32>
  }
}

// -----

// Codes for all workers are read in a later stage.
exec.program @main run rows = 8 {
  %w = llmc.weight "w" {values = dense<0.5> : tensor<4x8xf32>} : tensor<4x8xf32>
  %p = exec.weight %w : !exec.packed<linear, tensor<4x8xf32>>
  %0 = exec.buffer : !exec.buffer<?x8xf32>
  %1 = exec.buffer : !exec.buffer<?x8xi8>
  %2 = exec.buffer : !exec.buffer<?x1xf32>
  %3 = exec.buffer : !exec.buffer<?x4xf32>
  exec.stage {
    // expected-note @+1 {{written here}}
    exec.quantize %0 to %1, %2 : !exec.buffer<?x8xf32>, !exec.buffer<?x8xi8>, !exec.buffer<?x1xf32>
    // expected-error @+1 {{reads what other workers write in this stage; it belongs to a later one}}
    exec.linear %1 scales %2, %p to %3 : !exec.buffer<?x8xi8>, !exec.buffer<?x1xf32>, !exec.packed<linear, tensor<4x8xf32>>, !exec.buffer<?x4xf32>
  }
}
