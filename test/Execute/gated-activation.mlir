// Every kind of gate.
// Numbers: Inputs/oracle.py (NumPy, float64).
// REQUIRES: x86
// RUN: llmc-compile --target=x86_64-linux-gnu --cpu=native %s -o %t
// RUN: llmc-run %t | FileCheck %s --check-prefix=HOLD
// RUN: llmc-run %t --threads=3 | FileCheck %s --check-prefix=HOLD
// HOLD: 8 checks hold

func.func @main() attributes {llmc.role = "run"} {
  %gate = llmc.weight "gate" {values = dense<[[[0.0, 0.25, -0.25, 1.0, -1.0, 2.5, -2.5, 0.00999999978], [6.0, -6.0, 15.0, -15.0, 40.0, -40.0, 0.5, -0.0]]]> : tensor<1x2x8xf32>} : tensor<1x2x8xf32>
  %up = llmc.weight "up" {values = dense<[[[0.189999998, -0.519999981, -0.409999996, -2.44000006, 1.79999995, 1.13999999, -0.330000013, 0.769999981], [0.280000001, -0.550000012, 0.980000019, -0.310000002, -0.330000013, -0.790000021, 0.449999988, -0.100000001]]]> : tensor<1x2x8xf32>} : tensor<1x2x8xf32>
  %relu = llmc.gated_activation %gate, %up {kind = #llmc.activation_kind<relu>} : tensor<1x2x8xf32>
  %relu_expected = llmc.weight "relu_expected" {values = dense<[[[0.0, -0.129999995, -0.0, -2.44000006, 0.0, 2.8499999, -0.0, 0.00769999949], [1.68000007, -0.0, 14.7000008, -0.0, -13.2000008, -0.0, 0.224999994, -0.0]]]> : tensor<1x2x8xf32>} : tensor<1x2x8xf32>
  llmc.expect_close %relu, %relu_expected {atol = 1.0e-06 : f64, rtol = 1.0e-06 : f64} : tensor<1x2x8xf32>, tensor<1x2x8xf32>
  %gelu = llmc.gated_activation %gate, %up {kind = #llmc.activation_kind<gelu>} : tensor<1x2x8xf32>
  %gelu_expected = llmc.weight "gelu_expected" {values = dense<[[[0.0, -0.0778318197, 0.0411326028, -2.05288124, -0.285579443, 2.83230233, 0.00512297405, 0.00388071779], [1.67999995, 3.25573923e-09, 14.7000008, 0.0, -13.2000008, 0.0, 0.155579045, 0.0]]]> : tensor<1x2x8xf32>} : tensor<1x2x8xf32>
  llmc.expect_close %gelu, %gelu_expected {atol = 1.0e-06 : f64, rtol = 1.0e-06 : f64} : tensor<1x2x8xf32>, tensor<1x2x8xf32>
  %gelu_tanh = llmc.gated_activation %gate, %up {kind = #llmc.activation_kind<gelu_tanh>} : tensor<1x2x8xf32>
  %gelu_tanh_expected = llmc.weight "gelu_tanh_expected" {values = dense<[[[0.0, -0.0778311789, 0.0411331058, -2.05250859, -0.285854399, 2.83280396, 0.00497780787, 0.00388071779], [1.67999995, 4.64180708e-11, 14.7000008, 0.0, -13.2000008, 0.0, 0.155571297, 0.0]]]> : tensor<1x2x8xf32>} : tensor<1x2x8xf32>
  llmc.expect_close %gelu_tanh, %gelu_tanh_expected {atol = 1.0e-06 : f64, rtol = 1.0e-06 : f64} : tensor<1x2x8xf32>, tensor<1x2x8xf32>
  %silu = llmc.gated_activation %gate, %up {kind = #llmc.activation_kind<silu>} : tensor<1x2x8xf32>
  %silu_expected = llmc.weight "silu_expected" {values = dense<[[[0.0, -0.0730829388, 0.044876907, -1.78378296, -0.48409456, 2.63380408, 0.0625829995, 0.00386924972], [1.67584598, 0.00815965701, 14.699996, 1.42244539e-06, -13.2000008, 1.34247999e-16, 0.140053347, 0.0]]]> : tensor<1x2x8xf32>} : tensor<1x2x8xf32>
  llmc.expect_close %silu, %silu_expected {atol = 1.0e-06 : f64, rtol = 1.0e-06 : f64} : tensor<1x2x8xf32>, tensor<1x2x8xf32>
  %quick_gelu = llmc.gated_activation %gate, %up {kind = #llmc.activation_kind<quick_gelu>} : tensor<1x2x8xf32>
  %quick_gelu_expected = llmc.weight "quick_gelu_expected" {values = dense<[[[0.0, -0.0786238164, 0.0405081436, -2.06374168, -0.277567625, 2.81011581, 0.0115454346, 0.00388276251], [1.67993832, 0.000121194455, 14.6999998, 3.80114863e-11, -13.2000008, 8.56877529e-29, 0.157674789, 0.0]]]> : tensor<1x2x8xf32>} : tensor<1x2x8xf32>
  llmc.expect_close %quick_gelu, %quick_gelu_expected {atol = 1.0e-06 : f64, rtol = 1.0e-06 : f64} : tensor<1x2x8xf32>, tensor<1x2x8xf32>
  %sigmoid = llmc.gated_activation %gate, %up {kind = #llmc.activation_kind<sigmoid>} : tensor<1x2x8xf32>
  %sigmoid_expected = llmc.weight "sigmoid_expected" {values = dense<[[[0.0949999988, -0.292331755, -0.179507628, -1.78378296, 0.48409456, 1.05352163, -0.0250332002, 0.386924982], [0.279307663, -0.00135994272, 0.979999721, -9.48296943e-08, -0.330000013, -3.35619993e-18, 0.280106694, -0.0500000007]]]> : tensor<1x2x8xf32>} : tensor<1x2x8xf32>
  llmc.expect_close %sigmoid, %sigmoid_expected {atol = 1.0e-06 : f64, rtol = 1.0e-06 : f64} : tensor<1x2x8xf32>, tensor<1x2x8xf32>
  %tanh = llmc.gated_activation %gate, %up {kind = #llmc.activation_kind<tanh>} : tensor<1x2x8xf32>
  %tanh_expected = llmc.weight "tanh_expected" {values = dense<[[[0.0, -0.127357706, 0.100416653, -1.85828984, -1.3708694, 1.12474024, 0.325582743, 0.00769974291], [0.279996574, 0.549993277, 0.980000019, 0.310000002, -0.330000013, 0.790000021, 0.207952708, 0.0]]]> : tensor<1x2x8xf32>} : tensor<1x2x8xf32>
  llmc.expect_close %tanh, %tanh_expected {atol = 1.0e-06 : f64, rtol = 1.0e-06 : f64} : tensor<1x2x8xf32>, tensor<1x2x8xf32>
  %relu2 = llmc.gated_activation %gate, %up {kind = #llmc.activation_kind<relu2>} : tensor<1x2x8xf32>
  %relu2_expected = llmc.weight "relu2_expected" {values = dense<[[[0.0, -0.0324999988, -0.0, -2.44000006, 0.0, 7.125, -0.0, 7.6999997e-05], [10.0799999, -0.0, 220.5, -0.0, -528.0, -0.0, 0.112499997, -0.0]]]> : tensor<1x2x8xf32>} : tensor<1x2x8xf32>
  llmc.expect_close %relu2, %relu2_expected {atol = 1.0e-06 : f64, rtol = 1.0e-06 : f64} : tensor<1x2x8xf32>, tensor<1x2x8xf32>
  return
}
