"""Tiny transformers whose parts can be spelled otherwise: a case is a subclass that overrides the part in question."""
import ml_dtypes
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

LOWEST = {"f32": float(np.finfo(np.float32).min), "f16": -65504.0, "bf16": float(ml_dtypes.finfo(ml_dtypes.bfloat16).min),
          "f64": float(np.finfo(np.float64).min)}
TYPES = {"f32": (np.float32, TensorProto.FLOAT), "f16": (np.float16, TensorProto.FLOAT16),
         "bf16": (ml_dtypes.bfloat16, TensorProto.BFLOAT16), "f64": (np.float64, TensorProto.DOUBLE)}
V, D, H, S, F = 48, 32, 4, 8, 64


class Model:
    """A causal decoder without cache: learned or rotary positions, RMS norms, gated MLP. `kind`: the type it computes in;
    `rounded`: weights pass through that type and all else is f32, which is what a 16 bit graph means."""
    opset, layers, rows, vocabulary, outputs_width = 17, 2, 128, V, V
    lengths = (24,)      # where it is compared
    must = True          # False: it may be refused
    encoder = False
    domains = ()
    batch = 1

    def __init__(self, kind="f32", rounded=None, seed=3):
        self.kind, self.rounded = kind, rounded
        self.dtype, self.type = TYPES[kind]
        self.draw = np.random.default_rng(seed)
        self.nodes, self.weights, self.inputs, self.outputs = [], [], [], []
        self.serial = 0

    # Pieces.

    def op(self, kind, *inputs, outputs=1, domain="", name=None, **attributes):
        self.serial += 1
        names = [name or f"{kind.lower()}_{self.serial}"] + [f"{kind.lower()}_{self.serial}_{i}" for i in range(1, outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, f"node_{self.serial}_{kind}", domain=domain, **attributes))
        return names[0] if outputs == 1 else names

    def store(self, value, name=None):
        self.serial += 1
        name = name or f"c_{self.serial}"
        self.weights.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def ints(self, value):
        return self.store(np.asarray(value, np.int64))

    def number(self, value):
        """A constant in the model's type."""
        return self.store(np.asarray(value, np.float64).astype(self.dtype))

    def wide(self, value):
        """A constant in f32 whatever the type (f64 in a model of f64)."""
        return self.store(np.asarray(value, np.float64 if self.kind == "f64" else np.float32))

    def weight(self, *shape, scale=None, centre=0.0, name=None):
        scale = shape[0] ** -0.5 if scale is None else scale
        value = (centre + scale * self.draw.standard_normal(shape)).astype(np.float32)
        if self.rounded:
            value = value.astype(TYPES[self.rounded][0]).astype(np.float32)
        return self.store(value.astype(self.dtype), name)

    def vector(self, size=D, scale=0.3, centre=0.0):
        return self.weight(size, scale=scale, centre=centre)

    def cast(self, x, to=None):
        return self.op("Cast", x, to=to or self.type)

    @property
    def wide_type(self):
        return TensorProto.DOUBLE if self.kind == "f64" else TensorProto.FLOAT

    def length(self):
        return self.op("Gather", self.op("Shape", "input_ids"), self.ints(1), axis=0)

    def range(self):
        return self.op("Range", self.ints(0), self.length(), self.ints(1))

    def linear(self, x, k, n, scale=1.0, bias=False):
        y = self.op("MatMul", x, self.weight(k, n, scale=scale * k ** -0.5))
        return self.op("Add", y, self.vector(n)) if bias else y

    # Parts.

    def embed(self):
        x = self.op("Gather", self.table(), "input_ids")
        places = self.op("Unsqueeze", self.range(), self.ints([0]))
        return self.op("Add", x, self.op("Gather", self.weight(self.rows, D, scale=0.5), places))

    def table(self):
        return self.weight(self.vocabulary, D, scale=0.7)

    def norm(self, x):
        """RMS norm in f32, as transformers does it."""
        half = self.kind in ("f16", "bf16")
        y = self.cast(x, TensorProto.FLOAT) if half else x
        square = self.op("Pow", y, self.wide(2.0))
        if self.opset >= 18:
            mean = self.op("ReduceMean", square, self.ints([-1]), keepdims=1)
        else:
            mean = self.op("ReduceMean", square, axes=[-1], keepdims=1)
        y = self.op("Mul", y, self.op("Reciprocal", self.op("Sqrt", self.op("Add", mean, self.wide(1e-5)))))
        y = self.cast(y) if half else y
        return self.op("Mul", y, self.vector(scale=0.3, centre=1.0))

    def heads(self, y):
        return self.op("Transpose", self.op("Reshape", y, self.ints([0, 0, H, S])), perm=[0, 2, 1, 3])

    def turn(self, x):
        """What is done to queries and keys by position."""
        return x

    def causal(self):
        row = self.range()
        return self.op("LessOrEqual", self.op("Unsqueeze", row, self.ints([0])), self.op("Unsqueeze", row, self.ints([1])))

    def distance(self):
        row = self.range()
        return self.op("Sub", self.op("Unsqueeze", row, self.ints([1])), self.op("Unsqueeze", row, self.ints([0])))

    def queries(self):
        return self.op("Unsqueeze", self.range(), self.ints([1]))

    def visible(self):
        """[length, length] bool."""
        return self.causal()

    def mask(self):
        return self.op("Where", self.visible(), self.number(0.0), self.number(LOWEST[self.kind]))

    def scores(self, q, k):
        return self.op("Div", self.op("MatMul", q, self.op("Transpose", k, perm=[0, 1, 3, 2])), self.number(S ** 0.5))

    def masked(self, scores):
        return self.op("Add", scores, self.mask())

    def weigh(self, scores, v):
        return self.op("MatMul", self.op("Softmax", scores, axis=-1), v)

    def attend(self, x):
        q, k, v = (self.heads(self.linear(x, D, D, scale)) for scale in (2.0, 2.0, 1.0))
        y = self.weigh(self.masked(self.scores(self.turn(q), self.turn(k))), v)
        y = self.op("Reshape", self.op("Transpose", y, perm=[0, 2, 1, 3]), self.ints([0, 0, D]))
        return self.linear(y, D, D)

    def activate(self, gate):
        return self.op("Mul", gate, self.op("Sigmoid", gate))

    def feed(self, x):
        return self.linear(self.activate(self.linear(x, D, F)), F, D)

    def add(self, x, branch):
        return self.op("Add", x, branch)

    def layer(self, x):
        x = self.add(x, self.attend(self.norm(x)))
        return self.add(x, self.feed(self.norm(x)))

    def head(self, x):
        return self.linear(x, D, self.outputs_width)

    def more_inputs(self):
        return []

    def finish(self, x):
        self.op("Identity", x, name="logits")
        self.outputs = [helper.make_tensor_value_info("logits", self.type, ["B", "S", self.outputs_width])]

    def shape_of_ids(self):
        return ["B", "S"]

    def build(self):
        x = self.embed()
        for _ in range(self.layers):
            x = self.layer(x)
        self.finish(self.head(self.norm(x)))
        inputs = [helper.make_tensor_value_info("input_ids", TensorProto.INT64, self.shape_of_ids()), *self.more_inputs()]
        graph = helper.make_graph(self.nodes, "main_graph", inputs, self.outputs, self.weights)
        opsets = [helper.make_opsetid("", self.opset)] + [helper.make_opsetid(domain, version) for domain, version in self.domains]
        return helper.make_model(graph, opset_imports=opsets, ir_version=10)

    # The answer.

    def ids(self, length):
        return np.random.default_rng(length).integers(0, self.vocabulary, (self.batch, length))

    def more_feeds(self, ids):
        return {}

    @classmethod
    def answer(cls, length, kind="f32"):
        """ONNX Runtime's, without its optimizer; of the f32 model with rounded weights where `kind` has 16 bits."""
        model = cls("f32", kind) if kind in ("f16", "bf16") else cls(kind)
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads, options.log_severity_level = 1, 4
        runner = onnxruntime.InferenceSession(model.build().SerializeToString(), options, providers=["CPUExecutionProvider"])
        feeds = {"input_ids": model.ids(length), **model.more_feeds(model.ids(length))}
        known = {value.name for value in runner.get_inputs()}
        value = runner.run(None, {name: feed for name, feed in feeds.items() if name in known})[0]
        return np.asarray(value, np.float32)

    @classmethod
    def save(cls, path, kind="f32"):
        onnx.save(cls(kind).build(), path)


class Rotary(Model):
    """Rotary positions from Range, angles in f32, cosine and sine in the model's type."""
    base = 100.0
    rows = None

    def embed(self):
        return self.op("Gather", self.table(), "input_ids")

    def angles(self):
        """[length, S] f32."""
        places = self.op("Cast", self.op("Unsqueeze", self.range(), self.ints([1])), to=self.wide_type)
        angles = self.op("Mul", places, self.wide(self.base ** (-np.arange(0, S, 2) / S)))
        return self.op("Concat", angles, angles, axis=-1)

    def waves(self):
        angles = self.angles()
        waves = [self.op("Cos", angles), self.op("Sin", angles)]
        return [self.cast(wave) for wave in waves] if self.kind in ("f16", "bf16") else waves

    def turn(self, x):
        cos, sin = self.waves()
        low = self.op("Slice", x, self.ints([0]), self.ints([S // 2]), self.ints([3]))
        high = self.op("Slice", x, self.ints([S // 2]), self.ints([S]), self.ints([3]))
        turned = self.op("Concat", self.op("Neg", high), low, axis=-1)
        return self.op("Add", self.op("Mul", x, cos), self.op("Mul", turned, sin))


class Encoder(Model):
    """A BERT-like encoder: attention_mask of some type, LayerNormalization, biases, erf GELU."""
    encoder, batch, outputs_width = True, 2, D
    mask_type, mask_name = TensorProto.INT64, "attention_mask"

    def norm(self, x):
        return self.op("LayerNormalization", x, self.vector(centre=1.0), self.vector(), axis=-1, epsilon=1e-12)

    def mask(self):
        if self.mask_type == TensorProto.BOOL:
            seen = self.mask_name
        else:
            seen = self.cast(self.mask_name, TensorProto.BOOL)
        seen = self.op("Unsqueeze", seen, self.ints([1, 2]))
        return self.op("Where", seen, self.number(0.0), self.number(LOWEST[self.kind]))

    def activate(self, gate):
        erf = self.op("Erf", self.op("Div", gate, self.number(2 ** 0.5)))
        return self.op("Mul", self.op("Mul", gate, self.op("Add", erf, self.number(1.0))), self.number(0.5))

    def layer(self, x):
        x = self.norm(self.add(x, self.attend(x)))
        return self.norm(self.add(x, self.feed(x)))

    def more_inputs(self):
        return [helper.make_tensor_value_info(self.mask_name, self.mask_type, self.shape_of_ids())]

    @staticmethod
    def seen(ids):
        mask = np.ones_like(ids)
        if len(mask) > 1:
            mask[1, -3:] = 0
        return mask

    def more_feeds(self, ids):
        types = {TensorProto.INT64: np.int64, TensorProto.INT32: np.int32, TensorProto.BOOL: bool, TensorProto.FLOAT: np.float32}
        return {self.mask_name: self.seen(ids).astype(types[self.mask_type])}

    def head(self, x):
        return x

    def finish(self, x):
        self.op("Identity", x, name="last_hidden_state")
        self.outputs = [helper.make_tensor_value_info("last_hidden_state", self.type, ["B", "S", D])]
