"""Mutations of positions and rotations."""
import numpy as np

from scores import bound


def layer_of(editor, draw):
    count = len(editor.attentions())
    layer = int(draw.integers(count)) if count else 0
    entries = editor.layer_rotations(layer) if count else []
    return layer, entries


def base_of_one_layer(editor, draw):
    layer, entries = layer_of(editor, draw)
    if not entries:
        return None
    ramp = 0.5 ** np.linspace(0, 1, editor.angle_width(), dtype=np.float32)
    if editor.angle_width() == editor.head_size:
        ramp = np.tile(0.5 ** np.linspace(0, 1, editor.head_size // 2, dtype=np.float32), 2)
    editor.change_angles(lambda angle: editor.op("Mul", angle, editor.constant(ramp)), entries)
    return f"another rotary base in layer {layer}", 24


def turned_back(editor, draw):
    layer, entries = layer_of(editor, draw)
    if not entries:
        return None
    editor.change_angles(lambda angle: editor.op("Neg", angle), entries[:len(entries) // 2])
    return f"queries of layer {layer} turn the other way", 24


def not_turned(editor, draw):
    layer, entries = layer_of(editor, draw)
    if not entries:
        return None
    part = draw.integers(2)
    chosen = entries if part else entries[:len(entries) // 2]
    editor.change_angles(lambda angle: editor.op("Mul", angle, editor.constant(0.0)), chosen)
    return f"{'nothing' if part else 'only keys'} turned in layer {layer}", 24


def queries_shifted(editor, draw):
    layer, entries = layer_of(editor, draw)
    if not entries:
        return None
    editor.change_angles(lambda angle: editor.op("Add", angle, editor.constant(0.3)), entries[:len(entries) // 2])
    return f"queries of layer {layer} turned by 0.3 more", 24


def positions_scaled(editor, draw):
    if not editor.rotations():
        return None
    editor.change_angles(lambda angle: editor.op("Mul", angle, editor.constant(0.25)))
    return "positions divided by 4", 24


def rotation_switch(editor, draw):
    far = bound(draw, editor, 40, 48, 100, 1000, 5000)
    if not editor.rotations() or far is None:
        return None
    editor.change_angles(lambda angle: editor.op("Mul", angle, editor.beyond(far, 0.25)))
    return f"angles divided by 4 once the length exceeds {far}", far + 12


def dynamic_base(editor, draw):
    """Dynamic NTK: the base grows with the length."""
    far = bound(draw, editor, 40, 64, 100, 1000)
    if not editor.rotations() or far is None:
        return None
    width = editor.angle_width()
    half = editor.head_size // 2
    exponents = -np.arange(half, dtype=np.float32) * 2 / (editor.head_size - 2)
    if width == editor.head_size:
        exponents = np.tile(exponents, 2)
    ratio = editor.op("Div", editor.number(editor.total()), editor.constant(far))
    ratio = editor.op("Max", editor.op("Sub", editor.op("Mul", ratio, editor.constant(2.0)), editor.constant(1.0)),
                      editor.constant(1.0))
    growth = editor.op("Pow", ratio, editor.constant(exponents))
    editor.change_angles(lambda angle: editor.op("Mul", angle, growth))
    return f"dynamic NTK past {far}", min(far + 40, editor.limit)


def change_positions(editor, operator, far):
    """Positions become what `operator` makes of them and `far`; False where there are none to change."""
    if not editor.rotations() or far is None or "position_ids" not in editor.inputs:
        return False
    editor.replace_uses("position_ids", editor.op(operator, "position_ids", editor.constant(far, np.int64)))
    return True


def angles_wrapped(editor, draw):
    """Positions start again: the angle is a sawtooth of the position."""
    far = bound(draw, editor, 16, 45, 64, 100, 1000)
    return (f"positions start again every {far}", far + 10) if change_positions(editor, "Mod", far) else None


def angles_held(editor, draw):
    far = bound(draw, editor, 16, 45, 100, 1000, 5000)
    return (f"positions end at {far}", far + 12) if change_positions(editor, "Min", far) else None


def angle_factor(editor, draw):
    """YaRN's factor, but on queries only past a length."""
    far = bound(draw, editor, 40, 100, 1000)
    entries = editor.rotations()
    if not entries or far is None:
        return None
    for node, index, _ in entries:
        node.input[index] = editor.op("Mul", node.input[index], editor.beyond(far, 1.3))
    return f"rotations times 1.3 once the length exceeds {far}", far + 12


def wrong_length_angle(editor, draw):
    """Angles that depend on the total length smoothly."""
    if not editor.rotations():
        return None
    shrink = editor.op("Div", editor.number(editor.total()), editor.constant(200.0))
    factor = editor.op("Reciprocal", editor.op("Add", shrink, editor.constant(1.0)))
    editor.change_angles(lambda angle: editor.op("Mul", angle, factor))
    return "angles shrink with the length", 40


def cache_table(editor, draw):
    """GroupQueryAttention's tables: one row, or everything past a row, changed."""
    nodes = editor.nodes("GroupQueryAttention")
    if not nodes:
        return None
    from onnx import numpy_helper
    far = bound(draw, editor, 45, 60, 100)
    for name in (nodes[0].input[7], nodes[0].input[8]):
        for tensor in editor.graph.initializer:
            if tensor.name == name:
                table = numpy_helper.to_array(tensor).copy()
                table[far:] = table[:len(table) - far]
                tensor.CopyFrom(numpy_helper.from_array(table, name))
    return f"rotary tables start again at row {far}", far + 10


def table_of_one_layer(editor, draw):
    nodes = editor.nodes("GroupQueryAttention")
    if not nodes:
        return None
    for index in (7, 8):
        table = editor.value_of(nodes[-1].input[index])
        nodes[-1].input[index] = editor.constant(np.repeat(table, 2, axis=0)[:len(table)])
    return "half the rotary speed in the last layer", 24


def learned(editor, draw):
    """Learned positions: shifted, held, wrapped, or reversed."""
    nodes = editor.table_gathers()
    if not nodes:
        return None
    how = str(draw.choice(["shifted by 1", "held at 30", "starting again every 20", "doubled", "held at 50"]))
    name, (limit, _) = nodes[0].input[1], editor.value_of(nodes[0].input[0]).shape
    one = editor.constant
    change = {
        "shifted by 1": lambda: editor.op("Add", name, one(1, np.int64)),
        "held at 30": lambda: editor.op("Min", name, one(30, np.int64)),
        "held at 50": lambda: editor.op("Min", name, one(50, np.int64)),
        "starting again every 20": lambda: editor.op("Mod", name, one(20, np.int64)),
        "doubled": lambda: editor.op("Min", editor.op("Mul", name, one(2, np.int64)), one(limit - 1, np.int64)),
    }[how]
    nodes[0].input[1] = change()
    return f"rows of learned positions {how}", 24 if how in ("shifted by 1", "doubled") else min(60, editor.limit - 2)


def learned_scaled(editor, draw):
    nodes = editor.table_gathers()
    if not nodes:
        return None
    name = nodes[0].output[0]
    far = bound(draw, editor, 40)
    if far is None:
        return None
    editor.replace_uses(name, editor.op("Mul", name, editor.beyond(far, 0.5)))
    return f"learned positions halved once the length exceeds {far}", far + 10


KINDS = [base_of_one_layer, turned_back, not_turned, queries_shifted, positions_scaled, rotation_switch, dynamic_base, angles_wrapped,
         angles_held, angle_factor, wrong_length_angle, cache_table, table_of_one_layer, learned, learned_scaled]
