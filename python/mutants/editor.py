"""An ONNX graph that can be changed in one place, whatever exporter wrote it.

Tensors have a colour: "constant", "meta" (a function of lengths, positions and masks only) or "data". Attention is found at Softmax
and Attention nodes, rotation where a meta tensor that comes from a cosine or sine meets data.
"""
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

LOWEST = np.float32(np.finfo(np.float32).min)


class Editor:
    def __init__(self, export):
        self.export, self.model = export, export.copy()
        self.graph = self.model.graph
        self.heads, self.head_size, self.limit = export.heads, export.head_size, export.limit
        self.vocabulary, self.width, self.hidden = export.vocabulary, export.width, export.hidden
        self.causal = not export.encoder
        self.serial = 0
        self.initializers = {tensor.name for tensor in self.graph.initializer}
        self.inputs = [value.name for value in self.graph.input if value.name not in self.initializers]
        self.outputs = [value.name for value in self.graph.output]
        self.past = [name for name in self.inputs if name.startswith("past_key_values")]
        self.refresh()
        self.colour = self.colours()

    def opset(self):
        return next(entry.version for entry in self.model.opset_import if entry.domain in ("", "ai.onnx"))

    def refresh(self):
        self.producer = {name: node for node in self.graph.node for name in node.output if name}

    def consumers(self, name):
        return [node for node in self.graph.node if name in node.input]

    def nodes(self, *kinds):
        return [node for node in self.graph.node if node.op_type in kinds]

    def op(self, kind, *inputs, domain="", **attributes):
        self.serial += 1
        node = helper.make_node(kind, list(inputs), [f"mutant_{self.serial}"], f"mutant/{kind}_{self.serial}",
                                domain=domain, **attributes)
        self.graph.node.append(node)
        self.producer[node.output[0]] = self.graph.node[-1]
        return node.output[0]

    def constant(self, value, dtype=np.float32):
        self.serial += 1
        name = f"mutant_constant_{self.serial}"
        self.graph.initializer.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        self.initializers.add(name)
        return name

    def attribute(self, node, name, value):
        kept = [attribute for attribute in node.attribute if attribute.name != name]
        del node.attribute[:]
        node.attribute.extend([*kept, helper.make_attribute(name, value)])

    def reduce(self, kind, x, axis):
        if kind == "ReduceSum" or self.opset() >= 18:
            return self.op(kind, x, self.constant([axis], np.int64), keepdims=1)
        return self.op(kind, x, axes=[axis], keepdims=1)

    def shapes(self):
        """The shape of every tensor in a short run of the original."""
        if not hasattr(self.export, "shapes"):
            model = self.export.copy()
            had = {value.name for value in model.graph.output}
            names = [name for node in model.graph.node for name in node.output if name and name not in had]
            model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
            session = self.export.session(model)
            ids = self.export.ids(7)
            feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids),
                     "position_ids": np.arange(7)[None]}
            for value in session.get_inputs():
                if value.name.startswith("past"):
                    feeds[value.name] = np.zeros((1, value.shape[1], 0, value.shape[3]), np.float32)
            wanted = {value.name for value in session.get_inputs()}
            values = session.run(names, {key: value for key, value in feeds.items() if key in wanted})
            self.export.shapes = {name: np.shape(value) for name, value in zip(names, values)}
            self.export.types = {name: np.asarray(value).dtype for name, value in zip(names, values)}
        return self.export.shapes

    def rank(self, name):
        return len(self.shapes().get(name, ()))

    def type(self, name):
        self.shapes()
        return self.export.types.get(name)

    def angle_width(self):
        return self.shapes()[self.nodes("Cos")[0].input[0]][-1]

    def number(self, x):
        return self.op("Cast", x, to=TensorProto.FLOAT)

    def replace_uses(self, name, new, but=()):
        """All readers of `name` read `new`; the nodes that make `new` from it (since `mark`) stay as they are."""
        for node in self.graph.node:
            if node.name.startswith("mutant/") or any(node is other for other in but):
                continue
            for index, used in enumerate(node.input):
                if used == name:
                    node.input[index] = new
        for value in self.graph.output:
            if value.name == name:
                node = self.producer[name]
                inner = f"{name}_before"
                node.output[list(node.output).index(name)] = inner
                for other in self.graph.node:
                    for index, used in enumerate(other.input):
                        if used == name:
                            other.input[index] = inner
                last = self.producer[new]
                last.output[list(last.output).index(new)] = name
                self.refresh()

    def value_of(self, name):
        """The array of a constant, or None."""
        for tensor in self.graph.initializer:
            if tensor.name == name:
                return numpy_helper.to_array(tensor)
        node = self.producer.get(name)
        if node is not None and node.op_type == "Constant" and node.attribute[0].name == "value":
            return numpy_helper.to_array(node.attribute[0].t)
        return None

    def colours(self):
        colour = {name: "constant" for name in self.initializers}
        for name in self.inputs:
            meta = name.startswith(("attention_mask", "position_ids"))
            colour[name] = "meta" if meta else "data"
        for node in self.graph.node:
            if node.op_type in ("Shape", "Size"):
                kind = "meta"
            else:
                kinds = {colour.get(name, "data") for name in node.input if name}
                kind = "data" if "data" in kinds else "meta" if "meta" in kinds else "constant"
            colour.update((name, kind) for name in node.output)
        return colour

    def depends(self, name, targets, seen=None):
        """Whether `name` is made from any of `targets`."""
        seen = {} if seen is None else seen
        if name in targets:
            return True
        if name not in seen:
            node = self.producer.get(name)
            seen[name] = False
            seen[name] = node is not None and any(self.depends(used, targets, seen) for used in node.input if used)
        return seen[name]

    def clone(self, name, substitutes):
        """The tensor `name` computed anew where the keys of `substitutes` are replaced by its values."""
        if name in substitutes:
            return substitutes[name]
        if not self.depends(name, substitutes):
            return name
        node = self.producer[name]
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.input[:] = [self.clone(used, substitutes) if used else used for used in node.input]
        self.serial += 1
        copy.name = f"mutant/{node.op_type}_{self.serial}"
        copy.output[:] = [f"{output}_mutant_{self.serial}" for output in node.output]
        self.graph.node.append(copy)
        self.refresh()
        substitutes.update(zip(node.output, copy.output))
        return substitutes[name]

    # Lengths and positions.

    def length(self):
        """Tokens in this call, a scalar."""
        return self.op("Gather", self.op("Shape", "input_ids"), self.constant(1, np.int64), axis=0)

    def past_length(self):
        if not self.past:
            return self.constant(0, np.int64)
        return self.op("Gather", self.op("Shape", self.past[0]), self.constant(2, np.int64), axis=0)

    def total(self):
        return self.op("Add", self.past_length(), self.length())

    def queries(self):
        """Positions of the queries, [S, 1] int64."""
        row = self.op("Range", self.past_length(), self.total(), self.constant(1, np.int64))
        return self.op("Unsqueeze", row, self.constant([1], np.int64))

    def keys(self):
        """Positions of the keys, [1, T] int64."""
        row = self.op("Range", self.constant(0, np.int64), self.total(), self.constant(1, np.int64))
        return self.op("Unsqueeze", row, self.constant([0], np.int64))

    def distance(self):
        return self.op("Sub", self.queries(), self.keys())

    def masked(self, condition):
        """An addend of scores: the lowest number where `condition` holds."""
        return self.op("Where", condition, self.constant(LOWEST), self.constant(0.0))

    def beyond(self, bound, long, short=1.0):
        """A scalar that is `long` where the total length exceeds `bound`."""
        longer = self.op("Greater", self.total(), self.constant(bound, np.int64))
        return self.op("Where", longer, self.constant(long), self.constant(short))

    # Anchors.

    def attentions(self):
        found = self.nodes("Softmax", "Attention", "GroupQueryAttention")
        return [node for node in found if not node.name.startswith("mutant/")]

    def spelled(self):
        """Attention nodes whose scores can be changed (not those inside GroupQueryAttention)."""
        return [node for node in self.attentions() if node.op_type != "GroupQueryAttention"]

    def float_mask(self, node):
        """The mask of an Attention node as numbers."""
        mask = node.input[3] if len(node.input) > 3 else ""
        if not mask:
            return self.constant(0.0)
        if mask in getattr(self, "made_float", ()) or self.type(mask) == np.float32:
            return mask
        return self.op("Where", mask, self.constant(0.0), self.constant(LOWEST))

    def add_to_scores(self, node, extra):
        if node.op_type == "Softmax":
            node.input[0] = self.op("Add", node.input[0], extra)
            return
        mask = self.op("Add", self.float_mask(node), extra)
        self.made_float = {*getattr(self, "made_float", ()), mask}
        while len(node.input) < 4:
            node.input.append("")
        node.input[3] = mask

    def raw_scores(self, node):
        """(node, index) where scores without mask enter, for a Softmax; None where they cannot be told."""
        add = self.producer.get(node.input[0])
        if add is None or add.op_type != "Add":
            return None
        sides = [index for index in (0, 1) if self.colour.get(add.input[index]) == "data"]
        return (add, sides[0]) if len(sides) == 1 else None

    def multiply_scores(self, node, factor):
        """Scores times `factor` (per query or per head for Attention nodes) before the mask."""
        if node.op_type == "Attention":
            node.input[0] = self.op("Mul", node.input[0], factor)
            return True
        place = self.raw_scores(node)
        if place is None:
            return False
        add, index = place
        add.input[index] = self.op("Mul", add.input[index], factor)
        return True

    def rotations(self):
        """[(node, input index, cosine or sine nodes it comes from)] in the order of the graph."""
        waves = {name: node for node in self.nodes("Cos", "Sin") for name in node.output}
        found = []
        for node in list(self.graph.node):
            if self.colour.get(node.output[0]) != "data" or node.op_type in ("Softmax", "Attention"):
                continue
            for index, name in enumerate(node.input):
                if name and self.colour.get(name) == "meta" and self.type(name) == np.float32:
                    roots = [wave for wave in waves if self.depends(name, {wave})]
                    if roots:
                        found.append((node, index, [waves[root] for root in roots]))
        return found

    def layer_rotations(self, layer):
        entries, count = self.rotations(), len(self.attentions())
        each = len(entries) // count if count else 0
        return entries[layer * each:(layer + 1) * each]

    def change_angles(self, change, entries=None):
        """Angles become change(angles): everywhere, or where `entries` use them."""
        if entries is None:
            changed = {}
            for node in self.nodes("Cos", "Sin"):
                if node.input[0] not in changed:
                    changed[node.input[0]] = change(node.input[0])
            for node in self.nodes("Cos", "Sin"):
                node.input[0] = changed[node.input[0]] if node.input[0] in changed else node.input[0]
            return
        changed = {}
        for node, index, waves in entries:
            for wave in waves:
                if wave.input[0] not in changed:
                    changed[wave.input[0]] = change(wave.input[0])
            node.input[index] = self.clone(node.input[index], dict(changed))

    def table_gathers(self):
        """Gather nodes of learned positions: a constant table by something that is not ids."""
        return [node for node in self.nodes("Gather")
                if self.colour.get(node.input[0]) == "constant" and self.colour.get(node.input[1]) == "meta"
                and (value := self.value_of(node.input[0])) is not None and value.ndim == 2 and value.dtype == np.float32]

    def finish(self):
        """The model with its nodes in an order that can be run."""
        self.refresh()
        order, state = [], {}

        def visit(node):
            stack = [(node, iter(node.input))]
            state[id(node)] = True
            while stack:
                current, names = stack[-1]
                for name in names:
                    maker = self.producer.get(name)
                    if maker is not None and id(maker) not in state:
                        state[id(maker)] = True
                        stack.append((maker, iter(maker.input)))
                        break
                else:
                    order.append(current)
                    stack.pop()

        for node in list(self.graph.node):
            if id(node) not in state:
                visit(node)
        copies = []
        for node in order:
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            copies.append(copy)
        del self.graph.node[:]
        self.graph.node.extend(copies)
        del self.graph.value_info[:]
        return self.model
