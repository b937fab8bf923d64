// RUN: llmc-opt %s --lower-step --split-input-file --verify-diagnostics

module {
  // expected-error @+1 {{expects weights with places in the weight file; run --pack-weights}}
  exec.program @a run rows = 16 {
  }
}

// -----

module {
  // expected-error @+1 {{expects buffers with places in memory; run --plan-memory}}
  exec.program @a run rows = 16 attributes {weight_bytes = 0 : i64} {
  }
}

// -----

// Added behind the plan.
module {
  exec.program @a run rows = 16 attributes {weight_bytes = 0 : i64, arena_bytes = 0 : i64, private_bytes = 0 : i64} {
    // expected-error @+1 {{has no place; run --pack-weights and --plan-memory behind what made it}}
    %0 = exec.buffer : !exec.buffer<?x64xf32>
  }
}

// -----

module {
  exec.program @a run rows = 16 attributes {weight_bytes = 0 : i64, arena_bytes = 64 : i64, private_bytes = 0 : i64} {
    // expected-error @+1 {{expects inputs in order, got 1 as number 0}}
    %0 = exec.input 1 at 0 : !exec.buffer<?x1xi32>
  }
}

// -----

module {
  exec.program @a run rows = 16 attributes {weight_bytes = 0 : i64, arena_bytes = 4096 : i64, private_bytes = 0 : i64} {
    // expected-error @+1 {{input 0 is '!exec.buffer<?x4xi8, stride = 64>', expected rows of f32, or ids or a mask as i32}}
    %0 = exec.input 0 at 0 : !exec.buffer<?x4xi8, stride = 64>
  }
}

// -----

module {
  // expected-error @+1 {{expects a step to take the ids, or rows of floats, and nothing else}}
  exec.program @a step rows = 16 attributes {weight_bytes = 0 : i64, arena_bytes = 0 : i64, private_bytes = 0 : i64} {
  }
}

// -----

// A product stores whole tiles: they would reach into the next row, or into columns of another thread.
module attributes {llmc.cpu = {lanes = 8 : i64, registers = 16 : i64}} {
  exec.program @a run rows = 16 attributes {weight_bytes = 512 : i64, arena_bytes = 8192 : i64, private_bytes = 0 : i64} {
    %w = llmc.weight "w" {values = dense<0.5> : tensor<8x4xf32>} : tensor<8x4xf32>
    %p = exec.weight %w at 0 bytes 512 : !exec.packed<linear, tensor<8x4xf32>>
    %0 = exec.buffer at 0 : !exec.buffer<?x4xf32>
    %1 = exec.buffer at 256 : !exec.buffer<?x8xf32>
    exec.stage {
      // expected-error @+1 {{expects rows and shares of whole tiles of 32 columns on this target, got '!exec.buffer<?x8xf32>'}}
      exec.linear %0, %p to %1 : !exec.buffer<?x4xf32>, !exec.packed<linear, tensor<8x4xf32>>, !exec.buffer<?x8xf32>
    }
  }
}

// -----

module {
  exec.program @a run rows = 16 attributes {weight_bytes = 0 : i64, arena_bytes = 64 : i64, private_bytes = 0 : i64} {
    // expected-error @+1 {{lies at bytes 64 to 4160, beyond its memory of 64}}
    %0 = exec.buffer at 64 : !exec.buffer<?x64xf32>
  }
}

// -----

// Both are read in the second stage. In memory of its own each worker may have the same offsets.
module {
  exec.program @a run rows = 16 attributes {weight_bytes = 0 : i64, arena_bytes = 16384 : i64, private_bytes = 4096 : i64} {
    // expected-note @+1 {{the other is here}}
    %0 = exec.buffer at 0 : !exec.buffer<?x64xf32>
    // expected-error @+1 {{shares memory with a buffer of the same stage}}
    %1 = exec.buffer at 2048 : !exec.buffer<?x64xf32>
    %2 = exec.buffer at 8192 : !exec.buffer<?x64xf32>
    %3 = exec.buffer at 0 : !exec.buffer<?x64xf32, private>
    exec.stage {
      exec.softmax %2 to %0 : !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>
      exec.softmax %2 to %3 : !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32, private>
    }
    exec.stage {
      exec.softmax %0 to %1 : !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>
    }
  }
}

// -----

// Codes are stored and loaded in whole lines.
module attributes {llmc.cpu = {lanes = 8 : i64, registers = 16 : i64}} {
  exec.program @a run rows = 16 attributes {weight_bytes = 0 : i64, arena_bytes = 8192 : i64, private_bytes = 0 : i64} {
    %0 = exec.buffer at 0 : !exec.buffer<?x4xf32, stride = 64>
    %1 = exec.buffer at 4096 : !exec.buffer<?x4xi8>
    %2 = exec.buffer at 4160 : !exec.buffer<?x1xf32>
    exec.stage {
      // expected-error @+1 {{expects codes in rows of whole lines of 64 bytes on this target, got '!exec.buffer<?x4xi8>'}}
      exec.quantize %0 to %1, %2 : !exec.buffer<?x4xf32, stride = 64>, !exec.buffer<?x4xi8>, !exec.buffer<?x1xf32>
    }
  }
}

// -----

module attributes {llmc.cpu = {lanes = 8 : i64, registers = 16 : i64}} {
  exec.program @a run rows = 16 attributes {weight_bytes = 512 : i64, arena_bytes = 12288 : i64, private_bytes = 0 : i64} {
    %w = llmc.weight "w" {values = dense<0.5> : tensor<8x4xf32>} : tensor<8x4xf32>
    %p = exec.weight %w at 0 bytes 512 : !exec.packed<linear, tensor<8x4xf32>>
    %0 = exec.buffer at 0 : !exec.buffer<?x16xi8, stride = 64>
    %1 = exec.view %0[8] : !exec.buffer<?x16xi8, stride = 64> -> !exec.buffer<?x4xi8, stride = 64>
    %2 = exec.buffer at 4096 : !exec.buffer<?x1xf32>
    %3 = exec.buffer at 8192 : !exec.buffer<?x8xf32, stride = 64>
    exec.stage {
      // expected-error @+1 {{expects codes in rows of whole lines of 64 bytes on this target, got '!exec.buffer<?x4xi8, stride = 64>'}}
      exec.linear %1 scales %2, %p to %3 : !exec.buffer<?x4xi8, stride = 64>, !exec.buffer<?x1xf32>, !exec.packed<linear, tensor<8x4xf32>>, !exec.buffer<?x8xf32, stride = 64>
    }
  }
}
