// RUN: llmc-opt %s --split-input-file --roll-layers --mlir-print-debuginfo=false | FileCheck %s

// Two kinds in turns: a body has one of each.
// CHECK-LABEL: exec.program @in_turns
// CHECK: exec.repeat 2 {
// CHECK: exec.scale
// CHECK: exec.softmax
// CHECK-NOT: exec.scale
exec.program @in_turns run rows = 16 attributes {weight_bytes = 0 : i64, arena_bytes = 8192 : i64, private_bytes = 0 : i64} {
  %x = exec.buffer at 0 : !exec.buffer<?x64xf32>
  %y = exec.buffer at 4096 : !exec.buffer<?x64xf32>
  exec.stage {
    exec.scale %x to %y {factor = 8.0 : f64} : !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>
  }
  exec.stage {
    exec.softmax %y to %x : !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>
  }
  exec.stage {
    exec.scale %x to %y {factor = 8.0 : f64} : !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>
  }
  exec.stage {
    exec.softmax %y to %x : !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>
  }
}

// -----

// What is observed stays in a place of its own, so buffers are arguments; a view is made of one in the body.
// CHECK-LABEL: exec.program @kept
// CHECK: exec.repeat 3 (%[[IN:.*]] = [%{{.*}}, %{{.*}}, %{{.*}}] : !exec.buffer<?x128xf32>, %[[OUT:.*]] = [%{{.*}}, %{{.*}}, %{{.*}}] : !exec.buffer<?x128xf32>) {
// CHECK-NEXT: %[[HALF:.*]] = exec.view %[[IN]][64]
// CHECK-NEXT: exec.stage {
// CHECK-NEXT: exec.scale %[[IN]] to %[[OUT]]
// CHECK-NEXT: exec.softmax %[[HALF]] to
// CHECK: exec.observe "1"
exec.program @kept run rows = 16 attributes {weight_bytes = 0 : i64, arena_bytes = 65536 : i64, private_bytes = 0 : i64} {
  %a = exec.buffer at 0 : !exec.buffer<?x128xf32>
  %b = exec.buffer at 8192 : !exec.buffer<?x128xf32>
  %c = exec.buffer at 24576 : !exec.buffer<?x128xf32>
  %d = exec.buffer at 16384 : !exec.buffer<?x128xf32>
  %s = exec.buffer at 32768 : !exec.buffer<?x64xf32>
  %a1 = exec.view %a[64] : !exec.buffer<?x128xf32> -> !exec.buffer<?x64xf32, stride = 128>
  %b1 = exec.view %b[64] : !exec.buffer<?x128xf32> -> !exec.buffer<?x64xf32, stride = 128>
  %c1 = exec.view %c[64] : !exec.buffer<?x128xf32> -> !exec.buffer<?x64xf32, stride = 128>
  exec.stage {
    exec.scale %a to %b {factor = 8.0 : f64} : !exec.buffer<?x128xf32>, !exec.buffer<?x128xf32>
    exec.softmax %a1 to %s : !exec.buffer<?x64xf32, stride = 128>, !exec.buffer<?x64xf32>
  }
  exec.observe "1" %b : !exec.buffer<?x128xf32>
  exec.stage {
    exec.scale %b to %c {factor = 8.0 : f64} : !exec.buffer<?x128xf32>, !exec.buffer<?x128xf32>
    exec.softmax %b1 to %s : !exec.buffer<?x64xf32, stride = 128>, !exec.buffer<?x64xf32>
  }
  exec.observe "2" %c : !exec.buffer<?x128xf32>
  exec.stage {
    exec.scale %c to %d {factor = 8.0 : f64} : !exec.buffer<?x128xf32>, !exec.buffer<?x128xf32>
    exec.softmax %c1 to %s : !exec.buffer<?x64xf32, stride = 128>, !exec.buffer<?x64xf32>
  }
}

// -----

// Not alike: another factor; the same buffer twice in one stage and two in the other; and what the caller sees is done once.
// CHECK-LABEL: exec.program @different
// CHECK-NOT: exec.repeat
exec.program @different run rows = 16 attributes {weight_bytes = 0 : i64, arena_bytes = 16384 : i64, private_bytes = 0 : i64} {
  %x = exec.buffer at 0 : !exec.buffer<?x64xf32>
  %y = exec.buffer at 4096 : !exec.buffer<?x64xf32>
  %z = exec.buffer at 8192 : !exec.buffer<?x64xf32>
  %p = exec.buffer at 12288 : !exec.buffer<?x1xi32>
  %q = exec.buffer at 13312 : !exec.buffer<?x1xi32>
  exec.stage {
    exec.scale %x to %y {factor = 8.0 : f64} : !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>
  }
  exec.stage {
    exec.scale %y to %x {factor = 4.0 : f64} : !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>
  }
  exec.stage {
    exec.binary add %x, %x to %z : !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>
  }
  exec.stage {
    exec.binary add %x, %y to %z : !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>
  }
  exec.stage {
    exec.positions to %p : !exec.buffer<?x1xi32>
  }
  exec.stage {
    exec.positions to %q : !exec.buffer<?x1xi32>
  }
}
