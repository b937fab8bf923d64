"""Matrices that a file holds as f16 stay f16 on the way, and mean what the same values in f32 mean."""
import re

import numpy as np
import pytest

from whole_way import FIXTURES, run_tool

onnx = pytest.importorskip("onnx")

IDS = (np.arange(48, dtype=np.int32) * 7 + 3) % 64
STYLES = ("qwen2-optimum", "qwen2-dynamo-18", "gpt2-optimum", "llama-uncached-dynamo-23")


def rounded_twins(style, folder):
    """The fixture twice, matrices rounded to f16: stored as f16 behind a Cast, and as f32. Returns paths and how many."""
    paths, count = [], 0
    for store in ("f16", "f32"):
        model = onnx.load(FIXTURES / style / "model.onnx")
        count = 0
        for index, tensor in enumerate(list(model.graph.initializer)):
            values = onnx.numpy_helper.to_array(tensor)
            if values.dtype != np.float32 or values.ndim != 2 or min(values.shape) < 8:
                continue
            count += 1
            half = values.astype(np.float16)
            name = tensor.name
            if store == "f32":
                model.graph.initializer[index].CopyFrom(onnx.numpy_helper.from_array(half.astype(np.float32), name))
                continue
            model.graph.initializer[index].CopyFrom(onnx.numpy_helper.from_array(half, name + ".half"))
            cast = onnx.helper.make_node("Cast", [name + ".half"], [name], name + "/Cast", to=onnx.TensorProto.FLOAT)
            model.graph.node.insert(0, cast)
        place = folder / f"{style}-{store}"
        place.mkdir()
        onnx.save(model, place / "model.onnx")
        paths.append(place / "model.onnx")
    return paths, count


def weights_of(way, module):
    """Types of the matrices of a module, by the names of their weights."""
    text = way.folder / "text.mlir"
    run_tool("llmc-opt", module, "-o", text)
    return re.findall(r'llmc\.weight "([^"]*)".*: (!llmc\.compressed<\S+ #llmc\S+>|tensor<\d+x\d+xf32>)', text.read_text())


@pytest.mark.parametrize("style", STYLES)
def test_f16_matrices_keep_16_bits(way, tmp_path, style):
    (half, full), count = rounded_twins(style, tmp_path)
    assert count >= 10
    narrow, wide = way.imported(half), way.imported(full)
    kinds = weights_of(way, narrow)
    halves = [name for name, kind in kinds if "#llmc.dense<f16>" in kind]
    assert len(halves) >= count - 2 and len(halves) >= len(kinds) - 3, kinds  # A tied head is one weight; tables may be small.
    assert not any("f16" in kind for _, kind in weights_of(way, wide))
    got = way.logits(way.compiled(narrow), IDS, 40)
    want = way.logits(way.compiled(wide), IDS, 40)
    assert np.abs(got - want).max() <= 2e-6 * np.abs(want).max()


@pytest.mark.parametrize("flag", ("--awq-quantize=include=.*", "--rtn-quantize=include=.*",
                                  "--sparsify-2-4", "--low-rank-decompose=ratio=0.5"))
def test_passes_see_the_same_values(way, tmp_path, flag):
    (half, full), _ = rounded_twins("qwen2-optimum", tmp_path)
    np.save(tmp_path / "calib.npy", IDS[None, :].repeat(2, 0))
    logits = []
    for model in (half, full):
        module = way.passes(way.imported(model), f"--calibrate=tokens={tmp_path}/calib.npy hessian=true", flag)
        logits.append(way.logits(way.compiled(module), IDS, 40))
    # Factors of a decomposition are rounded to the 16 bits that the matrix had.
    tolerance = 5e-3 if "low-rank" in flag else 2e-6
    assert np.abs(logits[0] - logits[1]).max() <= tolerance * np.abs(logits[1]).max()
