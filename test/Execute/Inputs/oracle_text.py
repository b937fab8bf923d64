"""A test as text: weights, operations, checks. Arrays are float32 and printed so that they come back exactly."""
import numpy as np

HEADER = """// {purpose}
// Numbers: Inputs/oracle.py (NumPy, float64).
// REQUIRES: x86
// RUN: llmc-compile --target=x86_64-linux-gnu --cpu=native %s -o %t
{inputs}// RUN: llmc-run %t{flags} | FileCheck %s --check-prefix=HOLD
// RUN: llmc-run %t{flags} --threads=3 | FileCheck %s --check-prefix=HOLD
// HOLD: {checks}

func.func @main({arguments}) attributes {{llmc.role = "run"}} {{
"""


def number(value):
    text = f"{float(value):.9g}"
    mantissa, e, exponent = text.partition("e")
    return mantissa + ("" if "." in mantissa else ".0") + e + exponent


def literal(array):
    if array.ndim == 0:
        return str(int(array)) if array.dtype == np.uint8 else number(array)
    return "[" + ", ".join(literal(row) for row in array) + "]"


def element(dtype):
    return {"float32": "f32", "float16": "f16", "uint8": "ui8"}[np.dtype(dtype).name]


def tensor(shape, name="f32"):
    return f"tensor<{'x'.join([*map(str, shape), name])}>"


class Test:
    """One .mlir file. Values are (SSA name, type) pairs."""

    def __init__(self, stem, purpose, seed):
        self.stem, self.purpose, self.lines, self.ids, self.checks = stem, purpose, [], {}, 0
        self.rng = np.random.default_rng(seed)

    def draw(self, *shape, scale=1.0):
        return np.round(self.rng.standard_normal(shape) * scale, 2).astype(np.float32)

    def input(self, name, array):
        """An argument of the function, given to llmc-run as a file."""
        self.ids[name] = array
        return f"%{name}", tensor(["?"] * array.ndim, "i64")

    def weight(self, name, array):
        type_ = tensor(array.shape, element(array.dtype))
        self.lines.append(f'%{name} = llmc.weight "{name}" {{values = dense<{literal(array)}> : {type_}}} : {type_}')
        return f"%{name}", type_

    def compressed(self, name, shape, scheme, **components):
        type_ = f"!llmc.compressed<{shape[0]}x{shape[1]}xf32, #llmc.{scheme}>"
        stored = ", ".join(
            f"{key} = dense<{literal(array)}> : {tensor(array.shape, kind or element(array.dtype))}"
            for key, (array, kind) in {k: v if isinstance(v, tuple) else (v, None) for k, v in components.items()}.items())
        self.lines.append(f'%{name} = llmc.weight "{name}" {{{stored}}}\n      : {type_}')
        return f"%{name}", type_

    def op(self, result, name, operands, attributes="", types=None):
        """`operands` may hold keywords such as bias between values; `types` where not each operand's is written."""
        text, comma = "", ""
        for operand in operands:
            text += f" {operand}" if isinstance(operand, str) else f"{comma} {operand[0]}"
            comma = "" if isinstance(operand, str) else ","
        types = types or ", ".join(operand[1] for operand in operands if not isinstance(operand, str))
        self.lines.append(f"%{result} = {name}{text}{attributes and ' {' + attributes + '}'} : {types}")
        return f"%{result}"

    def quantize(self, name, rows, how, scale=None):
        """Codes of `rows` and the type that says how they were made; `scale` where it is given."""
        quantized = f"!llmc.quantized<{rows[1][len('tensor<'):-1]}, #llmc.{how}>"
        operands = [rows, "scale", scale] if scale else [rows]
        self.op(name, "llmc.quantize", operands, types=", ".join(o[1] for o in operands if o != "scale") + " -> " + quantized)
        return f"%{name}", quantized

    def expect(self, value, shape, expected, rtol=1e-6, atol=1e-6):
        """Checks `value` of `shape` against an array; each check is named after the value."""
        if 0 in np.asarray(expected).shape:
            raise ValueError("a check of nothing")
        constant, type_ = self.weight(value[1:] + "_expected", np.asarray(expected, np.float32))
        tolerance = ", ".join(f"{k} = {number(v)} : f64" for k, v in (("atol", atol), ("rtol", rtol)) if v)
        self.lines.append(f"llmc.expect_close {value}, {constant} {{{tolerance}}} : {tensor(shape)}, {type_}")
        self.checks += 1

    def text(self):
        arguments = ", ".join(f"%{name}: {tensor(['?'] * a.ndim, 'i64')} {{llmc.name = \"{name}\"}}"
                              for name, a in self.ids.items())
        inputs = "".join(
            f"// RUN: %python %S/Inputs/write_npy.py %t.{name}.npy {'x'.join(map(str, a.shape))} "
            f"{' '.join(map(str, a.reshape(-1)))}\n" for name, a in self.ids.items())
        flags = "".join(f" --input={name}=%t.{name}.npy" for name in self.ids)
        head = HEADER.format(purpose=self.purpose, inputs=inputs, flags=flags, arguments=arguments,
                             checks=f"{self.checks} checks hold" if self.checks > 1 else "1 check holds")
        return head + "".join(f"  {line}\n" for line in self.lines) + "  return\n}\n"
