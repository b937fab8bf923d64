#!/usr/bin/env python3
"""all-MiniLM-L6-v2 from its safetensors file to ONNX, as TorchScript writes a BertModel of that type (eager attention, opset 18).

  python3 minilm.py model.safetensors --out=minilm.onnx [--type=f32|f16|bf16] [--round=f16|bf16] [--layers=6]
"""
import argparse
import json

import numpy as np
from onnx import TensorProto, helper

from half import TYPES, TypedGraph, write

HIDDEN, HEADS, SIZE, LAYERS, POSITIONS, EPSILON = 384, 12, 32, 6, 512, 1e-12


def read_safetensors(path):
    """{name: f32 array}, mapped."""
    data = np.memmap(path, np.uint8, "r")
    size = int(data[:8].view(np.uint64)[0])
    header = json.loads(bytes(data[8:8 + size]))
    result = {}
    for name, entry in header.items():
        if name != "__metadata__" and entry["dtype"] == "F32":
            begin, end = (8 + size + offset for offset in entry["data_offsets"])
            result[name] = data[begin:end].view(np.float32).reshape(entry["shape"])
    return result


def emit(kind, layers):
    g = TypedGraph(kind)

    def extent(scope, name, axis):
        return g.op("Gather", scope, g.op("Shape", scope, name), g.constant(scope, axis), axis=0)

    def shape(scope, *parts):
        parts = [g.op("Unsqueeze", scope, part, g.constant(scope, [0])) if isinstance(part, str) else g.constant(scope, [part])
                 for part in parts]
        return g.op("Concat", scope, *parts, axis=0)

    def norm(scope, x, name):
        return g.op("LayerNormalization", scope, x, g.weight(f"{name}.weight"), g.weight(f"{name}.bias"), axis=-1, epsilon=EPSILON)

    s = "/embeddings"
    positions = g.constant(s, np.arange(POSITIONS)[None])
    length = g.op("Unsqueeze", s, extent(s, "input_ids", 1), g.constant(s, [0]))
    places = g.op("Slice", s, positions, g.constant(s, [0]), length, g.constant(s, [1]), g.constant(s, [1]))
    words = g.op("Gather", f"{s}/word_embeddings", g.weight("embeddings.word_embeddings.weight"), "input_ids")
    types = g.op("Gather", f"{s}/token_type_embeddings", g.weight("embeddings.token_type_embeddings.weight"), "token_type_ids")
    rows = g.op("Gather", f"{s}/position_embeddings", g.weight("embeddings.position_embeddings.weight"), places)
    x = g.op("Add", s, g.op("Add", s, words, types), rows)
    x = norm(f"{s}/LayerNorm", x, "embeddings.LayerNorm")
    mask = g.op("Unsqueeze", "", g.op("Unsqueeze", "", "attention_mask", g.constant("", [1])), g.constant("", [2]))
    mask = g.op("Sub", "", g.constant("", 1.0, np.float32), g.op("Cast", "", mask, to=g.onnx_type))
    mask = g.op("Mul", "", mask, g.constant("", np.finfo(np.float32).min, np.float32))
    for layer in range(layers):
        s, name = f"/encoder/layer.{layer}/attention/self", f"encoder.layer.{layer}"

        def heads(which, perm):
            y = g.linear(f"{s}/{which}", x, f"{name}.attention.self.{which}", bias=True)
            y = g.op("Reshape", s, y, shape(s, extent(s, x, 0), -1, HEADS, SIZE))
            return g.op("Transpose", s, y, perm=perm)

        q, k, v = heads("query", [0, 2, 1, 3]), heads("key", [0, 2, 3, 1]), heads("value", [0, 2, 1, 3])
        scores = g.op("Div", s, g.op("MatMul", s, q, k), g.constant(s, SIZE ** 0.5, np.float32))
        scores = g.op("Softmax", s, g.op("Add", s, scores, mask), axis=-1)
        y = g.op("Transpose", s, g.op("MatMul", s, scores, v), perm=[0, 2, 1, 3])
        y = g.op("Reshape", s, y, shape(s, extent(s, y, 0), extent(s, y, 1), HIDDEN))
        s = f"/encoder/layer.{layer}/attention/output"
        y = g.op("Add", s, g.linear(f"{s}/dense", y, f"{name}.attention.output.dense", bias=True), x)
        x = norm(f"{s}/LayerNorm", y, f"{name}.attention.output.LayerNorm")
        s = f"/encoder/layer.{layer}/intermediate"
        y = g.linear(f"{s}/dense", x, f"{name}.intermediate.dense", bias=True)
        s += "/intermediate_act_fn"
        erf = g.op("Erf", s, g.op("Div", s, y, g.constant(s, 1.4142135381698608, np.float32)))
        y = g.op("Mul", s, y, g.op("Add", s, erf, g.constant(s, 1.0, np.float32)))
        y = g.op("Mul", s, y, g.constant(s, 0.5, np.float32))
        s = f"/encoder/layer.{layer}/output"
        y = g.op("Add", s, g.linear(f"{s}/dense", y, f"{name}.output.dense", bias=True), x)
        last = layer + 1 == layers
        y = g.op("LayerNormalization", f"{s}/LayerNorm", y, g.weight(f"{name}.output.LayerNorm.weight"),
                 g.weight(f"{name}.output.LayerNorm.bias"), output="last_hidden_state" if last else None, axis=-1, epsilon=EPSILON)
        x = y
    return g


def convert(source, path, kind="f32", rounded=None, layers=LAYERS):
    graph, weights = emit(kind, layers), read_safetensors(source)
    rows = ("batch_size", "sequence_length")
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, rows)
              for name in ("input_ids", "attention_mask", "token_type_ids")]
    outputs = [helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, (*rows, HIDDEN))]
    write(graph, weights.__getitem__, path, inputs, outputs, rounded)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("--out", required=True)
    parser.add_argument("--type", choices=TYPES, default="f32")
    parser.add_argument("--round", choices=TYPES)
    parser.add_argument("--layers", type=int, default=LAYERS)
    options = parser.parse_args()
    convert(options.source, options.out, options.type, options.round, options.layers)


if __name__ == "__main__":
    main()
