"""Writes a decoder with random weights as ONNX, with external data.

  python make_onnx.py 24m --out=24m.onnx [--layers=N] [--vocab=N] [--seed=0] [--store=f32|f16]

The shapes are those of shapes.py. Weights lie in OUT_data beside the model (f16: behind a Cast, as
in an f16 checkpoint that is run in f32) and are written a tensor at a time, so that memory does not
grow with the model. The same arguments give the same bytes.
"""

import argparse
import os
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper

from onnx_graph import OPSET, emit_decoder, interface
from shapes import SHAPES, get_shape
from random_weights import matrix, row_blocks, vector

ALIGNMENT = 4096  # of each tensor: what ONNX Runtime wants for mapping
STORES = {"f32": (np.float32, TensorProto.FLOAT), "f16": (np.float16, TensorProto.FLOAT16)}


def weight_sizes(shape):
    """{weight's name: its shape, [outputs, inputs] or [size]}"""
    sizes = {"model.embed_tokens.weight": (shape.vocab, shape.hidden)}
    sizes["model.norm.weight"] = (shape.hidden,)
    sizes["lm_head.weight"] = (shape.vocab, shape.hidden)
    for layer in range(shape.layers):
        prefix = f"model.layers.{layer}."
        for name, outputs, inputs in shape.matrices():
            sizes[f"{prefix}{name}.weight"] = (outputs, inputs)
            sizes[f"{prefix}{name}.bias"] = (outputs,)
        for name, size in shape.norms():
            sizes[f"{prefix}{name}.weight"] = (size,)
    return sizes


def tensor_blocks(shape, name, dims, transposed, seed):
    """The values of a weight as they lie in the file, in blocks."""
    if len(dims) == 1:
        yield vector(name, dims[0], seed, 0.0 if name.endswith(".bias") else 1.0)
        return
    ternary = shape.ternary and ".layers." in name
    if transposed:
        yield np.ascontiguousarray(matrix(name, *dims, seed, ternary).T)
    else:
        yield from row_blocks(name, *dims, seed, ternary)


def add_weights(graph, shape, path, store, seed):
    """Writes all weights behind each other into `path`; returns (initializers, casts)."""
    dtype, kind = STORES[store]
    sizes, tensors, casts, renamed = weight_sizes(shape), [], [], {}
    with open(path, "wb") as file:
        for stored, name, transposed in graph.weights:
            dims = sizes[name]
            file.write(bytes(-file.tell() % ALIGNMENT))
            offset = file.tell()
            narrow = len(dims) == 2
            for block in tensor_blocks(shape, name, dims, transposed, seed):
                block.astype(dtype if narrow else np.float32, copy=False).tofile(file)
            tensor = TensorProto(name=stored, data_location=TensorProto.EXTERNAL)
            tensor.data_type = kind if narrow else TensorProto.FLOAT
            tensor.dims.extend(reversed(dims) if transposed else dims)
            for key, value in (("location", os.path.basename(path)), ("offset", offset),
                               ("length", file.tell() - offset)):
                tensor.external_data.add(key=key, value=str(value))
            tensors.append(tensor)
            if narrow and store != "f32":
                renamed[stored] = f"{stored}_f32"
                casts.append(helper.make_node("Cast", [stored], [renamed[stored]], f"{stored}/Cast",
                                              to=TensorProto.FLOAT))
    for node in graph.nodes:
        for index, name in enumerate(node.input):
            node.input[index] = renamed.get(name, name)
    return tensors, casts


def write(shape, path, store="f32", seed=0):
    """Writes `path` and `path`_data."""
    graph = emit_decoder(shape)
    tensors, casts = add_weights(graph, shape, path + "_data", store, seed)
    inputs, outputs = interface(shape)
    body = helper.make_graph(casts + graph.nodes, "main_graph", inputs, outputs, tensors)
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8,
                              producer_name="llmc-bench")
    onnx.save(model, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shape", help=", ".join(SHAPES))
    parser.add_argument("--out", required=True, help="the .onnx file")
    parser.add_argument("--layers", type=int, help="cut the depth (for tests)")
    parser.add_argument("--vocab", type=int, help="cut the vocabulary (for tests)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--store", choices=STORES, default="f32", help="type of stored matrices")
    options = parser.parse_args()
    try:
        shape = get_shape(options.shape, options.layers, options.vocab)
        write(shape, options.out, options.store, options.seed)
    except (ValueError, OSError) as error:
        sys.exit(f"make_onnx: error: {error}")
    print(f"{options.out}: {shape.name}, {shape.layers} layers, {shape.parameters():,} parameters")


if __name__ == "__main__":
    main()
