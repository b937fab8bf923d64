"""Tests of stored weights: each scheme through linear and embedding, and quantized inputs, decoded as the dialect describes them."""
import numpy as np
from oracle_text import Test

f64 = np.float64
ROWS, COLUMNS = 9, 20  # more outputs than a vector has lanes, and a group of 8 leaves a short last one


def stream(codes, bits):
    """Bytes of a little-endian bit stream per row."""
    planes = (codes[..., None].astype(np.uint8) >> np.arange(bits, dtype=np.uint8)) & 1
    return np.packbits(planes.reshape(codes.shape[0], -1), axis=1, bitorder="little")


def draw_int(t, bits, group, symmetric, scale=np.float16):
    """Codes, scales and zero points of a whole matrix, and what they mean."""
    groups = -(-COLUMNS // group) if group else 1
    codes = t.rng.integers(0, 1 << bits, (ROWS, COLUMNS)).astype(np.uint8)
    scales = (t.rng.integers(1, 200, (ROWS, groups)) / (16 << bits)).astype(scale)
    zeros = t.rng.integers(0, 1 << bits, (ROWS, groups)).astype(np.uint8)
    at = np.arange(COLUMNS) // (group or COLUMNS)
    offset = 1 << (bits - 1) if symmetric else zeros[:, at].astype(f64)
    return codes, scales, None if symmetric else zeros, (codes.astype(f64) - offset) * scales[:, at].astype(f64)


# The levels of NF4 as the dialect's reference names them.
NF4 = np.array([-1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
                -0.09105003625154495, 0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
                0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1])
FP4 = np.array([0, 1 / 16, 8, 12, 4, 6, 2, 3]) / 12
TABLES = {"nf4": NF4, "nf4_i8": np.rint(127 * NF4) / 127, "bnb_fp4": np.concatenate([FP4, -FP4])}


def draw_table(t, table, group, scale=np.float16):
    """Codes and scales of a whole matrix, and what they mean."""
    groups = -(-COLUMNS // group) if group else 1
    codes = t.rng.integers(0, 16, (ROWS, COLUMNS)).astype(np.uint8)
    scales = (t.rng.integers(1, 200, (ROWS, groups)) / 64).astype(scale)
    return codes, scales, TABLES[table][codes] * scales[:, np.arange(COLUMNS) // (group or COLUMNS)].astype(f64)


def trits(codes):
    """Bytes of five ternary codes per row."""
    rows, count = codes.shape
    padded = np.ones((rows, -(-count // 5) * 5), np.int64)
    padded[:, :count] = codes
    values = padded.reshape(rows, -1, 5) @ 3 ** np.arange(5)[::-1]
    return (-(-256 * values // 243)).astype(np.uint8)


def draw_mask(t, n=None, m=None):
    keep = np.zeros((ROWS, COLUMNS), bool)
    for row in range(ROWS):
        if not m:
            keep[row, t.rng.choice(COLUMNS, t.rng.integers(0, COLUMNS), replace=False)] = True
        else:
            for start in range(0, COLUMNS, m):
                size = min(m, COLUMNS - start)
                keep[row, start + t.rng.choice(size, min(n, size), replace=False)] = True
    return keep


def bytes_of(mask):
    return np.packbits(mask, axis=1, bitorder="little")


def int_scheme(bits, group, symmetric, scale="f16"):
    return f"int<{bits}, group = {group}{', symmetric' if symmetric else ''}, scale = {scale}>"


def table_scheme(table, group, scale="f16"):
    return f"table<{table}, group = {group}, scale = {scale}>"


def linear(t, name, x, a, weight, matrix, attributes="", **tolerance):
    y = t.op("y_" + name, "llmc.linear", [x, weight], attributes)
    t.expect(y, (*a.shape[:2], ROWS), a.astype(f64) @ matrix.T, **(tolerance or {"atol": 4e-6}))


def linear_int():
    t = Test("linear-int", "Integer weights of every width, with and without zero points, short last group, per channel, f32 scales.", 20)
    a = t.draw(1, 3, COLUMNS)
    x = t.weight("x", a)
    for bits in range(2, 9):
        for symmetric in (False, True):
            group, scale = (8, "f16") if bits != 5 else (0, "f32")
            codes, scales, zeros, matrix = draw_int(t, bits, group, symmetric, np.float32 if scale == "f32" else np.float16)
            name = f"int{bits}{'_symmetric' if symmetric else ''}"
            more = {} if symmetric else {"zeros": zeros}
            w = t.compressed(name, (ROWS, COLUMNS), int_scheme(bits, group, symmetric, scale), codes=stream(codes, bits), scales=scales, **more)
            linear(t, name, x, a, w, matrix)
    return t


def linear_dense():
    t = Test("linear-dense", "Dense weights as f32, f16 and bf16, plain and as a scheme, with a bias.", 21)
    a, bias = t.draw(1, 3, COLUMNS), t.draw(ROWS)
    x, c = t.weight("x", a), t.weight("c", bias)
    wide = t.draw(ROWS, COLUMNS)
    half = wide.astype(np.float16)
    short = (wide.view(np.uint32) & 0xFFFF0000).view(np.float32)  # fits bf16
    weights = {"f32": (t.weight("f32", wide), wide), "f16": (t.weight("f16", half), half),
               "f16_scheme": (t.compressed("f16_scheme", wide.shape, "dense<f16>", values=half), half),
               "bf16_scheme": (t.compressed("bf16_scheme", wide.shape, "dense<bf16>", values=(short, "bf16")), short)}
    for name, (w, matrix) in weights.items():
        linear(t, name, x, a, w, matrix.astype(f64))
    y = t.op("biased", "llmc.linear", [x, weights["f32"][0], f"bias {c[0]}"], types=", ".join([x[1], weights["f32"][0][1], c[1]]))
    t.expect(y, (1, 3, ROWS), a.astype(f64) @ wide.T + bias, atol=4e-6)
    return t


def linear_sparse():
    t = Test("linear-sparse", "Ternary weights; N:M and unstructured masks over dense, integer and ternary weights.", 22)
    a = t.draw(1, 3, COLUMNS)
    x = t.weight("x", a)
    shape = (ROWS, COLUMNS)
    codes = t.rng.integers(0, 3, shape).astype(np.uint8)
    scale = np.array([0.375], np.float32)
    w = t.compressed("ternary", shape, "ternary", codes=stream(codes, 2), scales=scale)
    linear(t, "ternary", x, a, w, (codes.astype(f64) - 1) * 0.375)
    for kind, n, m in (("nm", 2, 4), ("nm", 4, 8), ("nm", 1, 3), ("mask", None, None)):
        prefix = f"nm{n}_{m}" if m else "mask"
        wrap = (lambda inner: f"nm<{n}:{m}, #llmc.{inner}>") if m else (lambda inner: f"mask<#llmc.{inner}>")
        keep = draw_mask(t, n, m)
        mask = bytes_of(keep)
        kept = lambda array: array[keep].reshape(ROWS, -1) if m else array[keep].reshape(1, -1)  # noqa: E731
        joined = (lambda array: array) if m else (lambda array: array.reshape(-1))
        dense = t.draw(*shape)
        w = t.compressed(f"{prefix}_f32", shape, wrap("dense<f32>"), mask=mask, values=joined(kept(dense)))
        linear(t, f"{prefix}_f32", x, a, w, np.where(keep, dense, 0).astype(f64))
        w = t.compressed(f"{prefix}_ternary", shape, wrap("ternary"), mask=mask, codes=joined(stream(kept(codes), 2)), scales=scale)
        linear(t, f"{prefix}_ternary", x, a, w, np.where(keep, codes.astype(f64) - 1, 0) * 0.375)
        for bits, symmetric in ((4, False), (3, True)):
            ints, scales, zeros, matrix = draw_int(t, bits, 8, symmetric)
            more = {} if symmetric else {"zeros": zeros}
            name = f"{prefix}_int{bits}"
            w = t.compressed(name, shape, wrap(int_scheme(bits, 8, symmetric)), mask=mask, codes=joined(stream(kept(ints), bits)),
                             scales=scales, **more)
            linear(t, name, x, a, w, np.where(keep, matrix, 0))
    return t


def quantize(a, block):
    """Codes times scales, absmax / 127 of each block of channels, half to even. No value may lie near a tie by accident."""
    out = np.zeros(a.shape)
    for start in range(0, a.shape[-1], block):
        part = a[..., start:start + block].astype(f64)
        scale = np.abs(part).max(-1, keepdims=True) / 127
        codes = part / np.where(scale > 0, scale, 1)
        distance = np.abs(codes - np.floor(codes) - 0.5)
        assert ((distance > 1e-3) | (distance == 0)).all(), "choose another seed"
        out[..., start:start + block] = np.rint(codes) * scale
    return out


def quantize_static(a, scale):
    """Codes times one scale, -127 to 127; not near a tie either."""
    codes = a.astype(f64) / f64(scale)
    distance = np.abs(codes - np.floor(codes) - 0.5)
    assert ((distance > 1e-3) | (distance == 0) | (np.abs(codes) > 128)).all(), "choose another seed"
    return np.clip(np.rint(codes), -127, 127) * f64(scale)


def static_codes(t, x, a, scale):
    """Rows quantized by a given scale, and what they mean."""
    given = np.array([scale], np.float32)
    return t.quantize("x_static", x, "static<i8>", t.weight("x_scale", given)), quantize_static(a, given[0])


def linear_activations():
    t = Test("linear-activations", "Inputs quantized per token, per group and by a given scale, once for each kind of weight; ties go to even, zeros stay "
             "zero.", 23)
    a = t.draw(1, 4, COLUMNS)
    a[0, 2] = 0
    # Scale 1: 0.5, 1.5, 2.5 and their like are ties.
    a[0, 3] = np.array([127, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 3.5, 126.5, -126.5] * 2, np.float32)
    x = t.weight("x", a)
    shape = (ROWS, COLUMNS)
    dense = t.draw(*shape)
    weights = {"f32": (t.weight("f32", dense), dense.astype(f64))}
    for bits, group, symmetric in ((4, 8, False), (8, 0, True), (3, 8, True), (5, 4, False)):
        codes, scales, zeros, matrix = draw_int(t, bits, group, symmetric)
        more = {} if symmetric else {"zeros": zeros}
        weights[f"int{bits}"] = t.compressed(f"int{bits}", shape, int_scheme(bits, group, symmetric), codes=stream(codes, bits), scales=scales,
                                             **more), matrix
    codes = t.rng.integers(0, 3, shape).astype(np.uint8)
    weights["ternary"] = t.compressed("ternary", shape, "ternary", codes=stream(codes, 2), scales=np.array([0.25], np.float32)), (codes - 1.0) * 0.25
    keep = draw_mask(t, 2, 4)
    codes, scales, zeros, matrix = draw_int(t, 4, 8, False)
    weights["nm"] = t.compressed("nm", shape, "nm<2:4, #llmc." + int_scheme(4, 8, False) + ">", mask=bytes_of(keep),
                                 codes=stream(codes[keep].reshape(ROWS, -1), 4), scales=scales, zeros=zeros), np.where(keep, matrix, 0)
    inputs = {"token": (t.quantize("x_token", x, "dynamic<i8, per_token>"), quantize(a, COLUMNS)),
              "group": (t.quantize("x_group", x, "dynamic<i8, per_group<8>>"), quantize(a, 8)),
              "static": static_codes(t, x, a, 1.0)}  # Ties of the last row are ties by this scale, too.
    for name, (w, matrix) in weights.items():
        for suffix, (codes, quantized) in inputs.items():
            y = t.op(f"{name}_{suffix}", "llmc.linear", [codes, w])
            # Sums of terms of the size of their largest, 127 times a weight in the last row.
            t.expect(y, (1, 4, ROWS), quantized @ matrix.T, rtol=1e-6, atol=4e-7 * float(np.abs(quantized).max() * np.abs(matrix).max()))
    return t


def embedding():
    t = Test("embedding", "Rows of a table by id, of every kind of storage, and rows by position with an offset.", 24)
    ids = np.array([[0, 8, 3], [5, 5, 1]])
    i = t.input("input_ids", ids)
    shape = (ROWS, COLUMNS)
    dense = t.draw(*shape)
    half = dense.astype(np.float16)
    tables = {"f32": (t.weight("f32", dense), dense), "f16": (t.compressed("f16", shape, "dense<f16>", values=half), half)}
    for bits, symmetric in ((4, False), (3, True), (8, False)):
        codes, scales, zeros, matrix = draw_int(t, bits, 8, symmetric)
        more = {} if symmetric else {"zeros": zeros}
        tables[f"int{bits}"] = t.compressed(f"int{bits}", shape, int_scheme(bits, 8, symmetric), codes=stream(codes, bits), scales=scales,
                                            **more), matrix
    codes = t.rng.integers(0, 3, shape).astype(np.uint8)
    tables["ternary"] = t.compressed("ternary", shape, "ternary", codes=stream(codes, 2), scales=np.array([0.25], np.float32)), (codes - 1.0) * 0.25
    keep = draw_mask(t, 2, 4)
    tables["nm"] = t.compressed("nm", shape, "nm<2:4, #llmc.dense<f32>>", mask=bytes_of(keep), values=dense[keep].reshape(ROWS, -1)), np.where(keep, dense, 0)
    loose = draw_mask(t)
    tables["mask"] = t.compressed("mask", shape, "mask<#llmc.dense<f32>>", mask=bytes_of(loose), values=dense[loose]), np.where(loose, dense, 0)
    for table, group in (("nf4", 8), ("nf4_i8", 0)):
        codes, scales, matrix = draw_table(t, table, group)
        tables[table] = t.compressed(table, shape, table_scheme(table, group), codes=stream(codes, 4), scales=scales), matrix
    codes = t.rng.integers(0, 3, shape).astype(np.uint8)
    tables["base3"] = t.compressed("base3", shape, "ternary<base3>", codes=trits(codes), scales=np.array([0.25], np.float32)), (codes - 1.0) * 0.25
    for name, (w, matrix) in tables.items():
        t.op(f"rows_{name}", "llmc.embedding", [w, i])
        t.expect(f"%rows_{name}", ("?", "?", COLUMNS), matrix[ids], rtol=2e-7, atol=0)
    t.op("positions", "llmc.positions", [i], "offset = 2 : i64")
    t.op("learned", "llmc.embedding", [tables["f32"][0], ("%positions", i[1])])
    t.expect("%learned", ("?", "?", COLUMNS), np.stack([dense[2:5]] * 2), rtol=0, atol=1e-30)
    return t


def every_input(t, weights):
    """Each weight through linears whose inputs are floats, or quantized: by attribute per token and per group, and by a given scale."""
    a = t.draw(1, 4, COLUMNS)
    a[0, 2] = 0
    x = t.weight("x", a)
    static, given = static_codes(t, x, a, 0.0119)  # Some are cut off.
    for name, (w, matrix) in weights.items():
        linear(t, name, x, a, w, matrix)
        for how, block in (("per_token", COLUMNS), ("per_group<8>", 8)):
            suffix = "token" if block == COLUMNS else "group"
            y = t.op(f"{name}_{suffix}", "llmc.linear", [x, w], f"activations = #llmc.dynamic<i8, {how}>")
            t.expect(y, (1, 4, ROWS), quantize(a, block) @ matrix.T, rtol=1e-6, atol=4e-6)
        y = t.op(f"{name}_static", "llmc.linear", [static, w])
        t.expect(y, (1, 4, ROWS), given @ matrix.T, rtol=1e-6, atol=4e-6)
    return t


def tables():
    t = Test("tables", "Codes into NF4's two tables: groups with a short last one, per channel, under masks; every kind of input.", 25)
    shape = (ROWS, COLUMNS)
    weights = {}
    for table, group, scale in (("nf4", 8, "f16"), ("nf4", 0, "f32"), ("nf4_i8", 8, "f16"), ("nf4_i8", 0, "f32")):
        codes, scales, matrix = draw_table(t, table, group, np.float32 if scale == "f32" else np.float16)
        name = f"{table}_{group}"
        weights[name] = t.compressed(name, shape, table_scheme(table, group, scale), codes=stream(codes, 4), scales=scales), matrix
    for table in ("nf4", "nf4_i8"):
        codes, scales, matrix = draw_table(t, table, 8)
        for n, m in ((2, 4), (None, None)):
            keep = draw_mask(t, n, m)
            kept = stream(codes[keep].reshape(ROWS if m else 1, -1), 4)
            wrap = f"nm<{n}:{m}, #llmc.{table_scheme(table, 8)}>" if m else f"mask<#llmc.{table_scheme(table, 8)}>"
            name = f"{table}_{'nm' if m else 'mask'}"
            weights[name] = t.compressed(name, shape, wrap, mask=bytes_of(keep), codes=kept if m else kept.reshape(-1),
                                         scales=scales), np.where(keep, matrix, 0)
    return every_input(t, weights)


def ternary_base3():
    t = Test("ternary-base3", "Ternary weights stored five to a byte, alone and under masks; every kind of input.", 26)
    shape, scale = (ROWS, COLUMNS), np.array([0.375], np.float32)
    codes = t.rng.integers(0, 3, shape).astype(np.uint8)
    matrix = (codes - 1.0) * 0.375
    weights = {"trits": (t.compressed("trits", shape, "ternary<base3>", codes=trits(codes), scales=scale), matrix)}
    for n, m in ((2, 4), (None, None)):
        keep = draw_mask(t, n, m)
        kept = trits(codes[keep].reshape(ROWS if m else 1, -1))
        name = "trits_nm" if m else "trits_mask"
        wrap = f"nm<{n}:{m}, #llmc.ternary<base3>>" if m else "mask<#llmc.ternary<base3>>"
        weights[name] = t.compressed(name, shape, wrap, mask=bytes_of(keep), codes=kept if m else kept.reshape(-1),
                                     scales=scale), np.where(keep, matrix, 0)
    return every_input(t, weights)


def masked(t, weights, name, scheme, bits, codes, matrix, **parts):
    """A weight of a scheme alone, with 2 of each 4 inputs and with any mask."""
    weights[name] = t.compressed(name, (ROWS, COLUMNS), scheme, codes=stream(codes, bits), **parts), matrix
    for n, m in ((2, 4), (None, None)):
        keep = draw_mask(t, n, m)
        kept = stream(codes[keep].reshape(ROWS if m else 1, -1), bits)
        wrap = f"nm<{n}:{m}, #llmc.{scheme}>" if m else f"mask<#llmc.{scheme}>"
        key = f"{name}_{'nm' if m else 'mask'}"
        weights[key] = t.compressed(key, (ROWS, COLUMNS), wrap, mask=bytes_of(keep), codes=kept if m else kept.reshape(-1),
                                    **parts), np.where(keep, matrix, 0)


def embedded(t, weights, ids):
    """The same weights as tables of rows."""
    i = t.input("input_ids", ids)
    for name, (w, matrix) in weights.items():
        t.op(f"rows_{name}", "llmc.embedding", [w, i])
        t.expect(f"%rows_{name}", ("?", "?", COLUMNS), matrix[ids], rtol=2e-7, atol=0)


def tables_fp4():
    t = Test("tables-fp4", "Codes into the table of bitsandbytes' FP4, alone and under masks; every kind of input, and rows by id.", 27)
    weights = {}
    for group, scale in ((8, "f16"), (0, "f32")):
        codes, scales, matrix = draw_table(t, "bnb_fp4", group, np.float32 if scale == "f32" else np.float16)
        masked(t, weights, f"fp4_{group}", table_scheme("bnb_fp4", group, scale), 4, codes, matrix, scales=scales)
    every_input(t, weights)
    embedded(t, weights, np.array([[0, 8, 3]]))
    return t


def float8(exponent, mantissa, largest):
    """The values of codes 0 to 255 up to the largest finite one, NaN for others."""
    code = np.arange(128)
    e, m, bias = code >> mantissa, code % (1 << mantissa), (1 << (exponent - 1)) - 1
    values = np.where(e > 0, (1 + m / (1 << mantissa)) * 2.0 ** (e - bias), m / (1 << mantissa) * 2.0 ** (1 - bias))
    values[values > largest] = np.nan
    return np.concatenate([values, -values])


FLOATS = {"e4m3": float8(4, 3, 448), "e5m2": float8(5, 2, 57344)}


def floats():
    t = Test("linear-float", "Floats of 8 bits with a scale per matrix, row and block, alone and under masks; every kind of input, and rows by id.", 28)
    weights = {}
    for name, per, scale in (("e4m3", "row", "f32"), ("e4m3", "block", "f16"), ("e5m2", "matrix", "f32")):
        # Of the codes that mean a number those of middling size, so that sums are not that of one product.
        middle = np.flatnonzero((np.abs(FLOATS[name]) <= 4) & (np.abs(FLOATS[name]) >= 2.0**-7))
        codes = t.rng.choice(middle, (ROWS, COLUMNS)).astype(np.uint8)
        shape = (ROWS, 1) if per == "row" else (1, 1) if per == "block" else (1,)
        scales = (t.rng.integers(1, 200, shape) / 256).astype(np.float16 if scale == "f16" else np.float32)
        matrix = FLOATS[name][codes] * scales.astype(f64).reshape(-1, 1)
        masked(t, weights, f"{name}_{per}", f"float<{name}, per = {per}, scale = {scale}>", 8, codes, matrix, scales=scales)
    every_input(t, weights)
    embedded(t, weights, np.array([[0, 8, 3]]))
    return t


def levels():
    t = Test("linear-levels", "Codes into levels of each group of rows, alone and under masks; every kind of input, and rows by id.", 30)
    weights = {}
    for rows, kind in ((4, "f16"), (0, "f32")):
        codes = t.rng.integers(0, 16, (ROWS, COLUMNS)).astype(np.uint8)
        tables = (t.rng.integers(-300, 300, (-(-ROWS // rows) if rows else 1, 16)) / 128).astype(np.float16 if kind == "f16" else np.float32)
        matrix = tables[np.arange(ROWS)[:, None] // (rows or ROWS), codes].astype(f64)
        masked(t, weights, f"levels_{rows}", f"levels<rows = {rows}, type = {kind}>", 4, codes, matrix, levels=tables)
    every_input(t, weights)
    embedded(t, weights, np.array([[0, 8, 3]]))
    return t


E2M1 = float8(2, 1, 6)[[*range(8), *range(128, 136)]]


def scales():
    t = Test("linear-scales", "Scales that have a scale, and zero points that are floats; alone and under masks, every kind of input, rows by id.", 31)
    weights = {}
    codes = t.rng.integers(0, 16, (ROWS, COLUMNS)).astype(np.uint8)
    bytes_ = t.rng.integers(0x28, 0x48, (ROWS, 2)).astype(np.uint8)  # 2^-2 to 4, of groups of 16
    top = np.array([0.046875], np.float32)
    at = np.arange(COLUMNS)
    matrix = E2M1[codes] * (FLOATS["e4m3"][bytes_] * 0.046875)[:, at // 16]
    masked(t, weights, "nvfp4", "nvfp4", 4, codes, matrix, scales=bytes_, super_scales=top)
    for bits, group, kind in ((4, 8, "f16"), (3, 0, "f32")):
        type_ = np.float16 if kind == "f16" else np.float32
        groups = -(-COLUMNS // group) if group else 1
        codes = t.rng.integers(0, 1 << bits, (ROWS, COLUMNS)).astype(np.uint8)
        steps = (t.rng.integers(1, 200, (ROWS, groups)) / (16 << bits)).astype(type_)
        zeros = (t.rng.integers(-64, 64 << bits, (ROWS, groups)) / 64).astype(type_)
        column = at // (group or COLUMNS)
        matrix = (codes - zeros.astype(f64)[:, column]) * steps.astype(f64)[:, column]
        masked(t, weights, f"zeros_{group}", f"int<{bits}, group = {group}, scale = {kind}, zero = {kind}>", bits, codes, matrix, scales=steps, zeros=zeros)
    every_input(t, weights)
    embedded(t, weights, np.array([[0, 8, 3]]))
    return t


SCHEME_TESTS = [linear_int, linear_dense, linear_sparse, linear_activations, embedding, tables, ternary_base3, tables_fp4, floats, levels, scales]
