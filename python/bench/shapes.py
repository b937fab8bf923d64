"""Shapes of the decoders that are measured: exact dimensions, random weights.

Each shape is named after the model it is taken from (its config.json); `parameters` counts what the
files hold. Layers and vocabulary may be cut for tests; everything else is as published.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Shape:
    """Dimensions of one Llama-style decoder."""

    name: str
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_size: int
    ffn: int
    vocab: int
    context: int
    rope_base: float = 1.0e4
    epsilon: float = 1.0e-5
    tied: bool = False  # the head is the embedding
    qkv_bias: bool = False
    sub_norms: bool = False  # BitNet: a norm before o_proj and one before down_proj
    activation: str = "silu"  # of the gate; BitNet: relu2
    ternary: bool = False  # matrices are -1, 0, 1 times one scale

    def matrices(self):
        """(name, outputs, inputs) of the linears of one layer, without `.weight`."""
        q, kv = self.heads * self.head_size, self.kv_heads * self.head_size
        return [
            ("self_attn.q_proj", q, self.hidden),
            ("self_attn.k_proj", kv, self.hidden),
            ("self_attn.v_proj", kv, self.hidden),
            ("self_attn.o_proj", self.hidden, q),
            ("mlp.gate_proj", self.ffn, self.hidden),
            ("mlp.up_proj", self.ffn, self.hidden),
            ("mlp.down_proj", self.hidden, self.ffn),
        ]

    def norms(self):
        """(name, size) of the norms of one layer, without `.weight`."""
        result = [("input_layernorm", self.hidden), ("post_attention_layernorm", self.hidden)]
        if self.sub_norms:
            result += [("self_attn.attn_sub_norm", self.heads * self.head_size)]
            result += [("mlp.ffn_sub_norm", self.ffn)]
        return result

    def parameters(self):
        layer = sum(n * k for _, n, k in self.matrices()) + sum(n for _, n in self.norms())
        if self.qkv_bias:
            layer += sum(n for _, n, _ in self.matrices()[:3])
        return self.layers * layer + self.hidden + self.vocab * self.hidden * (2 - self.tied)


SHAPES = {
    shape.name: shape
    for shape in (
        Shape("24m", 288, 6, 6, 6, 48, 768, 32000, 2048),
        Shape("smollm2-135m", 576, 30, 9, 3, 64, 1536, 49152, 8192, rope_base=1.0e5, tied=True),
        Shape("qwen2.5-0.5b", 896, 24, 14, 2, 64, 4864, 151936, 32768, rope_base=1.0e6,
              epsilon=1.0e-6, tied=True, qkv_bias=True),
        Shape("tinyllama-1.1b", 2048, 22, 32, 4, 64, 5632, 32000, 2048),
        Shape("bitnet-2b", 2560, 30, 20, 5, 128, 6912, 128256, 4096, rope_base=5.0e5, tied=True,
              sub_norms=True, activation="relu2", ternary=True),
    )
}


def get_shape(name, layers=None, vocab=None):
    """The shape of that name, cut to `layers` layers and `vocab` ids if given. Raises ValueError."""
    if name not in SHAPES:
        raise ValueError(f"unknown shape '{name}': expected {', '.join(SHAPES)}")
    shape = SHAPES[name]
    for what, limit, value in (("layers", shape.layers, layers), ("vocab", shape.vocab, vocab)):
        if value is not None and not 1 <= value <= limit:
            raise ValueError(f"{name}: expected 1 to {limit} {what}, found {value}")
    return dataclasses.replace(shape, layers=layers or shape.layers, vocab=vocab or shape.vocab)
