"""Norms, softmax and products in other words: each tiny model gives ONNX Runtime's values (its optimizer off)."""
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from spelled_models import D, F, H, S, V, Encoder, Model, Rotary
from test_spellings import MICROSOFT, attempt

CASES = []


def case(**members):
    def take(cls):
        made = type(cls.__name__, (cls,), members) if members else cls
        CASES.append(("-".join([cls.__name__, *(str(value) for value in members.values())]), made))
        return cls
    return take


# Norms.

@case(how="sum")
@case(how="sum-times-inverse")
@case(how="sum-square")
@case(how="l2")
@case(how="l2-clipped")
@case(how="keepdims-0")
class RMSNormInOtherWords(Rotary):
    """x / sqrt(mean(x^2) + eps) from sums."""

    def norm(self, x):
        shape = [-1]
        square = self.op("Mul", x, x)
        if self.how in ("l2", "l2-clipped"):
            length = self.op("ReduceL2", x, axes=shape, keepdims=1)
            if self.how == "l2-clipped":
                length = self.op("Clip", length, self.number(1e-12))
            y = self.op("Mul", self.op("Div", x, length), self.number(D ** 0.5))
            return self.op("Mul", y, self.vector(centre=1.0))
        if self.how == "sum-square":
            mean = self.op("Div", self.op("ReduceSumSquare", x, axes=shape, keepdims=1), self.number(D))
        elif self.how == "keepdims-0":
            mean = self.op("Unsqueeze", self.op("ReduceMean", square, axes=shape, keepdims=0), self.ints([-1]))
        else:
            total = self.op("ReduceSum", square, self.ints(shape), keepdims=1)
            mean = self.op("Mul", total, self.number(1 / D)) if "inverse" in self.how else self.op("Div", total, self.number(D))
        root = self.op("Sqrt", self.op("Add", mean, self.number(1e-5)))
        return self.op("Mul", self.op("Div", x, root), self.vector(centre=1.0))


@case(how="none")
@case(how="number")
class RMSNormWithoutScale(Rotary):
    def norm(self, x):
        y = self.op("Div", x, self.op("Sqrt", self.op("Add", self.op("ReduceMean", self.op("Mul", x, x), axes=[-1]), self.number(1e-5))))
        return self.op("Mul", y, self.number(0.7)) if self.how == "number" else y


class LayerNormWords(Encoder):
    """Layer norm of TensorFlow or JAX; its parameters and statistics in `parts`."""

    def norm(self, x):
        mean = self.op("ReduceMean", x, axes=[-1], keepdims=1)
        return self.words(x, mean, self.vector(centre=1.0), self.vector())

    def variance(self, x, mean):
        away = self.op("Sub", x, mean)
        return self.op("ReduceMean", self.op("Mul", away, away), axes=[-1], keepdims=1)

    def inverse(self, variance):
        return self.op("Reciprocal", self.op("Sqrt", self.op("Add", variance, self.number(1e-6))))


@case(scale=True, minus="Sub")
@case(scale=True, minus="Neg")
@case(scale=True, minus="Less")
@case(scale=False, minus="Sub")
class TensorFlowNorm(LayerNormWords):
    """x * (gamma / std) + (beta - mean * (gamma / std))."""

    def words(self, x, mean, gamma, beta):
        inverse = self.inverse(self.variance(x, mean))
        factor = self.op("Mul", inverse, gamma) if self.scale else inverse
        shift = self.op("Mul", mean, factor)
        data = self.op("Mul", x, factor)
        if self.minus == "Less":
            return self.op("Add", self.op("Sub", data, shift), beta)
        if self.minus == "Neg":
            return self.op("Add", data, self.op("Add", self.op("Neg", shift), beta))
        return self.op("Add", data, self.op("Sub", beta, shift))


@case(fast=True)
@case(fast=False)
class JaxNorm(LayerNormWords):
    """(x - mean) * (gamma / std) + beta, the variance as E[x^2] - E[x]^2."""

    def words(self, x, mean, gamma, beta):
        if self.fast:
            squares = self.op("ReduceMean", self.op("Mul", x, x), axes=[-1], keepdims=1)
            variance = self.op("Max", self.op("Sub", squares, self.op("Mul", mean, mean)), self.number(0.0))
        else:
            variance = self.variance(x, mean)
        factor = self.op("Mul", self.inverse(variance), gamma)
        return self.op("Add", self.op("Mul", self.op("Sub", x, mean), factor), beta)


# Softmax.

@case(how="max")
@case(how="plain")
@case(how="reciprocal")
class SoftmaxSpelledOut(Rotary):
    def weigh(self, scores, v):
        if self.how != "plain":
            scores = self.op("Sub", scores, self.op("ReduceMax", scores, axes=[-1], keepdims=1))
        above = self.op("Exp", scores)
        below = self.op("ReduceSum", above, self.ints([-1]), keepdims=1)
        if self.how == "reciprocal":
            probs = self.op("Mul", above, self.op("Reciprocal", below))
        else:
            probs = self.op("Div", above, below)
        return self.op("MatMul", probs, v)


# Products.

@case()
class WeightOnTheLeft(Rotary):
    """W x, of columns."""

    def linear(self, x, k, n, scale=1.0, bias=False):
        y = self.op("MatMul", self.weight(n, k, scale=scale * k ** -0.5), self.op("Transpose", x, perm=[0, 2, 1]))
        return self.op("Transpose", y, perm=[0, 2, 1])


@case(equation="bsd,df->bsf")
@case(equation="bsd,fd->bsf")
@case(equation="fd,bsd->bsf")
@case(equation="...d,df->...f")
@case(equation="bsd , df")
class EinsumLinear(Rotary):
    def linear(self, x, k, n, scale=1.0, bias=False):
        swapped = "fd" in self.equation
        weight = self.weight(*((n, k) if swapped else (k, n)), scale=scale * k ** -0.5)
        operands = (weight, x) if self.equation.startswith("fd") else (x, weight)
        y = self.op("Einsum", *operands, equation=self.equation)
        # Implicit outputs are in alphabetical order.
        return self.op("Transpose", y, perm=[0, 2, 1]) if "->" not in self.equation else y


@case(keys_first=False)
@case(keys_first=True)
class EinsumAttention(Rotary):
    """Heads that are never transposed, projections from and to [heads, size]."""

    def attend(self, x):
        def project(scale):
            return self.op("Einsum", x, self.weight(D, H, S, scale=scale * D ** -0.5), equation="bsd,dhk->bhsk")
        q, k, v = self.turn(project(2.0)), self.turn(project(2.0)), project(1.0)
        q, k, v = (self.op("Transpose", part, perm=[0, 2, 1, 3]) for part in (q, k, v))
        if self.keys_first:
            scores = self.op("Einsum", k, q, equation="bthd,bshd->bhst")
        else:
            scores = self.op("Einsum", q, k, equation="bshd,bthd->bhst")
        scores = self.masked(self.op("Mul", scores, self.number(S ** -0.5)))
        y = self.op("Einsum", self.op("Softmax", scores, axis=-1), v, equation="bhst,bthd->bshd")
        return self.op("Einsum", y, self.weight(H, S, D, scale=D ** -0.5), equation="bshd,hdf->bsf")


@case()
class EinsumAngles(Rotary):
    """Positions times frequencies as an outer product."""

    def angles(self):
        places = self.op("Cast", self.range(), to=TensorProto.FLOAT)
        angles = self.op("Einsum", places, self.wide(self.base ** (-np.arange(0, S, 2) / S)), equation="i,j->ij")
        return self.op("Concat", angles, angles, axis=-1)


# Functions.

class WithFunctions(Rotary):
    domains = (("pkg.local", 1),)
    opsets = 17

    def function(self, name, inputs, outputs, nodes, attributes=(), defaults=()):
        self.functions.append(helper.make_function("pkg.local", name, list(inputs), list(outputs), nodes,
                                                   [helper.make_opsetid("", self.opsets), helper.make_opsetid("pkg.local", 1)],
                                                   list(attributes), list(defaults)))

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.functions = []
        self.declare()

    def build(self):
        model = super().build()
        model.functions.extend(self.functions)
        return model


def referring(node, name, source, kind):
    attribute = node.attribute.add()
    attribute.name, attribute.ref_attr_name, attribute.type = name, source, kind
    return node


@case()
class NestedFunctions(WithFunctions):
    """A norm with an attribute, one with its default, and a function that calls another twice."""

    def declare(self):
        make = helper.make_node
        norm = referring(make("LayerNormalization", ["x", "g"], ["y"], "ln"), "epsilon", "eps", onnx.AttributeProto.FLOAT)
        self.function("Norm", ["x", "g"], ["y"], [norm], [], [helper.make_attribute("eps", 1e-5)])
        self.function("Sigma", ["x"], ["y"], [make("Sigmoid", ["x"], ["y"])])
        # Its values are called as some of the graph's are.
        self.function("Silu", ["matmul_1"], ["mul_2", "relu_3"], [
            make("Sigma", ["matmul_1"], ["s"], domain="pkg.local"), make("Mul", ["matmul_1", "s"], ["mul_2"]),
            make("Relu", ["matmul_1"], ["relu_3"])])

    def norm(self, x):
        attributes = {"eps": 1e-3} if len(self.nodes) % 2 else {}
        return self.op("Norm", x, self.vector(centre=1.0), domain="pkg.local", **attributes)

    def activate(self, gate):
        # In turn one of both outputs is left out.
        self.serial += 1
        names = [f"a_{self.serial}", ""] if self.serial % 2 else ["", f"a_{self.serial}"]
        self.nodes.append(helper.make_node("Silu", [gate], names, f"node_{self.serial}_Silu", domain="pkg.local"))
        return f"a_{self.serial}"


@case()
class LayerFunction(WithFunctions):
    """A whole feed-forward block as a function, an `If` inside, one optional input left out."""

    def declare(self):
        make, info = helper.make_node, helper.make_tensor_value_info
        branches = {}
        for name, op in (("then_branch", "Relu"), ("else_branch", "Tanh")):
            branches[name] = helper.make_graph([make(op, ["h"], ["out"])], name, [], [info("out", TensorProto.FLOAT, None)])
        nodes = [make("MatMul", ["x", "up"], ["h"]), make("Constant", [], ["yes"], value=numpy_helper.from_array(np.array(True))),
                 make("If", ["yes"], ["a"], **branches), make("MatMul", ["a", "down"], ["m"]),
                 make("Clip", ["m", "least", "most"], ["y"])]
        self.function("Feed", ["x", "up", "down", "least", "most"], ["y"], nodes)

    def feed(self, x):
        return self.op("Feed", x, self.weight(D, F), self.weight(F, D), domain="pkg.local")


# Quantized weights.

@case(signed=True, per_column=False)
@case(signed=False, per_column=True)
class DynamicallyQuantized(Rotary):
    """As onnxruntime.quantization.quantize_dynamic writes it."""
    bound = 5e-2

    def linear(self, x, k, n, scale=1.0, bias=False):
        weight = scale * k ** -0.5 * self.draw.standard_normal((k, n))
        most = np.abs(weight).max(axis=0) if self.per_column else np.abs(weight).max()
        step = np.asarray(most / 127, np.float32)
        codes = np.rint(weight / step)
        kind, zero = (np.int8, 0) if self.signed else (np.uint8, 128)
        zeros = np.full(step.shape, zero, kind)
        data, own, zero_of_data = self.op("DynamicQuantizeLinear", x, outputs=3)
        product = self.op("MatMulInteger", data, self.store((codes + zero).astype(kind)), zero_of_data, self.store(zeros))
        product = self.op("Cast", product, to=TensorProto.FLOAT)
        return self.op("Mul", product, self.op("Mul", own, self.store(step)))


@case(how="DequantizeLinear", zero=0)
@case(how="DequantizeLinear", zero=3)
@case(how="Cast", zero=0)
@case(how="before", zero=0)
class TablesOfIntegers(Model):
    """Words and positions as bytes, which become numbers behind the gather, or before it with a scale for each row."""

    def number_of(self, rows):
        if self.how == "Cast":
            return self.op("Mul", self.op("Cast", rows, to=TensorProto.FLOAT), self.number(0.01))
        kind = np.int8 if self.zero == 0 else np.uint8
        return self.op("DequantizeLinear", rows, self.number(0.01), self.store(np.asarray(self.zero, kind)))

    def rows_of(self, count, ids):
        codes = self.draw.integers(-90, 90, (count, D)).astype(np.int8)
        if self.how == "before":
            scales = self.store((0.01 + 0.002 * self.draw.random((count, 1))).astype(np.float32))
            table = self.op("Mul", self.op("Cast", self.store(codes), to=TensorProto.FLOAT), scales)
            return self.op("Gather", table, ids)
        codes = codes if self.zero == 0 else (codes.astype(np.int16) + 128).astype(np.uint8)
        return self.number_of(self.op("Gather", self.store(codes), ids))

    def embed(self):
        places = self.op("Unsqueeze", self.range(), self.ints([0]))
        return self.op("Add", self.rows_of(V, "input_ids"), self.rows_of(self.rows, places))


@case(form="int4")
@case(form="uint4")
@case(form="uint4-zeros")
@case(form="packed")
@case(form="packed-zeros")
class GatheredBlocks(Rotary):
    """GatherBlockQuantized in the forms that onnxruntime reads."""
    domains, opset = (MICROSOFT,), 21

    def embed(self):
        block = 16
        codes = self.draw.integers(0, 16, (V, D))
        scales = self.store((0.1 + 0.05 * self.draw.random((V, D // block))).astype(np.float32))
        zeros = self.draw.integers(4, 12, (V, D // block))
        def packed(values):
            return (values[:, ::2] | values[:, 1::2] << 4).astype(np.uint8)
        def typed(values, kind):
            self.serial += 1
            self.weights.append(helper.make_tensor(f"c_{self.serial}", kind, values.shape, packed(values & 15).tobytes(), raw=True))
            return f"c_{self.serial}"
        attributes = {"block_size": block, "gather_axis": 0, "quantize_axis": 1}
        if self.form == "int4":
            inputs = [typed(codes, TensorProto.INT4), "input_ids", scales]
        elif self.form.startswith("uint4"):
            inputs = [typed(codes, TensorProto.UINT4), "input_ids", scales]
            if "zeros" in self.form:
                inputs.append(typed(zeros, TensorProto.UINT4))
        else:
            attributes["bits"] = 4
            inputs = [self.store(packed(codes)), "input_ids", scales]
            if "zeros" in self.form:
                inputs.append(self.store(packed(zeros)))
        return self.op("GatherBlockQuantized", *inputs, domain="com.microsoft", **attributes)

    def norm(self, x):
        return self.op("LayerNormalization", x, self.vector(centre=1.0), axis=-1)


@case()
class QuantizedPositions(Model):
    """The table of positions in blocks of codes too."""
    domains, opset = (MICROSOFT,), 21

    def norm(self, x):
        return self.op("LayerNormalization", x, self.vector(centre=1.0), axis=-1)

    def embed(self):
        def rows(count, ids):
            codes = self.draw.integers(0, 16, (count, D))
            self.serial += 1
            self.weights.append(helper.make_tensor(f"c_{self.serial}", TensorProto.INT4, codes.shape,
                                                   (codes[:, ::2] | codes[:, 1::2] << 4).astype(np.uint8).tobytes(), raw=True))
            scales = self.store((0.1 + 0.05 * self.draw.random((count, D // 16))).astype(np.float32))
            return self.op("GatherBlockQuantized", f"c_{self.serial - 1}", ids, scales, domain="com.microsoft",
                           block_size=16, gather_axis=0, quantize_axis=1)
        places = self.op("Unsqueeze", self.range(), self.ints([0]))
        return self.op("Add", rows(V, "input_ids"), rows(self.rows, places))


@pytest.mark.parametrize("name,cls", CASES, ids=[name for name, _ in CASES])
def test_right(tmp_path, name, cls):
    state, found = attempt(cls, "f32", tmp_path)
    assert state == "values", found
    for length, got in found:
        want = cls.answer(length)
        want = want if cls.encoder else want[0]
        assert got.shape == want.shape
        if cls.encoder:
            seen = cls.seen(cls().ids(length)).astype(bool)
            got, want = got[seen], want[seen]
        assert np.abs(got - want).max() <= getattr(cls, "bound", 1e-4) * np.abs(want).max(), f"at {length} positions"


# What is near one of these and is not it.

class MeanOfOthers(RMSNormInOtherWords):
    """The statistic lies along other rows than the data's."""
    how = "turned"

    def norm(self, x):
        mean = self.op("ReduceMean", self.op("Mul", x, x), axes=[-1], keepdims=0)
        root = self.op("Sqrt", self.op("Add", self.op("Unsqueeze", mean, self.ints([1])), self.number(1e-5)))
        short = self.op("Slice", root, self.ints([0]), self.ints([1]), self.ints([2]))
        return self.op("Mul", self.op("Div", x, short), self.vector(centre=1.0))


class SumPlusOne(SoftmaxSpelledOut):
    """Attention with an off switch: exp / (1 + sum)."""
    def weigh(self, scores, v):
        above = self.op("Exp", scores)
        below = self.op("Add", self.op("ReduceSum", above, self.ints([-1]), keepdims=1), self.number(1.0))
        return self.op("MatMul", self.op("Div", above, below), v)


class OtherMean(TensorFlowNorm):
    """The mean of another tensor."""
    scale, minus = True, "Sub"

    def words(self, x, mean, gamma, beta):
        other = self.op("ReduceMean", self.op("MatMul", x, self.weight(D, D)), axes=[-1], keepdims=1)
        inverse = self.op("Mul", self.inverse(self.variance(x, mean)), gamma)
        return self.op("Add", self.op("Mul", x, inverse), self.op("Sub", beta, self.op("Mul", other, inverse)))


class Recursive(WithFunctions):
    def declare(self):
        self.function("Loop", ["x"], ["y"], [helper.make_node("Loop", ["x"], ["y"], domain="pkg.local")])

    def activate(self, gate):
        return self.op("Loop", gate, domain="pkg.local")


class Multiplying(WithFunctions):
    """Ten calls of ten calls of ... : a small file that would be ten million nodes."""
    def declare(self):
        for level in range(7):
            op = dict(op_type=f"F{level - 1}", domain="pkg.local") if level else dict(op_type="Identity")
            chain = [helper.make_node(inputs=[f"v{i}"], outputs=[f"v{i + 1}"], **op) for i in range(10)]
            self.function(f"F{level}", ["v0"], ["v10"], chain)

    def activate(self, gate):
        return self.op("F6", gate, domain="pkg.local")


class OtherOpset(WithFunctions):
    opsets = 13

    def declare(self):
        self.function("Swish", ["x"], ["y"], [helper.make_node("Sigmoid", ["x"], ["s"]), helper.make_node("Mul", ["x", "s"], ["y"])])

    def activate(self, gate):
        return self.op("Swish", gate, domain="pkg.local")


class UnknownAttribute(WithFunctions):
    def declare(self):
        self.function("Swish", ["x"], ["y"], [helper.make_node("Sigmoid", ["x"], ["s"]), helper.make_node("Mul", ["x", "s"], ["y"])])

    def activate(self, gate):
        return self.op("Swish", gate, domain="pkg.local", beta=2.0)


@pytest.mark.parametrize("cls,words", [
    (MeanOfOthers, "node_"), (SumPlusOne, "node_"), (OtherMean, "node_"), (Recursive, "calls itself"),
    (OtherOpset, "uses opset 13 of ai.onnx, the model 17"), (UnknownAttribute, "has no attribute 'beta'")])
def test_refused(tmp_path, cls, words):
    state, found = attempt(cls, "f32", tmp_path)
    assert state == "refused" and words in found, found


def test_multiplying_functions_end(tmp_path):
    import subprocess
    from whole_way import BUILD
    Multiplying.save(tmp_path / "model.onnx")
    result = subprocess.run([BUILD / "bin" / "llmc-import", tmp_path / "model.onnx", "-o", tmp_path / "m.mlirbc"],
                            capture_output=True, text=True, timeout=300)
    assert result.returncode == 3 and "more than 500000 nodes" in result.stderr, result.stderr
