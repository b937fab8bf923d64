"""The graph of a decoder as `optimum-cli export onnx --task text-generation-with-past` writes it.

Inputs input_ids, attention_mask, position_ids and past_key_values.{i}.key/value; outputs logits and
present.{i}.key/value; node names are module paths, matrices are stored transposed as
`onnx::MatMul_N`, the mask comes from ranges and attention_mask, the rotation from position_ids.
"""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

OPSET = 18
LOWEST = np.float32(np.finfo(np.float32).min)


class Graph:
    """Nodes and initializers so far. Tensors that `add_weight` names are filled in by the writer."""

    def __init__(self):
        self.nodes = []
        self.constants = []
        self.weights = []  # (initializer's name, weight's name, transposed)
        self.counts = {}

    def op(self, kind, scope, *inputs, output=None, **attributes):
        path = f"{scope}/{kind}"
        number = self.counts.get(path, 0)
        self.counts[path] = number + 1
        name = f"{path}_{number}" if number else path
        output = output or f"{name}_output_0"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], name, **attributes))
        return output

    def constant(self, scope, value, dtype=np.int64):
        path = f"{scope}/Constant"
        number = self.counts.get(path, 0)
        self.counts[path] = number + 1
        name = f"{path}_{number}" if number else path
        tensor = numpy_helper.from_array(np.asarray(value, dtype))
        self.nodes.append(helper.make_node("Constant", [], [f"{name}_output_0"], name, value=tensor))
        return f"{name}_output_0"

    def weight(self, name, transposed=False):
        stored = f"onnx::MatMul_{1000 + len(self.weights)}" if transposed else name
        self.weights.append((stored, name, transposed))
        return stored

    def linear(self, scope, x, name, bias=False):
        y = self.op("MatMul", scope, x, self.weight(f"{name}.weight", transposed=True))
        return self.op("Add", scope, self.weight(f"{name}.bias"), y) if bias else y

    def rms_norm(self, scope, x, name, epsilon):
        square = self.op("Pow", scope, x, self.constant(scope, 2.0, np.float32))
        mean = self.op("ReduceMean", scope, square, self.constant(scope, [-1]), keepdims=1)
        shifted = self.op("Add", scope, mean, self.constant(scope, epsilon, np.float32))
        root = self.op("Sqrt", scope, shifted)
        inverse = self.op("Div", scope, self.constant(scope, 1.0, np.float32), root)
        unit = self.op("Mul", scope, x, inverse)
        return self.op("Mul", scope, self.weight(f"{name}.weight"), unit)


def emit_mask(graph):
    """[batch, 1, length, past + length] f32: 0 where a position may look, else the lowest number."""
    g, s = graph, ""

    def extent(name, axis):
        return g.op("Gather", s, g.op("Shape", s, name), g.constant(s, axis), axis=0)

    length, total = extent("input_ids", 1), extent("attention_mask", 1)
    past = g.op("Sub", s, total, length)
    queries = g.op("Range", s, past, total, g.constant(s, 1))
    keys = g.op("Range", s, g.constant(s, 0), total, g.constant(s, 1))
    queries = g.op("Unsqueeze", s, queries, g.constant(s, [1]))
    keys = g.op("Unsqueeze", s, keys, g.constant(s, [0]))
    causal = g.op("LessOrEqual", s, keys, queries)
    causal = g.op("Unsqueeze", s, causal, g.constant(s, [0, 1]))
    padding = g.op("Unsqueeze", s, "attention_mask", g.constant(s, [1, 2]))
    real = g.op("Not", s, g.op("Equal", s, padding, g.constant(s, 0)))
    seen = g.op("And", s, causal, real)
    zero, lowest = g.constant(s, 0.0, np.float32), g.constant(s, LOWEST, np.float32)
    return g.op("Where", s, seen, zero, lowest)


def emit_rotation(graph, shape):
    """cos and sin, [batch, 1, length, head size] each."""
    g, s = graph, "/model/rotary_emb"
    exponents = np.arange(0, shape.head_size, 2, dtype=np.float64) / shape.head_size
    frequencies = (shape.rope_base**-exponents).astype(np.float32)
    positions = g.op("Unsqueeze", s, "position_ids", g.constant(s, [2]))
    positions = g.op("Cast", s, positions, to=TensorProto.FLOAT)
    angles = g.op("Mul", s, positions, g.constant(s, frequencies, np.float32))
    angles = g.op("Concat", s, angles, angles, axis=-1)
    angles = g.op("Unsqueeze", s, angles, g.constant(s, [1]))
    return g.op("Cos", s, angles), g.op("Sin", s, angles)


def emit_rope(graph, scope, x, cos, sin, size):
    g = graph

    def half(first, last):
        bounds = [g.constant(scope, [value]) for value in (first, last, 3, 1)]
        return g.op("Slice", scope, x, *bounds)

    low, high = half(0, size // 2), half(size // 2, np.iinfo(np.int64).max)
    turned = g.op("Concat", scope, g.op("Neg", scope, high), low, axis=-1)
    straight = g.op("Mul", scope, x, cos)
    return g.op("Add", scope, straight, g.op("Mul", scope, turned, sin))


def emit_attention(graph, shape, layer, x, mask, rotation):
    g, name = graph, f"model.layers.{layer}.self_attn"
    s = f"/model/layers.{layer}/self_attn"

    def heads(kind, count):
        y = g.linear(f"{s}/{kind}", x, f"{name}.{kind}", shape.qkv_bias)
        y = g.op("Reshape", s, y, g.constant(s, [0, 0, count, shape.head_size]))
        return g.op("Transpose", s, y, perm=[0, 2, 1, 3])

    def repeat(y):
        if shape.heads == shape.kv_heads:
            return y
        y = g.op("Unsqueeze", s, y, g.constant(s, [2]))
        times = [1, 1, shape.heads // shape.kv_heads, 1, 1]
        y = g.op("Expand", s, y, g.constant(s, times))
        return g.op("Reshape", s, y, g.constant(s, [0, shape.heads, -1, shape.head_size]))

    q, k = heads("q_proj", shape.heads), heads("k_proj", shape.kv_heads)
    v = heads("v_proj", shape.kv_heads)
    q = emit_rope(g, s, q, *rotation, shape.head_size)
    k = emit_rope(g, s, k, *rotation, shape.head_size)
    past, present = f"past_key_values.{layer}", f"present.{layer}"
    k = g.op("Concat", s, f"{past}.key", k, output=f"{present}.key", axis=-2)
    v = g.op("Concat", s, f"{past}.value", v, output=f"{present}.value", axis=-2)
    scores = g.op("MatMul", s, q, g.op("Transpose", s, repeat(k), perm=[0, 1, 3, 2]))
    scores = g.op("Mul", s, scores, g.constant(s, shape.head_size**-0.5, np.float32))
    scores = g.op("Softmax", s, g.op("Add", s, scores, mask), axis=-1)
    y = g.op("Transpose", s, g.op("MatMul", s, scores, repeat(v)), perm=[0, 2, 1, 3])
    y = g.op("Reshape", s, y, g.constant(s, [0, 0, shape.heads * shape.head_size]))
    if shape.sub_norms:
        y = g.rms_norm(f"{s}/attn_sub_norm", y, f"{name}.attn_sub_norm", shape.epsilon)
    return g.linear(f"{s}/o_proj", y, f"{name}.o_proj")


def emit_mlp(graph, shape, layer, x):
    g, s, name = graph, f"/model/layers.{layer}/mlp", f"model.layers.{layer}.mlp"
    gate = g.linear(f"{s}/gate_proj", x, f"{name}.gate_proj")
    if shape.activation == "silu":
        gate = g.op("Mul", f"{s}/act_fn", gate, g.op("Sigmoid", f"{s}/act_fn", gate))
    else:
        positive = g.op("Relu", f"{s}/act_fn", gate)
        gate = g.op("Mul", f"{s}/act_fn", positive, positive)
    y = g.op("Mul", s, gate, g.linear(f"{s}/up_proj", x, f"{name}.up_proj"))
    if shape.sub_norms:
        y = g.rms_norm(f"{s}/ffn_sub_norm", y, f"{name}.ffn_sub_norm", shape.epsilon)
    return g.linear(f"{s}/down_proj", y, f"{name}.down_proj")


def emit_decoder(shape, graph=None):
    """The whole graph, without weights. `graph`: an empty one that spells things its own way."""
    g = graph or Graph()
    embedding = g.weight("model.embed_tokens.weight")
    mask, rotation = emit_mask(g), emit_rotation(g, shape)
    x = g.op("Gather", "/model/embed_tokens", embedding, "input_ids")
    for layer in range(shape.layers):
        s, name = f"/model/layers.{layer}", f"model.layers.{layer}"
        y = g.rms_norm(f"{s}/input_layernorm", x, f"{name}.input_layernorm", shape.epsilon)
        x = g.op("Add", s, x, emit_attention(g, shape, layer, y, mask, rotation))
        after = "post_attention_layernorm"
        y = g.rms_norm(f"{s}/{after}", x, f"{name}.{after}", shape.epsilon)
        x = g.op("Add", s, x, emit_mlp(g, shape, layer, y))
    x = g.rms_norm("/model/norm", x, "model.norm", shape.epsilon)
    if shape.tied:
        head = g.op("Transpose", "/lm_head", embedding, perm=[1, 0])
    else:
        head = g.weight("lm_head.weight", transposed=True)
    g.op("MatMul", "/lm_head", x, head, output="logits")
    return g


def interface(shape):
    """Value infos of inputs and outputs."""
    batch, length, past = "batch_size", "sequence_length", "past_sequence_length"
    total = f"{past} + {length}"

    def info(name, kind, *dims):
        return helper.make_tensor_value_info(name, kind, dims)

    inputs = [info("input_ids", TensorProto.INT64, batch, length)]
    inputs += [info("attention_mask", TensorProto.INT64, batch, total)]
    inputs += [info("position_ids", TensorProto.INT64, batch, length)]
    outputs = [info("logits", TensorProto.FLOAT, batch, length, shape.vocab)]
    for layer in range(shape.layers):
        for kind in ("key", "value"):
            rows = (batch, shape.kv_heads)
            name = f"{layer}.{kind}"
            inputs += [info(f"past_key_values.{name}", TensorProto.FLOAT, *rows, past, shape.head_size)]
            outputs += [info(f"present.{name}", TensorProto.FLOAT, *rows, total, shape.head_size)]
    return inputs, outputs
