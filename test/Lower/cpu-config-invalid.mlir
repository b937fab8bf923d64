// RUN: llmc-opt %s --pack-weights --split-input-file --verify-diagnostics

// What emitters for processors are told is read whole or not at all, and they alone read it.

// expected-error @+1 {{llmc.cpu expects a dictionary, got 1}}
module attributes {llmc.cpu = 1 : i64} {
  exec.program @p run rows = 16 {
  }
}

// -----

// expected-error @+1 {{llmc.cpu has no key "context"}}
module attributes {llmc.cpu = {context = 8 : i64}} {
  exec.program @p run rows = 16 {
  }
}

// -----

// expected-error @+1 {{llmc.cpu expects "lanes" to be an integer, got "8"}}
module attributes {llmc.cpu = {lanes = "8"}} {
  func.func @f() attributes {llmc.role = "run"} {
    return
  }
  exec.program @p run rows = 16 {
  }
}

// -----

// expected-error @+1 {{llmc.cpu expects "lanes" of 4, 8 or 16, got 12}}
module attributes {llmc.cpu = {lanes = 12 : i64}} {
  func.func @f() attributes {llmc.role = "run"} {
    return
  }
  exec.program @p run rows = 16 {
  }
}

// -----

// expected-error @+1 {{llmc.cpu expects "dot" to be none, maddubs, vnni or sdot, got "dpbusd"}}
module attributes {llmc.cpu = {dot = "dpbusd"}} {
  func.func @f() attributes {llmc.role = "run"} {
    return
  }
  exec.program @p run rows = 16 {
  }
}
