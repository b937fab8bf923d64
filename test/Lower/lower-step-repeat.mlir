// RUN: llmc-opt %s --lower-step --canonicalize --mlir-print-debuginfo=false | FileCheck %s --implicit-check-not="= exec."

// Repeated stages are a loop. Offsets at equal distances are computed from the number of the turn, others read from a table. Each turn starts with
// a barrier, for what the turn before has written.
module attributes {llmc.compile = {prefix = "m", max_tokens = 16 : i64}, llmc.cpu = {lanes = 8 : i64, registers = 16 : i64}} {
  exec.program @main run rows = 16 attributes {arena_bytes = 8256 : i64, private_bytes = 0 : i64, weight_bytes = 1280 : i64} {
    %e = llmc.weight "embed.weight" {values = dense<0.5> : tensor<4x64xf32>} : tensor<4x64xf32>
    %g = llmc.weight "norm.weight" {values = dense<0.5> : tensor<64xf32>} : tensor<64xf32>
    %0 = exec.weight %e at 0 bytes 1024 : !exec.packed<embedding, tensor<4x64xf32>>
    %1 = exec.weight %g at 1024 bytes 256 : !exec.packed<vector, tensor<64xf32>>
    %2 = exec.weight %g at 1280 bytes 256 : !exec.packed<vector, tensor<64xf32>>
    %3 = exec.weight %g at 1536 bytes 256 : !exec.packed<vector, tensor<64xf32>>
    %ids = exec.input 0 at 8192 : !exec.buffer<?x1xi32>
    %x = exec.buffer at 0 : !exec.buffer<?x64xf32>
    %y = exec.buffer at 4096 : !exec.buffer<?x64xf32>
    // CHECK-LABEL: func.func private @m_step(
    // CHECK-DAG: %[[C3:.*]] = arith.constant 3 : index
    // CHECK-DAG: %[[SIZE:.*]] = arith.constant 256 : index
    // CHECK-DAG: %[[FIRST:.*]] = arith.constant 1024 : index
    // CHECK: call @embedding
    exec.stage {
      exec.embedding %0, %ids to %x : !exec.packed<embedding, tensor<4x64xf32>>, !exec.buffer<?x1xi32>, !exec.buffer<?x64xf32>
    }
    // CHECK: scf.for %[[TURN:.*]] = %{{.*}} to %[[C3]]
    // CHECK-NEXT: call @m_barrier(
    // CHECK-DAG: %[[EVEN:.*]] = arith.muli %[[TURN]], %[[SIZE]]
    // CHECK-DAG: %[[OFFSET:.*]] = arith.addi %[[EVEN]], %[[FIRST]]
    // CHECK: call @[[NORM:rms_norm[^(]*]]({{.*}}, %[[OFFSET]], %{{[^,)]*}})
    // CHECK: call @m_barrier(
    // CHECK: %[[TABLE:.*]] = memref.get_global @m_turns_1
    // CHECK: %[[READ:.*]] = memref.load %[[TABLE]][%[[TURN]]]
    // CHECK: %[[UNEVEN:.*]] = arith.index_cast %[[READ]]
    // CHECK: call @[[NORM]]({{.*}}, %[[UNEVEN]], %{{[^,)]*}})
    exec.repeat 3 (%a = [%1, %2, %3] : !exec.packed<vector, tensor<64xf32>>, %b = [%1, %3, %2] : !exec.packed<vector, tensor<64xf32>>) {
      exec.stage {
        exec.rms_norm %x, %a to %y {eps = 1.0e-5 : f64} : !exec.buffer<?x64xf32>, !exec.packed<vector, tensor<64xf32>>, !exec.buffer<?x64xf32>
      }
      exec.stage {
        exec.rms_norm %y, %b to %x {eps = 1.0e-5 : f64} : !exec.buffer<?x64xf32>, !exec.packed<vector, tensor<64xf32>>, !exec.buffer<?x64xf32>
      }
    }
    exec.output %x : !exec.buffer<?x64xf32>
  }
}
// CHECK: memref.global "private" constant @m_turns_1 : memref<3xi64> = dense<[1024, 1536, 1280]>
