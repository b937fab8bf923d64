#!/usr/bin/env python3
"""SmolLM2-135M-Instruct from its GGUF file (dequantised) to ONNX, as optimum writes a Llama of that type.

  python3 smollm2.py SmolLM2-135M-Instruct.Q4_1.gguf --out=smollm2.onnx [--type=f32|f16|bf16] [--round=f16|bf16] [--layers=30]
"""
import argparse
import dataclasses
import pathlib
import sys

import gguf
import numpy as np

from half import TYPES, TypedGraph, write

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "bench"))
import onnx_graph  # noqa: E402
from make_gguf import NAMES  # noqa: E402
from shapes import SHAPES  # noqa: E402


def halves(rows, heads):
    """Rows of q or k with the halves of each head apart, as checkpoints have them; GGUF's llama has pairs side by side."""
    parts = rows.reshape(heads, rows.shape[0] // heads // 2, 2, rows.shape[1])
    return parts.swapaxes(1, 2).reshape(rows.shape)


class Weights:
    """The GGUF file's tensors by the names that checkpoints give them, as f32."""

    def __init__(self, path):
        self.reader = gguf.GGUFReader(path)
        self.tensors = {tensor.name: tensor for tensor in self.reader.tensors}

    def field(self, name):
        return self.reader.fields[name].contents()

    def shape(self):
        """The file's own dimensions, which must be those of the shape that is known by this name."""
        a = "llama."
        heads = self.field(a + "attention.head_count")
        return dataclasses.replace(
            SHAPES["smollm2-135m"], hidden=self.field(a + "embedding_length"), layers=self.field(a + "block_count"), heads=heads,
            kv_heads=self.field(a + "attention.head_count_kv"), head_size=self.field(a + "rope.dimension_count"),
            ffn=self.field(a + "feed_forward_length"), vocab=self.field(a + "vocab_size"), context=self.field(a + "context_length"),
            rope_base=self.field(a + "rope.freq_base"), epsilon=self.field(a + "attention.layer_norm_rms_epsilon"),
            tied="output.weight" not in self.tensors)

    def __call__(self, name):
        stem = name.removesuffix(".weight")
        if stem == "model.embed_tokens":
            source = "token_embd"
        elif stem == "model.norm":
            source = "output_norm"
        elif stem == "lm_head":
            source = "output"
        else:
            _, _, layer, part = stem.split(".", 3)
            source = f"blk.{layer}.{NAMES[part]}"
        tensor = self.tensors[f"{source}.weight"]
        value = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        if source.endswith(("attn_q", "attn_k")):
            which = "head_count" if source.endswith("attn_q") else "head_count_kv"
            value = halves(value, self.field(f"llama.attention.{which}"))
        return value


def convert(source, path, kind="f32", rounded=None, layers=None):
    weights = Weights(source)
    shape = weights.shape()
    shape = dataclasses.replace(shape, layers=layers or shape.layers)
    # Angles are computed in f32 whatever the type.
    graph = onnx_graph.emit_decoder(shape, TypedGraph(kind, wide_scopes=("/model/rotary_emb",)))
    inputs, outputs = onnx_graph.interface(shape)
    write(graph, weights, path, inputs, outputs, rounded)
    return shape


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("--out", required=True)
    parser.add_argument("--type", choices=TYPES, default="f32")
    parser.add_argument("--round", choices=TYPES)
    parser.add_argument("--layers", type=int)
    options = parser.parse_args()
    convert(options.source, options.out, options.type, options.round, options.layers)


if __name__ == "__main__":
    main()
