// RUN: llmc-opt %s --plan-memory --mlir-print-debuginfo=false | FileCheck %s

// 16 rows of 64 floats each: 4096 bytes. A value may take the place of one whose last reader was a stage earlier.
module attributes {llmc.compile = {max_tokens = 16 : i64}} {
  // CHECK: @main(%{{.*}}: tensor<?x?x4xf32> {llmc.buffer = 0 : i64})
  // CHECK-SAME: llmc.arena_bytes =
  func.func @main(%ids: tensor<?x?x4xf32>) -> tensor<?x?x4xf32> attributes {llmc.role = "run"} {
    // CHECK: llmc.softmax {{.*}} {llmc.buffer = array<i64: [[A:[0-9]+]]>, llmc.stage = 1 : i64}
    // CHECK: llmc.softmax {{.*}} {llmc.buffer = array<i64: [[B:[0-9]+]]>, llmc.stage = 2 : i64}
    // CHECK: llmc.softmax {{.*}} {llmc.buffer = array<i64: [[A]]>, llmc.stage = 3 : i64}
    // CHECK: llmc.softmax {{.*}} {llmc.buffer = array<i64: [[B]]>, llmc.stage = 4 : i64}
    %a = llmc.softmax %ids {llmc.stage = 1 : i64} : tensor<?x?x4xf32>
    %b = llmc.softmax %a {llmc.stage = 2 : i64} : tensor<?x?x4xf32>
    %c = llmc.softmax %b {llmc.stage = 3 : i64} : tensor<?x?x4xf32>
    %d = llmc.softmax %c {llmc.stage = 4 : i64} : tensor<?x?x4xf32>
    // An observed value stays: it is read after the step.
    // CHECK: llmc.softmax {{.*}} {llmc.buffer = array<i64: [[A]]>, llmc.stage = 5 : i64}
    // CHECK: llmc.softmax {{.*}} {llmc.buffer = array<i64: [[B]]>, llmc.stage = 6 : i64}
    // CHECK-NOT: array<i64: [[A]]>
    %e = llmc.softmax %d {llmc.stage = 5 : i64} : tensor<?x?x4xf32>
    llmc.observe "e" %e {llmc.stage = 6 : i64} : tensor<?x?x4xf32>
    %f = llmc.softmax %e {llmc.stage = 6 : i64} : tensor<?x?x4xf32>
    %g = llmc.softmax %f {llmc.stage = 7 : i64} : tensor<?x?x4xf32>
    %h = llmc.softmax %g {llmc.stage = 8 : i64} : tensor<?x?x4xf32>
    return %h : tensor<?x?x4xf32>
  }
}
