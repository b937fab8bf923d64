// Every kind of pointwise nonlinearity.
// Numbers: Inputs/oracle.py (NumPy, float64).
// REQUIRES: x86
// RUN: llmc-compile --target=x86_64-linux-gnu --cpu=native %s -o %t
// RUN: llmc-run %t | FileCheck %s --check-prefix=HOLD
// RUN: llmc-run %t --threads=3 | FileCheck %s --check-prefix=HOLD
// HOLD: 8 checks hold

func.func @main() attributes {llmc.role = "run"} {
  %x = llmc.weight "x" {values = dense<[[[0.0, 0.25, -0.25, 1.0, -1.0, 2.5, -2.5, 0.00999999978], [6.0, -6.0, 15.0, -15.0, 40.0, -40.0, 0.5, -0.0]]]> : tensor<1x2x8xf32>} : tensor<1x2x8xf32>
  %relu = llmc.activation %x {kind = #llmc.activation_kind<relu>} : tensor<1x2x8xf32>
  %relu_expected = llmc.weight "relu_expected" {values = dense<[[[0.0, 0.25, 0.0, 1.0, 0.0, 2.5, 0.0, 0.00999999978], [6.0, 0.0, 15.0, 0.0, 40.0, 0.0, 0.5, 0.0]]]> : tensor<1x2x8xf32>} : tensor<1x2x8xf32>
  llmc.expect_close %relu, %relu_expected {atol = 3.0e-07 : f64, rtol = 1.0e-06 : f64} : tensor<1x2x8xf32>, tensor<1x2x8xf32>
  %gelu = llmc.activation %x {kind = #llmc.activation_kind<gelu>} : tensor<1x2x8xf32>
  %gelu_expected = llmc.weight "gelu_expected" {values = dense<[[[0.0, 0.149676576, -0.100323416, 0.841344774, -0.158655256, 2.48447585, -0.0155241629, 0.00503989356], [6.0, -5.91952576e-09, 15.0, -0.0, 40.0, -0.0, 0.345731229, -0.0]]]> : tensor<1x2x8xf32>} : tensor<1x2x8xf32>
  llmc.expect_close %gelu, %gelu_expected {atol = 3.0e-07 : f64, rtol = 1.0e-06 : f64} : tensor<1x2x8xf32>, tensor<1x2x8xf32>
  %gelu_tanh = llmc.activation %x {kind = #llmc.activation_kind<gelu_tanh>} : tensor<1x2x8xf32>
  %gelu_tanh_expected = llmc.weight "gelu_tanh_expected" {values = dense<[[[0.0, 0.149675354, -0.100324646, 0.841192007, -0.158808008, 2.48491573, -0.0150842657, 0.00503989356], [6.0, -8.43964898e-11, 15.0, -0.0, 40.0, -0.0, 0.345714003, -0.0]]]> : tensor<1x2x8xf32>} : tensor<1x2x8xf32>
  llmc.expect_close %gelu_tanh, %gelu_tanh_expected {atol = 3.0e-07 : f64, rtol = 1.0e-06 : f64} : tensor<1x2x8xf32>, tensor<1x2x8xf32>
  %silu = llmc.activation %x {kind = #llmc.activation_kind<silu>} : tensor<1x2x8xf32>
  %silu_expected = llmc.weight "silu_expected" {values = dense<[[[0.0, 0.140544131, -0.109455876, 0.731058598, -0.268941432, 2.31035447, -0.189645454, 0.00502499985], [5.98516417, -0.0148357386, 14.9999952, -4.58853356e-06, 40.0, -1.69934172e-16, 0.311229676, -0.0]]]> : tensor<1x2x8xf32>} : tensor<1x2x8xf32>
  llmc.expect_close %silu, %silu_expected {atol = 3.0e-07 : f64, rtol = 1.0e-06 : f64} : tensor<1x2x8xf32>, tensor<1x2x8xf32>
  %quick_gelu = llmc.activation %x {kind = #llmc.activation_kind<quick_gelu>} : tensor<1x2x8xf32>
  %quick_gelu_expected = llmc.weight "quick_gelu_expected" {values = dense<[[[0.0, 0.151199654, -0.0988003537, 0.845795751, -0.154204234, 2.46501374, -0.0349861644, 0.00504254876], [5.9997797, -0.000220353555, 15.0, -1.22617694e-10, 40.0, -1.0846551e-28, 0.350388438, -0.0]]]> : tensor<1x2x8xf32>} : tensor<1x2x8xf32>
  llmc.expect_close %quick_gelu, %quick_gelu_expected {atol = 3.0e-07 : f64, rtol = 1.0e-06 : f64} : tensor<1x2x8xf32>, tensor<1x2x8xf32>
  %sigmoid = llmc.activation %x {kind = #llmc.activation_kind<sigmoid>} : tensor<1x2x8xf32>
  %sigmoid_expected = llmc.weight "sigmoid_expected" {values = dense<[[[0.5, 0.562176526, 0.437823504, 0.731058598, 0.268941432, 0.924141824, 0.0758581832, 0.502499998], [0.997527361, 0.00247262325, 0.999999702, 3.05902233e-07, 1.0, 4.24835413e-18, 0.622459352, 0.5]]]> : tensor<1x2x8xf32>} : tensor<1x2x8xf32>
  llmc.expect_close %sigmoid, %sigmoid_expected {atol = 3.0e-07 : f64, rtol = 1.0e-06 : f64} : tensor<1x2x8xf32>, tensor<1x2x8xf32>
  %tanh = llmc.activation %x {kind = #llmc.activation_kind<tanh>} : tensor<1x2x8xf32>
  %tanh_expected = llmc.weight "tanh_expected" {values = dense<[[[0.0, 0.244918659, -0.244918659, 0.761594176, -0.761594176, 0.986614287, -0.986614287, 0.00999966636], [0.999987721, -0.999987721, 1.0, -1.0, 1.0, -1.0, 0.462117165, -0.0]]]> : tensor<1x2x8xf32>} : tensor<1x2x8xf32>
  llmc.expect_close %tanh, %tanh_expected {atol = 3.0e-07 : f64, rtol = 1.0e-06 : f64} : tensor<1x2x8xf32>, tensor<1x2x8xf32>
  %relu2 = llmc.activation %x {kind = #llmc.activation_kind<relu2>} : tensor<1x2x8xf32>
  %relu2_expected = llmc.weight "relu2_expected" {values = dense<[[[0.0, 0.0625, 0.0, 1.0, 0.0, 6.25, 0.0, 9.99999975e-05], [36.0, 0.0, 225.0, 0.0, 1600.0, 0.0, 0.25, 0.0]]]> : tensor<1x2x8xf32>} : tensor<1x2x8xf32>
  llmc.expect_close %relu2, %relu2_expected {atol = 3.0e-07 : f64, rtol = 1.0e-06 : f64} : tensor<1x2x8xf32>, tensor<1x2x8xf32>
  return
}
