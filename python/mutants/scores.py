"""Mutations of masks and scores. Each takes an Editor and a random generator, changes the graph, and says (what, length that tells)."""
import numpy as np



def pick(draw, editor, nodes):
    """All attention nodes, or one of them, and a word for it."""
    if not nodes:
        return None, ""
    if draw.integers(2):
        return nodes, "every layer"
    layer = int(draw.integers(len(nodes)))
    return [nodes[layer]], f"layer {layer}"


def head_constant(editor, node, head, inside, outside):
    heads = editor.heads
    values = np.full((1, heads, 1, 1), outside, np.float32)
    values[0, head] = inside
    return editor.constant(values)


def bound(draw, editor, *values):
    """One of `values` that the model's positions reach beyond."""
    fitting = [value for value in values if value + 12 <= editor.limit]
    return int(draw.choice(fitting)) if fitting else None


def window(editor, draw):
    nodes, where = pick(draw, editor, editor.spelled())
    size = bound(draw, editor, 5, 20, 39, 40, 45, 64, 100, 200, 1000, 5000)
    if nodes is None or size is None:
        return None
    for node in nodes:
        outside = editor.op("GreaterOrEqual", editor.distance(), editor.constant(size, np.int64))
        editor.add_to_scores(node, editor.masked(outside))
    return f"window of {size}, {where}", size + 10


def windows_apart_by_one(editor, draw):
    nodes, size = editor.spelled(), bound(draw, editor, 7, 31, 45, 63, 127)
    if len(nodes) < 2 or size is None:
        return None
    for layer, node in enumerate(nodes):
        outside = editor.op("GreaterOrEqual", editor.distance(), editor.constant(size + layer, np.int64))
        editor.add_to_scores(node, editor.masked(outside))
    return f"window of {size} and then {size + 1}", size + 10


def fused_window(editor, draw):
    nodes = editor.nodes("GroupQueryAttention")
    size = bound(draw, editor, 5, 20, 45, 64, 100)
    if not nodes:
        return None
    editor.attribute(nodes[int(draw.integers(len(nodes)))], "local_window_size", size)
    return f"local_window_size {size} in one layer", size + 10


def chunked(editor, draw):
    nodes, where = pick(draw, editor, editor.spelled())
    size = bound(draw, editor, 8, 32, 48, 64, 100, 1000)
    if nodes is None or size is None:
        return None
    for node in nodes:
        divisor = editor.constant(size, np.int64)
        own, other = editor.op("Div", editor.queries(), divisor), editor.op("Div", editor.keys(), divisor)
        editor.add_to_scores(node, editor.masked(editor.op("Greater", own, other)))
    return f"chunks of {size}, {where}", size + 10


def slopes(editor, draw):
    nodes, where = pick(draw, editor, editor.spelled())
    if nodes is None:
        return None
    heads = editor.heads
    values = 2.0 ** -(8.0 / heads * np.arange(1, heads + 1))
    odd = draw.integers(2)
    if odd:
        values[int(draw.integers(heads))] *= 1.5
    for node in nodes:
        distances = editor.op("Neg", editor.number(editor.distance()))
        editor.add_to_scores(node, editor.op("Mul", distances, editor.constant(values.reshape(1, heads, 1, 1))))
    return f"ALiBi slopes{' with an odd one' if odd else ''}, {where}", 24


def square_distance(editor, draw):
    nodes, where = pick(draw, editor, editor.spelled())
    if nodes is None:
        return None
    for node in nodes:
        distances = editor.number(editor.distance())
        square = editor.op("Mul", distances, distances)
        editor.add_to_scores(node, editor.op("Mul", square, editor.constant(-0.004)))
    return f"a bias by the square of the distance, {where}", 24


def distance_table(editor, draw):
    nodes, where = pick(draw, editor, editor.spelled())
    if nodes is None:
        return None
    heads, size = editor.heads, 16
    table = editor.constant(draw.standard_normal((size, heads)))
    for node in nodes:
        clipped = editor.op("Clip", editor.distance(), editor.constant(0, np.int64), editor.constant(size - 1, np.int64))
        rows = editor.op("Transpose", editor.op("Gather", table, clipped, axis=0), perm=[2, 0, 1])
        editor.add_to_scores(node, editor.op("Unsqueeze", rows, editor.constant([0], np.int64)))
    return f"a learned bias by distance, {where}", 24


def late_bias(editor, draw):
    nodes, far = editor.spelled(), bound(draw, editor, 45, 100, 1000)
    if not nodes or far is None:
        return None
    node = nodes[int(draw.integers(len(nodes)))]
    distant = editor.op("Greater", editor.distance(), editor.constant(far, np.int64))
    editor.add_to_scores(node, editor.op("Where", distant, editor.constant(4.0), editor.constant(0.0)))
    return f"scores of keys more than {far} away gain 4, one layer", far + 12


def blind_head(editor, draw):
    """One head sees the future."""
    nodes = editor.spelled()
    if not nodes or not editor.causal:
        return None
    layer, head = int(draw.integers(len(nodes))), int(draw.integers(editor.heads))
    node = nodes[layer]
    if node.op_type == "Softmax":
        place = editor.raw_scores(node)
        if place is None:
            return None
        add, index = place
        if editor.producer.get(add.input[index]) is not None and editor.producer[add.input[index]].op_type == "Where":
            return None
        factor = head_constant(editor, node, head, 0.0, 1.0)
        add.input[1 - index] = editor.op("Mul", add.input[1 - index], factor)
    else:
        open_head = editor.op("Greater", head_constant(editor, node, head, 1.0, 0.0), editor.constant(0.5))
        node.input[3] = editor.op("Or", node.input[3], open_head)
    return f"no causality in head {head} of layer {layer}", 24


def one_head_window(editor, draw):
    nodes, size = editor.spelled(), bound(draw, editor, 5, 20, 45, 100)
    if not nodes or size is None:
        return None
    layer, head = int(draw.integers(len(nodes))), int(draw.integers(editor.heads))
    outside = editor.op("GreaterOrEqual", editor.distance(), editor.constant(size, np.int64))
    factor = head_constant(editor, nodes[layer], head, 1.0, 0.0)
    editor.add_to_scores(nodes[layer], editor.op("Mul", editor.masked(outside), factor))
    return f"window of {size} in head {head} of layer {layer}", size + 10


def window_with_sinks(editor, draw):
    nodes, size = editor.spelled(), bound(draw, editor, 12, 45, 100)
    if not nodes or size is None:
        return None
    for node in nodes:
        outside = editor.op("GreaterOrEqual", editor.distance(), editor.constant(size, np.int64))
        later = editor.op("GreaterOrEqual", editor.keys(), editor.constant(4, np.int64))
        editor.add_to_scores(node, editor.masked(editor.op("And", outside, later)))
    return f"window of {size} and the first four positions", size + 14


def strictly_causal(editor, draw):
    nodes, where = pick(draw, editor, editor.spelled())
    if nodes is None or not editor.causal:
        return None
    for node in nodes:
        itself = editor.op("Equal", editor.distance(), editor.constant(0, np.int64))
        later = editor.op("Greater", editor.queries(), editor.constant(0, np.int64))
        editor.add_to_scores(node, editor.masked(editor.op("And", itself, later)))
    return f"no position sees itself, {where}", 24


def dilated(editor, draw):
    nodes, where = pick(draw, editor, editor.spelled())
    if nodes is None:
        return None
    for node in nodes:
        odd = editor.op("Mod", editor.op("Abs", editor.distance()), editor.constant(2, np.int64))
        editor.add_to_scores(node, editor.masked(editor.op("Equal", odd, editor.constant(1, np.int64))))
    return f"even distances only, {where}", 24


def window_by_length(editor, draw):
    nodes = editor.spelled()
    if not nodes:
        return None
    for node in nodes:
        half = editor.op("Div", editor.total(), editor.constant(2, np.int64))
        outside = editor.op("Greater", editor.distance(), half)
        editor.add_to_scores(node, editor.masked(outside))
    return "window of half the length", 40


def switched_window(editor, draw):
    nodes, far = editor.spelled(), bound(draw, editor, 40, 100, 1000, 5000)
    if not nodes or far is None:
        return None
    for node in nodes:
        longer = editor.op("Greater", editor.total(), editor.constant(far, np.int64))
        size = editor.op("Where", longer, editor.constant(16, np.int64), editor.constant(1 << 30, np.int64))
        editor.add_to_scores(node, editor.masked(editor.op("GreaterOrEqual", editor.distance(), size)))
    return f"window of 16 once the length exceeds {far}", far + 12


def log_scaled(editor, draw):
    nodes, start = editor.spelled(), bound(draw, editor, 8, 45, 64, 100, 1000)
    if not nodes or start is None:
        return None
    for node in nodes:
        count = editor.number(editor.op("Add", editor.queries(), editor.constant(1, np.int64)))
        ratio = editor.op("Div", editor.op("Log", count), editor.constant(np.log(start)))
        if not editor.multiply_scores(node, editor.op("Max", ratio, editor.constant(1.0))):
            return None
    # log n grows slowly: twice the length tells.
    return f"scores times log n over log {start}", min(2 * start + 12, editor.limit)


def scale_switch(editor, draw):
    nodes, far = editor.spelled(), bound(draw, editor, 40, 100, 1000, 5000)
    if not nodes or far is None:
        return None
    for node in nodes:
        if not editor.multiply_scores(node, editor.beyond(far, 0.5)):
            return None
    return f"scores halved once the length exceeds {far}", far + 12


def branch_scale(editor, draw):
    """An If on the length whose branches are constants."""
    from onnx import TensorProto, helper, numpy_helper
    nodes, far = editor.spelled(), bound(draw, editor, 40, 100, 1000)
    if not nodes or far is None:
        return None
    branches = []
    for name, value in (("long", 0.6), ("short", 1.0)):
        tensor = numpy_helper.from_array(np.float32(value), f"value_{name}")
        made = helper.make_node("Constant", [], [f"branch_{name}"], f"mutant/{name}", value=tensor)
        info = helper.make_tensor_value_info(f"branch_{name}", TensorProto.FLOAT, [])
        branches.append(helper.make_graph([made], name, [], [info]))
    longer = editor.op("Greater", editor.total(), editor.constant(far, np.int64))
    factor = editor.op("If", longer, then_branch=branches[0], else_branch=branches[1])
    for node in nodes:
        if not editor.multiply_scores(node, factor):
            return None
    return f"If: scores times 0.6 once the length exceeds {far}", far + 12


def scale_forgotten(editor, draw):
    nodes = editor.attentions()
    if not nodes:
        return None
    layer = int(draw.integers(len(nodes)))
    node = nodes[layer]
    if node.op_type == "GroupQueryAttention":
        editor.attribute(node, "scale", 1.0)
    elif not editor.multiply_scores(node, editor.constant(float(editor.head_size) ** 0.5)):
        return None
    return f"scale forgotten in layer {layer}", 24


def head_scale(editor, draw):
    nodes = editor.spelled()
    if not nodes:
        return None
    layer, head = int(draw.integers(len(nodes))), int(draw.integers(editor.heads))
    if not editor.multiply_scores(nodes[layer], head_constant(editor, nodes[layer], head, 0.7, 1.0)):
        return None
    return f"head {head} of layer {layer} scales by 0.7 more", 24


def key_scale(editor, draw):
    nodes = [node for node in editor.spelled() if node.op_type == "Softmax"]
    if not nodes:
        return None
    layer = int(draw.integers(len(nodes)))
    shrink = editor.op("Div", editor.number(editor.keys()), editor.constant(50.0))
    factor = editor.op("Reciprocal", editor.op("Add", shrink, editor.constant(1.0)))
    if not editor.multiply_scores(nodes[layer], factor):
        return None
    return f"scores shrink with the key's position in layer {layer}", 24


def softcap(editor, draw):
    nodes, where = pick(draw, editor, editor.attentions())
    if nodes is None:
        return None
    cap = float(draw.choice([1.0, 3.0]))
    for node in nodes:
        if node.op_type != "Softmax":
            editor.attribute(node, "softcap", cap)
            continue
        place = editor.raw_scores(node)
        if place is None:
            return None
        add, index = place
        inside = editor.op("Tanh", editor.op("Div", add.input[index], editor.constant(cap)))
        add.input[index] = editor.op("Mul", inside, editor.constant(cap))
    return f"softcap of {cap:g}, {where}", 24


def softmax_axis(editor, draw):
    nodes = [node for node in editor.spelled() if node.op_type == "Softmax"]
    if not nodes:
        return None
    layer = int(draw.integers(len(nodes)))
    editor.attribute(nodes[layer], "axis", int(draw.choice([1, 2])))
    return f"Softmax of layer {layer} over another axis", 24


def quiet_softmax(editor, draw):
    """One more term of weight 1 in every softmax."""
    fused = editor.nodes("GroupQueryAttention")
    if fused:
        editor.attribute(fused[0], "smooth_softmax", 1)
        return "smooth_softmax in layer 0", 24
    nodes = [node for node in editor.spelled() if node.op_type == "Softmax"]
    if not nodes:
        return None
    layer = int(draw.integers(len(nodes)))
    node, scores = nodes[layer], nodes[layer].input[0]
    top = editor.op("Relu", editor.reduce("ReduceMax", scores, -1))
    exponent = editor.op("Exp", editor.op("Sub", scores, top))
    below = editor.op("Add", editor.reduce("ReduceSum", exponent, -1), editor.op("Exp", editor.op("Neg", top)))
    result = editor.op("Div", exponent, below)
    editor.replace_uses(node.output[0], result)
    return f"a softmax plus one in layer {layer}", 24


def probabilities_power(editor, draw):
    nodes = [node for node in editor.spelled() if node.op_type == "Softmax"]
    if not nodes:
        return None
    layer = int(draw.integers(len(nodes)))
    name = nodes[layer].output[0]
    kept = editor.op("Relu", editor.op("Sub", name, editor.constant(0.05)))
    editor.replace_uses(name, kept)
    return f"weights of attention below 0.05 dropped in layer {layer}", 24


def prefix_seen(editor, draw):
    """The first positions see each other both ways."""
    nodes = editor.spelled()
    if not nodes or not editor.causal:
        return None
    size = 8
    prefix = editor.op("And", editor.op("Less", editor.queries(), editor.constant(size, np.int64)),
                       editor.op("Less", editor.keys(), editor.constant(size, np.int64)))
    for node in nodes:
        if node.op_type == "Attention":
            node.input[3] = editor.op("Or", node.input[3], prefix)
            continue
        place = editor.raw_scores(node)
        if place is None:
            return None
        add, index = place
        if editor.producer[add.input[index]].op_type == "Where":
            return None
        add.input[1 - index] = editor.op("Where", prefix, editor.constant(0.0), add.input[1 - index])
    return f"the first {size} positions see each other", 24


KINDS = [window, windows_apart_by_one, fused_window, chunked, slopes, square_distance, distance_table, late_bias, blind_head,
         one_head_window, window_with_sinks, strictly_causal, dilated, window_by_length, switched_window, log_scaled, scale_switch,
         branch_scale, scale_forgotten, head_scale, key_scale, softcap, softmax_axis, quiet_softmax, probabilities_power, prefix_seen]
