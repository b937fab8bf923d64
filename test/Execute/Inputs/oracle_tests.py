"""The tests of oracle.py: one function each, which draws inputs and says in NumPy what must come out."""
import math

import numpy as np
from oracle_schemes import SCHEME_TESTS
from oracle_text import Test, tensor

f64 = np.float64
erf = np.vectorize(math.erf)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


KINDS = {
    "relu": lambda x: np.maximum(x, 0),
    "gelu": lambda x: x * (1 + erf(x / math.sqrt(2))) / 2,
    "gelu_tanh": lambda x: x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2,
    "silu": lambda x: x * sigmoid(x),
    "quick_gelu": lambda x: x * sigmoid(1.702 * x),
    "sigmoid": sigmoid,
    "tanh": np.tanh,
    "relu2": lambda x: np.maximum(x, 0) ** 2,
}
# Signs, saturation, and where tanh forms cancel.
POINTS = np.array([[[0.0, 0.25, -0.25, 1.0, -1.0, 2.5, -2.5, 0.01], [6.0, -6.0, 15.0, -15.0, 40.0, -40.0, 0.5, -0.0]]], np.float32)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def activation():
    t = Test("activation", "Every kind of pointwise nonlinearity.", 1)
    x = t.weight("x", POINTS)
    for kind, function in KINDS.items():
        y = t.op(kind, "llmc.activation", [x], f"kind = #llmc.activation_kind<{kind}>")
        t.expect(y, POINTS.shape, function(POINTS.astype(f64)), atol=3e-7)
    return t


def gated_activation():
    t = Test("gated-activation", "Every kind of gate.", 2)
    up = t.draw(*POINTS.shape)
    x, u = t.weight("gate", POINTS), t.weight("up", up)
    for kind, function in KINDS.items():
        y = t.op(kind, "llmc.gated_activation", [x, u], f"kind = #llmc.activation_kind<{kind}>", types=x[1])
        t.expect(y, POINTS.shape, function(POINTS.astype(f64)) * up, atol=1e-6)
    return t


def softmax_rows():
    t = Test("softmax", "Softmax of rows: near and far apart, shifted far from zero, and of equal values.", 3)
    x = t.draw(1, 4, 11, scale=2.0)
    x[0, 1] *= 20
    x[0, 2] -= 500
    x[0, 3] = 7
    y = t.op("y", "llmc.softmax", [t.weight("x", x)])
    t.expect(y, x.shape, softmax(x.astype(f64)), atol=1e-7)
    return t


def elementwise():
    t = Test("elementwise", "Sums, differences, products, quotients, maxima, minima, and products with constants.", 4)
    a, b = t.draw(2, 2, 9), t.draw(2, 2, 9)
    b[b == 0] = 0.5
    x, y = t.weight("a", a), t.weight("b", b)
    for name, function in {"addf": np.add, "subf": np.subtract, "mulf": np.multiply, "divf": np.divide, "maximumf": np.maximum,
                           "minimumf": np.minimum}.items():
        result = t.op(name, f"arith.{name}", [x, y], types=x[1])
        t.expect(result, a.shape, function(a.astype(f64), b), rtol=2e-7, atol=0)
    for name, factor in {"eight": 8.0, "minus_third": -1 / 3, "zero": 0.0}.items():
        result = t.op(name, "llmc.scale", [x], f"factor = {factor!r} : f64")
        t.expect(result, a.shape, a.astype(f64) * factor, rtol=3e-7, atol=0)
    return t


def split():
    t = Test("split", "Slices of a row, read by operations that walk whole rows.", 5)
    a = t.draw(1, 3, 21)
    x = t.weight("x", a)
    t.lines.append(f"%p, %q, %r = llmc.split %x : {x[1]} -> {tensor((1, 3, 5))}, {tensor((1, 3, 8))}, {tensor((1, 3, 8))}")
    y = t.op("y", "llmc.softmax", [("%p", tensor((1, 3, 5)))])
    t.expect(y, (1, 3, 5), softmax(a[..., :5].astype(f64)), atol=1e-7)
    y = t.op("z", "arith.mulf", [("%q", ""), ("%r", "")], types=tensor((1, 3, 8)))
    t.expect(y, (1, 3, 8), a[..., 5:13].astype(f64) * a[..., 13:], rtol=2e-7, atol=0)
    return t


def rms_norm_groups():
    t = Test("rms-norm-groups", "Root-mean-square norm of whole rows and of each head; a row of zeros needs eps.", 6)
    a, g, h = t.draw(2, 2, 12), t.draw(12) + 1, t.draw(4) + 1
    a[1, 1] = 0
    x = t.weight("x", a)
    wide = a.astype(f64)
    y = t.op("rows", "llmc.rms_norm", [x, t.weight("g", g)], "eps = 1.0e-5 : f64")
    t.expect(y, a.shape, wide / np.sqrt((wide**2).mean(-1, keepdims=True) + 1e-5) * g)
    y = t.op("heads", "llmc.rms_norm", [x, t.weight("h", h)], "eps = 1.0e-2 : f64, groups = 3 : i64")
    heads = wide.reshape(2, 2, 3, 4)
    t.expect(y, a.shape, (heads / np.sqrt((heads**2).mean(-1, keepdims=True) + 1e-2) * h).reshape(a.shape))
    return t


def layer_norm():
    t = Test("layer-norm", "Layer norm with and without bias; a large mean must not cancel, equal values need eps.", 7)
    a, g, c = t.draw(1, 4, 13), t.draw(13) + 1, t.draw(13)
    a[0, 1] += 100
    a[0, 2] = -3
    x, scale, bias = t.weight("x", a), t.weight("g", g), t.weight("c", c)
    wide = a.astype(f64)
    centred = wide - wide.mean(-1, keepdims=True)
    normed = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * g
    # Values near 100 are known to 4e-6, and so is their mean.
    y = t.op("plain", "llmc.layer_norm", [x, scale], "eps = 1.0e-5 : f64")
    t.expect(y, a.shape, normed, rtol=2e-6, atol=4e-5)
    y = t.op("biased", "llmc.layer_norm", [x, scale, bias], "eps = 1.0e-5 : f64")
    t.expect(y, a.shape, normed + c, rtol=2e-6, atol=4e-5)
    return t


def rotate(x, heads, frequencies, interleaved, factor=1.0):
    """x [batch, sequence, width]; positions count from 0."""
    y = x.astype(f64).reshape(*x.shape[:2], heads, -1).copy()
    pairs = len(frequencies)
    angle = np.arange(x.shape[1])[:, None, None] * np.array(frequencies)
    first = np.arange(0, 2 * pairs, 2) if interleaved else np.arange(pairs)
    second = first + (1 if interleaved else pairs)
    a, b = y[..., first].copy(), y[..., second].copy()
    y[..., first] = (a * np.cos(angle) - b * np.sin(angle)) * factor
    y[..., second] = (b * np.cos(angle) + a * np.sin(angle)) * factor
    return y.reshape(x.shape)


def rope():
    t = Test("rope", "Rotation of both layouts: whole heads, half of each head, with an attention factor, and LongRoPE.", 8)
    a = t.draw(2, 4, 16)
    x = t.weight("x", a)
    for name, heads, frequencies, interleaved, factor in [
            ("half", 2, [1.0, 0.5, 0.1, 0.01], False, 1.0), ("interleaved", 2, [1.0, 0.5, 0.1, 0.01], True, 1.0),
            ("part_half", 2, [1.0, 0.25], False, 1.0), ("part_interleaved", 4, [0.75], True, 1.0),
            ("scaled", 1, [1.0, 0.3, 0.2, 0.1, 0.05, 0.04, 0.02, 0.01], False, 1.25)]:
        y = t.op(name, "llmc.rope", [x], f"heads = {heads} : i64, frequencies = array<f64: {', '.join(map(str, frequencies))}>, "
                 f"layout = #llmc.rope_layout<{'interleaved' if interleaved else 'half'}>, attention_factor = {factor} : f64")
        t.expect(y, a.shape, rotate(a, heads, frequencies, interleaved, factor))
    # Four positions are more than three, and are not more than four.
    for name, original in [("beyond", 3), ("within", 4)]:
        y = t.op(name, "llmc.rope", [x], "heads = 2 : i64, frequencies = array<f64: 1.0, 0.5>, long_frequencies = array<f64: 0.3, 0.2>, "
                 f"original_context = {original} : i64, layout = #llmc.rope_layout<half>")
        t.expect(y, a.shape, rotate(a, 2, [0.3, 0.2] if original < 4 else [1.0, 0.5], False, 1.0))
    return t


def attend(q, k, v, heads, kv_heads, scale, causal=False, window=0, softcap=0.0, mask=None):
    """[batch, sequence, width] each; query head h reads key/value head h // (heads // kv_heads)."""
    batch, n, _ = q.shape
    q, k, v = (x.astype(f64).reshape(batch, n, h, -1).transpose(0, 2, 1, 3) for x, h in ((q, heads), (k, kv_heads), (v, kv_heads)))
    k, v = (np.repeat(x, heads // kv_heads, axis=1) for x in (k, v))
    scores = scale * q @ k.transpose(0, 1, 3, 2)
    if softcap:
        scores = softcap * np.tanh(scores / softcap)
    back = np.arange(n)[:, None] - np.arange(n)[None, :]
    hidden = np.zeros((batch, 1, n, n), bool)
    if causal:
        hidden |= back < 0
    if window:
        hidden |= back >= window
    if mask is not None:
        hidden |= (mask == 0)[:, None, None, :]
    return (softmax(np.where(hidden, -np.inf, scores)) @ v).transpose(0, 2, 1, 3).reshape(batch, n, -1)


def attention():
    t = Test("attention", "Attention: every position or earlier ones, grouped heads, a window, softcap, values of another width.", 9)
    q, k, v, narrow = t.draw(2, 7, 16), t.draw(2, 7, 16), t.draw(2, 7, 16), t.draw(2, 7, 8)
    few = t.draw(2, 7, 8)
    names = {n: t.weight(n, a) for n, a in (("q", q), ("k", k), ("v", v), ("narrow", narrow), ("few", few))}
    shape = (2, 7, 16)
    for name, keys, values, kv_heads, more in [
            ("bidirectional", "k", "v", 4, {}), ("causal", "k", "v", 4, {"causal": True}),
            ("grouped", "few", "narrow", 2, {"causal": True}), ("one_group", "narrow", "few", 2, {}),
            ("window", "k", "v", 4, {"causal": True, "window": 3}), ("softcap", "k", "v", 4, {"causal": True, "softcap": 1.5})]:
        arrays = {"k": k, "v": v, "narrow": narrow, "few": few}
        extra = "".join(f", {key}" if value is True else f", {key} = {value} : {'i64' if key == 'window' else 'f64'}"
                        for key, value in more.items())
        y = t.op(name, "llmc.attention", [names["q"], names[keys], names[values]],
                 f"heads = 4 : i64, kv_heads = {kv_heads} : i64, scale = 0.75 : f64{extra}")
        t.expect(y, shape, attend(q, arrays[keys], arrays[values], 4, kv_heads, 0.75, **more))
    # Keys of 4 and values of 2 for each of 4 heads.
    y = t.op("narrow_values", "llmc.attention", [names["q"], names["k"], names["narrow"]],
             "heads = 4 : i64, kv_heads = 4 : i64, scale = 0.5 : f64, causal")
    t.expect(y, (2, 7, 8), attend(q, k, narrow, 4, 4, 0.5, causal=True))
    return t


def attention_mask():
    t = Test("attention-mask", "A padding mask hides keys, alone and with causality; any number but 0 shows them.", 10)
    mask = np.array([[1, 1, 1, 1, 1], [1, 7, 1, 0, 0]])
    q, k, v = t.draw(2, 5, 8), t.draw(2, 5, 8), t.draw(2, 5, 8)
    m = t.input("attention_mask", mask)
    values = [t.weight(n, a) for n, a in (("q", q), ("k", k), ("v", v))]
    for name, causal in (("padding", False), ("padding_causal", True)):
        y = t.op(name, "llmc.attention", [*values, f"mask {m[0]}"],
                 "heads = 2 : i64, kv_heads = 2 : i64, scale = 0.5 : f64" + (", causal" if causal else ""),
                 types=", ".join([*(x[1] for x in values), m[1]]))
        t.expect(y, q.shape, attend(q, k, v, 2, 2, 0.5, causal=causal, mask=mask))
    return t


def reduce():
    t = Test("reduce", "Sums, means, extremes and products over the sequence, the row and both; tokens that a mask leaves out.", 18)
    mask = np.array([[1, 1, 1, 1, 1], [1, 7, 0, 1, 0], [0, 0, 0, 0, 1]])
    a = t.draw(3, 5, 21)
    m, x = t.input("attention_mask", mask), t.weight("x", a)
    functions = {"sum": np.sum, "mean": np.mean, "max": np.max, "min": np.min, "product": np.prod}
    shown = np.broadcast_to((mask != 0)[:, :, None], a.shape)
    for kind, function in functions.items():
        for axes in [(1,), (2,), (1, 2)]:
            name = f"{kind}_{'_'.join(map(str, axes))}"
            attributes = f"kind = #llmc.reduce_kind<{kind}>, axes = array<i64: {', '.join(map(str, axes))}>"
            expected = function(a.astype(f64), axis=axes, keepdims=True)
            t.expect(t.op(name, "llmc.reduce", [x], attributes), expected.shape, expected, rtol=2e-6, atol=2e-6)
            if 1 not in axes:
                continue
            # A mean is not one over elements that do not count: rows of their own.
            expected = np.stack([function(row[keep].astype(f64).reshape(-1, *([21] if axes == (1,) else [])), axis=0 if axes == (1,) else None,
                                          keepdims=True).reshape(expected.shape[1:]) for row, keep in zip(a, shown)])
            y = t.op(name + "_masked", "llmc.reduce", [x, f"mask {m[0]}"], attributes, types=f"{x[1]}, {m[1]}")
            t.expect(y, expected.shape, expected, rtol=2e-6, atol=2e-6)
    return t


def gather():
    t = Test("gather", "Rows of each sequence at a position or by index, rows of a table, and rows that go on through kernels.", 19)
    index = np.array([[0, 3, 3, 1], [2, 0, 1, 3]])
    a, table = t.draw(2, 4, 19), t.draw(6, 5)
    i, x, w = t.input("index", index), t.weight("x", a), t.weight("table", table)
    for name, position in {"first": 0, "third": 2, "last": -1, "beyond": 9, "before": -9}.items():
        at = min(position, 3) if position >= 0 else max(4 + position, 0)
        y = t.op(name, "llmc.gather", [x], f"position = {position} : i64")
        t.expect(y, (2, 1, 19), a[:, at:at + 1], rtol=0, atol=0)
    y = t.op("moved", "llmc.gather", [x, f"at {i[0]}"], types=f"{x[1]}, {i[1]}")
    t.expect(y, ("?", "?", 19), np.take_along_axis(a, index[:, :, None], axis=1), rtol=0, atol=0)
    y = t.op("looked_up", "llmc.gather", [w, f"at {i[0]}"], types=f"{w[1]}, {i[1]}")
    t.expect(y, ("?", "?", 5), table[index], rtol=0, atol=0)
    # A row for each sequence, through kernels and back to a sequence of 1.
    c, b = t.draw(7, 19), t.draw(7)
    t.lines.append(f"%flat = tensor.collapse_shape %first [[0, 1], [2]] : {tensor((2, 1, 19))} into {tensor((2, 19))}")
    weight, bias = t.weight("c", c), t.weight("b", b)
    t.lines.append(f"%dense = llmc.linear %flat, {weight[0]} bias {bias[0]} : {tensor((2, 19))}, {weight[1]}, {bias[1]}")
    y = t.op("pooled", "llmc.activation", [("%dense", tensor((2, 7)))], "kind = #llmc.activation_kind<tanh>")
    expected = np.tanh(a[:, 0].astype(f64) @ c.T + b)
    t.expect(y, (2, 7), expected)
    t.lines.append(f"%long = tensor.expand_shape %pooled [[0, 1], [2]] output_shape [2, 1, 7] : {tensor((2, 7))} into {tensor((2, 1, 7))}")
    y = t.op("largest", "llmc.reduce", [("%long", tensor((2, 1, 7)))], "kind = #llmc.reduce_kind<max>, axes = array<i64: 2>")
    t.expect(y, (2, 1, 1), expected.max(-1)[:, None, None])
    return t


def top_k():
    t = Test("top-k", "Largest elements and their indices: ties, zeros of both signs, infinities, all of a row.", 20)
    a = t.draw(2, 3, 21)
    a[0, 1] = np.round(a[0, 1])
    a[0, 2] = 0
    a[0, 2, 5::3] = -0.0
    a[1, 0, :3] = [-3e38, 3e38, 3e38]
    a[1, 1] = -1
    for name, array in (("wide", a), ("narrow", t.draw(2, 3, 5)), ("one", t.draw(2, 3, 1))):
        x = t.weight(name, array)
        order = np.argsort(-array.astype(f64), axis=-1, kind="stable")
        for k in {1, min(4, array.shape[-1]), array.shape[-1]}:
            values, indices = f"%{name}_{k}", f"%{name}_{k}_at"
            t.lines.append(f"{values}, {indices} = llmc.top_k {x[0]} {{k = {k} : i64}} : {x[1]}")
            shape, first = (2, 3, k), order[..., :k]
            t.expect(values, shape, np.take_along_axis(array, first, -1), rtol=0, atol=0)
            t.lines.append(f"{indices}_f = arith.sitofp {indices} : {tensor(shape, 'i64')} to {tensor(shape)}")
            t.expect(indices + "_f", shape, first, rtol=0, atol=0)
    return t


def pointwise():
    t = Test("pointwise", "Operations of arith and math that have no kernel, on each element.", 21)
    x = t.weight("x", POINTS)
    functions = {"math.exp": np.exp, "math.tanh": np.tanh, "math.erf": erf, "math.absf": np.abs, "arith.negf": np.negative}
    for name, function in functions.items():
        y = t.op(name.replace(".", "_"), name, [x])
        t.expect(y, POINTS.shape, function(POINTS.astype(f64)), rtol=3e-7, atol=3e-7)
    y = t.op("root", "math.sqrt", [(t.op("size", "math.absf", [x]), x[1])])
    t.expect(y, POINTS.shape, np.sqrt(np.abs(POINTS.astype(f64))), rtol=1e-7, atol=0)
    return t


TESTS = [activation, gated_activation, softmax_rows, elementwise, split, rms_norm_groups, layer_norm, rope, attention, attention_mask,
         reduce, gather, top_k, pointwise, *SCHEME_TESTS]
