"""A given scale means what QuantizeLinear and DequantizeLinear of ONNX mean: ONNX Runtime on the same numbers, on each kind of product."""
import os
import pathlib
import subprocess

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("LLMC_BUILD") or SOURCE / "build")
WIDTH, OUTPUTS, SCALE = 101, 33, np.float32(0.0173)


def dense(array):
    return f'dense<"0x{np.ascontiguousarray(array).tobytes().hex().upper()}">'


def by_onnx(x, w):
    """x, rounded to bytes by the scale, times the transpose of w."""
    from onnx import TensorProto, helper, numpy_helper
    rows = ["batch", "sequence", WIDTH]
    graph = helper.make_graph(
        [helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["codes"]),
         helper.make_node("DequantizeLinear", ["codes", "scale", "zero"], ["rounded"]),
         helper.make_node("MatMul", ["rounded", "w"], ["y"])], "static",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, rows)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [*rows[:2], OUTPUTS])],
        [numpy_helper.from_array(np.array(SCALE, np.float32), "scale"), numpy_helper.from_array(np.array(0, np.int8), "zero"),
         numpy_helper.from_array(np.ascontiguousarray(w.T), "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]


@pytest.mark.parametrize("kind", ["f32", "int8"])
def test_is_that_of_onnx(kind, tmp_path):
    rng = np.random.default_rng(8)
    x = rng.standard_normal((2, 5, WIDTH)).astype(np.float32)
    x[0, 0, 0], x[0, 0, 1] = 100, -127 * SCALE  # Far outside, and the last code there is; -128 is ONNX's alone.
    x = np.maximum(x, -127.4 * SCALE)
    codes = rng.integers(0, 256, (OUTPUTS, WIDTH), np.uint8)
    scales = rng.uniform(0.01, 0.02, (OUTPUTS, 1)).astype(np.float32)
    w = (codes.astype(np.float32) - 128) * scales
    if kind == "f32":
        type_ = f"tensor<{OUTPUTS}x{WIDTH}xf32>"
        stored = f"values = {dense(w)} : {type_}"
    else:
        type_ = f"!llmc.compressed<{OUTPUTS}x{WIDTH}xf32, #llmc.int<8, group = 0, symmetric, scale = f32>>"
        stored = f"codes = {dense(codes)} : tensor<{OUTPUTS}x{WIDTH}xui8>, scales = {dense(scales)} : tensor<{OUTPUTS}x1xf32>"
    (tmp_path / "m.mlir").write_text(f"""
func.func @main(%x: tensor<?x?x{WIDTH}xf32> {{llmc.name = "x"}}) -> (tensor<?x?x{OUTPUTS}xf32> {{llmc.name = "y"}}) attributes {{llmc.role = "run"}} {{
  %s = llmc.weight "scale" {{values = {dense(np.array([SCALE]))} : tensor<1xf32>}} : tensor<1xf32>
  %w = llmc.weight "w" {{{stored}}} : {type_}
  %q = llmc.quantize %x scale %s : tensor<?x?x{WIDTH}xf32>, tensor<1xf32> -> !llmc.quantized<?x?x{WIDTH}xf32, #llmc.static<i8>>
  %y = llmc.linear %q, %w : !llmc.quantized<?x?x{WIDTH}xf32, #llmc.static<i8>>, {type_}
  return %y : tensor<?x?x{OUTPUTS}xf32>
}}
""")
    np.save(tmp_path / "x.npy", x)
    subprocess.run([BUILD / "bin" / "llmc-compile", tmp_path / "m.mlir", "-o", tmp_path / "m"], check=True, capture_output=True, text=True)
    found = []
    for threads in (1, 3):
        subprocess.run([BUILD / "bin" / "llmc-run", tmp_path / "m", f"--input=x={tmp_path}/x.npy", f"--output=y={tmp_path}/y.npy",
                        f"--threads={threads}"], check=True, capture_output=True, text=True)
        found.append(np.load(tmp_path / "y.npy"))
    assert np.array_equal(found[0], found[1])
    want = by_onnx(x, w)
    assert np.abs(found[0] - want).max() <= 2e-6 * np.abs(want).max()
