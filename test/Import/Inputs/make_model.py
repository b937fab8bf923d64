"""make_model.py KIND FOLDER: writes FOLDER/model.onnx, a tiny model that is fine or broken in one way.

The model is an embedding and a head (8 ids, 4 features), with weights inside the file or in weights.bin.
"""
import os
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def weights(external=False, **entries):
    tensors = []
    for name, shape, seed in (("embed.weight", (8, 4), 0), ("head.weight", (4, 8), 1)):
        values = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
        tensor = numpy_helper.from_array(values, name)
        if external and name == "head.weight":
            tensor.ClearField("raw_data")
            tensor.data_location = TensorProto.EXTERNAL
            for key, value in entries.items():
                tensor.external_data.add(key=key, value=str(value))
        tensors.append(tensor)
    return tensors


def nodes():
    return [helper.make_node("Gather", ["embed.weight", "input_ids"], ["x"], name="/embed/Gather"),
            helper.make_node("MatMul", ["x", "head.weight"], ["logits"], name="/head/MatMul")]


def model(node_list=None, tensors=None, opset=18, domains=()):
    ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "sequence"])
    out = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", "sequence", 8])
    graph = helper.make_graph(node_list or nodes(), "tiny", [ids], [out], tensors or weights())
    imports = [helper.make_opsetid("", opset)] + [helper.make_opsetid(d, 1) for d in domains]
    return helper.make_model(graph, opset_imports=imports, ir_version=9)


def write_data(folder, name="weights.bin", size=128):
    with open(os.path.join(folder, name), "wb") as file:
        file.write(np.random.default_rng(2).standard_normal(size // 4).astype(np.float32).tobytes())


def build(kind, folder):
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "model.onnx")
    external = dict(location="weights.bin", offset=0, length=128)
    if kind == "fine":
        result = model()
    elif kind == "truncated":
        data = model().SerializeToString()
        with open(path, "wb") as file:
            file.write(data[:len(data) // 2])
        return
    elif kind == "wrong-magic":
        with open(path, "wb") as file:
            file.write(b"\x89PNG\r\n\x1a\n" + bytes(64))
        return
    elif kind == "empty":
        open(path, "wb").close()
        return
    elif kind == "external":
        write_data(folder)
        result = model(tensors=weights(True, **external))
    elif kind == "external-missing":
        result = model(tensors=weights(True, **external))
    elif kind == "external-parent":
        write_data(os.path.dirname(os.path.abspath(folder)), "outside.bin")
        result = model(tensors=weights(True, location="../outside.bin"))
    elif kind == "external-absolute":
        write_data(folder)
        result = model(tensors=weights(True, location=os.path.abspath(os.path.join(folder, "weights.bin"))))
    elif kind == "external-symlink":
        write_data(folder, "real.bin")
        os.symlink("real.bin", os.path.join(folder, "weights.bin"))
        result = model(tensors=weights(True, **external))
    elif kind == "external-symlink-folder":
        os.makedirs(os.path.join(folder, "real"), exist_ok=True)
        write_data(os.path.join(folder, "real"))
        os.symlink("real", os.path.join(folder, "link"))
        result = model(tensors=weights(True, location="link/weights.bin"))
    elif kind == "external-offset":
        write_data(folder)
        result = model(tensors=weights(True, location="weights.bin", offset=64))
    elif kind == "external-huge-offset":
        write_data(folder)
        result = model(tensors=weights(True, location="weights.bin", offset=2**64 - 64))
    elif kind == "external-length":
        write_data(folder)
        result = model(tensors=weights(True, location="weights.bin", length=4096))
    elif kind == "external-key":
        write_data(folder)
        result = model(tensors=weights(True, basepath="/etc", **external))
    elif kind == "overflow":
        tensors = weights()
        del tensors[1].dims[:]
        tensors[1].dims.extend([2**32, 2**32])
        result = model(tensors=tensors)
    elif kind == "too-few-bytes":
        tensors = weights()
        del tensors[1].dims[:]
        tensors[1].dims.extend([4, 2**40])
        result = model(tensors=tensors)
    elif kind == "negative-dimension":
        tensors = weights()
        del tensors[1].dims[:]
        tensors[1].dims.extend([-4, -8])
        result = model(tensors=tensors)
    elif kind == "duplicate-initializer":
        result = model(tensors=weights() + weights()[:1])
    elif kind == "duplicate-output":
        result = model(nodes() + [helper.make_node("Relu", ["x"], ["logits"], name="again")])
    elif kind == "cycle":
        result = model([helper.make_node("Gather", ["embed.weight", "input_ids"], ["e"], name="embed"),
                        helper.make_node("Add", ["e", "b"], ["a"], name="first"),
                        helper.make_node("Relu", ["a"], ["b"], name="second"),
                        helper.make_node("MatMul", ["b", "head.weight"], ["logits"], name="head")])
    elif kind == "missing-value":
        result = model([nodes()[0], helper.make_node("MatMul", ["y", "head.weight"], ["logits"], name="head")])
    elif kind == "opset-old":
        result = model(opset=7)
    elif kind == "opset-new":
        result = model(opset=26)
    elif kind == "unsupported":
        result = model([nodes()[0],
                        helper.make_node("LSTM", ["x"], ["a"], name="rnn.0", hidden_size=4),
                        helper.make_node("LSTM", ["a"], ["b"], name="rnn.1", hidden_size=4),
                        helper.make_node("Blur", ["b"], ["c"], name="blur", domain="com.example"),
                        helper.make_node("MatMul", ["c", "head.weight"], ["logits"], name="head")],
                       domains=("com.example",))
    elif kind == "not-understood":
        result = model([nodes()[0],
                        helper.make_node("Cos", ["x"], ["a"], name="odd"),
                        helper.make_node("TopK", ["a", "k"], ["b", "i"], name="top"),
                        helper.make_node("MatMul", ["a", "head.weight"], ["logits"], name="head")],
                       tensors=weights() + [numpy_helper.from_array(np.array([4]), "k")])
    elif kind in ("nan", "inf"):
        tensors = weights()
        values = numpy_helper.to_array(tensors[1]).copy()
        values[2, 5] = np.nan if kind == "nan" else np.inf
        tensors[1] = numpy_helper.from_array(values, "head.weight")
        result = model(tensors=tensors)
    elif kind == "float-input":
        result = model()
        result.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT
    else:
        sys.exit(f"make_model.py: unknown kind '{kind}'")
    with open(path, "wb") as file:
        file.write(result.SerializeToString())


build(*sys.argv[1:])
