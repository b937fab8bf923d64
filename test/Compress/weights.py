"""Weights of a textual module, decompressed by NumPy from nothing but the dialect's description of each scheme."""
import json
import re
import subprocess
import tempfile

import numpy as np

TYPES = {"f32": np.float32, "f16": np.float16, "f64": np.float64, "ui8": np.uint8}

# The levels of QLoRA's NF4, as bitsandbytes has them.
NF4 = np.array([-1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
                -0.09105003625154495, 0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
                0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1], np.float32)
# Those of bitsandbytes' FP4, in the order of its bit patterns.
FP4 = np.array([0, 0.0625, 8, 12, 4, 6, 2, 3, -0.0, -0.0625, -8, -12, -4, -6, -2, -3], np.float32) / np.float32(12)
TABLES = {"nf4": NF4, "nf4_i8": (np.rint(127 * NF4.astype(np.float64)) / 127).astype(np.float32), "bnb_fp4": FP4}


def dense(array):
    """An array as a dense attribute."""
    name = {np.dtype(t): n for n, t in TYPES.items()}[array.dtype]
    shape = "x".join(map(str, array.shape))
    return f'dense<"0x{array.tobytes().hex().upper()}"> : tensor<{shape}x{name}>'


def run(module, *passes):
    """Runs llmc-opt on a module's text. Returns the output's text and what came on stderr."""
    with tempfile.NamedTemporaryFile("w", suffix=".mlir") as file:
        file.write(module)
        file.flush()
        done = subprocess.run(["llmc-opt", file.name, "--mlir-print-debuginfo=false", *passes], capture_output=True,
                              text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def nvfp4_values(components, keep, joined):
    """What codes, scales and the scale of scales mean, where `keep` says that there is a weight."""
    import ml_dtypes

    stream = components["codes"].reshape(1 if joined else len(keep), -1)
    nibbles = np.stack([stream & 15, stream >> 4], -1).reshape(len(stream), -1)
    codes = np.zeros(keep.shape, np.uint8)
    codes[keep] = nibbles[:, :int(keep.sum()) if joined else int(keep[0].sum())].reshape(-1)
    levels = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6], np.float32)[codes & 7] * np.where(codes & 8, -1, 1).astype(np.float32)
    scales = components["scales"].view(ml_dtypes.float8_e4m3fn).astype(np.float32) * components["super_scales"][0]
    return np.where(keep, levels * scales[:, np.arange(keep.shape[1]) // 16], 0).astype(np.float32)


class Module:
    """The weights of a module's text: read() gives the stored components, values() what they mean."""

    def __init__(self, text):
        self.text = text
        self.blobs = {key.strip('"'): bytes.fromhex(data)[4:]  # behind 4 bytes of alignment
                      for key, data in re.findall(r'([\w.$"]+): "0x([0-9A-Fa-f]*)"', text)}
        self.weights = {name: (body, type_) for name, body, type_ in re.findall(
            r'llmc\.weight "([^"]+)" \{(.*)\} : (\S.*)$', text, re.M)}

    def read(self, name):
        body, type_ = self.weights[name]
        components = {}
        for key, value, shape, element in re.findall(r"(\w+) = (dense[^:]*) : tensor<([\dx]*x)(\w+)>", body):
            shape = [int(d) for d in shape.split("x") if d]
            resource = re.match(r"dense_resource<([^>]+)>", value)
            if resource:
                array = np.frombuffer(self.blobs[resource[1].strip('"')], TYPES[element])
            elif value.startswith('dense<"'):
                array = np.frombuffer(bytes.fromhex(value[9:-2]), TYPES[element])
            else:
                array = np.array(json.loads(value[6:-1]), TYPES[element])
            components[key] = array.reshape(shape) if array.size == np.prod(shape) else np.broadcast_to(array, shape)
        return components, type_

    def values(self, name):
        components, type_ = self.read(name)
        if type_.startswith("tensor"):
            return components["values"].astype(np.float32)
        rows, columns = map(int, re.match(r"!llmc.compressed<(\d+)x(\d+)x", type_).groups())
        keep = np.ones((rows, columns), bool)
        if "mask" in components:
            keep = np.unpackbits(components["mask"], axis=1, bitorder="little")[:, :columns].astype(bool)
        nm = re.search(r"#llmc.nm<(\d+):(\d+)", type_)
        if nm and columns % int(nm[2]) == 0:
            assert (keep.reshape(rows, -1, int(nm[2])).sum(2) == int(nm[1])).all()
        joined = "#llmc.mask" in type_
        result = np.zeros((rows, columns), np.float32)
        if "codes" not in components:
            result[keep] = components["values"].reshape(-1)
            return result
        if "#llmc.nvfp4" in type_:
            return nvfp4_values(components, keep, joined)
        integer = re.search(r"#llmc.int<(\d), group = (\d+)", type_)
        table = re.search(r"#llmc.table<(\w+), group = (\d+)", type_)
        if "base3" in type_:
            streams = components["codes"].reshape(1 if joined else rows, -1).astype(np.int32)
            digits = np.stack([streams * 3**i % 256 * 3 // 256 for i in range(5)], axis=-1)
            kept = int(keep.sum()) if joined else int(keep[0].sum())
            codes = digits.reshape(len(streams), -1)[:, :kept]
            result[keep] = ((codes - 1) * components["scales"][0]).reshape(-1)
            return result
        small = re.search(r"#llmc.float<(\w+), per = (\w+)", type_)
        learned = re.search(r"#llmc.levels<rows = (\d+)", type_)
        bits = int(integer[1]) if integer else 4 if table or learned else 8 if small else 2
        stream = np.unpackbits(components["codes"].reshape(1 if joined else rows, -1), axis=1, bitorder="little")
        kept = int(keep.sum()) if joined else int(keep[0].sum())
        planes = stream[:, :kept * bits].reshape(stream.shape[0], kept, bits).astype(np.int32)
        codes = np.zeros((rows, columns), np.int32)
        codes[keep] = (planes << np.arange(bits)).sum(2).reshape(-1)
        if table:
            at = np.arange(columns) // (int(table[2]) or columns)
            result[keep] = (TABLES[table[1]][codes] * components["scales"].astype(np.float32)[:, at])[keep]
            return result
        if learned:
            of_row = np.arange(rows)[:, None] // (int(learned[1]) or rows)
            result[keep] = components["levels"].astype(np.float32)[of_row, codes][keep]
            return result
        if small:
            import ml_dtypes
            levels = np.arange(256, dtype=np.uint8).view({"e4m3": ml_dtypes.float8_e4m3fn, "e5m2": ml_dtypes.float8_e5m2}[small[1]])
            side = {"matrix": (rows, columns), "row": (1, columns), "block": (128, 128)}[small[2]]
            scales = components["scales"].astype(np.float32).reshape(-(-rows // side[0]), -1)
            scales = scales.repeat(side[0], 0)[:rows].repeat(side[1], 1)[:, :columns]
            result[keep] = (levels.astype(np.float32)[codes] * scales)[keep]
            return result
        if not integer:
            result[keep] = ((codes - 1) * components["scales"][0])[keep]
            return result
        group = int(integer[2]) or columns
        at = np.arange(columns) // group
        scales = components["scales"].astype(np.float32)[:, at]
        zeros = components["zeros"][:, at].astype(np.float32) if "zeros" in components else 1 << (bits - 1)
        result[keep] = ((codes.astype(np.float32) - zeros) * scales)[keep]
        return result

    def errors(self, step):
        """[(name, error, baseline_error)] of a pass, from the provenance."""
        record = re.search(r"llmc.provenance = (.*)\]\}", self.text)[1].split("pass = ")[step]
        return [(name, float(error), float(base)) for base, error, name in re.findall(
            r"baseline_error = (\S+) : f64.*? error = (\S+) : f64.*?name = \"([^\"]+)\"", record)]
