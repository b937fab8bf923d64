"""Compressed models compute what their weights say: every method on every kind of model, against the same model decompressed."""
import re
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from whole_way import FIXTURES, MODELS, SOURCE, run_tool

sys.path.insert(0, str(SOURCE / "test" / "Compress"))
from weights import Module  # noqa: E402

# Fused QKV, biases, a tied head; grouped heads, biases, a tied head; a key head for each query head; an encoder.
OWN = ["gpt2-optimum", "qwen2-optimum", "llama-uncached-dynamo-23", "bert-dynamo-23"]
SHARED = ["qwen2/optimum", "llama3-rope/genai", "phi/dynamo-18", "distilbert/optimum"]
# Each is done to a weight of its own, so that one model runs many of them; {} becomes include=<that weight>.
METHODS = [
    ["--rtn-quantize=bits=4 group=32 {}"],
    ["--sparsify-2-4={}", "--rtn-quantize=bits=4 {}"],
    ["--rtn-quantize=bits=4 {}", "--sparsify-2-4={}"],
    ["--rtn-quantize=bits=4 symmetric=true {}"],
    ["--magnitude-prune=sparsity=0.5 {}"],
    ["--ternarize=activations=float {}"],
    ["--rtn-quantize=bits=8 group=0 scale=f32 {}"],
    ["--rtn-quantize=bits=3 group=12 {}"],
    ["--sparsify-2-4={}"],
    ["--magnitude-prune=sparsity=0.5 {}", "--rtn-quantize=bits=5 group=16 {}"],
    ["--sparsify-2-4={}", "--ternarize=activations=float {}"],
    ["--rtn-quantize=bits=6 group=8 symmetric=true {}", "--magnitude-prune=sparsity=0.25 {}"],
    ["--nf4-quantize={}"],
    ["--ternarize=packing=base3 activations=float {}"],
    ["--nf4-quantize=group=16 scale=f32 table=nf4_i8 {}", "--sparsify-2-4={}"],
    ["--scheme-quantize=scheme=table<bnb_fp4,group=64> {}"],
    ["--scheme-quantize=scheme=float<e4m3> {}"],
    ["--scheme-quantize=scheme=levels<rows=16,type=f16> {}"],
    ["--sparsify-2-4={}", "--scheme-quantize=scheme=float<e5m2,per=block,scale=f16> {}"],
]


def model_path(name):
    if "/" not in name:
        return FIXTURES / name
    folder = MODELS / "architectures" / name
    if not folder.is_dir():
        pytest.skip(f"../shared/models/architectures/{name} is not here")
    return folder


@pytest.fixture(scope="module")
def calibrated(way):
    """calibrated(name): the imported model with statistics of random ids."""
    def make(name):
        folder = model_path(name)
        vocabulary = 512 if "/" in name else 128
        tokens = way.folder / f"calib{vocabulary}.npy"
        np.save(tokens, np.random.default_rng(5).integers(0, vocabulary, (24, 32)))
        return way.passes(way.imported(folder / "model.onnx"), f"--calibrate=tokens={tokens}")
    return make


def matrices(module):
    """Names of all weights of two dimensions: linears, heads and embeddings."""
    text = run_tool("llmc-opt", module, "--mlir-elide-resource-strings-if-larger=16")
    return re.findall(r'llmc\.weight "([^"]+)" \{.*\} : tensor<\d+x\d+xf', text)


def outputs(way, name, base):
    """What the model says to the ids of its oracle, where it counts."""
    oracle = np.load(model_path(name) / "oracle.npz")
    if "logits" in oracle:
        return way.logits(base, oracle["ids"], 44)
    return way.hidden(base, oracle["ids"], oracle["mask"])[oracle["mask"].astype(bool)]


def dense_outputs(name):
    oracle = np.load(model_path(name) / "oracle.npz")
    return oracle["logits"] if "logits" in oracle else oracle["hidden"][oracle["mask"].astype(bool)]


def difference(got, want):
    assert got.shape == want.shape and np.isfinite(got).all()
    return np.abs(got - want).max() / np.abs(want).max()


def check(way, calibrated, name, flags, bound=2e-5):
    compressed = way.passes(calibrated(name), *flags)
    with ThreadPoolExecutor(2) as both:
        bases = both.map(way.compiled, [compressed, way.passes(compressed, "--decompress")])
        got, want = [outputs(way, name, base) for base in list(bases)]
    assert difference(got, want) < bound
    assert difference(got, dense_outputs(name)) > 3 * bound, "compression changed nothing, so the test shows nothing"


def mixed(module, first):
    """The flags that do METHODS[first], METHODS[first + 1], ... to the weights of a module in turn."""
    flags = []
    for i, weight in enumerate(matrices(module)):
        include = "include=^" + re.escape(weight) + "$"
        flags += [flag.format(include) for flag in METHODS[(first + i) % len(METHODS)]]
    assert len(flags) >= 8
    return flags


# Eight weights or more: three starts reach all methods.
@pytest.mark.parametrize("first", [0, 7, 14])
@pytest.mark.parametrize("name", OWN)
def test_methods(way, calibrated, name, first):
    check(way, calibrated, name, mixed(calibrated(name), first))


@pytest.mark.parametrize("name", OWN)
def test_awq(way, calibrated, name):
    check(way, calibrated, name, ["--awq-quantize"])


@pytest.mark.parametrize("name", SHARED)
def test_architectures(way, calibrated, name):
    check(way, calibrated, name, mixed(calibrated(name), 3 * SHARED.index(name)))


@pytest.mark.parametrize("name,activations", [("qwen2-optimum", "i8-token"), ("bert-dynamo-23", "i8-group"), ("qwen2-optimum", "i8-static"),
                                              ("bert-dynamo-23", "i8-static")])
def test_quantized_activations(way, calibrated, name, activations):
    """Sums in another order may move an input over a rounding boundary, so the bound is that of one code in places."""
    check(way, calibrated, name, [f"--rtn-quantize=bits=4 group=16 activations={activations}"], 5e-3)


@pytest.mark.parametrize("method", ["--nf4-quantize=group=16 include=.* activations=i8-token",
                                    "--nf4-quantize=table=nf4 activations=i8-token",
                                    "--nf4-quantize=group=16 activations=i8-group",
                                    "--ternarize=packing=base3 include=.*"])
def test_levels_by_quantized_activations(way, calibrated, method):
    check(way, calibrated, "qwen2-optimum", [method], 5e-3)


@pytest.mark.parametrize("name", ["gpt2-optimum", "qwen2-optimum"])
def test_low_rank(way, calibrated, name):
    """Two thin linears compute the product of their matrices: the model with that product in its place, made by NumPy."""
    thin = way.passes(calibrated(name), "--low-rank-decompose=ratio=0.6")
    factors = Module(run_tool("llmc-opt", thin, "--mlir-print-debuginfo=false"))
    text = run_tool("llmc-opt", way.imported(model_path(name) / "model.onnx"), "--mlir-print-debuginfo=false")
    replaced = 0
    for first in [weight for weight in factors.weights if ".lowrank_a." in weight]:
        product = factors.values(first) @ factors.values(first.replace(".lowrank_a.", ".lowrank_b."))
        original = first.replace(".lowrank_a.", ".")
        key = re.search(rf'llmc\.weight "{re.escape(original)}" \{{values = dense_resource<"?([^">]+)"?>', text)[1]
        text, count = re.subn(rf'("?{re.escape(key)}"?: "0x[0-9A-F]{{8}})[0-9A-F]*"',
                              lambda found: found[1] + product.astype(np.float32).tobytes().hex().upper() + '"', text)
        replaced += count
    assert replaced >= 8
    path = way.folder / f"{name}-product.mlir"
    path.write_text(text)
    got = outputs(way, name, way.compiled(thin))
    assert difference(got, outputs(way, name, way.compiled(str(path)))) < 1e-4
    assert difference(got, dense_outputs(name)) > 0.01
