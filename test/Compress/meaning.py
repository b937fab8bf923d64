"""meaning.py CASE: the numbers a pass leaves in the module against the method written again in NumPy."""
import re
import sys

import numpy as np
from weights import FP4, NF4, Module, dense, run

rng = np.random.default_rng(7)


def one_linear(weight, inputs=None):
    """A module with one linear; `inputs` [tokens, K] become its statistics."""
    rows, columns = weight.shape
    statistics = ""
    if inputs is not None:
        statistics = " {llmc.statistics = " + store(inputs) + "}"
    return f"""
func.func @main(%x: tensor<?x?x{columns}xf32>) -> tensor<?x?x{rows}xf32> {{
  %w = llmc.weight "w.weight" {{values = {dense(weight)}}} : tensor<{rows}x{columns}xf32>
  %y = llmc.linear %x, %w{statistics} : tensor<?x?x{columns}xf32>, tensor<{rows}x{columns}xf32>
  %s = llmc.softmax %y : tensor<?x?x{rows}xf32>
  return %s : tensor<?x?x{rows}xf32>
}}"""


def store(x):
    x = x.astype(np.float64)
    return (f"{{count = {len(x)} : i64, mean = {dense(x.mean(0))}, mean_abs = {dense(np.abs(x).mean(0))}, "
            f"max_abs = {dense(np.abs(x).max(0))}, sum_squares = {dense((x * x).sum(0))}, "
            f"hessian = {dense((x.T @ x).astype(np.float32))}}}")


def normal(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def correlated(tokens, channels):
    """Inputs with structure: neighbours alike, a few channels loud."""
    x = normal(tokens, channels)
    for j in range(1, channels):
        x[:, j] = 0.8 * x[:, j - 1] + 0.6 * x[:, j]
    return x * np.where(np.arange(channels) % 11 == 3, 8, 1).astype(np.float32)


def rtn(weight, bits, group, symmetric, scale_type, keep=None):
    """The grid of include/llmc/Numerics/Quantize.h, in float32."""
    f = np.float32
    rows, columns = weight.shape
    out = np.zeros_like(weight)
    top = (1 << bits) - 1
    for n in range(rows):
        for start in range(0, columns, group or columns):
            cut = slice(start, min(start + (group or columns), columns))
            chosen = np.ones(cut.stop - cut.start, bool) if keep is None else keep[n, cut]
            w = weight[n, cut]
            if not w[chosen].any():
                continue
            if symmetric:
                extreme = w[chosen][np.argmax(np.abs(w[chosen]))]
                scale, zero = f(scale_type(-extreme / f(1 << (bits - 1)))), 1 << (bits - 1)
            else:
                low, high = min(f(0), w[chosen].min()), max(f(0), w[chosen].max())
                scale = f(scale_type((high - low) / f(top)))
                zero = int(np.clip(np.rint(-low / scale), 0, top))
            codes = np.clip(np.rint(w / scale).astype(int) + zero, 0, top)
            out[n, cut] = np.where(chosen, (codes - zero).astype(f) * scale, 0)
    return out


def nm_mask(scores, n, m):
    rows, columns = scores.shape
    keep = np.zeros(scores.shape, bool)
    for start in range(0, columns, m):
        part = scores[:, start:start + m]
        for row in range(rows):
            order = np.argsort(part[row], kind="stable")[max(0, part.shape[1] - n):]
            keep[row, start + order] = True
    return keep


def case_rtn():
    weight = normal(6, 44)
    weight[2, 32:] = np.abs(weight[2, 32:])  # a short group of one sign
    weight[3, :32] = 0
    for bits, group, symmetric, scale in [(2, 8, False, "f16"), (3, 0, True, "f32"), (4, 32, False, "f16"),
                                          (4, 32, True, "f16"), (5, 8, True, "f16"), (8, 0, False, "f32")]:
        text, _ = run(one_linear(weight), f"--rtn-quantize=bits={bits} group={group} scale={scale} "
                      f"symmetric={str(symmetric).lower()}")
        got = Module(text).values("w.weight")
        want = rtn(weight, bits, group, symmetric, np.float16 if scale == "f16" else np.float32)
        assert np.allclose(got, want, rtol=1e-6, atol=0), (bits, group, symmetric, scale, np.abs(got - want).max())


def case_orders():
    weight = normal(8, 44)
    inputs = correlated(200, 44)
    module = one_linear(weight, inputs)
    keep = nm_mask(np.abs(weight) * np.sqrt((inputs.astype(np.float64) ** 2).sum(0)), 2, 4)
    text, _ = run(module, "--sparsify-2-4", "--rtn-quantize=group=16")
    first = Module(text).values("w.weight")
    assert np.array_equal(first, rtn(weight, 4, 16, False, np.float16, keep))
    # The other way: codes and scales are those of the dense weight, and the score reads what they mean.
    dense_codes = rtn(weight, 4, 16, False, np.float16)
    keep = nm_mask(np.abs(dense_codes) * np.sqrt((inputs.astype(np.float64) ** 2).sum(0)), 2, 4)
    text, remarks = run(module, "--rtn-quantize=group=16", "--sparsify-2-4")
    last = Module(text).values("w.weight")
    assert np.array_equal(last, np.where(keep, dense_codes, 0))
    assert "pruning first would fit the scales" in remarks
    # Unstructured, three bits: codes run on over rows.
    text, _ = run(module, "--magnitude-prune=sparsity=0.3", "--rtn-quantize=bits=3 group=16 symmetric=true")
    order = np.argsort(np.abs(weight).reshape(-1), kind="stable")[:int(weight.size * 0.3)]
    keep = np.ones(weight.size, bool)
    keep[order] = False
    want = rtn(weight, 3, 16, True, np.float16, keep.reshape(weight.shape))
    assert np.array_equal(Module(text).values("w.weight"), want)
    text, _ = run(module, "--rtn-quantize=bits=3 group=16", "--magnitude-prune=sparsity=0.3")
    codes = rtn(weight, 3, 16, False, np.float16)
    got = Module(text).values("w.weight")
    assert np.array_equal(got[got != 0], codes[got != 0]) and (got == 0).sum() >= int(weight.size * 0.3)


def case_ternarize():
    weight = normal(8, 44)
    text, _ = run(one_linear(weight), "--ternarize")
    scale = np.float32(np.abs(weight).astype(np.float64).mean())
    want = np.clip(np.rint(weight / scale), -1, 1) * scale
    assert np.array_equal(Module(text).values("w.weight"), want)
    # A weight that is ternary already comes back as it was.
    text, _ = run(one_linear(want), "--ternarize")
    assert np.array_equal(Module(text).values("w.weight"), want)


def nf4(weight, group, scale_type, keep=None, levels=NF4):
    """The rule of include/llmc/Numerics/CodeTable.h, in float32."""
    f = np.float32
    middles = (levels[:-1] + levels[1:]) * f(0.5)
    out = np.zeros_like(weight)
    for n in range(len(weight)):
        for start in range(0, weight.shape[1], group or weight.shape[1]):
            cut = slice(start, start + (group or weight.shape[1]))
            w = weight[n, cut] if keep is None else np.where(keep[n, cut], weight[n, cut], f(0))
            scale = f(scale_type(np.abs(w).max())) or f(1)
            out[n, cut] = levels[(w[:, None] * (f(1) / scale) > middles).sum(1)] * scale
    return out


def case_nf4():
    weight = normal(6, 172)
    weight[3, :64] = 0
    weight[4, 64] = np.abs(weight[4, 64:128]).max() * (NF4[3] + NF4[4]) / 2  # a midpoint goes down
    integers = (np.rint(127 * NF4.astype(np.float64)) / 127).astype(np.float32)
    for group, scale, activations, levels in ((64, np.float16, "float", NF4), (0, np.float32, "float", NF4),
                                              (24, np.float32, "float", NF4), (64, np.float16, "i8-token", integers),
                                              (32, np.float16, "i8-group", integers)):
        name = "f16" if scale == np.float16 else "f32"
        text, remarks = run(one_linear(weight), f"--nf4-quantize=group={group} scale={name} activations={activations}")
        module = Module(text)
        want = nf4(weight, group, scale, None, levels)
        assert np.array_equal(module.values("w.weight"), want), (group, name, activations)
        assert ("multiples of 1/127" in remarks) == (activations != "float")
        error = module.errors(0)[0][1]
        assert abs(error - ((weight - want).astype(np.float64) ** 2).sum()) < 1e-6 * error
        text, _ = run(one_linear(weight), f"--nf4-quantize=group={group} scale={name} activations={activations} table=nf4")
        assert np.array_equal(Module(text).values("w.weight"), nf4(weight, group, scale))
    keep = nm_mask(np.abs(weight), 2, 4)
    text, _ = run(one_linear(weight), "--magnitude-prune=pattern=2:4", "--nf4-quantize")
    assert np.array_equal(Module(text).values("w.weight"), nf4(weight, 64, np.float16, keep))
    dense_codes = nf4(weight, 64, np.float16)
    text, remarks = run(one_linear(weight), "--nf4-quantize", "--magnitude-prune=pattern=2:4")
    assert np.array_equal(Module(text).values("w.weight"), np.where(nm_mask(np.abs(dense_codes), 2, 4), dense_codes, 0))
    assert "quantized before it is pruned" in remarks


def case_fp4():
    """Codes of the nearest level, the first of two, and those of ONNX Runtime, which rounds a zero of either sign to a code of its own."""
    from onnxruntime.capi._pybind_state import quantize_matmul_bnb4

    weight = normal(6, 192)
    weight[3, :64] = 0
    for group in (64, 0):
        text, _ = run(one_linear(weight), f"--scheme-quantize=scheme=table<bnb_fp4,group={group},scale=f32>")
        module = Module(text)
        blocks = weight.reshape(-1, group or 192)
        largest = np.abs(blocks).max(1, keepdims=True)
        largest[largest == 0] = 1
        codes = np.abs((blocks * (np.float32(1) / largest))[:, :, None] - FP4).argmin(2)
        assert np.array_equal(module.values("w.weight"), (FP4[codes] * largest).reshape(weight.shape)), group
        if group:
            packed, scales = np.zeros(weight.size // 2, np.uint8), np.zeros(weight.size // group, np.float32)
            quantize_matmul_bnb4(packed, weight, scales, group, 0, *weight.shape)
            theirs = FP4[np.stack([packed >> 4, packed & 15], 1).reshape(-1, group)] * scales[:, None]
            assert np.array_equal(module.values("w.weight"), theirs.reshape(weight.shape))
    keep = nm_mask(np.abs(weight), 2, 4)
    text, _ = run(one_linear(weight), "--magnitude-prune=pattern=2:4", "--scheme-quantize=scheme=table<bnb_fp4,group=64,scale=f32>")
    assert (Module(text).values("w.weight")[~keep] == 0).all()


def case_float():
    """Quotients rounded by ml_dtypes, clipped to the largest value before."""
    import ml_dtypes

    weight = normal(130, 200)
    weight[3] = 0
    weight[5, 7], weight[129, 150] = 30, 1e-6
    f = np.float32
    for name, kind, top in (("e4m3", ml_dtypes.float8_e4m3fn, 448), ("e5m2", ml_dtypes.float8_e5m2, 57344)):
        for per, side in (("matrix", (130, 200)), ("row", (1, 200)), ("block", (128, 128))):
            for scale_name, scale_type in (("f16", np.float16), ("f32", np.float32)):
                want = np.zeros_like(weight)
                for row in range(0, 130, side[0]):
                    for column in range(0, 200, side[1]):
                        cut = slice(row, row + side[0]), slice(column, column + side[1])
                        scale = f(scale_type(f(np.abs(weight[cut]).max()) / f(top))) or f(1)
                        want[cut] = np.clip(weight[cut] / scale, -top, top).astype(kind).astype(f) * scale
                text, _ = run(one_linear(weight), f"--scheme-quantize=scheme=float<{name},per={per},scale={scale_name}>")
                assert np.array_equal(Module(text).values("w.weight"), want), (name, per, scale_name)
    keep = nm_mask(np.abs(weight), 2, 4)
    for flags in (("--magnitude-prune=pattern=2:4", "--scheme-quantize=scheme=float<e4m3>"),
                  ("--scheme-quantize=scheme=float<e4m3,per=block>", "--magnitude-prune=pattern=2:4")):
        text, _ = run(one_linear(weight), *flags)
        assert (Module(text).values("w.weight") != 0).sum() <= keep.sum()


def case_levels():
    """The rule of include/llmc/Numerics/LearnedLevels.h: Lloyd's algorithm with midpoints in float32, means of all weights."""
    f = np.float32
    weight = normal(11, 96)
    weight[3] = np.round(weight[3])  # few values

    def learn(values):
        values = np.sort(values)
        if len(np.unique(values)) <= 16:
            found = np.unique(values)
            return np.concatenate([found, np.full(16 - len(found), found[-1])])
        levels = values[(2 * np.arange(16) + 1) * len(values) // 32]
        for _ in range(100):
            near = (values[:, None] > (levels[:-1] + levels[1:]) * f(0.5)).sum(1)
            levels, before = np.array([values[near == i].astype(np.float64).mean() if (near == i).any() else levels[i] for i in range(16)], f), levels
            if np.array_equal(levels, before):
                break
        return levels

    for rows, name, kind in ((1, "f32", f), (4, "f16", np.float16), (0, "f16", np.float16)):
        text, _ = run(one_linear(weight), f"--scheme-quantize=scheme=levels<rows={rows},type={name}>")
        module = Module(text)
        stored, got = module.read("w.weight")[0]["levels"], module.values("w.weight")
        assert stored.dtype == kind and stored.shape == (-(-11 // (rows or 11)), 16)
        for table, first in enumerate(range(0, 11, rows or 11)):
            part = weight[first:first + (rows or 11)]
            want = learn(part.reshape(-1))
            assert np.allclose(stored[table].astype(f), want, rtol=2e-3 if kind == np.float16 else 1e-6, atol=1e-6), (rows, table)
            near = np.abs(part[..., None] - stored[table].astype(f)).min(-1)
            assert np.allclose(np.abs(part - got[first:first + (rows or 11)]), near, rtol=1e-6, atol=1e-7)
    # Half of the weights are kept, and only they have a say: no more values than levels, so all are exact.
    few = (np.arange(8 * 32).reshape(8, 32) * 7 % 13).astype(f)
    text, _ = run(one_linear(few), "--magnitude-prune=pattern=2:4", "--scheme-quantize=scheme=levels<rows=8,type=f16>")
    assert np.array_equal(Module(text).values("w.weight"), np.where(nm_mask(few, 2, 4), few, 0))


def case_nvfp4():
    """Scales rounded by ml_dtypes, codes by the nearest of its levels, the even one of two."""
    import ml_dtypes

    f = np.float32
    weight = normal(6, 40)
    weight[3, :16] = 0
    weight[4, 16:32] *= f(1e-6)
    weight[5, 2] = 30
    top = f(np.float64(np.abs(weight).max()) / (448 * 6))
    want = np.zeros_like(weight)
    for row in range(6):
        for column in range(0, 40, 16):
            part = weight[row, column:column + 16]
            scale = (np.abs(part).max() / f(6) / top).astype(ml_dtypes.float8_e4m3fn).astype(f) if part.any() else f(1)
            unit = max(scale, f(2.0**-9)) * top
            want[row, column:column + 16] = np.clip(part / unit, -6, 6).astype(ml_dtypes.float4_e2m1fn).astype(f) * unit
    text, _ = run(one_linear(weight), "--scheme-quantize=scheme=nvfp4")
    assert np.array_equal(Module(text).values("w.weight"), want)


def case_float_zeros():
    """The grid from the least to the largest weight, with a zero point that is not rounded to a code."""
    f = np.float32
    weight = normal(6, 40) + f(1.5)
    weight[2, :16] = f(-0.75)  # one value: exact
    weight[3, 16:32] = 0
    for bits, name, kind in ((4, "f16", np.float16), (3, "f32", np.float32)):
        want = np.zeros_like(weight)
        for row in range(6):
            for column in range(0, 40, 16):
                part = weight[row, column:column + 16]
                low, high = part.min(), part.max()
                if low == high:
                    want[row, column:column + 16] = low
                    continue
                scale = f(kind(f((np.float64(high) - np.float64(low)) / (2**bits - 1))))
                zero = f(kind(-low / scale))
                codes = np.clip(np.rint(part / scale + zero), 0, 2**bits - 1)
                want[row, column:column + 16] = (codes - zero) * scale
        text, _ = run(one_linear(weight), f"--scheme-quantize=scheme=int<{bits},group=16,scale={name},zero={name}>")
        assert np.array_equal(Module(text).values("w.weight"), want), bits


def case_base3():
    for columns in (1, 5, 44, 61):
        module = one_linear(normal(7, columns))
        for mask in ((), ("--magnitude-prune=pattern=2:4",), ("--magnitude-prune=sparsity=0.4",)):
            two = Module(run(module, *mask, "--ternarize")[0])
            five = Module(run(module, *mask, "--ternarize=packing=base3")[0])
            assert "base3" in five.read("w.weight")[1]
            assert np.array_equal(two.values("w.weight"), five.values("w.weight")), (columns, mask)
            again, remarks = run(module, *mask, "--ternarize=packing=base3 include=.*", "--ternarize=include=.*")
            assert again.count("base3>") == 0 and "already quantized" not in remarks
            assert np.array_equal(two.values("w.weight"), Module(again).values("w.weight"))


def case_lowrank():
    weight = normal(24, 40)
    inputs = correlated(400, 40)
    hessian = (inputs.T.astype(np.float64) @ inputs).astype(np.float32).astype(np.float64)
    for statistics in (None, inputs):
        text, _ = run(one_linear(weight, statistics), "--low-rank-decompose=ratio=0.6")
        module = Module(text)
        a, b = module.values("w.lowrank_a.weight"), module.values("w.lowrank_b.weight")
        rank = int(0.6 * 24 * 40 / 64)
        assert a.shape == (24, rank) and b.shape == (rank, 40)
        root = np.eye(40) if statistics is None else np.linalg.cholesky(hessian)
        u, s, v = np.linalg.svd(weight.astype(np.float64) @ root, full_matrices=False)
        best = (u[:, :rank] * s[:rank]) @ v[:rank] @ np.linalg.inv(root)
        assert np.abs(a.astype(np.float64) @ b - best).max() < 1e-4
        name, error, baseline = module.errors(0)[0]
        assert name == "w.weight" and abs(error - (s[rank:] ** 2).sum()) < 1e-3 * error
        if statistics is None:
            assert error == baseline
        else:
            assert error < 0.9 * baseline


def degenerate(kind, tokens, channels):
    """Inputs that leave directions unseen."""
    x = correlated(tokens, channels)
    if kind == "dead":
        x[:] = 0
    elif kind == "some dead":
        x[:, ::3] = 0
    elif kind == "one alive":
        x[:, 1:] = 0
    elif kind == "constant":
        x[:] = x[0]
    elif kind == "same row scaled":
        x = x[:1] * np.linspace(-2, 3, tokens, dtype=np.float32)[:, None]
    elif kind == "few rows":
        x = x[:5]
    elif kind == "tiny":
        x *= np.float32(1e-12)
    elif kind == "copies":
        x[:, channels // 2:] = x[:, :channels - channels // 2]
    return x


DEGENERATE = ("dead", "some dead", "one alive", "constant", "same row scaled", "few rows", "tiny", "copies")


def case_lowrank_degenerate():
    """What the input never showed costs nothing on what it did, and the factors stay of the weight's size."""
    weight = normal(24, 40)
    for kind in DEGENERATE:
        inputs = degenerate(kind, 400, 40)
        text, said = run(one_linear(weight, inputs), "--low-rank-decompose=ratio=0.6")
        module = Module(text)
        a, b = (module.values(f"w.lowrank_{factor}.weight").astype(np.float64) for factor in "ab")
        rank = a.shape[1]
        assert np.isfinite(a).all() and np.isfinite(b).all(), kind
        plain = np.linalg.svd(weight.astype(np.float64), full_matrices=False)
        if kind == "dead":
            assert 'its input was always 0 while calibrating, so decomposed as it is: "w.weight"' in said, said
            assert np.abs(a @ b - (plain[0][:, :rank] * plain[1][:rank]) @ plain[2][:rank]).max() < 1e-4
            continue
        assert "always 0" not in said
        assert np.abs(a @ b).max() < 20 * np.abs(weight).max(), (kind, np.abs(a @ b).max())
        x = inputs.astype(np.float64)
        wanted = x @ weight.T.astype(np.float64)
        values = np.linalg.svd(wanted, compute_uv=False)
        best = (values[rank:] ** 2).sum()
        error = ((wanted - x @ (a @ b).T) ** 2).sum()
        assert error <= 1.02 * best + 1e-6 * (values ** 2).sum(), (kind, error, best)


def case_degenerate_inputs():
    """Every method that reads statistics takes such inputs, for one layer or all, and the rest is done as if alone."""
    for kind in DEGENERATE:
        def change(inputs):
            inputs["down"] = degenerate(kind, 300, 24)
        text, weights = decoder_layer(False, False, change)
        for flags in (["--awq-quantize=group=8"], ["--sparsify-2-4"], ["--low-rank-decompose=ratio=0.7"],
                      ["--sparsify-2-4", "--awq-quantize=group=8"], ["--magnitude-prune", "--rtn-quantize=group=8"]):
            out, _ = run(text, *flags)
            module = Module(out)
            assert not re.search(r"\b(nan|inf)\b|0x[7F]F[CF]00000", out.split("dialect_resources")[0]), (kind, flags)
            for name in ("q", "up", "down"):
                names = [f"{name}.lowrank_a.weight", f"{name}.lowrank_b.weight"] if "low-rank" in flags[0] else [f"{name}.weight"]
                for part in names:
                    assert np.isfinite(module.values(part)).all(), (kind, flags, part)
            if flags == ["--sparsify-2-4"] and kind == "dead":
                assert (np.count_nonzero(module.values("down.weight").reshape(16, 6, 4), axis=2) <= 2).all()


def decoder_layer(fused, bias, change=lambda inputs: None):
    """A layer with grouped heads (4 over 2, of 4 channels), width 16, ffn 24. Returns text and its weights. `change` may set
    what its linears saw."""
    sizes = {"norm1": (16,), "q": (16, 16), "k": (8, 16), "v": (8, 16), "o": (16, 16), "norm2": (16,),
             "gate": (24, 16), "up": (24, 16), "down": (16, 24)}
    weights = {name: normal(*shape) + (2 if len(shape) == 1 else 0) for name, shape in sizes.items()}
    weights["b"] = normal(32)
    inputs = {"norm1": correlated(300, 16), "o": correlated(300, 16), "norm2": correlated(300, 16),
              "down": correlated(300, 24)}
    change(inputs)
    if fused:
        weights["qkv"] = np.concatenate([weights.pop(n) for n in "qkv"])
        weights["gate_up"] = np.concatenate([weights.pop("gate"), weights.pop("up")])
    lines = ["func.func @main(%x: tensor<?x?x16xf32>) -> tensor<?x?x16xf32> {"]
    for name, value in weights.items():
        type_ = "x".join(map(str, value.shape)) + "xf32"
        lines.append(f'%{name} = llmc.weight "{name}.weight" {{values = {dense(value)}}} : tensor<{type_}>')

    def linear(out, into, name, site, with_bias=False):
        n, k = weights[name].shape
        extra, types = ("bias %b ", ", tensor<32xf32>") if with_bias else ("", "")
        lines.append(f"%{out} = llmc.linear %{into}, %{name} {extra}{{llmc.statistics = {store(inputs[site])}}} : "
                     f"tensor<?x?x{k}xf32>, tensor<{n}x{k}xf32>{types}")

    lines.append("%n1 = llmc.rms_norm %x, %norm1 {eps = 1.0e-5 : f64} : tensor<?x?x16xf32>, tensor<16xf32>")
    if fused:
        linear("yqkv", "n1", "qkv", "norm1", bias)
        lines.append("%yq, %yk, %yv = llmc.split %yqkv : tensor<?x?x32xf32> -> tensor<?x?x16xf32>, "
                     "tensor<?x?x8xf32>, tensor<?x?x8xf32>")
    else:
        for name in "qkv":
            linear("y" + name, "n1", name, "norm1")
    lines.append("%att = llmc.attention %yq, %yk, %yv {heads = 4 : i64, kv_heads = 2 : i64, scale = 0.5 : f64, causal} "
                 ": tensor<?x?x16xf32>, tensor<?x?x8xf32>, tensor<?x?x8xf32>")
    linear("yo", "att", "o", "o")
    lines.append("%r = arith.addf %x, %yo : tensor<?x?x16xf32>")
    lines.append("%n2 = llmc.rms_norm %r, %norm2 {eps = 1.0e-5 : f64} : tensor<?x?x16xf32>, tensor<16xf32>")
    if fused:
        linear("ygu", "n2", "gate_up", "norm2")
        lines.append("%yg, %yu = llmc.split %ygu : tensor<?x?x48xf32> -> tensor<?x?x24xf32>, tensor<?x?x24xf32>")
    else:
        linear("yg", "n2", "gate", "norm2")
        linear("yu", "n2", "up", "norm2")
    lines.append("%h = llmc.gated_activation %yg, %yu {kind = #llmc.activation_kind<silu>} : tensor<?x?x24xf32>")
    linear("yd", "h", "down", "down")
    lines += ["%z = arith.addf %r, %yd : tensor<?x?x16xf32>", "return %z : tensor<?x?x16xf32>", "}"]
    return "\n".join(lines), weights


def projections(get, fused):
    """The same names for both layouts."""
    w = {n: get(n) for n in ("norm1", "norm2", "o", "down", "b")}
    if fused:
        w["q"], w["k"], w["v"] = np.split(get("qkv"), [16, 24])
        w["gate"], w["up"] = np.split(get("gate_up"), 2)
    else:
        w.update({n: get(n) for n in ("q", "k", "v", "gate", "up")})
    return w


def invariants(w, fused):
    """Products that folding must not change: what each channel carries from its producer to its consumers."""
    heads = np.arange(16) // 8 * 4 + np.arange(16) % 4  # query head h reads key/value head h / 2
    products = {f"norm1.{n}": w[n] * w["norm1"] for n in "qkv"}
    products.update({f"norm2.{n}": w[n] * w["norm2"] for n in ("gate", "up")})
    norm1_v = w["v"] * w["norm1"]
    products["v.o"] = np.einsum("oc,ci->oci", w["o"], norm1_v[heads])
    products["up.down"] = np.einsum("oc,ci->oci", w["down"], w["up"] * w["norm2"])
    if fused:
        products["bias.o"] = w["o"] * w["b"][24:][heads]
        products["bias.qk"] = w["b"][:24]
    # The parts are only equal up to the other fold of v and up; their products are the same.
    del products["norm1.v"], products["norm2.up"]
    return products


def case_awq():
    for fused in (False, True):
        text, weights = decoder_layer(fused, bias=fused)
        module = Module(run(text, "--awq-quantize=bits=8 group=8 scale=f32")[0])
        before = invariants(projections(lambda n: weights[n], fused), fused)
        after = projections(lambda n: module.values(n + ".weight"), fused)
        for name, product in invariants(after, fused).items():
            error = np.abs(product - before[name]).max() / np.abs(before[name]).max()
            assert error < 0.03, (fused, name, error)
        scaled = [np.abs(after[n] / weights[n] - 1).max() > 0.05 for n in ("norm1", "norm2")]
        assert any(scaled), "no norm was scaled, so the test shows nothing"
        # At 4 bits the search pays, and never costs but for what clipping one group moves elsewhere.
        errors = Module(run(text, "--awq-quantize=bits=4 group=8")[0]).errors(0)
        assert sum(e for _, e, _ in errors) < 0.95 * sum(b for _, _, b in errors), errors


def case_awq_statistics():
    text, weights = decoder_layer(False, bias=False)
    once = Module(run(text, "--awq-quantize=bits=8 group=8 scale=f32 include=^(q|k|v|o)\\.", "--keep-statistics")[0])
    # Rescaled statistics belong to the scaled weights: the energy tr(W H W^T) of a layer stays.
    for name in "qkv":
        found = once.text.split(f"%{name}_weight {{llmc.statistics")[1].split("}")[0]
        key = found.split("hessian = dense_resource<")[1].split(">")[0]
        hessian = np.frombuffer(once.blobs[key], np.float32)
        original = text.split(f"%y{name} = ")[1].split("hessian = ")[1].split('"')[1][2:]
        before = np.frombuffer(bytes.fromhex(original), np.float32).reshape(16, 16)
        scale = weights["norm1"] / once.values("norm1.weight")
        triangle = np.triu_indices(16)
        assert np.allclose(hessian * np.outer(scale, scale)[triangle], before[triangle], rtol=1e-4)


def case_decompress():
    """The dense matrices are those that the description of each scheme means, and a second pass finds nothing to do."""
    weight = normal(7, 44)
    chains = [["--rtn-quantize=bits=%d group=%d symmetric=%s" % options]
              for options in ((2, 8, "false"), (3, 0, "true"), (4, 32, "false"), (5, 12, "false"), (6, 8, "true"), (7, 44, "false"), (8, 0, "false"))]
    chains += [["--sparsify-2-4"], ["--magnitude-prune=pattern=3:7"], ["--magnitude-prune=sparsity=0.6"], ["--ternarize"],
               ["--ternarize=packing=base3"], ["--nf4-quantize=group=16"], ["--nf4-quantize=table=nf4_i8 scale=f32"]]
    schemes = ["table<bnb_fp4,group=16>", "float<e4m3>", "float<e5m2,per=matrix>", "float<e4m3,per=block,scale=f16>", "levels<rows=2,type=f16>",
               "nvfp4", "int<4,group=8,scale=f16,zero=f16>"]
    chains += [[f"--scheme-quantize=scheme={scheme}"] for scheme in schemes]
    for mask in ("--sparsify-2-4", "--magnitude-prune=sparsity=0.6"):
        for scheme in schemes:
            chains += [[mask, f"--scheme-quantize=scheme={scheme}"], [f"--scheme-quantize=scheme={scheme}", mask]]
        chains += [[mask, "--ternarize"], [mask, "--ternarize=packing=base3"], [mask, "--nf4-quantize=group=12"], ["--nf4-quantize=group=8", mask],
                   [mask, "--rtn-quantize=bits=3 group=16"], ["--rtn-quantize=bits=5 group=8 symmetric=true", mask]]
    for chain in chains:
        module = one_linear(weight)
        compressed = Module(run(module, *chain)[0])
        dense = Module(run(module, *chain, "--decompress")[0])
        assert dense.read("w.weight")[1] == "tensor<7x44xf32>", chain
        assert np.array_equal(dense.values("w.weight"), compressed.values("w.weight")), chain


def case_threads():
    text, _ = decoder_layer(True, bias=True)
    passes = ["--awq-quantize", "--sparsify-2-4", "--low-rank-decompose=include=o.weight rank=2"]
    for chain in (passes[:2], passes[2:], ["--sparsify-2-4", "--rtn-quantize=bits=3"]):
        first = run(text, *chain)[0]
        assert first == run(text, *chain)[0] == run(text, *chain, "--mlir-disable-threading")[0]


globals()["case_" + sys.argv[1]]()
