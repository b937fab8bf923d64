"""The committed demo model is what its README says: size, shape, interface, ids, perplexity.

Needs numpy, onnx, onnxruntime and tokenizers, no build.
"""

import json
import pathlib
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
from tokenizers import Tokenizer

SOURCE = pathlib.Path(__file__).resolve().parents[2]
DEMO = SOURCE / "python" / "llmc" / "demo"
sys.path.insert(0, str(SOURCE / "python" / "demo"))

import corpus  # noqa: E402 (its folder is no package)


@pytest.fixture(scope="module")
def model():
    return onnx.load(DEMO / "model.onnx")


@pytest.fixture(scope="module")
def facts():
    return json.loads((DEMO / "facts.json").read_text())


def test_size_is_within_16_mb():
    assert sum(path.stat().st_size for path in DEMO.iterdir()) <= 16e6


def test_parameters_and_one_tied_embedding(model, facts):
    weights = [t for t in model.graph.initializer if np.prod(t.dims) >= 256]
    assert sum(int(np.prod(t.dims)) for t in weights) == facts["parameters"]
    assert 3e6 <= facts["parameters"] <= 6e6
    assert {t.data_type for t in weights} == {onnx.TensorProto.FLOAT16}
    assert [t.name for t in weights if 2048 in t.dims] == ["model.embed_tokens.weight"]


def test_interface_is_optimum_with_past(model):
    kinds = [f"{i}.{kind}" for i in range(4) for kind in ("key", "value")]
    inputs = ["input_ids", "attention_mask", "position_ids"]
    assert [v.name for v in model.graph.input] == inputs + [f"past_key_values.{k}" for k in kinds]
    assert [v.name for v in model.graph.output] == ["logits"] + [f"present.{k}" for k in kinds]


def test_no_trace_of_the_build(model):
    assert not model.metadata_props and not model.doc_string
    assert not any(node.doc_string or node.metadata_props for node in model.graph.node)


def test_rows_and_prompts_fit_the_tokenizer():
    tokenizer = Tokenizer.from_file(str(DEMO / "tokenizer.json"))
    assert tokenizer.get_vocab_size() == 2048
    for name, rows in (("calib", 64), ("heldout", 128)):
        ids = np.load(DEMO / f"{name}.npy")
        assert ids.dtype == np.int32 and ids.shape == (rows, 256)
        assert ids.min() >= 0 and ids.max() < 2048
    for prompt in json.loads((DEMO / "prompts.json").read_text()):
        assert tokenizer.encode(prompt["text"]).ids == prompt["ids"]
        assert tokenizer.decode(prompt["ids"]) == prompt["text"]


def test_perplexity_is_the_stated_one(facts):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        DEMO / "model.onnx", options, providers=["CPUExecutionProvider"]
    )
    past = session.get_inputs()[3:]
    nll = []
    for rows in np.split(np.load(DEMO / "heldout.npy").astype(np.int64), 16):
        ones = np.ones_like(rows)
        feeds = {"input_ids": rows, "attention_mask": ones, "position_ids": ones.cumsum(1) - 1}
        for value in past:
            feeds[value.name] = np.zeros((8, value.shape[1], 0, value.shape[3]), np.float32)
        logits = session.run(["logits"], feeds)[0][:, :-1].astype(np.float64)
        chosen = np.take_along_axis(logits, rows[:, 1:, None], -1)[..., 0]
        top = logits.max(-1)
        nll.append(top + np.log(np.exp(logits - top[..., None]).sum(-1)) - chosen)
    assert np.exp(np.mean(nll)) == pytest.approx(facts["heldout_perplexity"], rel=1e-4)


def test_split_keeps_held_out_modules_apart(tmp_path):
    for name in (*corpus.HELD_OUT, "kept.py", "test/skipped.py", "json/encoder.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"# {name}\n")
    training, held_out = corpus.read_split(tmp_path)
    assert sorted(training) == ["# json/encoder.py\n", "# kept.py\n"]
    assert held_out == [f"# {name}\n" for name in corpus.HELD_OUT]


def test_split_names_missing_modules(tmp_path):
    (tmp_path / "kept.py").write_text("pass\n")
    with pytest.raises(SystemExit, match="argparse.py"):
        corpus.read_split(tmp_path)
