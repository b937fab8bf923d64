// RUN: llmc-opt %s --fuse-stages --mlir-print-debuginfo=false | FileCheck %s
// RUN: llmc-compile %s --target=x86_64-linux-gnu --cpu=haswell --explain -o %t 2>&1 | FileCheck %s --check-prefix=EXPLAIN

// Codes are made by each worker for itself, once for all that read them: there is no barrier more than with floats.
// EXPLAIN: up.weight  input of 64  i8, a scale for each row, once by each thread for 2 linears
// EXPLAIN: down.weight  input of 40  i8, a scale for 16 columns, once by each thread for 1 linear
// EXPLAIN: last.weight  input of 16  i8, the given scale, once by each thread for 1 linear

// CHECK: exec.program @main run
func.func @main(%x: tensor<?x?x64xf32>) -> tensor<?x?x8xf32> attributes {llmc.role = "run"} {
  %g = llmc.weight "norm.weight" {values = dense<1.0> : tensor<64xf32>} : tensor<64xf32>
  %wu = llmc.weight "up.weight" {values = dense<0.5> : tensor<40x64xf32>} : tensor<40x64xf32>
  %wg = llmc.weight "gate.weight" {values = dense<0.5> : tensor<40x64xf32>} : tensor<40x64xf32>
  %wd = llmc.weight "down.weight" {values = dense<0.5> : tensor<16x40xf32>} : tensor<16x40xf32>
  %wl = llmc.weight "last.weight" {values = dense<0.5> : tensor<8x16xf32>} : tensor<8x16xf32>
  %s = llmc.weight "last.input_scale" {values = dense<0.25> : tensor<1xf32>} : tensor<1xf32>
  // CHECK: %[[S:.*]] = exec.weight %last_input_scale : <vector, tensor<1xf32>>
  // CHECK: %[[X:.*]] = exec.input 0
  // CHECK: exec.stage {
  // CHECK-NEXT: exec.rms_norm %[[X]], %{{.*}} to %[[N:[0-9]+]] {{.*}}, !exec.buffer<?x64xf32, private>
  // CHECK-NEXT: exec.quantize %[[N]] to %[[C:[0-9]+]], %[[CS:[0-9]+]] : !exec.buffer<?x64xf32, private>, !exec.buffer<?x64xi8, private>, !exec.buffer<?x1xf32, private>
  // CHECK-NEXT: exec.linear %[[C]] scales %[[CS]], %{{.*}} to %[[U:[0-9]+]] {share = #exec.share<unit = 32, total = 40,
  // CHECK-NEXT: exec.linear %[[C]] scales %[[CS]], %{{.*}} to %[[G:[0-9]+]] {share = #exec.share<unit = 32, total = 40,
  // CHECK-NEXT: exec.gate %[[G]], %[[U]] to %[[P:[0-9]+]] {
  // CHECK-NEXT: {{^ *[}]$}}
  %n = llmc.rms_norm %x, %g {eps = 1.0e-5 : f64} : tensor<?x?x64xf32>, tensor<64xf32>
  %c = llmc.quantize %n : tensor<?x?x64xf32> -> !llmc.quantized<?x?x64xf32, #llmc.dynamic<i8, per_token>>
  %up = llmc.linear %c, %wu : !llmc.quantized<?x?x64xf32, #llmc.dynamic<i8, per_token>>, tensor<40x64xf32>
  %gate = llmc.linear %c, %wg : !llmc.quantized<?x?x64xf32, #llmc.dynamic<i8, per_token>>, tensor<40x64xf32>
  %p = llmc.gated_activation %gate, %up {kind = #llmc.activation_kind<silu>} : tensor<?x?x40xf32>
  // The older form, by attribute. Rows of codes are whole lines of 64 bytes; the last group is a short one.
  // CHECK-NEXT: exec.stage {
  // CHECK-NEXT: exec.quantize %[[P]] to %[[D:[0-9]+]], %[[DS:[0-9]+]] {group = 16 : i64} : !exec.buffer<?x40xf32, stride = 64>, !exec.buffer<?x40xi8, stride = 64, private>, !exec.buffer<?x3xf32, private>
  // CHECK-NEXT: exec.linear %[[D]] scales %[[DS]], %{{.*}} to %[[Y:[0-9]+]] {group = 16 : i64, share
  // CHECK-NEXT: {{^ *[}]$}}
  %y = llmc.linear %p, %wd {activations = #llmc.dynamic<i8, per_group<16>>} : tensor<?x?x40xf32>, tensor<16x40xf32>
  // A given scale is an array of the weight file, so that layers with different ones are alike.
  // CHECK-NEXT: exec.stage {
  // CHECK-NEXT: exec.quantize %[[Y]] by %[[S]] to %[[L:[0-9]+]], %[[LS:[0-9]+]] : !exec.buffer<?x16xf32, stride = 64>, !exec.packed<vector, tensor<1xf32>>, !exec.buffer<?x16xi8, stride = 64, private>, !exec.buffer<?x1xf32, private>
  // CHECK-NEXT: exec.linear %[[L]] scales %[[LS]], %{{.*}} to %{{[0-9]+}} {share
  %l = llmc.quantize %y scale %s : tensor<?x?x16xf32>, tensor<1xf32> -> !llmc.quantized<?x?x16xf32, #llmc.static<i8>>
  %z = llmc.linear %l, %wl : !llmc.quantized<?x?x16xf32, #llmc.static<i8>>, tensor<8x16xf32>
  return %z : tensor<?x?x8xf32>
}
