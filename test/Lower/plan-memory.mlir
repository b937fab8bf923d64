// RUN: llmc-opt %s --plan-memory --mlir-print-debuginfo=false | FileCheck %s

// 16 rows of 64 floats each: 4096 bytes. A buffer may take the place of one whose last reader was a stage earlier; what the caller gave
// stays, and so does what is observed or given back.
// CHECK: exec.program @main run rows = 16 attributes {arena_bytes = 12352 : i64, private_bytes = 4096 : i64}
exec.program @main run rows = 16 {
  %w = llmc.weight "w" {values = dense<0.5> : tensor<8x64xf32>} : tensor<8x64xf32>
  %g = llmc.weight "g" {values = dense<0.5> : tensor<64xf32>} : tensor<64xf32>
  %p = exec.weight %w : !exec.packed<embedding, tensor<8x64xf32>>
  %scale = exec.weight %g : !exec.packed<vector, tensor<64xf32>>
  // CHECK: exec.input 0 at 0 : <?x1xi32>
  %ids = exec.input 0 : !exec.buffer<?x1xi32>
  // CHECK: exec.buffer at [[A:64]] : <?x64xf32>
  // CHECK: exec.buffer at [[B:4160]] : <?x64xf32>
  // CHECK: exec.buffer at [[A]] : <?x64xf32>
  // CHECK: exec.buffer at [[B]] : <?x64xf32>
  %a = exec.buffer : !exec.buffer<?x64xf32>
  %b = exec.buffer : !exec.buffer<?x64xf32>
  %c = exec.buffer : !exec.buffer<?x64xf32>
  %d = exec.buffer : !exec.buffer<?x64xf32>
  // CHECK: exec.buffer at 0 : <?x64xf32, private>
  %own = exec.buffer : !exec.buffer<?x64xf32, private>
  // CHECK: exec.buffer at [[A]] : <?x64xf32>
  // CHECK: exec.buffer at 8256 : <?x64xf32>
  // A half that is given back keeps the whole; the last takes the place of what stage 5 has read.
  // CHECK: exec.buffer at [[B]] : <?x64xf32>
  %e = exec.buffer : !exec.buffer<?x64xf32>
  %f = exec.buffer : !exec.buffer<?x64xf32>
  %h = exec.buffer : !exec.buffer<?x64xf32>
  %half = exec.view %f[0] : !exec.buffer<?x64xf32> -> !exec.buffer<?x32xf32, stride = 64>
  exec.stage {
    exec.embedding %p, %ids to %a : !exec.packed<embedding, tensor<8x64xf32>>, !exec.buffer<?x1xi32>, !exec.buffer<?x64xf32>
  }
  exec.stage {
    exec.softmax %a to %b : !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>
  }
  exec.stage {
    exec.softmax %b to %c : !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>
  }
  exec.stage {
    exec.softmax %c to %d : !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>
  }
  exec.stage {
    exec.rms_norm %d, %scale to %own {eps = 1.0e-5 : f64} : !exec.buffer<?x64xf32>, !exec.packed<vector, tensor<64xf32>>, !exec.buffer<?x64xf32, private>
    exec.softmax %d to %e : !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>
    exec.softmax %d to %f : !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>
  }
  exec.observe "e" %e : !exec.buffer<?x64xf32>
  exec.stage {
    exec.softmax %e to %h : !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>
  }
  exec.output %half : !exec.buffer<?x32xf32, stride = 64>
}
