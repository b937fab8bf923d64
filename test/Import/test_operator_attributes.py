"""Attributes and inputs of operators are honoured or refused, never dropped.

Every operator of the evaluator is given an attribute and an input that nobody knows: both must be named by the refusal. Then
each attribute of each schema version is set to other values: the result must be that of the `onnx` package's reference
evaluator, or the attribute is refused.
"""
import os
import re
import subprocess

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from test_onnx_node_tests import EVALUATE, generate, write_tensor

OPSETS = range(11, 26)
OTHERS = {onnx.AttributeProto.INT: [0, 1, 2, -1], onnx.AttributeProto.FLOAT: [0.375, 2.5],
          onnx.AttributeProto.INTS: [[0], [1], [1, 0]],
          onnx.AttributeProto.STRING: ["none", "tanh", "add", "mul", "edge", "circular"]}
# What has no one right answer: seeds, the order of unsorted elements, and precisions below ours. Types of results follow `to`.
FREE = {("Dropout", "seed"), ("TopK", "sorted"), ("LayerNormalization", "stash_type"),
        ("RMSNormalization", "stash_type"), ("Attention", "softmax_precision"), ("Cast", "to"),
        ("QuantizeLinear", "output_dtype"), ("DequantizeLinear", "output_dtype"), ("QuantizeLinear", "precision"),
        # The reference gives scores behind the soft cap as those before it.
        ("Attention", "qk_matmul_output_mode")}
# Switches, which have two values, and numbers of heads, which cannot be none.
SWITCHES = {"fmod", "keepdims"}
POSITIVE = {"q_num_heads", "kv_num_heads"}


def run_folders(folders):
    done = subprocess.run([EVALUATE, "--node-tests"], input="\n".join(folders) + "\n", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [line.split("\t", 1)[1] for line in done.stdout.splitlines()]


def read_tensors(folder, kind):
    data, found = os.path.join(folder, "test_data_set_0"), []
    while os.path.exists(path := os.path.join(data, f"{kind}_{len(found)}.pb")):
        tensor = onnx.TensorProto()
        with open(path, "rb") as file:
            tensor.ParseFromString(file.read())
        found.append(tensor)
    return found


def save(folder, model, inputs, outputs):
    data = os.path.join(folder, "test_data_set_0")
    os.makedirs(data)
    onnx.save(model, os.path.join(folder, "model.onnx"))
    for kind, tensors in (("input", inputs), ("output", outputs)):
        for i, tensor in enumerate(tensors):
            write_tensor(tensor, os.path.join(data, f"{kind}_{i}.pb"))
    return folder


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    """(node test's folder, model) of one node each that the evaluator passes: the first of every operator and input count."""
    folders = generate(str(tmp_path_factory.mktemp("cases")))
    kept = {}
    for folder, verdict in zip(folders, run_folders(folders)):
        model = onnx.load(os.path.join(folder, "model.onnx"))
        if verdict != "ok" or len(model.graph.node) != 1:
            continue
        node = model.graph.node[0]
        shape = (node.op_type, tuple(bool(name) for name in node.input), tuple(a.name for a in node.attribute))
        kept.setdefault(shape, (folder, model))
    assert len({shape[0] for shape in kept}) >= 90
    return list(kept.values())


def test_an_unknown_attribute_is_refused(cases, tmp_path):
    folders = []
    for i, (folder, model) in enumerate(cases):
        changed = onnx.ModelProto()
        changed.CopyFrom(model)
        changed.graph.node[0].attribute.append(helper.make_attribute("made_up", 7))
        folders.append(save(str(tmp_path / str(i)), changed, read_tensors(folder, "input"), read_tensors(folder, "output")))
    for (folder, model), verdict in zip(cases, run_folders(folders)):
        assert "attribute 'made_up' = 7 is not supported" in verdict, (os.path.basename(folder), verdict)


def test_an_unknown_input_is_refused(cases, tmp_path):
    folders, which = [], []
    for i, (folder, model) in enumerate(cases):
        node = model.graph.node[0]
        most = onnx.defs.get_schema(node.op_type, domain=node.domain).max_input
        if most > 20 or node.op_type == "If":
            continue
        changed = onnx.ModelProto()
        changed.CopyFrom(model)
        added = changed.graph.node[0].input
        added.extend([""] * (most - len(added)) + ["made_up"])
        changed.graph.initializer.append(numpy_helper.from_array(np.ones(1, np.float32), "made_up"))
        which.append((os.path.basename(folder), most))
        folders.append(save(str(tmp_path / str(i)), changed, read_tensors(folder, "input"), read_tensors(folder, "output")))
    assert len(folders) >= 90
    for (name, most), verdict in zip(which, run_folders(folders)):
        assert f"input {most} ('made_up') is not supported" in verdict, (name, verdict)


def reference(model, feeds):
    """What the model gives. The reference evaluator knows only the softmax of opset 13, which is along one axis."""
    node = model.graph.node[0]
    outputs = ReferenceEvaluator(model).run(None, feeds)
    if node.op_type in ("Softmax", "LogSoftmax") and model.opset_import[0].version < 13:
        x = feeds[node.input[0]].astype(np.float64)
        axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
        rows = x.reshape(int(np.prod(x.shape[:axis % x.ndim])), -1)
        result = rows - rows.max(1, keepdims=True)
        result = result - np.log(np.exp(result).sum(1, keepdims=True))
        result = np.exp(result) if node.op_type == "Softmax" else result
        outputs = [result.reshape(x.shape).astype(np.float32)]
    return outputs


def variants(folder, model):
    """Models with one attribute set to another value, at each opset where the schema of the operator changes."""
    node = model.graph.node[0]
    versions = {onnx.defs.get_schema(node.op_type, v, node.domain).since_version: v for v in OPSETS
                if onnx.defs.has(node.op_type, v, node.domain)} if not node.domain else {}
    for version in versions.values():
        schema = onnx.defs.get_schema(node.op_type, version, node.domain)
        if len(node.input) > schema.max_input or any(a.name not in schema.attributes for a in node.attribute):
            continue
        for name, attribute in schema.attributes.items():
            if (node.op_type, name) in FREE:
                continue
            for value in OTHERS.get(attribute.type.value, []):
                if name in SWITCHES and value not in (0, 1) or name in POSITIVE and value < 1:
                    continue
                changed = onnx.ModelProto()
                changed.CopyFrom(model)
                changed.opset_import[0].version = version
                target = changed.graph.node[0].attribute
                rest = [a for a in target if a.name != name]
                del target[:]
                target.extend(rest + [helper.make_attribute(name, value)])
                yield f"{os.path.basename(folder)}, opset {version}, {name} = {value}", changed


def test_attributes_are_honoured_or_refused(cases, tmp_path):
    folders, names = [], []
    for folder, model in cases:
        if "bf16" in folder:  # The reference rounds on the way.
            continue
        inputs = read_tensors(folder, "input")
        feeds = {i.name: numpy_helper.to_array(t) for i, t in zip(model.graph.input, inputs)}
        for name, changed in variants(folder, model):
            for value in changed.graph.output:
                value.type.tensor_type.ClearField("shape")
            try:
                with np.errstate(all="ignore"):
                    outputs = reference(changed, feeds)
                tensors = [numpy_helper.from_array(np.asarray(o)) for o in outputs]
            except Exception:  # noqa: BLE001 - the value makes no sense here
                continue
            folders.append(save(str(tmp_path / str(len(folders))), changed, inputs, tensors))
            names.append(name)
    verdicts = run_folders(folders)
    wrong = [f"{name}: {v}" for name, v in zip(names, verdicts) if re.match(r"fail '[^']*': ", v)]
    assert sum(v == "ok" for v in verdicts) >= 300, len(verdicts)
    assert not wrong, "\n".join(wrong)


def random(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


def contrib_nodes():
    """(node, inputs) of com.microsoft operators."""
    rng = np.random.default_rng(0)
    x, vector = random(rng, 1, 3, 16), random(rng, 16)

    def node(op, operands, outputs=("y",), **attributes):
        return helper.make_node(op, list(operands), list(outputs), domain="com.microsoft", **attributes), operands

    yield node("Gelu", {"x": x})
    yield node("BiasGelu", {"x": x, "b": vector})
    yield node("FastGelu", {"x": x, "b": vector})
    yield node("QuickGelu", {"x": x})
    yield node("SkipLayerNormalization", {"x": x, "s": x, "g": vector, "b": vector})
    yield node("SkipSimplifiedLayerNormalization", {"x": x, "s": x, "g": vector})
    yield node("SimplifiedLayerNormalization", {"x": x, "g": vector})
    tables = {"c": random(rng, 8, 4), "s": random(rng, 8, 4)}
    yield node("RotaryEmbedding", {"x": x, "p": np.arange(3)[None], **tables}, num_heads=2)
    yield node("MatMulNBits", {"x": x, "q": rng.integers(0, 255, (4, 1, 8), np.uint8), "d": random(rng, 4)},
               K=16, N=4, block_size=16)
    yield node("GatherBlockQuantized", {"q": rng.integers(0, 255, (4, 8), np.uint8), "i": np.array([[1, 2]]),
                                        "d": random(rng, 4, 1)}, block_size=16)
    attention = {"q": x, "k": random(rng, 1, 3, 8), "v": random(rng, 1, 3, 8), "pk": np.zeros((1, 1, 0, 8), np.float32),
                 "pv": np.zeros((1, 1, 0, 8), np.float32), "n": np.array([2], np.int32), "t": np.array([3], np.int32)}
    yield node("GroupQueryAttention", attention, ("y", "nk", "nv"), num_heads=2, kv_num_heads=1)


CONTRIB = list(contrib_nodes())
REFUSED = {"GroupQueryAttention": [("smooth_softmax", 1), ("qk_output", 1), ("k_quant_type", "PER_TENSOR"),
                                   ("kv_cache_bit_width", 8)],
           "MatMulNBits": [("weight_prepacked", 1)],
           "RotaryEmbedding": [("scale", 0.5), ("is_packed_batching", 1)]}
ACCEPTED = {"GroupQueryAttention": [("smooth_softmax", 0), ("qk_output", 0), ("k_quant_type", "NONE")],
            "MatMulNBits": [("weight_prepacked", 0)], "SimplifiedLayerNormalization": [("stash_type", 1)]}


def evaluate(node, operands, tmp_path):
    infos = [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape) for n, v in operands.items()]
    outputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in node.output]
    model = helper.make_model(helper.make_graph([node], "one", infos, outputs), ir_version=10,
                              opset_imports=[helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)])
    onnx.save(model, tmp_path / "model.onnx")
    command = [EVALUATE, str(tmp_path / "model.onnx"), f"--output={node.output[0]}={tmp_path / 'out.pb'}"]
    for name, value in operands.items():
        write_tensor(value, str(tmp_path / f"{name}.pb"))
        command.append(f"--input={name}={tmp_path / name}.pb")
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize("node, operands", CONTRIB, ids=[node.op_type for node, _ in CONTRIB])
def test_contrib_attributes_are_honoured_or_refused(node, operands, tmp_path):
    done = evaluate(node, operands, tmp_path)
    assert done.returncode == 0, done.stderr
    for name, value in ACCEPTED.get(node.op_type, []) + REFUSED.get(node.op_type, []) + [("made_up", 7)]:
        changed = onnx.NodeProto()
        changed.CopyFrom(node)
        changed.attribute.append(helper.make_attribute(name, value))
        done = evaluate(changed, operands, tmp_path)
        if (name, value) in ACCEPTED.get(node.op_type, []):
            assert done.returncode == 0, done.stderr
        else:
            assert done.returncode == 2 and (f"'{name}'" in done.stderr or name.replace("is_", "").replace("_", " ") in
                                             done.stderr), (name, done.stderr)


def test_an_attribute_of_another_type_is_refused(tmp_path):
    node = helper.make_node("Softmax", ["x"], ["y"], axis=1.0)
    done = evaluate(node, {"x": np.ones((2, 3), np.float32)}, tmp_path)
    assert done.returncode == 2 and "attribute 'axis' is of type FLOAT, expected INT" in done.stderr
