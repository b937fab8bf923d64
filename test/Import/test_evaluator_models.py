"""Whole models through the evaluator: prefill and cached steps against ONNX Runtime's stored answers.

Uses the exports beside the repository (`../shared/models`) where they are present, and says so where they are not.
"""
import os
import subprocess

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
EVALUATE = os.path.join(os.environ.get("LLMC_BUILD", os.path.join(ROOT, "build")), "bin", "llmc-evaluate")
SHARED = os.path.join(ROOT, "..", "shared", "models")
FIXTURES = os.path.join(ROOT, "test", "EndToEnd", "fixtures")


def find(root):
    found = []
    for folder, _, files in sorted(os.walk(root)):
        if "model.onnx" in files and "oracle.npz" in files:
            found.append(folder)
    return found


MODELS = find(os.path.join(SHARED, "architectures")) + find(FIXTURES)


def run(model, folder, inputs, outputs, tmp, *flags):
    command = [EVALUATE, os.path.join(folder, "model.onnx"), *flags]
    for name, value in inputs.items():
        path = os.path.join(tmp, f"in{len(command)}.pb")
        with open(path, "wb") as file:
            file.write(numpy_helper.from_array(value).SerializeToString())
        command.append(f"--input={name}={path}")
    results = {}
    for name in outputs:
        results[name] = os.path.join(tmp, f"out{len(command)}.pb")
        command.append(f"--output={name}={results[name]}")
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name, path in results.items():
        tensor = onnx.TensorProto()
        with open(path, "rb") as file:
            tensor.ParseFromString(file.read())
        results[name] = numpy_helper.to_array(tensor)
    return results


def past_shape(value, model, batch):
    dims = [d.dim_value for d in value.type.tensor_type.shape.dim]
    if dims[3] == 0:  # ORT-GenAI leaves the head size open
        node = next(n for n in model.graph.node if n.op_type == "GroupQueryAttention")
        cache = next(i for i in model.graph.initializer if i.name == node.input[7])
        dims[3] = 2 * cache.dims[1]
    return [batch, dims[1], 0, dims[3]]


def decoder_logits(model, folder, ids, split, tmp, *flags):
    """Logits of every position: `split` at once, the others one by one through the cache."""
    names = [i.name for i in model.graph.input]
    past = {i.name: np.zeros(past_shape(i, model, 1), np.float32) for i in model.graph.input if "past" in i.name}
    outputs = [o.name for o in model.graph.output]
    rows, done = [], 0
    for count in [split] + [1] * (ids.shape[1] - split) if past else [ids.shape[1]]:
        feeds = {n: v for n, v in past.items()}
        feeds["input_ids"] = ids[:, done:done + count].astype(np.int64)
        if "attention_mask" in names:
            feeds["attention_mask"] = np.ones((1, done + count), np.int64)
        if "position_ids" in names:
            feeds["position_ids"] = np.arange(done, done + count, dtype=np.int64)[None]
        result = run(model, folder, feeds, outputs, tmp, *flags)
        rows.append(result["logits"][0])
        for name in past:
            past[name] = result[name.replace("past_key_values", "present")].astype(np.float32)
        done += count
    return np.concatenate(rows)


@pytest.mark.skipif(not MODELS, reason="no exports beside the repository and no fixtures")
@pytest.mark.parametrize("folder", MODELS, ids=["-".join(f.split(os.sep)[-2:]) for f in MODELS])
def test_evaluator_agrees_with_onnx_runtime(folder, tmp_path):
    model = onnx.load(os.path.join(folder, "model.onnx"), load_external_data=False)
    answers = np.load(os.path.join(folder, "oracle.npz"))
    if "hidden" in answers:
        names = [i.name for i in model.graph.input]
        feeds = {"input_ids": answers["ids"].astype(np.int64), "attention_mask": answers["mask"].astype(np.int64)}
        if "token_type_ids" in names:
            feeds["token_type_ids"] = np.zeros_like(feeds["input_ids"])
        got = run(model, folder, feeds, [model.graph.output[0].name], str(tmp_path))[model.graph.output[0].name]
        kept = answers["mask"].astype(bool)
        got, expected = got[kept], answers["hidden"][kept]
    else:
        got = decoder_logits(model, folder, answers["ids"], 44, str(tmp_path))
        expected = answers["logits"].reshape(got.shape)
    tolerance = 5e-3 if folder.endswith("int4") else 2e-5
    assert np.abs(got - expected).max() <= tolerance * np.abs(expected).max()


INT4 = [f for f in MODELS if os.path.exists(os.path.join(f, "oracle_float.npz"))]


@pytest.mark.skipif(not INT4, reason="no int4 exports beside the repository")
@pytest.mark.parametrize("folder", INT4, ids=[f.split(os.sep)[-2] for f in INT4])
def test_int4_with_float_activations(folder, tmp_path):
    model = onnx.load(os.path.join(folder, "model.onnx"), load_external_data=False)
    answers = np.load(os.path.join(folder, "oracle_float.npz"))
    got = decoder_logits(model, folder, answers["ids"], 44, str(tmp_path), "--float-activations")
    expected = answers["logits"].reshape(got.shape)
    assert np.abs(got - expected).max() <= 2e-5 * np.abs(expected).max()


STORIES = [os.path.join(SHARED, "stories260K", s) for s in ("optimum", "dynamo-18", "dynamo-23", "genai", "genai-int4")]
STORIES = [f for f in STORIES if os.path.isdir(f)]


@pytest.mark.skipif(not STORIES, reason="stories260K is not beside the repository")
@pytest.mark.parametrize("folder", STORIES, ids=[os.path.basename(f) for f in STORIES])
def test_stories_predicts_the_expected_tokens(folder, tmp_path):
    model = onnx.load(os.path.join(folder, "model.onnx"), load_external_data=False)
    int4 = folder.endswith("int4")
    name = "expected.int4.txt" if int4 else "expected.txt"
    text = open(os.path.join(SHARED, "stories260K", name)).read()
    count = 30 if int4 else 60
    ids = np.array([[1] + [int(word) for word in text.replace(",", " ").split()][:count]])
    flags = ["--float-activations"] if int4 else []
    logits = decoder_logits(model, folder, ids[:, :-1], count - 4, str(tmp_path), *flags)
    assert (logits.argmax(-1) == ids[0, 1:]).all()


def test_half_precision_can_be_kept_exact(tmp_path):
    """1 + 2^-11 is no f16: it is lost between two nodes, but for --exact-half. What is stored in f32 and cast is an f16."""
    helper, f32, f16 = onnx.helper, onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16
    nodes = [helper.make_node("Cast", ["x"], ["half"], to=f16), helper.make_node("Add", ["half", "tiny"], ["sum"]),
             helper.make_node("Sub", ["sum", "one"], ["rest"]), helper.make_node("Cast", ["rest"], ["y"], to=f32),
             helper.make_node("Cast", ["stored"], ["kept"], to=f16), helper.make_node("Cast", ["kept"], ["z"], to=f32)]
    constants = [numpy_helper.from_array(np.array(v, t), n) for n, v, t in
                 (("tiny", 2.0**-12, np.float16), ("one", 1, np.float16), ("stored", 1 + 2.0**-12, np.float32))]
    values = [helper.make_tensor_value_info(name, f32, [1]) for name in "xyz"]
    graph = helper.make_graph(nodes, "half", values[:1], values[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, tmp_path / "model.onnx")
    feeds = {"x": np.array([1 + 2.0**-12], np.float32)}
    assert run(model, str(tmp_path), feeds, ["y", "z"], str(tmp_path)) == {"y": 0, "z": 1}
    assert run(model, str(tmp_path), feeds, ["y", "z"], str(tmp_path), "--exact-half") == {"y": 2.0**-11, "z": 1}
