// RUN: llmc-opt %s --fuse-stages --split-input-file --verify-diagnostics

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

// -----

module {
  // expected-error @+1 {{llmc.role "encode" goes with a "step" that reads what it makes, which is not compiled yet; expected "step" or "run"}}
  func.func @a() attributes {llmc.role = "encode"} {
    return
  }
}

// -----

module {
  // expected-error @+1 {{input 1 is 'index', expected a tensor with rows of static width}}
  func.func @a(%ids: tensor<?x?xi64>, %n: index) attributes {llmc.role = "run"} {
    return
  }
}

// -----

module {
  func.func @a(%x: tensor<?x?x4xf32>, %y: tensor<?x?x4xf32>) -> tensor<?x?x4xf32> attributes {llmc.role = "run"} {
    // expected-error @+1 {{has no lowering in a step (is it an operation on whole rows?)}}
    %z = arith.remf %x, %y : tensor<?x?x4xf32>
    return %z : tensor<?x?x4xf32>
  }
}

// -----

module {
  func.func @a(%x: tensor<?x?x?xf32>) -> tensor<?x?x?xf32> attributes {llmc.role = "run"} {
    return %x : tensor<?x?x?xf32>
  }
  // expected-error @-3 {{input 0 is 'tensor<?x?x?xf32>', expected a tensor with rows of static width}}
}

// -----

// expected-error @+1 {{input 0 is 'tensor<?x4xf32>', expected rows of floats as [batch, sequence, width]}}
func.func @rank(%x: tensor<?x4xf32>) -> tensor<?x4xf32> attributes {llmc.role = "run"} {
  %y = llmc.softmax %x : tensor<?x4xf32>
  return %y : tensor<?x4xf32>
}
