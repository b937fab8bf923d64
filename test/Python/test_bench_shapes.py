"""python/bench: decoders with random weights and the shapes of known models go the whole way."""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import onnxruntime
import pytest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
TOOLS = pathlib.Path(os.environ.get("LLMC_BUILD") or SOURCE / "build") / "bin"
BENCH = SOURCE / "python" / "bench"
sys.path.insert(0, str(BENCH))

import make_onnx  # noqa: E402
import shapes  # noqa: E402
import random_weights  # noqa: E402

IDS = np.array([3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8], np.int64)
NAMES = ("24m", "qwen2.5-0.5b", "bitnet-2b")


def tool(name, *arguments):
    subprocess.run([TOOLS / name, *map(str, arguments)], check=True)


def ort_logits(path, shape):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    feeds = {"input_ids": IDS[None], "attention_mask": np.ones((1, len(IDS)), np.int64),
             "position_ids": np.arange(len(IDS))[None]}
    for layer in range(shape.layers):
        for kind in ("key", "value"):
            empty = np.zeros((1, shape.kv_heads, 0, shape.head_size), np.float32)
            feeds[f"past_key_values.{layer}.{kind}"] = empty
    return session.run(["logits"], feeds)[0][0]


@pytest.fixture(scope="module", params=NAMES)
def made(request, tmp_path_factory):
    """(shape, folder with model.onnx): one layer (two of the small shape) and 500 ids."""
    shape = shapes.get_shape(request.param, 2 if request.param == "24m" else 1, 500)
    folder = tmp_path_factory.mktemp("shape")
    make_onnx.write(shape, str(folder / "model.onnx"), store="f16" if "qwen" in shape.name else "f32")
    tool("llmc-import", folder / "model.onnx", "-o", folder / "model.mlirbc")
    return shape, folder


def run(folder, name):
    np.save(folder / "ids.npy", IDS)
    tool("llmc-compile", "--target=x86_64-linux-gnu", "--cpu=native", folder / f"{name}.mlirbc",
         "-o", folder / name)
    tool("llmc-run", folder / name, f"--prompt-ids=@{folder / 'ids.npy'}", "--prefill=8",
         f"--logits={folder / 'logits.npy'}")
    return np.load(folder / "logits.npy")


def test_imports_and_equals_onnx_runtime(made):
    shape, folder = made
    expected = ort_logits(folder / "model.onnx", shape)
    found = run(folder, "model")
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()
    info = json.loads((folder / "model.json").read_text())
    products = info["products_per_position"]
    layer = sum(outputs * inputs for _, outputs, inputs in shape.matrices())
    assert products["body"]["float"] == shape.layers * layer
    assert products["logits"]["float"] == shape.vocab * shape.hidden


def test_compresses_and_runs(made):
    shape, folder = made
    tool("llmc-opt", "--rtn-quantize=bits=4 group=32 include=.* activations=i8-token",
         folder / "model.mlirbc", "-o", folder / "int4.mlirbc")
    dense, small = run(folder, "model"), run(folder, "int4")
    assert np.isfinite(small).all()
    # Random weights, so nothing but the noise of four bits may be between them.
    correlation = np.corrcoef(dense.ravel(), small.ravel())[0, 1]
    assert correlation > 0.9
    full, packed = ((folder / name).stat().st_size for name in ("model.safetensors", "int4.safetensors"))
    assert packed < full / (3 if "qwen" in shape.name else 4)  # Of 16 bits, of 32.


def test_same_arguments_same_bytes(tmp_path):
    shape = shapes.get_shape("24m", 1, 300)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        make_onnx.write(shape, str(tmp_path / name / "m.onnx"))
    for file in ("m.onnx", "m.onnx_data"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


@pytest.mark.parametrize("name, parameters", [
    ("24m", 24.4e6), ("smollm2-135m", 134.5e6), ("qwen2.5-0.5b", 494.0e6),
    ("tinyllama-1.1b", 1100.0e6), ("bitnet-2b", 2412.8e6)])
def test_shapes_have_the_published_sizes(name, parameters):
    assert shapes.get_shape(name).parameters() == pytest.approx(parameters, rel=1e-3)


def test_unknown_shapes_are_refused():
    with pytest.raises(ValueError, match="unknown shape 'gpt5'"):
        shapes.get_shape("gpt5")
    with pytest.raises(ValueError, match="expected 1 to 6 layers, found 7"):
        shapes.get_shape("24m", 7)


# IQ4_NL's table ends at -127 and 113, and scales are f16.
@pytest.mark.parametrize("kind, step", [("Q8_0", 1), ("IQ4_NL", 15)])
def test_gguf_holds_the_same_weights(tmp_path, kind, step):
    gguf = pytest.importorskip("gguf")
    import make_gguf

    shape = shapes.get_shape("qwen2.5-0.5b", 1, 300)
    make_gguf.write(shape, str(tmp_path / "m.gguf"), kind)
    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(tmp_path / "m.gguf").tensors}
    down = gguf.dequantize(tensors["blk.0.ffn_down.weight"].data, gguf.GGMLQuantizationType[kind])
    expected = random_weights.matrix("model.layers.0.mlp.down_proj.weight", shape.hidden, shape.ffn, 0)
    assert down.shape == expected.shape
    assert np.abs(down - expected).max() <= step * np.abs(expected).max() / 127
    assert "output.weight" not in tensors and "blk.0.attn_q.bias" in tensors


def test_a_mixture_of_types_needs_llama_cpp(tmp_path):
    gguf = pytest.importorskip("gguf")
    path = tmp_path / "m.gguf"
    done = subprocess.run([sys.executable, BENCH / "make_gguf.py", "24m", "--type=Q4_K_M", "--layers=1", f"--out={path}"],
                          capture_output=True, text=True)
    if importlib.util.find_spec("llama_cpp"):
        kinds = {tensor.tensor_type.name for tensor in gguf.GGUFReader(path).tensors}
        assert done.returncode == 0 and len(kinds) > 2
    else:
        assert done.returncode == 1 and "make_gguf: error: No module named 'llama_cpp'" in done.stderr
        assert not os.listdir(tmp_path)


@pytest.mark.parametrize("level, tolerance", [(0, 1e-4), (4, 2e-2)])
def test_chain_of_matmulnbits_equals_onnx_runtime(tmp_path, level, tolerance):
    import make_chain

    path = tmp_path / "chain.onnx"
    make_chain.write(str(path), 128, 192, 2, 32, level)
    tool("llmc-import", path, "-o", tmp_path / "chain.mlirbc")
    tool("llmc-compile", "--target=x86_64-linux-gnu", "--cpu=native", tmp_path / "chain.mlirbc", "-o", tmp_path / "chain")
    np.save(tmp_path / "ids.npy", IDS[None])
    tool("llmc-run", tmp_path / "chain", f"--input=input_ids={tmp_path / 'ids.npy'}", f"--output=y={tmp_path / 'y.npy'}")
    expected = onnxruntime.InferenceSession(str(path)).run(None, {"input_ids": IDS[None]})[0]
    assert np.abs(np.load(tmp_path / "y.npy") - expected).max() <= tolerance * np.abs(expected).max()
