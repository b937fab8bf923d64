"""The committed fixtures are small, carry no trace of the build, and their oracles are ONNX Runtime's.

Needs numpy, onnx and onnxruntime, no build.
"""

import pathlib
import sys

import numpy as np
import onnx
import onnxruntime
import pytest

FIXTURES = pathlib.Path(__file__).resolve().parent / "fixtures"
sys.path.insert(0, str(FIXTURES.parents[2] / "python" / "fixtures"))
import oracles  # noqa: E402

NAMES = sorted(path.parent.name for path in FIXTURES.glob("*/model.onnx"))


def session(name):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(
        FIXTURES / name / "model.onnx", options, providers=["CPUExecutionProvider"]
    )


def test_together_at_most_2_mb():
    assert len(NAMES) >= 9
    assert sum(path.stat().st_size for path in FIXTURES.rglob("*") if path.is_file()) <= 2e6


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_is_its_own(name):
    """Norms of ones, biases of zeros and equal biases hide faults: a wrong one is then a right one."""
    model = onnx.load(FIXTURES / name / "model.onnx")
    assert len(oracles.parameters(model)) >= 15 and oracles.hiding(model) == []


def test_perturbation_reaches_what_hides(tmp_path):
    """Parameters that are alike are found, and their noise is the same each time."""
    model = onnx.load(FIXTURES / "bert-torchscript" / "model.onnx")
    norms = [t for t in model.graph.initializer if "LayerNorm" in t.name]
    for tensor in norms:
        values = np.full(tensor.dims, tensor.name.endswith("weight"), np.float32)
        tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    written = []
    for path in (tmp_path / "a.onnx", tmp_path / "b.onnx"):
        onnx.save(model, path)
        assert set(oracles.perturb(path, seed=1)) == {tensor.name for tensor in norms}
        assert oracles.hiding(onnx.load(path)) == []
        written.append(path.read_bytes())
    assert written[0] == written[1]


@pytest.mark.parametrize("name", NAMES)
def test_no_trace_of_the_build(name):
    model = onnx.load(FIXTURES / name / "model.onnx")
    assert not model.metadata_props and not model.doc_string
    for node in model.graph.node:
        assert not node.doc_string
        assert all(entry.key.endswith("name_scopes") for entry in node.metadata_props)


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("bert")])
def test_decoder_oracle_is_one_pass_over_all_ids(name):
    """The oracle went through the cache; a single pass without past must say the same."""
    oracle, runner = np.load(FIXTURES / name / "oracle.npz"), session(name)
    ids = oracle["ids"]
    assert ids.shape == (1, 48) and oracle["logits"].shape == (48, 128)
    feeds = {}
    for value in runner.get_inputs():
        if value.name.startswith("past_key_values"):
            feeds[value.name] = np.zeros((1, value.shape[1], 0, value.shape[3]), np.float32)
        elif value.name == "input_ids":
            feeds[value.name] = ids
        else:
            ones = np.ones_like(ids)
            feeds[value.name] = ones if value.name == "attention_mask" else ones.cumsum(1) - 1
    logits = runner.run(["logits"], feeds)[0][0]
    largest = np.abs(oracle["logits"]).max()
    assert np.abs(logits - oracle["logits"]).max() <= 1e-4 * largest


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("bert")])
def test_encoder_oracle_and_padding(name):
    oracle, runner = np.load(FIXTURES / name / "oracle.npz"), session(name)
    ids, mask = oracle["ids"].copy(), oracle["mask"]
    ids[1, 6:] = 0  # padding: must not change the rest
    seen = mask[..., None] != 0
    for types, key in ((np.zeros_like(ids), "hidden"), (oracle["types"], "hidden_types")):
        feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
        hidden = runner.run(None, feeds)[0]
        largest = np.abs(oracle[key]).max()
        assert np.abs(np.where(seen, hidden - oracle[key], 0)).max() <= 1e-4 * largest
