// RUN: llmc-opt %s --fuse-stages --split-input-file --verify-diagnostics
// RUN: llmc-opt %s --pack-weights --split-input-file --verify-diagnostics -o /dev/null

// What the passes are told is read whole or not at all.

// expected-error @+1 {{llmc.compile expects a dictionary, got 1}}
module attributes {llmc.compile = 1 : i64} {
  func.func @f() attributes {llmc.role = "run"} {
    return
  }
  exec.program @p run rows = 16 {
  }
}

// -----

// expected-error @+1 {{llmc.compile has no key "lane"}}
module attributes {llmc.compile = {lane = 8 : i64}} {
  func.func @f() attributes {llmc.role = "run"} {
    return
  }
  exec.program @p run rows = 16 {
  }
}

// -----

// What emitters for processors are told stands in llmc.cpu.
// expected-error @+1 {{llmc.compile has no key "lanes"}}
module attributes {llmc.compile = {lanes = 8 : i64}} {
  func.func @f() attributes {llmc.role = "run"} {
    return
  }
  exec.program @p run rows = 16 {
  }
}

// -----

// expected-error @+1 {{llmc.compile expects "unit" of at least 1, got 0}}
module attributes {llmc.compile = {unit = 0 : i64}} {
  func.func @f() attributes {llmc.role = "run"} {
    return
  }
  exec.program @p run rows = 16 {
  }
}

// -----

// expected-error @+1 {{llmc.compile expects "context" of at least 1, got 0}}
module attributes {llmc.compile = {context = 0 : i64}} {
  func.func @f() attributes {llmc.role = "run"} {
    return
  }
  exec.program @p run rows = 16 {
  }
}

// -----

// expected-error @+1 {{llmc.compile expects "prefix" to be a C identifier, got "2b"}}
module attributes {llmc.compile = {prefix = "2b"}} {
  func.func @f() attributes {llmc.role = "run"} {
    return
  }
  exec.program @p run rows = 16 {
  }
}
