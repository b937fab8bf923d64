// Operations of arith and math that have no kernel, on each element.
// Numbers: Inputs/oracle.py (NumPy, float64).
// REQUIRES: x86
// RUN: llmc-compile --target=x86_64-linux-gnu --cpu=native %s -o %t
// RUN: llmc-run %t | FileCheck %s --check-prefix=HOLD
// RUN: llmc-run %t --threads=3 | FileCheck %s --check-prefix=HOLD
// HOLD: 6 checks hold

func.func @main() attributes {llmc.role = "run"} {
  %x = llmc.weight "x" {values = dense<[[[0.0, 0.25, -0.25, 1.0, -1.0, 2.5, -2.5, 0.00999999978], [6.0, -6.0, 15.0, -15.0, 40.0, -40.0, 0.5, -0.0]]]> : tensor<1x2x8xf32>} : tensor<1x2x8xf32>
  %math_exp = math.exp %x : tensor<1x2x8xf32>
  %math_exp_expected = llmc.weight "math_exp_expected" {values = dense<[[[1.0, 1.28402543, 0.778800786, 2.71828175, 0.36787945, 12.1824942, 0.0820849985, 1.01005018], [403.428802, 0.00247875229, 3269017.25, 3.05902319e-07, 2.3538527e+17, 4.24835413e-18, 1.64872122, 1.0]]]> : tensor<1x2x8xf32>} : tensor<1x2x8xf32>
  llmc.expect_close %math_exp, %math_exp_expected {atol = 3.0e-07 : f64, rtol = 3.0e-07 : f64} : tensor<1x2x8xf32>, tensor<1x2x8xf32>
  %math_tanh = math.tanh %x : tensor<1x2x8xf32>
  %math_tanh_expected = llmc.weight "math_tanh_expected" {values = dense<[[[0.0, 0.244918659, -0.244918659, 0.761594176, -0.761594176, 0.986614287, -0.986614287, 0.00999966636], [0.999987721, -0.999987721, 1.0, -1.0, 1.0, -1.0, 0.462117165, -0.0]]]> : tensor<1x2x8xf32>} : tensor<1x2x8xf32>
  llmc.expect_close %math_tanh, %math_tanh_expected {atol = 3.0e-07 : f64, rtol = 3.0e-07 : f64} : tensor<1x2x8xf32>, tensor<1x2x8xf32>
  %math_erf = math.erf %x : tensor<1x2x8xf32>
  %math_erf_expected = llmc.weight "math_erf_expected" {values = dense<[[[0.0, 0.276326388, -0.276326388, 0.842700779, -0.842700779, 0.999593019, -0.999593019, 0.0112834154], [1.0, -1.0, 1.0, -1.0, 1.0, -1.0, 0.520499885, -0.0]]]> : tensor<1x2x8xf32>} : tensor<1x2x8xf32>
  llmc.expect_close %math_erf, %math_erf_expected {atol = 3.0e-07 : f64, rtol = 3.0e-07 : f64} : tensor<1x2x8xf32>, tensor<1x2x8xf32>
  %math_absf = math.absf %x : tensor<1x2x8xf32>
  %math_absf_expected = llmc.weight "math_absf_expected" {values = dense<[[[0.0, 0.25, 0.25, 1.0, 1.0, 2.5, 2.5, 0.00999999978], [6.0, 6.0, 15.0, 15.0, 40.0, 40.0, 0.5, 0.0]]]> : tensor<1x2x8xf32>} : tensor<1x2x8xf32>
  llmc.expect_close %math_absf, %math_absf_expected {atol = 3.0e-07 : f64, rtol = 3.0e-07 : f64} : tensor<1x2x8xf32>, tensor<1x2x8xf32>
  %arith_negf = arith.negf %x : tensor<1x2x8xf32>
  %arith_negf_expected = llmc.weight "arith_negf_expected" {values = dense<[[[-0.0, -0.25, 0.25, -1.0, 1.0, -2.5, 2.5, -0.00999999978], [-6.0, 6.0, -15.0, 15.0, -40.0, 40.0, -0.5, 0.0]]]> : tensor<1x2x8xf32>} : tensor<1x2x8xf32>
  llmc.expect_close %arith_negf, %arith_negf_expected {atol = 3.0e-07 : f64, rtol = 3.0e-07 : f64} : tensor<1x2x8xf32>, tensor<1x2x8xf32>
  %size = math.absf %x : tensor<1x2x8xf32>
  %root = math.sqrt %size : tensor<1x2x8xf32>
  %root_expected = llmc.weight "root_expected" {values = dense<[[[0.0, 0.5, 0.5, 1.0, 1.0, 1.58113885, 1.58113885, 0.100000001], [2.44948983, 2.44948983, 3.87298346, 3.87298346, 6.3245554, 6.3245554, 0.707106769, 0.0]]]> : tensor<1x2x8xf32>} : tensor<1x2x8xf32>
  llmc.expect_close %root, %root_expected {rtol = 1.0e-07 : f64} : tensor<1x2x8xf32>, tensor<1x2x8xf32>
  return
}
