// Largest elements and their indices: ties, zeros of both signs, infinities, all of a row.
// Numbers: Inputs/oracle.py (NumPy, float64).
// REQUIRES: x86
// RUN: llmc-compile --target=x86_64-linux-gnu --cpu=native %s -o %t
// RUN: llmc-run %t | FileCheck %s --check-prefix=HOLD
// RUN: llmc-run %t --threads=3 | FileCheck %s --check-prefix=HOLD
// HOLD: 14 checks hold

func.func @main() attributes {llmc.role = "run"} {
  %wide = llmc.weight "wide" {values = dense<[[[-0.360000014, 1.20000005, 1.39999998, 0.319999993, 0.409999996, -0.49000001, -0.910000026, -0.899999976, -1.0, 0.930000007, -0.0599999987, 0.129999995, -0.639999986, -1.09000003, -1.20000005, -0.839999974, 0.600000024, 0.0199999996, -0.460000008, -0.239999995, -1.42999995], [1.0, -1.0, 0.0, 2.0, -3.0, -1.0, -1.0, 0.0, -2.0, -0.0, -0.0, 0.0, -2.0, 1.0, 2.0, 0.0, -1.0, -1.0, -3.0, 0.0, 2.0], [0.0, 0.0, 0.0, 0.0, 0.0, -0.0, 0.0, 0.0, -0.0, 0.0, 0.0, -0.0, 0.0, 0.0, -0.0, 0.0, 0.0, -0.0, 0.0, 0.0, -0.0]], [[-3.00000001e+38, 3.00000001e+38, 3.00000001e+38, 0.159999996, -2.6400001, -0.649999976, -0.879999995, 1.05999994, 0.119999997, 0.300000012, 0.239999995, -1.33000004, -1.96000004, 0.0599999987, -0.289999992, -0.00999999978, -0.170000002, -0.5, 0.560000002, 0.189999998, -0.620000005], [-1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0], [0.370000005, -0.319999993, -1.27999997, 1.69000006, -0.620000005, 0.469999999, -0.270000011, -0.720000029, -0.170000002, 0.790000021, -0.689999998, -1.64999998, 1.79999995, 0.439999998, -0.959999979, -0.0900000036, -1.55999994, -0.0700000003, 0.860000014, -1.92999995, 0.870000005]]]> : tensor<2x3x21xf32>} : tensor<2x3x21xf32>
  %wide_1, %wide_1_at = llmc.top_k %wide {k = 1 : i64} : tensor<2x3x21xf32>
  %wide_1_expected = llmc.weight "wide_1_expected" {values = dense<[[[1.39999998], [2.0], [0.0]], [[3.00000001e+38], [-1.0], [1.79999995]]]> : tensor<2x3x1xf32>} : tensor<2x3x1xf32>
  llmc.expect_close %wide_1, %wide_1_expected {} : tensor<2x3x1xf32>, tensor<2x3x1xf32>
  %wide_1_at_f = arith.sitofp %wide_1_at : tensor<2x3x1xi64> to tensor<2x3x1xf32>
  %wide_1_at_f_expected = llmc.weight "wide_1_at_f_expected" {values = dense<[[[2.0], [3.0], [0.0]], [[1.0], [0.0], [12.0]]]> : tensor<2x3x1xf32>} : tensor<2x3x1xf32>
  llmc.expect_close %wide_1_at_f, %wide_1_at_f_expected {} : tensor<2x3x1xf32>, tensor<2x3x1xf32>
  %wide_4, %wide_4_at = llmc.top_k %wide {k = 4 : i64} : tensor<2x3x21xf32>
  %wide_4_expected = llmc.weight "wide_4_expected" {values = dense<[[[1.39999998, 1.20000005, 0.930000007, 0.600000024], [2.0, 2.0, 2.0, 1.0], [0.0, 0.0, 0.0, 0.0]], [[3.00000001e+38, 3.00000001e+38, 1.05999994, 0.560000002], [-1.0, -1.0, -1.0, -1.0], [1.79999995, 1.69000006, 0.870000005, 0.860000014]]]> : tensor<2x3x4xf32>} : tensor<2x3x4xf32>
  llmc.expect_close %wide_4, %wide_4_expected {} : tensor<2x3x4xf32>, tensor<2x3x4xf32>
  %wide_4_at_f = arith.sitofp %wide_4_at : tensor<2x3x4xi64> to tensor<2x3x4xf32>
  %wide_4_at_f_expected = llmc.weight "wide_4_at_f_expected" {values = dense<[[[2.0, 1.0, 9.0, 16.0], [3.0, 14.0, 20.0, 0.0], [0.0, 1.0, 2.0, 3.0]], [[1.0, 2.0, 7.0, 18.0], [0.0, 1.0, 2.0, 3.0], [12.0, 3.0, 20.0, 18.0]]]> : tensor<2x3x4xf32>} : tensor<2x3x4xf32>
  llmc.expect_close %wide_4_at_f, %wide_4_at_f_expected {} : tensor<2x3x4xf32>, tensor<2x3x4xf32>
  %wide_21, %wide_21_at = llmc.top_k %wide {k = 21 : i64} : tensor<2x3x21xf32>
  %wide_21_expected = llmc.weight "wide_21_expected" {values = dense<[[[1.39999998, 1.20000005, 0.930000007, 0.600000024, 0.409999996, 0.319999993, 0.129999995, 0.0199999996, -0.0599999987, -0.239999995, -0.360000014, -0.460000008, -0.49000001, -0.639999986, -0.839999974, -0.899999976, -0.910000026, -1.0, -1.09000003, -1.20000005, -1.42999995], [2.0, 2.0, 2.0, 1.0, 1.0, 0.0, 0.0, -0.0, -0.0, 0.0, 0.0, 0.0, -1.0, -1.0, -1.0, -1.0, -1.0, -2.0, -2.0, -3.0, -3.0], [0.0, 0.0, 0.0, 0.0, 0.0, -0.0, 0.0, 0.0, -0.0, 0.0, 0.0, -0.0, 0.0, 0.0, -0.0, 0.0, 0.0, -0.0, 0.0, 0.0, -0.0]], [[3.00000001e+38, 3.00000001e+38, 1.05999994, 0.560000002, 0.300000012, 0.239999995, 0.189999998, 0.159999996, 0.119999997, 0.0599999987, -0.00999999978, -0.170000002, -0.289999992, -0.5, -0.620000005, -0.649999976, -0.879999995, -1.33000004, -1.96000004, -2.6400001, -3.00000001e+38], [-1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0], [1.79999995, 1.69000006, 0.870000005, 0.860000014, 0.790000021, 0.469999999, 0.439999998, 0.370000005, -0.0700000003, -0.0900000036, -0.170000002, -0.270000011, -0.319999993, -0.620000005, -0.689999998, -0.720000029, -0.959999979, -1.27999997, -1.55999994, -1.64999998, -1.92999995]]]> : tensor<2x3x21xf32>} : tensor<2x3x21xf32>
  llmc.expect_close %wide_21, %wide_21_expected {} : tensor<2x3x21xf32>, tensor<2x3x21xf32>
  %wide_21_at_f = arith.sitofp %wide_21_at : tensor<2x3x21xi64> to tensor<2x3x21xf32>
  %wide_21_at_f_expected = llmc.weight "wide_21_at_f_expected" {values = dense<[[[2.0, 1.0, 9.0, 16.0, 4.0, 3.0, 11.0, 17.0, 10.0, 19.0, 0.0, 18.0, 5.0, 12.0, 15.0, 7.0, 6.0, 8.0, 13.0, 14.0, 20.0], [3.0, 14.0, 20.0, 0.0, 13.0, 2.0, 7.0, 9.0, 10.0, 11.0, 15.0, 19.0, 1.0, 5.0, 6.0, 16.0, 17.0, 8.0, 12.0, 4.0, 18.0], [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0, 16.0, 17.0, 18.0, 19.0, 20.0]], [[1.0, 2.0, 7.0, 18.0, 9.0, 10.0, 19.0, 3.0, 8.0, 13.0, 15.0, 16.0, 14.0, 17.0, 20.0, 5.0, 6.0, 11.0, 12.0, 4.0, 0.0], [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0, 16.0, 17.0, 18.0, 19.0, 20.0], [12.0, 3.0, 20.0, 18.0, 9.0, 5.0, 13.0, 0.0, 17.0, 15.0, 8.0, 6.0, 1.0, 4.0, 10.0, 7.0, 14.0, 2.0, 16.0, 11.0, 19.0]]]> : tensor<2x3x21xf32>} : tensor<2x3x21xf32>
  llmc.expect_close %wide_21_at_f, %wide_21_at_f_expected {} : tensor<2x3x21xf32>, tensor<2x3x21xf32>
  %narrow = llmc.weight "narrow" {values = dense<[[[0.810000002, -0.270000011, 0.100000001, -0.330000013, -0.449999988], [-1.86000001, 1.63, -0.670000017, 0.129999995, -0.230000004], [0.460000008, 0.569999993, -1.01999998, 0.360000014, -0.270000011]], [[-0.879999995, 1.29999995, 1.17999995, -0.899999976, -0.300000012], [-1.00999999, -1.13999999, -0.980000019, 0.550000012, -1.41999996], [-1.46000004, 0.289999992, -0.720000029, 1.23000002, -0.959999979]]]> : tensor<2x3x5xf32>} : tensor<2x3x5xf32>
  %narrow_1, %narrow_1_at = llmc.top_k %narrow {k = 1 : i64} : tensor<2x3x5xf32>
  %narrow_1_expected = llmc.weight "narrow_1_expected" {values = dense<[[[0.810000002], [1.63], [0.569999993]], [[1.29999995], [0.550000012], [1.23000002]]]> : tensor<2x3x1xf32>} : tensor<2x3x1xf32>
  llmc.expect_close %narrow_1, %narrow_1_expected {} : tensor<2x3x1xf32>, tensor<2x3x1xf32>
  %narrow_1_at_f = arith.sitofp %narrow_1_at : tensor<2x3x1xi64> to tensor<2x3x1xf32>
  %narrow_1_at_f_expected = llmc.weight "narrow_1_at_f_expected" {values = dense<[[[0.0], [1.0], [1.0]], [[1.0], [3.0], [3.0]]]> : tensor<2x3x1xf32>} : tensor<2x3x1xf32>
  llmc.expect_close %narrow_1_at_f, %narrow_1_at_f_expected {} : tensor<2x3x1xf32>, tensor<2x3x1xf32>
  %narrow_4, %narrow_4_at = llmc.top_k %narrow {k = 4 : i64} : tensor<2x3x5xf32>
  %narrow_4_expected = llmc.weight "narrow_4_expected" {values = dense<[[[0.810000002, 0.100000001, -0.270000011, -0.330000013], [1.63, 0.129999995, -0.230000004, -0.670000017], [0.569999993, 0.460000008, 0.360000014, -0.270000011]], [[1.29999995, 1.17999995, -0.300000012, -0.879999995], [0.550000012, -0.980000019, -1.00999999, -1.13999999], [1.23000002, 0.289999992, -0.720000029, -0.959999979]]]> : tensor<2x3x4xf32>} : tensor<2x3x4xf32>
  llmc.expect_close %narrow_4, %narrow_4_expected {} : tensor<2x3x4xf32>, tensor<2x3x4xf32>
  %narrow_4_at_f = arith.sitofp %narrow_4_at : tensor<2x3x4xi64> to tensor<2x3x4xf32>
  %narrow_4_at_f_expected = llmc.weight "narrow_4_at_f_expected" {values = dense<[[[0.0, 2.0, 1.0, 3.0], [1.0, 3.0, 4.0, 2.0], [1.0, 0.0, 3.0, 4.0]], [[1.0, 2.0, 4.0, 0.0], [3.0, 2.0, 0.0, 1.0], [3.0, 1.0, 2.0, 4.0]]]> : tensor<2x3x4xf32>} : tensor<2x3x4xf32>
  llmc.expect_close %narrow_4_at_f, %narrow_4_at_f_expected {} : tensor<2x3x4xf32>, tensor<2x3x4xf32>
  %narrow_5, %narrow_5_at = llmc.top_k %narrow {k = 5 : i64} : tensor<2x3x5xf32>
  %narrow_5_expected = llmc.weight "narrow_5_expected" {values = dense<[[[0.810000002, 0.100000001, -0.270000011, -0.330000013, -0.449999988], [1.63, 0.129999995, -0.230000004, -0.670000017, -1.86000001], [0.569999993, 0.460000008, 0.360000014, -0.270000011, -1.01999998]], [[1.29999995, 1.17999995, -0.300000012, -0.879999995, -0.899999976], [0.550000012, -0.980000019, -1.00999999, -1.13999999, -1.41999996], [1.23000002, 0.289999992, -0.720000029, -0.959999979, -1.46000004]]]> : tensor<2x3x5xf32>} : tensor<2x3x5xf32>
  llmc.expect_close %narrow_5, %narrow_5_expected {} : tensor<2x3x5xf32>, tensor<2x3x5xf32>
  %narrow_5_at_f = arith.sitofp %narrow_5_at : tensor<2x3x5xi64> to tensor<2x3x5xf32>
  %narrow_5_at_f_expected = llmc.weight "narrow_5_at_f_expected" {values = dense<[[[0.0, 2.0, 1.0, 3.0, 4.0], [1.0, 3.0, 4.0, 2.0, 0.0], [1.0, 0.0, 3.0, 4.0, 2.0]], [[1.0, 2.0, 4.0, 0.0, 3.0], [3.0, 2.0, 0.0, 1.0, 4.0], [3.0, 1.0, 2.0, 4.0, 0.0]]]> : tensor<2x3x5xf32>} : tensor<2x3x5xf32>
  llmc.expect_close %narrow_5_at_f, %narrow_5_at_f_expected {} : tensor<2x3x5xf32>, tensor<2x3x5xf32>
  %one = llmc.weight "one" {values = dense<[[[-0.49000001], [-0.779999971], [-2.30999994]], [[0.349999994], [0.699999988], [0.959999979]]]> : tensor<2x3x1xf32>} : tensor<2x3x1xf32>
  %one_1, %one_1_at = llmc.top_k %one {k = 1 : i64} : tensor<2x3x1xf32>
  %one_1_expected = llmc.weight "one_1_expected" {values = dense<[[[-0.49000001], [-0.779999971], [-2.30999994]], [[0.349999994], [0.699999988], [0.959999979]]]> : tensor<2x3x1xf32>} : tensor<2x3x1xf32>
  llmc.expect_close %one_1, %one_1_expected {} : tensor<2x3x1xf32>, tensor<2x3x1xf32>
  %one_1_at_f = arith.sitofp %one_1_at : tensor<2x3x1xi64> to tensor<2x3x1xf32>
  %one_1_at_f_expected = llmc.weight "one_1_at_f_expected" {values = dense<[[[0.0], [0.0], [0.0]], [[0.0], [0.0], [0.0]]]> : tensor<2x3x1xf32>} : tensor<2x3x1xf32>
  llmc.expect_close %one_1_at_f, %one_1_at_f_expected {} : tensor<2x3x1xf32>, tensor<2x3x1xf32>
  return
}
