"""Mutations of everything else: norms, activations, residuals, caches, values, logits, attributes."""
import numpy as np
from onnx import TensorProto, helper, numpy_helper

from scores import bound


def one_of(draw, items):
    return items[int(draw.integers(len(items)))] if items else None


def plain(editor, *kinds):
    return [node for node in editor.nodes(*kinds) if not node.name.startswith("mutant/")]


def norm_epsilon(editor, draw):
    value = float(draw.choice([0.03, 0.3]))
    nodes = plain(editor, "LayerNormalization", "RMSNormalization", "SimplifiedLayerNormalization",
                  "SkipSimplifiedLayerNormalization")
    if nodes:
        index = int(draw.integers(len(nodes)))
        editor.attribute(nodes[index], "epsilon", value)
        return f"epsilon {value} in norm {index}", 24
    roots = [editor.producer[node.input[0]] for node in plain(editor, "Sqrt") if editor.colour[node.output[0]] == "data"]
    node = one_of(draw, [node for node in roots if node.op_type == "Add"])
    if node is None:
        return None
    for index, name in enumerate(node.input):
        if editor.value_of(name) is not None:
            node.input[index] = editor.constant(value)
            return f"epsilon {value} in one norm", 24
    return None


def norm_axis(editor, draw):
    nodes = [node for node in plain(editor, "ReduceMean") if editor.colour[node.output[0]] == "data"]
    node = one_of(draw, nodes)
    if node is None or len(node.input) < 2:
        return None
    node.input[1] = editor.constant([1], np.int64)
    return "one norm means over positions", 24


def norm_by_largest(editor, draw):
    nodes = [node for node in plain(editor, "ReduceMean") if editor.colour[node.output[0]] == "data"]
    node = one_of(draw, nodes)
    if node is None:
        return None
    node.op_type = "ReduceMax"
    return "one norm divides by the root of the largest square", 24


def norm_operator(editor, draw):
    nodes = plain(editor, "LayerNormalization")
    node = one_of(draw, nodes)
    if node is None:
        return None
    editor.attribute(node, "axis", 1)
    weights = [editor.value_of(name) for name in node.input[1:]]
    # Over positions and features the scale spans both: ONNX broadcasts it.
    return None if any(weight is None for weight in weights) else ("axis 1 in one LayerNormalization", 24)


def norm_bias_dropped(editor, draw):
    node = one_of(draw, [node for node in plain(editor, "LayerNormalization") if len(node.input) > 2])
    if node is None:
        return None
    node.input.pop()
    return "one LayerNormalization without its bias", 24


def activation(editor, draw):
    """One activation of one layer exchanged."""
    nodes = [node for node in plain(editor, "Sigmoid", "Tanh", "Erf", "Gelu", "Relu")
             if editor.colour[node.output[0]] == "data"]
    node = one_of(draw, nodes)
    if node is None:
        return None
    before = node.op_type
    choices = {"Sigmoid": ["HardSigmoid", "Tanh", "Softsign"], "Tanh": ["Erf", "Softsign", "Sigmoid"], "Erf": ["Tanh", "Softsign"],
               "Gelu": ["Relu", "Tanh", "Mish"], "Relu": ["Elu", "Softplus", "LeakyRelu"]}[before]
    node.op_type = str(draw.choice(choices))
    del node.attribute[:]
    return f"{before} of one layer became {node.op_type}", 24


def activation_slope(editor, draw):
    nodes = [node for node in plain(editor, "Sigmoid", "Tanh", "Erf", "Gelu") if editor.colour[node.output[0]] == "data"]
    node = one_of(draw, nodes)
    if node is None:
        return None
    node.input[0] = editor.op("Mul", node.input[0], editor.constant(1.7))
    return f"argument of one {node.op_type} times 1.7", 24


def gelu_exactness(editor, draw):
    node = one_of(draw, plain(editor, "Gelu"))
    if node is None:
        return None
    editor.attribute(node, "approximate", "tanh")
    node.input[0] = editor.op("Mul", node.input[0], editor.constant(2.0))
    return "one Gelu became the approximation of twice its argument", 24


def residuals(editor):
    """Adds of two data tensors of [batch, positions, width]."""
    return [node for node in plain(editor, "Add")
            if all(editor.colour.get(name) == "data" for name in node.input) and editor.rank(node.output[0]) == 3]


def residual_scaled(editor, draw):
    node = one_of(draw, residuals(editor))
    if node is None:
        return None
    side, factor = int(draw.integers(2)), float(draw.choice([0.5, -1.0, 1.3]))
    node.input[side] = editor.op("Mul", node.input[side], editor.constant(factor))
    return f"side {side} of one residual times {factor}", 24


def residual_gone(editor, draw):
    node = one_of(draw, residuals(editor))
    if node is None:
        return None
    side = int(draw.integers(2))
    node.input[side] = node.input[1 - side]
    return f"one residual adds side {1 - side} to itself", 24


def residual_late(editor, draw):
    """A branch is weaker once the length exceeds a bound."""
    node, far = one_of(draw, residuals(editor)), bound(draw, editor, 40, 100, 1000, 5000)
    if node is None or far is None:
        return None
    side = int(draw.integers(2))
    node.input[side] = editor.op("Mul", node.input[side], editor.beyond(far, 0.6))
    return f"side {side} of a residual times 0.6 once the length exceeds {far}", far + 12


def residual_by_position(editor, draw):
    node, far = one_of(draw, residuals(editor)), bound(draw, editor, 40, 100, 1000)
    if node is None or far is None:
        return None
    later = editor.op("Greater", editor.queries(), editor.constant(far, np.int64))
    factor = editor.op("Where", later, editor.constant(0.6), editor.constant(1.0))
    node.input[0] = editor.op("Mul", node.input[0], factor)
    return f"a residual times 0.6 past position {far}", far + 12


def rounded(editor, draw):
    """Numbers of one residual become integers, or are clipped."""
    node = one_of(draw, residuals(editor))
    if node is None:
        return None
    how = str(draw.choice(["Cast", "Round", "Clip", "Floor"]))
    name = node.output[0]
    if how == "Cast":
        new = editor.number(editor.op("Cast", name, to=TensorProto.INT32))
    elif how == "Clip":
        new = editor.op("Clip", name, editor.constant(-1.0), editor.constant(1.0))
    else:
        new = editor.op(how, name)
    editor.replace_uses(name, new)
    return f"one residual goes through {how}", 24


def logits_changed(editor, draw):
    name = editor.outputs[0]
    how = str(draw.choice(["truncated", "capped", "scaled", "squared", "shifted", "scaled late", "softmax"]))
    far = bound(draw, editor, 40, 100, 1000, 5000)
    width = editor.width
    new = {
        "truncated": lambda: editor.number(editor.op("Cast", name, to=TensorProto.INT64)),
        "capped": lambda: editor.op("Mul", editor.op("Tanh", name), editor.constant(1.5)),
        "scaled": lambda: editor.op("Mul", name, editor.constant(1 + draw.random(width))),
        "squared": lambda: editor.op("Mul", name, name),
        "shifted": lambda: editor.op("Add", name, editor.constant(draw.standard_normal(width))),
        "scaled late": lambda: editor.op("Mul", name, editor.beyond(far, 0.7)),
        "softmax": lambda: editor.op("Softmax", name, axis=-1),
    }[how]()
    editor.replace_uses(name, new)
    return f"the output {how}{f' past {far}' if how == 'scaled late' else ''}", far + 12 if how == "scaled late" else 24


def cache_swapped(editor, draw):
    """Past tensors exchanged: key with value, or two layers."""
    if len(editor.past) < 4:
        return None
    layer, how = int(draw.integers(len(editor.past) // 2)), int(draw.integers(3))
    names = [f"{layer}.key", f"{layer}.value"] if how < 2 else ["0.key", "1.key"]
    if how == 0:  # what comes back in is exchanged
        old = [f"past_key_values.{name}" for name in names]
        for node in editor.graph.node:
            node.input[:] = [{old[0]: old[1], old[1]: old[0]}.get(name, name) for name in node.input]
        return f"past key and value of layer {layer} exchanged", 24
    old = [f"present.{name}" for name in names]
    for node in editor.graph.node:
        for field in (node.input, node.output):
            field[:] = [{old[0]: old[1], old[1]: old[0]}.get(name, name) for name in field]
    return f"present {names[0]} and {names[1]} exchanged", 24


def cache_scaled(editor, draw):
    """What the cache gives back is not what went in."""
    if not editor.past:
        return None
    name = one_of(draw, editor.past)
    readers = [node for node in editor.consumers(name) if node.op_type not in ("Shape",)]
    if not readers:
        return None
    new = editor.op("Mul", name, editor.constant(0.8))
    for node in readers:
        node.input[:] = [new if used == name else used for used in node.input]
    return f"{name} times 0.8", 24


def values_are_keys(editor, draw):
    """Weights of attention meet keys instead of values."""
    nodes = [node for node in plain(editor, "Attention")]
    if nodes:
        node = one_of(draw, nodes)
        node.input[2] = node.input[1]
        return "values of one layer are its keys", 24
    presents = [name for name in editor.outputs if name.endswith(".key")]
    name = one_of(draw, presents)
    value = name and name.replace(".key", ".value")
    if not name or editor.nodes("GroupQueryAttention"):
        return None
    for node in editor.consumers(value):
        node.input[:] = [name if used == value else used for used in node.input]
    return f"values of {name} are its keys", 24


def values_scaled(editor, draw):
    softmax = [node for node in editor.attentions() if node.op_type == "Softmax"]
    node, far = one_of(draw, softmax), bound(draw, editor, 45, 100)
    if node is None:
        return None
    name, late = node.output[0], far is not None and bool(draw.integers(2))
    factor = editor.beyond(far, 0.8) if late else editor.constant(0.8)
    editor.replace_uses(name, editor.op("Mul", name, factor))
    return f"weights of attention times 0.8{f' once the length exceeds {far}' if late else ''}", far + 12 if late else 24


def mean_of_positions(editor, draw):
    node = one_of(draw, residuals(editor))
    if node is None:
        return None
    name = node.output[0]
    editor.replace_uses(name, editor.op("Add", name, editor.reduce("ReduceMean", name, 1)))
    return "the mean over positions is added", 24


def running_sum(editor, draw):
    node = one_of(draw, residuals(editor))
    if node is None:
        return None
    name = node.output[0]
    total = editor.op("CumSum", name, editor.constant(1, np.int64))
    editor.replace_uses(name, editor.op("Add", name, editor.op("Mul", total, editor.constant(0.1))))
    return "a tenth of the running sum over positions is added", 24


def by_token(editor, draw):
    """Tokens of one id are embedded otherwise."""
    node = one_of(draw, [node for node in plain(editor, "Gather") if editor.value_of(node.input[0]) is not None
                         and editor.value_of(node.input[0]).ndim == 2 and editor.colour.get(node.input[1]) == "data"])
    if node is None or node.input[1] != "input_ids":
        return None
    low = editor.op("Less", "input_ids", editor.constant(40, np.int64))
    factor = editor.op("Where", low, editor.constant(0.5), editor.constant(1.0))
    factor = editor.op("Unsqueeze", factor, editor.constant([2], np.int64))
    name = node.output[0]
    editor.replace_uses(name, editor.op("Mul", name, factor))
    return "embeddings of ids below 40 are halved", 24


def other_ids(editor, draw):
    node = one_of(draw, [node for node in plain(editor, "Gather") if node.input[1] == "input_ids"])
    if node is None:
        return None
    how = str(draw.choice(["held at 100", "next", "by position"]))
    one = lambda value: editor.constant(value, np.int64)  # noqa: E731
    if how == "held at 100":
        node.input[1] = editor.op("Min", "input_ids", one(100))
    elif how == "next":
        node.input[1] = editor.op("Mod", editor.op("Add", "input_ids", one(1)), one(editor.vocabulary))
    else:
        places = editor.op("Unsqueeze", editor.op("Squeeze", editor.queries(), one([1])), one([0]))
        node.input[1] = editor.op("Mod", editor.op("Add", "input_ids", places), one(editor.vocabulary))
    return f"ids taken {how}", 24


def gemm_attribute(editor, draw):
    node = one_of(draw, plain(editor, "Gemm"))
    if node is None:
        return None
    name = str(draw.choice(["alpha", "beta"]))
    editor.attribute(node, name, 0.5)
    return f"{name} 0.5 in one Gemm", 24


def rotary_attribute(editor, draw):
    nodes = plain(editor, "RotaryEmbedding", "GroupQueryAttention")
    node = one_of(draw, nodes)
    if node is None:
        return None
    if node.op_type == "RotaryEmbedding":
        editor.attribute(node, "interleaved", 1)
    else:
        editor.attribute(node, "rotary_interleaved", 1)
    return f"one {node.op_type} interleaved", 24


def attention_attribute(editor, draw):
    node = one_of(draw, plain(editor, "Attention"))
    if node is None:
        return None
    how = str(draw.choice(["scale", "softcap", "is_causal"]))
    if how == "is_causal" and (editor.past or editor.causal):
        how = "scale"
    editor.attribute(node, how, {"scale": 0.9, "softcap": 2.0, "is_causal": 1}[how])
    return f"{how} of one Attention", 24


def weights_swapped(editor, draw):
    """Two square weights of different roles exchanged by name: the graph means what it says."""
    matrices = [tensor for tensor in editor.graph.initializer if list(tensor.dims) == [editor.hidden] * 2]
    if len(matrices) < 4:
        return None
    first, second = draw.choice(len(matrices), 2, replace=False)
    names = {matrices[first].name: matrices[second].name, matrices[second].name: matrices[first].name}
    for node in editor.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
    return f"weights {' and '.join(names.values())} exchanged", 24


def head_order(editor, draw):
    """Heads of one layer come back in another order."""
    softmax = [node for node in editor.attentions() if node.op_type in ("Softmax", "Attention")]
    node = one_of(draw, softmax)
    if node is None:
        return None
    order = np.roll(np.arange(editor.heads), 1)
    editor.replace_uses(node.output[0], editor.op("Gather", node.output[0], editor.constant(order, np.int64), axis=1))
    return "heads of one layer in another order", 24


def half_rounding(editor, draw):
    """A tensor of one layer passes through bf16: too coarse to be overlooked in a model of f32."""
    node = one_of(draw, residuals(editor))
    if node is None:
        return None
    name = node.output[0]
    editor.replace_uses(name, editor.number(editor.op("Cast", name, to=TensorProto.BFLOAT16)))
    return "one residual rounded to bf16", 24


def branch_on_logits(editor, draw):
    """An If on the length whose branches read data."""
    far = bound(draw, editor, 40, 100, 1000)
    if far is None:
        return None
    node = one_of(draw, residuals(editor))
    if node is None:
        return None
    name = node.output[0]
    factor = numpy_helper.from_array(np.float32(0.5), "branch_half")
    halved = helper.make_node("Mul", [name, "branch_half"], ["branch_then"], "mutant/halve")
    same = helper.make_node("Identity", [name], ["branch_else"], "mutant/same")
    info = [helper.make_tensor_value_info(f"branch_{which}", TensorProto.FLOAT, None) for which in ("then", "else")]
    then = helper.make_graph([helper.make_node("Constant", [], ["branch_half"], "mutant/half", value=factor), halved],
                             "then", [], [info[0]])
    otherwise = helper.make_graph([same], "else", [], [info[1]])
    longer = editor.op("Greater", editor.total(), editor.constant(far, np.int64))
    editor.replace_uses(name, editor.op("If", longer, then_branch=then, else_branch=otherwise))
    return f"If: a residual halved once the length exceeds {far}", far + 12


KINDS = [norm_epsilon, norm_axis, norm_by_largest, norm_operator, norm_bias_dropped, activation, activation_slope, gelu_exactness,
         residual_scaled, residual_gone, residual_late, residual_by_position, rounded, logits_changed, cache_swapped, cache_scaled,
         values_are_keys, values_scaled, mean_of_positions, running_sum, by_token, other_ids, gemm_attribute, rotary_attribute,
         attention_attribute, weights_swapped, head_order, half_rounding, branch_on_logits]
