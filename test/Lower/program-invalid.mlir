// RUN: llmc-opt %s --pack-weights --split-input-file --verify-diagnostics
// RUN: llmc-opt %s --plan-memory --split-input-file --verify-diagnostics
// RUN: llmc-opt %s --roll-layers --split-input-file --verify-diagnostics
// RUN: llmc-opt %s --lower-step --split-input-file --verify-diagnostics

// A pass that is run alone on what another should have made first says so.

// expected-error @+1 {{module has no exec.program; --fuse-stages makes one of a function}}
module {
  func.func @f(%ids: tensor<?x?xi64>) attributes {llmc.role = "run"} {
    return
  }
}

// -----

module {
  exec.program @a run rows = 16 {
  }
  // expected-error @+1 {{module has several programs (@a and @b); one is lowered at a time}}
  exec.program @b run rows = 16 {
  }
}
