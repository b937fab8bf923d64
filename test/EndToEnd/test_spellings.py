"""Spellings of large effect: each tiny model gives ONNX Runtime's values (its optimizer off), or, where it says so, is refused."""
import json
import subprocess

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from spelled_models import D, F, H, LOWEST, S, V, Encoder, Model, Rotary
from whole_way import BUILD, HOST, run_tool

BOUNDS = {"f32": 1e-4, "f64": 1e-4, "f16": 5e-3, "bf16": 3e-2}
MICROSOFT = ("com.microsoft", 1)
CASES = []


def case(kinds=("f32",), **members):
    """Takes a class as a case, in each of `kinds`, perhaps with some members set otherwise."""
    def take(cls):
        made = type(cls.__name__, (cls,), members) if members else cls
        name = "-".join([cls.__name__, *(str(value) for value in members.values() if not isinstance(value, (tuple, bool)))])
        CASES.extend((f"{name}-{kind}", made, kind) for kind in kinds)
        return cls
    return take


# Further out than any sample: right there, or refused.

@case(window=45, lengths=(24, 44, 60), must=False)
@case(window=64, lengths=(60, 80), must=False)
@case(window=200, lengths=(24, 230), must=False)
class Window(Rotary):
    def visible(self):
        near = self.op("Less", self.distance(), self.ints(self.window))
        return self.op("And", self.causal(), near)


@case(window=64, lengths=(60, 80), must=False)
class WindowInOneLayer(Rotary):
    """In every second layer, by a Where over masked scores."""
    made = 0

    def masked(self, scores):
        self.made += 1
        if self.made % 2:
            return super().masked(scores)
        far = self.op("GreaterOrEqual", self.distance(), self.ints(self.window))
        return self.op("Where", far, self.number(LOWEST["f32"]), super().masked(scores))


@case(size=40, lengths=(24, 60), must=False)
@case(size=64, lengths=(60, 100), must=False)
class Chunks(Rotary):
    def visible(self):
        row = self.op("Div", self.range(), self.ints(self.size))
        same = self.op("Equal", self.op("Unsqueeze", row, self.ints([0])), self.op("Unsqueeze", row, self.ints([1])))
        return self.op("And", self.causal(), same)


@case(far=48, lengths=(24, 48, 60), must=False)
@case(far=100, lengths=(24, 120), must=False)
class RotationSwitch(Rotary):
    def angles(self):
        longer = self.op("Greater", self.length(), self.ints(self.far))
        return self.op("Mul", super().angles(), self.op("Where", longer, self.wide(0.25), self.wide(1.0)))


@case(far=48, lengths=(24, 60), must=False)
class RotationSwitchByIf(Rotary):
    def angles(self):
        branches = {}
        for name, factor in (("then_branch", 0.25), ("else_branch", 1.0)):
            self.serial += 1
            made = helper.make_node("Constant", [], [f"{name}_{self.serial}"], value=numpy_helper.from_array(np.float32(factor), "f"))
            info = helper.make_tensor_value_info(f"{name}_{self.serial}", TensorProto.FLOAT, [])
            branches[name] = helper.make_graph([made], name, [], [info])
        longer = self.op("Greater", self.length(), self.ints(self.far))
        return self.op("Mul", super().angles(), self.op("If", longer, **branches))


@case(far=40, lengths=(24, 90), must=False)
class DynamicBase(Rotary):
    def angles(self):
        total = self.op("Cast", self.length(), to=TensorProto.FLOAT)
        ratio = self.op("Sub", self.op("Div", self.op("Mul", total, self.wide(2.0)), self.wide(self.far)), self.wide(1.0))
        ratio = self.op("Max", ratio, self.wide(1.0))
        exponents = np.tile(-np.arange(0, S, 2) / (S - 2), 2)
        return self.op("Mul", super().angles(), self.op("Pow", ratio, self.wide(exponents)))


@case(start=8, lengths=(7, 40), must=False)
@case(start=50, lengths=(24, 120), must=False)
class LogScale(Rotary):
    def scores(self, q, k):
        count = self.op("Cast", self.op("Add", self.queries(), self.ints(1)), to=TensorProto.FLOAT)
        factor = self.op("Max", self.op("Div", self.op("Log", count), self.wide(np.log(self.start))), self.wide(1.0))
        return self.op("Mul", super().scores(q, k), factor)


@case(far=45, lengths=(24, 70), must=False)
class QueryScaleByPosition(Rotary):
    def turn(self, x):
        later = self.op("Greater", self.queries(), self.ints(self.far))
        return self.op("Mul", super().turn(x), self.op("Where", later, self.wide(0.7), self.wide(1.0)))


@case(far=45, lengths=(24, 70), must=False)
class WindowWithSinks(Rotary):
    def visible(self):
        row = self.op("Unsqueeze", self.range(), self.ints([0]))
        near = self.op("Less", self.distance(), self.ints(self.far))
        return self.op("And", self.causal(), self.op("Or", near, self.op("Less", row, self.ints(2))))


@case(opset=12, must=False)
class OldSoftmax(Model):
    """Softmax before opset 13 without an axis: over everything from axis 1 on."""
    def op(self, kind, *inputs, **rest):
        if kind == "Unsqueeze":
            axes = next(numpy_helper.to_array(w) for w in self.weights if w.name == inputs[1]).tolist()
            return super().op(kind, inputs[0], axes=axes, **rest)
        return super().op(kind, *inputs, **rest)

    def weigh(self, scores, v):
        return self.op("MatMul", self.op("Softmax", scores), v)


@case(must=True)
class NewSoftmax(Model):
    """From opset 13 on no axis means the last."""
    def weigh(self, scores, v):
        return self.op("MatMul", self.op("Softmax", scores), v)


@case(to=TensorProto.INT32, must=False)
@case(to=TensorProto.INT64, must=False)
@case(to=TensorProto.UINT8, must=False)
class TruncatedHidden(Model):
    def head(self, x):
        return super().head(self.cast(self.cast(self.op("Mul", x, self.number(3.0)), self.to)))


@case(must=False)
class TruncatedScores(Model):
    def scores(self, q, k):
        return self.cast(self.cast(super().scores(q, k), TensorProto.INT32))


@case(domains=(MICROSOFT,), must=False)
class UnknownNumbersOfGelu(Model):
    """QuickGelu with an alpha that is not 1.702."""
    def activate(self, gate):
        return self.op("QuickGelu", gate, domain="com.microsoft", alpha=0.9)


@case(opset=20, must=False)
class AxisOfLayerNorm(Model):
    def norm(self, x):
        return self.op("LayerNormalization", x, self.vector(centre=1.0), self.vector(), axis=1)


@case(opset=23, must=False)
class AttentionSoftcap(Rotary):
    def attend(self, x):
        q, k, v = (self.turn(self.heads(self.linear(x, D, D, scale))) for scale in (2.0, 2.0, 1.0))
        y = self.op("Attention", q, k, v, is_causal=1, softcap=2.0)
        y = self.op("Reshape", self.op("Transpose", y, perm=[0, 2, 1, 3]), self.ints([0, 0, D]))
        return self.linear(y, D, D)


@case()
class NamesOfTheImporter(Model):
    """Names that an importer might make up itself."""
    def attend(self, x):
        first = self.weight(D, D, name="W")
        q = self.heads(self.op("MatMul", x, first))
        k = self.heads(self.op("MatMul", x, self.weight(D, D, name="W transposed")))
        v = self.heads(self.op("MatMul", x, self.weight(D, D, name="W.weight")))
        y = self.weigh(self.masked(self.scores(q, k)), v)
        y = self.op("Reshape", self.op("Transpose", y, perm=[0, 2, 1, 3]), self.ints([0, 0, D]))
        y = self.op("MatMul", y, self.weight(D, D, name="W_transposed"))
        return self.op("Add", y, self.weight(D, name="W.sum"))

    layers = 1


# Sixteen bits.

HALF = ("f16", "bf16")


@case(HALF)
class Plain(Model):
    """Learned positions, SiLU, RMS norms in f32 between casts."""


@case(HALF)
class Turned(Rotary):
    """Angles in f32, cosine and sine rounded."""


@case(HALF, lengths=(24, 60))
class TurnedByTables(Rotary):
    """Cosine and sine as tables of 16 bits in the file, their rows gathered by position."""
    def waves(self):
        angles = np.outer(np.arange(96), self.base ** (-np.arange(0, S, 2) / S))
        angles = np.concatenate([angles, angles], -1)
        return [self.op("Gather", self.number(wave), self.range(), axis=0) for wave in (np.cos(angles), np.sin(angles))]


@case(HALF)
class FactorOfQueries(Rotary):
    """sqrt(scale) on queries and keys, rounded twice."""
    def scores(self, q, k):
        factor = self.number(S ** -0.25)
        q, k = self.op("Mul", q, factor), self.op("Mul", k, factor)
        return self.op("MatMul", q, self.op("Transpose", k, perm=[0, 1, 3, 2]))


@case(HALF)
class SoftmaxInF32(Rotary):
    def weigh(self, scores, v):
        wide = self.op("Softmax", self.cast(scores, TensorProto.FLOAT), axis=-1)
        return self.op("MatMul", self.cast(wide), v)


@case(("f32", *HALF))
class TanhGelu(Model):
    """The approximation of GELU, its constants rounded."""
    def activate(self, gate):
        cube = self.op("Pow", gate, self.number(3.0))
        inner = self.op("Add", gate, self.op("Mul", cube, self.number(0.044715)))
        bent = self.op("Tanh", self.op("Mul", inner, self.number((2 / np.pi) ** 0.5)))
        return self.op("Mul", self.op("Mul", gate, self.number(0.5)), self.op("Add", bent, self.number(1.0)))


@case(("f32", *HALF))
class ErfGeluByFactor(Model):
    """Times 0.7071 where others divide by 1.4142."""
    def activate(self, gate):
        erf = self.op("Erf", self.op("Mul", gate, self.number(0.5 ** 0.5)))
        return self.op("Mul", self.op("Mul", self.number(0.5), gate), self.op("Add", self.number(1.0), erf))


@case(("f32", *HALF))
class QuickGelu(Model):
    def activate(self, gate):
        return self.op("Mul", gate, self.op("Sigmoid", self.op("Mul", gate, self.number(1.702))))


@case(HALF)
class Bert(Encoder):
    pass


@case(("f32", *HALF), layers=6)
class DeepBert(Encoder):
    """More layers than a map of weights holds without moving; every parameter another."""


@case(("f32", *HALF), layers=6)
class DeepDecoder(Model):
    """GPT-2's parts: LayerNormalization, a bias everywhere, tanh GELU by the operator."""
    opset = 20

    def norm(self, x):
        return self.op("LayerNormalization", x, self.vector(centre=1.0), self.vector(), axis=-1, epsilon=1e-5)

    def linear(self, x, k, n, scale=1.0, bias=True):
        return super().linear(x, k, n, scale, bias)

    def activate(self, gate):
        return self.op("Gelu", gate, approximate="tanh")


@case(("f32", *HALF))
class Types(Encoder):
    """Token type 0 as a row of 16 bits added to the embedding."""
    def embed(self):
        x = super().embed()
        return self.norm(self.op("Add", x, self.op("Gather", self.weight(2, D, scale=0.5), self.ints(0), axis=0)))


@case(("f32", *HALF))
class ScaledEmbedding(Rotary):
    """Gemma: sqrt(D) in the model's type."""
    def embed(self):
        return self.op("Mul", super().embed(), self.number(D ** 0.5))


# Small spellings.

@case()
class ScaledEmbeddingPositions(Model):
    def embed(self):
        x = self.op("Mul", self.number(D ** 0.5), self.op("Gather", self.table(), "input_ids"))
        places = self.op("Unsqueeze", self.range(), self.ints([0]))
        return self.op("Add", self.op("Gather", self.weight(96, D, scale=0.5), places), x)


@case()
class ScaledEmbeddingLayerNorm(Rotary):
    """A scaled embedding straight into the LayerNormalization operator."""
    def embed(self):
        return self.op("Mul", super().embed(), self.number(5.0))

    def norm(self, x):
        return self.op("LayerNormalization", x, self.vector(centre=1.0), self.vector(), axis=-1, epsilon=0.05)


@case(opset=23)
class ScaledEmbeddingRMSNormalization(Rotary):
    def embed(self):
        return self.op("Mul", super().embed(), self.number(0.2))

    def norm(self, x):
        return self.op("RMSNormalization", x, self.vector(centre=1.0), axis=-1, epsilon=0.05)


@case(("f32", *HALF))
class ScaledBranches(Rotary):
    """Granite: branches times a number before they are added, logits divided."""
    def add(self, x, branch):
        return self.op("Add", x, self.op("Mul", branch, self.number(0.22)))

    def head(self, x):
        return self.op("Div", super().head(x), self.number(8.0))


@case()
class ScaledLinearIntoActivation(Model):
    def activate(self, gate):
        return super().activate(self.op("Mul", gate, self.number(0.6)))


@case(domains=(MICROSOFT,))
class FastGeluWithBias(Model):
    def activate(self, gate):
        return self.op("FastGelu", gate, self.vector(F), domain="com.microsoft")


@case(domains=(MICROSOFT,))
class FastGeluWithoutBias(Model):
    def activate(self, gate):
        return self.op("FastGelu", gate, domain="com.microsoft")


@case(domains=(MICROSOFT,))
class BiasGelu(Model):
    def activate(self, gate):
        return self.op("BiasGelu", gate, self.vector(F), domain="com.microsoft")


@case(domains=(MICROSOFT,))
class FusedMatMulOfKeys(Rotary):
    def scores(self, q, k):
        return self.op("FusedMatMul", q, k, domain="com.microsoft", transB=1, alpha=S ** -0.5)


@case(domains=(MICROSOFT,))
class FusedMatMulLinear(Rotary):
    """A linear with alpha and its weight transposed."""
    def head(self, x):
        return self.op("FusedMatMul", x, self.weight(V, D, scale=D ** -0.5), domain="com.microsoft", transB=1, alpha=0.4)


@case(kind_of="alpha")
@case(kind_of="transposed")
@case(kind_of="beta")
class GemmHead(Model):
    def head(self, x):
        y = self.op("Reshape", x, self.ints([-1, D]))
        if self.kind_of == "transposed":
            y = self.op("Gemm", y, self.weight(V, D, scale=D ** -0.5), self.vector(V), transB=1)
        elif self.kind_of == "alpha":
            y = self.op("Gemm", y, self.weight(D, V), self.vector(V), alpha=0.7)
        else:
            y = self.op("Gemm", y, self.weight(D, V), self.vector(V), beta=-0.5)
        shape = self.op("Concat", self.op("Shape", "input_ids"), self.ints([V]), axis=0)
        return self.op("Reshape", y, shape)


@case(must=False)
class GemmOfTransposed(Model):
    """transA: the data comes transposed."""
    def head(self, x):
        y = self.op("Transpose", self.op("Reshape", x, self.ints([-1, D])), perm=[1, 0])
        y = self.op("Gemm", y, self.weight(D, V), self.vector(V), transA=1)
        return self.op("Reshape", y, self.op("Concat", self.op("Shape", "input_ids"), self.ints([V]), axis=0))


@case()
class GatherNDMoves(Model):
    """A heads' axis taken by GatherND in its own order."""
    def heads(self, y):
        y = self.op("Reshape", y, self.ints([0, 0, H, S]))
        y = self.op("Transpose", y, perm=[2, 0, 1, 3])
        y = self.op("GatherND", y, self.ints([[0], [1], [2], [3]]))
        return self.op("Transpose", y, perm=[1, 0, 2, 3])


@case(order="MulAfter")
@case(order="DivAfter")
class ScaleAfterMask(Rotary):
    """Masked scores multiplied or divided by a number."""
    def scores(self, q, k):
        return self.op("MatMul", q, self.op("Transpose", k, perm=[0, 1, 3, 2]))

    def masked(self, scores):
        scores = self.op("Where", self.visible(), scores, self.number(-1e9))
        return self.op(self.order[:3], scores, self.number(S ** -0.5 if self.order == "MulAfter" else S ** 0.5))


@case()
class LargestOfMask(Rotary):
    def masked(self, scores):
        return self.op("Max", super().masked(scores), self.number(LOWEST[self.kind]))


@case()
class ClippedMask(Rotary):
    def masked(self, scores):
        return self.op("Clip", super().masked(scores), self.number(LOWEST[self.kind]))


@case(rows=6, lengths=(6,))
@case(rows=10, lengths=(5, 10))
@case(rows=20, lengths=(20,))
class ShortContext(Model):
    pass


@case(rows=12, lengths=(4, 10))
class OffsetPositions(Model):
    """OPT: rows begin at 2, so a table of 12 rows has a context of 10."""
    def embed(self):
        x = self.op("Gather", self.table(), "input_ids")
        places = self.op("Add", self.op("Unsqueeze", self.range(), self.ints([0])), self.ints(2))
        return self.op("Add", x, self.op("Gather", self.weight(self.rows, D, scale=0.5), places))


@case(rows=64, lengths=(24, 64))
class SlicedRows(Model):
    """Rows of positions sliced from a constant of three axes."""
    def embed(self):
        x = self.op("Gather", self.table(), "input_ids")
        end = self.op("Unsqueeze", self.length(), self.ints([0]))
        rows = self.weight(1, self.rows, D, scale=0.5)
        return self.op("Add", x, self.op("Slice", rows, self.ints([0]), end, self.ints([1])))


@case(rows=64, lengths=(24,))
class LastRows(Model):
    """Constant rows taken by a negative offset from the end."""
    def embed(self):
        x = self.op("Gather", self.table(), "input_ids")
        end = self.op("Unsqueeze", self.length(), self.ints([0]))
        rows = self.weight(1, self.rows, D, scale=0.5)
        begin = self.op("Add", self.ints([-self.rows]), self.ints([0]))
        last = self.op("Sub", end, self.ints([self.rows + 1]))
        last = self.op("Add", last, self.ints([1]))
        taken = self.op("Slice", rows, begin, last, self.ints([1]))
        # At full length the end would be 0: kept below it.
        return self.op("Add", x, taken)


@case(mask_type=TensorProto.BOOL, lengths=(9, 24))
@case(mask_type=TensorProto.FLOAT, lengths=(9, 24))
@case(mask_type=TensorProto.INT32, lengths=(9, 24))
@case(mask_name="mask")
@case(mask_name="input.3")
class MaskedEncoder(Encoder):
    pass


@case(lengths=(24,))
class MaskByMultiplication(Encoder):
    """(1 - mask) times the lowest number, the mask a float."""
    mask_type = TensorProto.FLOAT

    def mask(self):
        hidden = self.op("Sub", self.number(1.0), self.mask_name)
        return self.op("Unsqueeze", self.op("Mul", hidden, self.number(-1e4)), self.ints([1, 2]))


@case(lengths=(12,))
class FixedLength(Rotary):
    batch = 1

    def shape_of_ids(self):
        return [1, 12]


@case(lengths=(12,))
class FixedLengthLearned(Model):
    """Fixed length 12: rows of positions and the mask are constants."""
    def shape_of_ids(self):
        return [1, 12]

    def embed(self):
        x = self.op("Gather", self.table(), "input_ids")
        return self.op("Add", x, self.weight(1, 12, D, scale=0.5))

    def mask(self):
        return self.number(np.triu(np.full((1, 1, 12, 12), LOWEST[self.kind]), 1))


@case(lengths=(9,))
class FixedBatch(Encoder):
    def shape_of_ids(self):
        return [2, "S"]


@case(lengths=(9,))
class FixedEncoder(Encoder):
    def shape_of_ids(self):
        return [2, 9]


@case(place="embedding")
@case(place="attention")
@case(place="mlp")
@case(place="head")
class ConstantVector(Model):
    """A constant vector added somewhere."""
    def constant_at(self, place, x):
        return self.op("Add", self.vector(), x) if self.place == place else x

    def embed(self):
        return self.constant_at("embedding", super().embed())

    def attend(self, x):
        return self.constant_at("attention", super().attend(x))

    def feed(self, x):
        return self.constant_at("mlp", super().feed(x))

    def head(self, x):
        return super().head(self.constant_at("head", x))


@case(must=False)
class ScaledLogits(Rotary):
    """The last thing in the graph multiplies the output by a constant vector."""
    def head(self, x):
        return self.op("Mul", super().head(x), self.vector(V, centre=1.0))


@case(must=False)
class ScaledHidden(Encoder):
    """The same behind a norm, which can take it."""
    def head(self, x):
        return self.op("Mul", self.norm(x), self.vector(centre=1.0))


@case()
class ConstantVectorTied(Model):
    """Type 0 folded into a vector, the table is the head too."""
    def table(self):
        self.kept = super().table()
        return self.kept

    def embed(self):
        return self.op("Add", super().embed(), self.vector())

    def head(self, x):
        return self.op("MatMul", x, self.op("Transpose", self.kept, perm=[1, 0]))


@case(outputs_width=56)
@case(vocabulary=40)
class WiderHead(Rotary):
    """More logits than ids."""


@case(outputs_width=40)
class NarrowHead(Rotary):
    """Fewer logits than ids."""


@case(how="Sub")
@case(how="scalar")
@case(how="left")
class Biases(Model):
    def head(self, x):
        y = super().head(x)
        if self.how == "Sub":
            return self.op("Sub", y, self.vector(V))
        if self.how == "scalar":
            return self.op("Add", y, self.number(0.75))
        return self.op("Add", self.vector(V), y)


@case(factor=0.5)
@case(factor=-2.0)
class ScaledValues(Rotary):
    def weigh(self, scores, v):
        return super().weigh(scores, self.op("Mul", v, self.number(self.factor)))


@case()
class ScaledKeys(Rotary):
    """YaRN's factor on keys only."""
    def scores(self, q, k):
        return super().scores(q, self.op("Mul", k, self.number(1.2)))


@case(name_of="cache_position", type_of=TensorProto.INT64, dims=("S",))
@case(name_of="use_cache_branch", type_of=TensorProto.BOOL, dims=(1,))
@case(name_of="num_logits_to_keep", type_of=TensorProto.INT64, dims=())
class UnusedInput(Rotary):
    def more_inputs(self):
        return [helper.make_tensor_value_info(self.name_of, self.type_of, list(self.dims))]

    def more_feeds(self, ids):
        return {"cache_position": {"cache_position": np.arange(ids.shape[1])}, "use_cache_branch": {"use_cache_branch": np.array([True])},
                "num_logits_to_keep": {"num_logits_to_keep": np.array(1)}}[self.name_of]


@case()
class SecondOutput(Rotary):
    """The last hidden state besides the logits."""
    def head(self, x):
        self.kept = x
        return super().head(x)

    def finish(self, x):
        super().finish(x)
        self.op("Identity", self.kept, name="hidden_states")
        self.outputs.append(helper.make_tensor_value_info("hidden_states", self.type, ["B", "S", D]))


@case(domains=(("ai.onnx", 17),))
class OpsetTwice(Rotary):
    pass


@case(("f64",), must=False)
class Double(Rotary):
    """All of it in f64."""


def attempt(cls, kind, folder, flags=()):
    """("refused", words) or ("values", [(length, got)])."""
    model, base = folder / "model.onnx", folder / "m"
    cls.save(model, kind)
    # Ten minutes for 30,000 parameters: only what hangs takes longer, however busy the machine.
    result = subprocess.run([BUILD / "bin" / "llmc-import", *flags, model, "-o", f"{base}.mlirbc"], capture_output=True, text=True,
                            timeout=600)
    assert result.returncode in (0, 2), f"llmc-import exited {result.returncode}: {result.stderr[-2000:]}"
    if result.returncode == 2:
        assert not base.with_suffix(".mlirbc").exists() and result.stderr
        return "refused", result.stderr
    run_tool("llmc-compile", *HOST, f"{base}.mlirbc", "-o", base)
    found = []
    for length in cls.lengths:
        ids = cls(kind).ids(length)
        np.save(folder / "ids.npy", ids if cls.encoder else ids[0])
        if cls.encoder:
            info = json.loads(base.with_suffix(".json").read_text())
            arguments = [f"--input=input_ids={folder}/ids.npy"]
            for entry in info["inputs"]:
                if entry["name"] != "input_ids":
                    np.save(folder / "mask.npy", cls.seen(ids))
                    arguments.append(f"--input={entry['name']}={folder}/mask.npy")
            run_tool("llmc-run", base, *arguments, f"--output={info['outputs'][0]['name']}={folder}/out.npy")
        else:
            command = [BUILD / "bin" / "llmc-run", base, f"--prompt-ids=@{folder}/ids.npy", f"--prefill={max(1, length - 3)}",
                       f"--logits={folder}/out.npy"]
            run = subprocess.run(command, capture_output=True, text=True)
            if run.returncode == 2 and "context" in run.stderr and length > min(cls.lengths) and not cls.must:
                continue  # a hard bound before that length
            assert run.returncode == 0, run.stderr
        found.append((length, np.load(folder / "out.npy")))
    return "values", found


@pytest.mark.parametrize("name,cls,kind", CASES, ids=[name for name, _, _ in CASES])
def test_right_or_refused(tmp_path, name, cls, kind):
    state, found = attempt(cls, kind, tmp_path)
    if state == "refused":
        assert not cls.must, found
        return
    for length, got in found:
        want = cls.answer(length, kind)
        want = want if cls.encoder else want[0]
        assert got.shape == want.shape
        if cls.encoder:
            seen = cls.seen(cls(kind).ids(length)).astype(bool)
            got, want = got[seen], want[seen]
        assert np.abs(got - want).max() <= BOUNDS[kind] * np.abs(want).max(), f"at {length} positions"


@pytest.mark.parametrize("cls", [TruncatedHidden, TruncatedScores, OldSoftmax])
def test_refused_without_the_check_too(tmp_path, cls):
    """What these do is seen by reading, not only by comparing: a large model is not compared."""
    made = next(made for _, made, _ in CASES if issubclass(made, cls))
    state, found = attempt(made, "f32", tmp_path, ["--no-verify"])
    if state == "values":
        for length, got in found:
            want = made.answer(length)[0]
            assert np.abs(got - want).max() <= BOUNDS["f32"] * np.abs(want).max()


def test_half_graphs_are_what_they_mean():
    """ONNX Runtime's f16 answer is near that of f32 with rounded weights, which is the oracle of 16 bits."""
    for cls in (Plain, Turned, TanhGelu):
        model = cls("f16")
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        runner = onnxruntime.InferenceSession(model.build().SerializeToString(), options, providers=["CPUExecutionProvider"])
        got = runner.run(None, {"input_ids": model.ids(24)})[0].astype(np.float32)
        want = cls.answer(24, "f16")
        assert np.abs(got - want).max() < 1e-2 * np.abs(want).max()


def test_every_model_is_valid_onnx():
    for _, cls, kind in CASES:
        if MICROSOFT not in cls.domains:
            onnx.checker.check_model(cls(kind).build())
