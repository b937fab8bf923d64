// RUN: llmc-opt %s --roll-layers --split-input-file --verify-diagnostics

// Only what has a place can be told apart, and only a plan that is right may be relied on.

module {
  // expected-error @+1 {{expects buffers with places in memory; run --plan-memory}}
  exec.program @a run rows = 16 attributes {weight_bytes = 0 : i64} {
  }
}

// -----

module {
  exec.program @a run rows = 16 attributes {weight_bytes = 0 : i64, arena_bytes = 8192 : i64, private_bytes = 0 : i64} {
    // expected-note @+1 {{the other is here}}
    %x = exec.buffer at 0 : !exec.buffer<?x64xf32>
    // expected-error @+1 {{shares memory with a buffer of the same stage}}
    %y = exec.buffer at 64 : !exec.buffer<?x64xf32>
    exec.stage {
      exec.softmax %x to %y : !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>
    }
  }
}
