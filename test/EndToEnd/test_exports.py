"""Exports of real tools and small cases, imported with the check on, compiled and run: ONNX Runtime's values, its
optimizer off, at several lengths, prefilled and step by step."""
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from whole_way import BUILD, MODELS, run_tool

pytest.importorskip("onnxruntime")
from original import Original  # noqa: E402

TARGET = ("--target=x86_64-linux-gnu", "--cpu=native")
REFUSED, CASES = MODELS / "refused", MODELS.parent / "cases"
EXPORTS = [
    "crash/bert_4_rnd.onnx", "crash/gpt2_4_rnd.onnx", "half/l_float16_eager_1.onnx", "half/l_bfloat16_eager_2.onnx",
    "dynamo-18/biogpt", "dynamo-18/codegen", "dynamo-23/llama-yarn", "genai/qwen2-bf16-cuda", "genai/qwen2-int4-cuda",
    "genai/qwen2-hidden", "variants/bert-fp16", "variants/qwen2-fp16", "variants/bert-ts-ortext",
    "variants/qwen2-ts-ortext", "optimum/gpt2-merged/decoder_model_merged.onnx", "optimum/qwen2-fixed",
]
SMALL = [
    "bias-gelu", "bias-scalar-and-sub", "decoder-hidden-output", "f16-gelu-erf", "f16-plain", "f16-rope", "f64-model",
    "fused-matmul", "gemm-alpha-beta", "mask-bool", "mask-default-name", "mask-max-min", "name-transposed",
    "opset-imported-twice", "scaled-embedding-positions", "scaled-embedding-rmsnorm-op", "scaled-values",
    "static-positions", "step-only-graph", "type-vector-tied-head", "unused-cache-position",
]
SCRIPTS = ["external-prepacked-key", "hub-cache-links"]


def apart(got, want):
    """The largest difference, as a share of the largest value."""
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    assert got.shape == want.shape
    return np.abs(got - want).max() / np.abs(want).max()


def kind_of(base):
    return json.loads(open(f"{base}.json").read())


def encoder_error(way, base, original, batch, length, padding):
    """A batch whose last row ends in padding, where there is a mask for it."""
    info = kind_of(base)
    fixed = [dims for _, _, dims in original.inputs if len(dims) == 2 and dims[0]]
    batch = fixed[0][0] if fixed else batch
    ids = np.random.default_rng(length).integers(0, 90, (batch, length))
    masks = [i["name"] for i in info["inputs"] if "mask" in i["name"]]
    mask = np.ones((batch, length), np.int64)
    if masks:
        mask[-1, length - padding:] = 0
    np.save(way.folder / "ids.npy", ids)
    np.save(way.folder / "mask.npy", mask)
    np.save(way.folder / "zeros.npy", np.zeros_like(ids))
    files = {**{name: "mask" for name in masks}, "token_type_ids": "zeros"}
    arguments = [f"--input={i['name']}={way.folder}/{files.get(i['name'], 'ids')}.npy" for i in info["inputs"]]
    name = info["outputs"][0]["name"]
    run_tool("llmc-run", base, *arguments, f"--output={name}={way.folder}/out.npy")
    kept = mask.astype(bool)
    got = np.load(way.folder / "out.npy").reshape(batch, length, -1)[kept]
    return apart(got, original.run(ids, name, mask=mask)[0][kept])


def errors(way, path, *options):
    """How far import and original are apart, for each way of running it, and the bound for the original's arithmetic."""
    original = Original(path)
    base = way.compiled(way.imported(path, *options), *TARGET)
    if kind_of(base)["role"] == "run":
        sizes = [(1, 7, 2), (1, 60, 0), (3, 40, 11)]
        return {size: encoder_error(way, base, original, *size) for size in sizes}, original.tolerance
    length = original.longest(min(66, kind_of(base)["context"]))
    ids = np.random.default_rng(1).integers(0, 90, length)
    want = original.logits_of(ids)
    prefills = sorted({min(n, len(want)) for n in (1, 7, 60)})
    return {n: apart(way.logits(base, ids[:len(want)], n), want) for n in prefills}, original.tolerance


def model_file(path):
    return path / "model.onnx" if path.is_dir() else path


@pytest.mark.parametrize("name", EXPORTS)
def test_export(way, name):
    path = model_file(REFUSED / name)
    if not path.exists():
        pytest.skip(f"../shared/models/refused/{name} is not here")
    found, bound = errors(way, path)
    assert max(found.values()) <= bound, found


@pytest.mark.parametrize("prefill", [1, 60, 64, 65, 100])
def test_longrope(way, prefill):
    """Calls that end beyond 64 positions turn by other angles; what the cache holds stays. Both sides, and across."""
    path = model_file(REFUSED / "genai/phi3-longrope64")
    if not path.exists():
        pytest.skip("../shared/models/refused/genai/phi3-longrope64 is not here")
    original = Original(path)
    base = way.compiled(way.imported(path), *TARGET)
    ids = np.random.default_rng(1).integers(0, 90, max(72, prefill + 6))
    want = original.stepped_logits(ids, prefill)
    assert apart(way.logits(base, ids, prefill), want) <= original.tolerance
    # The same in several chunks.
    base = way.compiled(way.imported(path), *TARGET, "--chunk=16")
    assert apart(way.logits(base, ids, prefill), want) <= original.tolerance
    assert apart(way.lent_logits(base, ids, prefill, threads=1), want) <= original.tolerance


@pytest.mark.parametrize("name", SMALL)
def test_case(way, name):
    folder = CASES / name
    if not folder.is_dir():
        pytest.skip(f"../shared/cases/{name} is not here")
    case = json.loads((folder / "case.json").read_text())
    base = way.compiled(way.imported(folder / "model.onnx", *case.get("import_flags", [])), *TARGET)
    want, ids = np.load(folder / "expected.npy"), np.load(folder / "ids.npy")
    if case["kind"] == "decoder":
        for prefill in {1, max(1, len(ids) - 3), len(ids)}:
            assert apart(way.logits(base, ids, prefill), want) <= case["tolerance"], prefill
        return
    info = kind_of(base)
    arguments = [f"--input={i['name']}={folder}/{'ids' if i['name'] == 'input_ids' else 'mask'}.npy"
                 for i in info["inputs"]]
    run_tool("llmc-run", base, *arguments, f"--output={info['outputs'][0]['name']}={way.folder}/out.npy")
    kept = np.load(folder / "mask.npy").astype(bool)
    assert apart(np.load(way.folder / "out.npy")[kept], want[kept]) <= case["tolerance"]


@pytest.mark.parametrize("name", SCRIPTS)
def test_script(name):
    script = CASES / name / "run.sh"
    if not script.exists():
        pytest.skip(f"../shared/cases/{name} is not here")
    tools = os.pathsep.join([str(BUILD / "bin"), str(pathlib.Path(sys.executable).parent), os.environ["PATH"]])
    result = subprocess.run(["sh", script], env={**os.environ, "PATH": tools}, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
