// RUN: llmc-opt %s --fuse-stages --split-input-file --verify-diagnostics
// RUN: llmc-opt %s --pack-weights --split-input-file --verify-diagnostics
// RUN: llmc-opt %s --plan-memory --split-input-file --verify-diagnostics

// expected-error @+1 {{module has no function with llmc.role to compile}}
module {
  func.func @f() {
    return
  }
}

// -----

module {
  func.func @a() attributes {llmc.role = "run"} {
    return
  }
  // expected-error @+1 {{module has several entry points (@a and @b); one function with llmc.role is compiled at a time}}
  func.func @b() attributes {llmc.role = "run"} {
    return
  }
}
