"""Bodies in linalg at many lengths: against NumPy in float64, the same bits on any number of threads, on x86-64 and AArch64."""
import itertools
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("LLMC_BUILD") or SOURCE / "build")
sys.path.insert(0, str(SOURCE / "python"))
import llmc  # noqa: E402

WIDTH, ROWS, LONGEST = 37, 200, 300
TABLE = np.random.default_rng(1).standard_normal((ROWS, WIDTH)).astype(np.float32)
TARGETS = {"x86": ("x86_64-linux-gnu", "native"), "aarch64": ("aarch64-linux-gnu", "cortex-a76")}
REDUCED = {"sum": np.sum, "mean": np.mean, "max": np.max, "min": np.min}


def module():
    """Rows of a table by id, and what bodies make of them: one output for each."""
    data = TABLE.tobytes().hex().upper()
    lines = [f'%w = llmc.weight "w" {{values = dense<"0x{data}"> : tensor<{ROWS}x{WIDTH}xf32>}} : tensor<{ROWS}x{WIDTH}xf32>',
             f"%x = llmc.gather %w at %ids : tensor<{ROWS}x{WIDTH}xf32>, tensor<?x?xi64>"]
    outputs = {"rows": ("%x", f"tensor<?x?x{WIDTH}xf32>")}
    row, one = f"tensor<?x?x{WIDTH}xf32>", f"tensor<?x1x{WIDTH}xf32>"
    for kind in REDUCED:
        lines.append(f"%{kind} = llmc.reduce %x mask %mask {{kind = #llmc.reduce_kind<{kind}>, axes = array<i64: 1>}} : {row}, tensor<?x?xi64>")
        lines.append(f"%flat_{kind} = tensor.collapse_shape %{kind} [[0, 1], [2]] : {one} into tensor<?x{WIDTH}xf32>")
        outputs[kind] = (f"%flat_{kind}", f"tensor<?x{WIDTH}xf32>")
        lines.append(f"%row_{kind} = llmc.reduce %x {{kind = #llmc.reduce_kind<{kind}>, axes = array<i64: 2>}} : {row}")
        outputs[f"row_{kind}"] = (f"%row_{kind}", "tensor<?x?x1xf32>")
    for name, position in (("first", 0), ("last", -1)):
        lines.append(f"%{name} = llmc.gather %x {{position = {position} : i64}} : {row}")
        outputs[name] = (f"%{name}", one)
    lines.append(f"%moved = llmc.gather %x at %at : {row}, tensor<?x?xi64>")
    outputs["moved"] = ("%moved", row)
    lines.append(f"%values, %indices = llmc.top_k %x {{k = 5 : i64}} : {row}")
    lines.append("%numbers = arith.sitofp %indices : tensor<?x?x5xi64> to tensor<?x?x5xf32>")
    lines.append(f"%exp = math.exp %x : {row}")
    outputs |= {"values": ("%values", "tensor<?x?x5xf32>"), "indices": ("%numbers", "tensor<?x?x5xf32>"), "exp": ("%exp", row)}
    names = ", ".join(f'{type_} {{llmc.name = "{name}"}}' for name, (_, type_) in outputs.items())
    inputs = ", ".join(f'%{v}: tensor<?x?xi64> {{llmc.name = "{n}"}}' for v, n in
                       (("ids", "ids"), ("mask", "attention_mask"), ("at", "at")))
    return (f'func.func @main({inputs}) -> ({names}) attributes {{llmc.role = "run"}} {{\n  ' + "\n  ".join(lines) +
            f"\n  return {', '.join(v for v, _ in outputs.values())} : {', '.join(t for _, t in outputs.values())}\n}}\n")


def expected(ids, mask, at):
    x = TABLE[ids].astype(np.float64)
    shown = np.broadcast_to((mask != 0)[:, :, None], x.shape)
    found = {"rows": x, "first": x[:, :1], "last": x[:, -1:], "exp": np.exp(x), "moved": np.take_along_axis(x, at[:, :, None], axis=1)}
    for kind, function in REDUCED.items():
        found[kind] = np.stack([function(row[keep].reshape(-1, WIDTH), axis=0) for row, keep in zip(x, shown)])
        found[f"row_{kind}"] = function(x, axis=-1, keepdims=True)
    order = np.argsort(-x, axis=-1, kind="stable")[..., :5]
    return found | {"values": np.take_along_axis(x, order, -1), "indices": order}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The module for a target, compiled once."""
    folder = tmp_path_factory.mktemp("bodies")
    (folder / "bodies.mlir").write_text(module())
    done = {}

    def build(target):
        if target not in done:
            triple, cpu = TARGETS[target]
            base = folder / target / "bodies"
            base.parent.mkdir()
            subprocess.run([BUILD / "bin" / "llmc-compile", f"--target={triple}", f"--cpu={cpu}", "--max-tokens=900", folder / "bodies.mlir", "-o", base],
                           check=True, capture_output=True, text=True)
            done[target] = base
        return done[target]
    return build


def draw(batch, length):
    rng = np.random.default_rng(length * 10 + batch)
    mask = rng.integers(0, 2, (batch, length))
    mask[:, rng.integers(length)] = 1
    return rng.integers(0, ROWS, (batch, length)), mask, rng.integers(0, length, (batch, length))


def check(found, want, other):
    """Values near those of NumPy, and the bits of another run."""
    assert list(found) == list(other) and set(found) == set(want)
    for name, array in found.items():
        assert array.tobytes() == other[name].tobytes(), f"{name}: another number of threads, other bits"
        assert array.shape == want[name].shape, name
        tolerance = {"rtol": 3e-6, "atol": 3e-5} if "sum" in name or "mean" in name else {"rtol": 3e-7, "atol": 0}
        np.testing.assert_allclose(array, want[name], err_msg=name, **tolerance)


@pytest.mark.parametrize("batch, length", list(itertools.product((1, 3), (1, 7, 64, 300))))
def test_x86(built, batch, length):
    ids, mask, at = draw(batch, length)
    outputs = []
    for threads in (1, 2):
        with llmc.Model(built("x86"), threads=threads, exactly=True) as graph:
            outputs.append(graph.run(ids=ids, attention_mask=mask, at=at))
    check(outputs[0], expected(ids, mask, at), outputs[1])


@pytest.fixture(scope="module")
def emulated(built, tmp_path_factory):
    """A program of AArch64 that runs the module."""
    library = BUILD / "lib" / "aarch64-linux-gnu" / "libllmcrt.a"
    if not (shutil.which("qemu-aarch64") and shutil.which("aarch64-linux-gnu-gcc") and library.exists()):
        pytest.skip("qemu-aarch64 or the cross compiler is not here")
    base, program = built("aarch64"), tmp_path_factory.mktemp("program") / "run_bodies"
    subprocess.run(["aarch64-linux-gnu-gcc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-static", f"-I{SOURCE}/include", f"-I{base.parent}",
                    SOURCE / "test/Execute/Inputs/run_bodies.c", f"{base}.o", library, "-pthread", "-o", program], check=True)
    return program


@pytest.mark.parametrize("batch, length", [(1, 1), (3, 7), (1, 300)])
def test_aarch64(built, emulated, batch, length):
    inputs = draw(batch, length)
    want = expected(*inputs)
    described = json.loads(pathlib.Path(f"{built('aarch64')}.json").read_text())["outputs"]
    names = [output["name"] for output in described]
    outputs = []
    for threads in (1, 2):
        sizes = [str(want[name].size * 4) for name in names]
        result = subprocess.run(["qemu-aarch64", "-cpu", "cortex-a76", emulated, f"{built('aarch64')}.safetensors", str(threads), str(batch),
                                 str(length), *sizes], input=b"".join(array.astype(np.int64).tobytes() for array in inputs),
                                check=True, capture_output=True)
        values, found, start = np.frombuffer(result.stdout, np.float32), {}, 0
        for name in names:
            found[name] = values[start:start + want[name].size].reshape(want[name].shape)
            start += want[name].size
        outputs.append(found)
    check(outputs[0], want, outputs[1])


def test_indices_of_the_caller_are_checked(built):
    ids, mask, at = draw(1, 7)
    with llmc.Model(built("x86")) as graph:
        for wrong in ({"ids": ids * 0 + ROWS}, {"ids": ids * 0 - 1}, {"at": at * 0 + 7}, {"at": at * 0 - 1}):
            with pytest.raises(llmc.Error, match="BAD_TOKEN"):
                graph.run({"ids": ids, "attention_mask": mask, "at": at} | wrong)


def test_object_imports_only_memory_functions(built):
    text = subprocess.run(["nm", "--undefined-only", f"{built('x86')}.o"], check=True, capture_output=True, text=True).stdout
    assert set(re.findall(r"U (\w+)", text)) <= {"memcpy", "memmove", "memset"}


def test_explain_names_bodies(built, tmp_path):
    (tmp_path / "bodies.mlir").write_text(module())
    text = subprocess.run([BUILD / "bin" / "llmc-compile", "--target=x86_64-linux-gnu", "--cpu=native", "--explain", "--dry-run",
                           tmp_path / "bodies.mlir"], check=True, capture_output=True, text=True).stdout
    for line in ("llmc.gather  each row  linalg, not tuned", "llmc.reduce  each sequence  linalg, not tuned",
                 "llmc.top_k  each row  linalg, not tuned", "math.exp  each row  linalg, not tuned"):
        assert line in text.splitlines(), text


def test_rows_of_a_step(tmp_path):
    """Behind the last attention a body runs for the rows whose logits are wanted; tanh is the same arithmetic in body and kernel."""
    weights = "\n".join(f'%{name} = llmc.weight "{name}" {{values = dense<"0x{TABLE[:rows, :16].tobytes().hex().upper()}"> : tensor<{rows}x16xf32>}} '
                        f": tensor<{rows}x16xf32>" for name, rows in (("e", 40), ("h", 40)))
    text = ('llmc.cache @kv : tensor<2x8xf32>\nfunc.func @main(%ids: tensor<?x?xi64> {llmc.name = "input_ids"}) -> (tensor<?x?x40xf32> '
            '{llmc.name = "logits"}) attributes {llmc.role = "step"} {\n' + weights + """
%x = llmc.embedding %e, %ids : tensor<40x16xf32>, tensor<?x?xi64>
%a = llmc.attention %x, %x, %x cache @kv {heads = 2 : i64, kv_heads = 2 : i64, scale = 0.3 : f64, causal}
  : tensor<?x?x16xf32>, tensor<?x?x16xf32>, tensor<?x?x16xf32>
%l = llmc.linear %a, %h : tensor<?x?x16xf32>, tensor<40x16xf32>
%y = TANH : tensor<?x?x40xf32>
return %y : tensor<?x?x40xf32>\n}\n""")
    found = []
    np.save(tmp_path / "ids.npy", np.arange(150) % 40)
    for tanh in ("math.tanh %l", "llmc.activation %l {kind = #llmc.activation_kind<tanh>}"):
        (tmp_path / "step.mlir").write_text(text.replace("TANH", tanh))
        subprocess.run([BUILD / "bin" / "llmc-compile", "--target=x86_64-linux-gnu", "--cpu=native", "--context=256", "--chunk=100",
                        tmp_path / "step.mlir", "-o", tmp_path / "step"], check=True, capture_output=True, text=True)
        for threads in ("1", "2"):
            subprocess.run([BUILD / "bin" / "llmc-run", tmp_path / "step", f"--prompt-ids=@{tmp_path}/ids.npy", "--prefill=140",
                            f"--logits={tmp_path}/logits.npy", f"--threads={threads}"], check=True, capture_output=True, text=True)
            found.append(np.load(tmp_path / "logits.npy"))
    assert found[0].size >= 150 * 40 and np.abs(found[0]).max() > 0.1
    assert all(other.tobytes() == found[0].tobytes() for other in found)
