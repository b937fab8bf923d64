"""Code for processors that this machine is not, run by an emulator: what they compute is what this machine computes.

One boot for each emulated processor runs all of its cases (machine.py). Debian's Bochs knows Tiger Lake: AVX-512 with VNNI, without
bfloat16. A newer one in LLMC_BOCHS adds AVX-VNNI (arrow_lake) and Sapphire Rapids, but for AMX, which Linux does not offer there.
What an emulated processor lacks of the one that the code is for is turned off with --features, which leaves the blocks and
strategies that are chosen for that processor.
"""
import io
import os
import pathlib
import re
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parent / "EndToEnd"))
import machine  # noqa: E402
from whole_way import BUILD, FIXTURES, SOURCE, Way, run_tool  # noqa: E402

# Emulated processor: the CPUs to compile for, with what is turned off, and what is run: whole models, single products, and the
# tests of test/Execute.
TARGETS = {
    "tigerlake": {
        "znver4": ("-avx512bf16,-sse4a", ["models", "linears", "execute"]),
        "znver5": ("-avx512bf16,-sse4a,-avxvnni", ["linears"]),
        "skylake-avx512": ("", ["linears"]),
    },
    "arrow_lake": {"alderlake": ("", ["models", "linears", "execute"])},
    "sapphire_rapids": {"sapphirerapids": ("-amx-bf16,-amx-int8,-amx-tile", ["models", "linears", "execute"])},
}
# An artifact for a CPU that the emulated one is not, and the first feature that is missing.
REFUSED = {
    "tigerlake": {"alderlake": "avxvnni", "sapphirerapids": "amx-int8"},
    "arrow_lake": {"skylake-avx512": "avx512bw"},
    "sapphire_rapids": {"sapphirerapids": "amx-int8"},
}
# What is done to a model, and how far it may be from the same without packing: what is rounded to codes of activations was
# summed in another order, so one in a while takes the neighbouring code.
METHODS = {
    "f32": ([], 2e-5),
    "int4-g32": (["--rtn-quantize=bits=4 group=32"], 2e-5),
    "int4-g32-i8": (["--rtn-quantize=bits=4 group=32 activations=i8-token"], 2e-2),
    "int8-i8": (["--rtn-quantize=bits=8 group=0 activations=i8-token"], 2e-2),
    "sparse-int4-i8": (["--rtn-quantize=bits=4 activations=i8-token", "--sparsify-2-4"], 2e-2),
    "ternary-i8": (["--ternarize"], 2e-2),
    "nf4-i8": (["--nf4-quantize=activations=i8-token"], 2e-2),
    "nf4": (["--nf4-quantize"], 2e-5),
    "i8-cache": (["--cache-quantize"], 2e-2),
    "i8-cache-products": (["--cache-quantize=products=i8"], 2e-2),
}
# What is done to one matrix, and whether all targets multiply it by codes of activations: then results are the same to the bit.
FORMATS = {
    "f32": ([], False),
    "int4-g32": (["--rtn-quantize=group=32 include=matrix"], False),
    "int4-g128": (["--rtn-quantize=group=128 include=matrix"], False),
    "int4-g32-i8": (["--rtn-quantize=group=32 activations=i8-token include=matrix"], True),
    "int4-g32-i8g": (["--rtn-quantize=group=32 activations=i8-group include=matrix"], True),
    "int4-g128-i8": (["--rtn-quantize=group=128 activations=i8-token include=matrix"], True),
    "int4-g128-symmetric-i8": (["--rtn-quantize=group=128 symmetric=true activations=i8-token include=matrix"], True),
    "int3-g16-i8": (["--rtn-quantize=bits=3 group=16 activations=i8-token include=matrix"], True),
    "int5-g128-i8": (["--rtn-quantize=bits=5 group=128 activations=i8-token include=matrix"], True),
    "int8-i8": (["--rtn-quantize=bits=8 group=0 activations=i8-token include=matrix"], True),
    "int8-g64-symmetric-i8": (["--rtn-quantize=bits=8 group=64 symmetric=true activations=i8-token include=matrix"], True),
    "sparse-int4-i8": (["--rtn-quantize=group=128 activations=i8-token include=matrix", "--sparsify-2-4=include=matrix"], True),
    "sparse-int4": (["--rtn-quantize=group=128 include=matrix", "--sparsify-2-4=include=matrix"], False),
    "ternary-i8": (["--ternarize=include=matrix"], True),
    "ternary-base3-i8": (["--ternarize=packing=base3 include=matrix"], True),
    "int2-g32-i8": (["--rtn-quantize=bits=2 group=32 activations=i8-token include=matrix"], True),
    "int6-g64-i8g": (["--rtn-quantize=bits=6 group=64 activations=i8-group include=matrix"], True),
    "int7-g40-i8": (["--rtn-quantize=bits=7 group=40 activations=i8-token include=matrix"], True),
    "sparse-int8-i8": (["--rtn-quantize=bits=8 group=64 activations=i8-token include=matrix", "--sparsify-2-4=include=matrix"], True),
    "sparse-ternary-i8": (["--ternarize=include=matrix", "--sparsify-2-4=include=matrix"], False),
    "nf4": (["--nf4-quantize=include=matrix"], False),
    "nf4-i8g": (["--nf4-quantize=group=32 activations=i8-group include=matrix"], True),
    "nf4-i8": (["--nf4-quantize=activations=i8-token include=matrix"], True),
}
# Neither a multiple of a group nor of a vector; rows of one step, and of several blocks with a remainder.
WIDTH, OUTPUTS, ROWS = 328, 200, (1, 45)


def make_linear():
    """The text of a model: rows of a table times a matrix, of random numbers."""
    random = np.random.default_rng(11)

    def weight(name, rows, columns):
        data = random.standard_normal((rows, columns)).astype(np.float32)
        return (f'  %{name} = llmc.weight "{name}.weight" {{values = dense<"0x{data.tobytes().hex().upper()}"> : '
                f"tensor<{rows}x{columns}xf32>}} : tensor<{rows}x{columns}xf32>\n")

    y = f"tensor<?x?x{OUTPUTS}xf32>"
    return (f'func.func @main(%ids: tensor<?x?xi32> {{llmc.name = "input_ids"}}) -> ({y} {{llmc.name = "y"}}) '
            'attributes {llmc.role = "run"} {\n' + weight("table", 64, WIDTH) + weight("matrix", OUTPUTS, WIDTH) +
            f"  %x = llmc.embedding %table, %ids : tensor<64x{WIDTH}xf32>, tensor<?x?xi32>\n"
            f"  %y = llmc.linear %x, %matrix : tensor<?x?x{WIDTH}xf32>, tensor<{OUTPUTS}x{WIDTH}xf32>\n"
            f"  return %y : {y}\n}}\n")


def executed():
    """The tests of test/Execute that check themselves: {name: (file, options of llmc-run, lines that make its inputs)}."""
    found = {}
    for path in sorted((SOURCE / "test" / "Execute").glob("*.mlir")):
        lines = re.findall(r"^// RUN: (.*)", path.read_text(), re.M)
        runs = [line for line in lines if line.startswith("llmc-run %t ")]
        if runs:
            found[path.stem] = path, runs[0].split("|")[0].split()[2:], [line for line in lines if line.startswith("%python")]
    return found


class Cases:
    """What runs on one emulated processor, and the answers once it ran."""

    def __init__(self, way, model):
        self.way, self.model, self.files, self.cases, self.answers = way, model, {}, {}, {}
        program = str(BUILD / "bin" / "llmc-run")
        self.files = {"/llmc-run": program, **machine.needed_files(program)}

    def file(self, path):
        """Where a file of this machine is found in the other."""
        self.files[f"/data/{pathlib.Path(path).name}"] = path
        return f"/data/{pathlib.Path(path).name}"

    def add(self, name, base, options, result="-"):
        for suffix in (".json", ".so", ".safetensors"):
            if pathlib.Path(f"{base}{suffix}").exists():
                self.file(f"{base}{suffix}")
        self.cases[name] = result, ["/llmc-run", f"/data/{pathlib.Path(base).name}", *options]

    def run(self, folder):
        folder.mkdir()
        self.answers = machine.run_cases(folder, self.model, self.files, self.cases)


def target_options(cpu, without):
    return ("--target=x86_64-linux-gnu", f"--cpu={cpu}", *([f"--features={without}"] if without else []))


@pytest.fixture(scope="module")
def way(tmp_path_factory):
    try:
        machine.check_parts()
    except machine.Missing as missing:
        pytest.skip(str(missing))
    made = Way(tmp_path_factory.mktemp("emulated"))
    np.save(made.folder / "text.npy", ids())
    (made.folder / "linear.mlir").write_text(make_linear())
    for rows in ROWS:
        np.save(made.folder / f"rows{rows}.npy", (np.arange(rows, dtype=np.int32)[None] * 5 + 3) % 64)
    return made


def ids():
    return (np.arange(48, dtype=np.int32) * 37 + 5) % 128


def method_module(way, name):
    module = way.imported(FIXTURES / "qwen2-optimum" / "model.onnx")
    return way.passes(module, *METHODS[name][0]) if METHODS[name][0] else module


def decompressed(way, name):
    return way.passes(method_module(way, name), "--decompress")


def linear_module(way, name):
    return way.passes(str(way.folder / "linear.mlir"), *FORMATS[name][0])


@pytest.fixture(scope="module")
def ran(way):
    """ran(processor): the cases of that processor, run; at most once for each."""
    done = {}

    def prepare(model):
        cases, jobs = Cases(way, model), []
        for cpu, (without, kinds) in TARGETS[model].items():
            options = target_options(cpu, without)
            for name in METHODS if "models" in kinds else ():
                jobs.append((f"{cpu}/{name}", method_module(way, name), options,
                             ["--prompt-ids=@/data/text.npy", "--prefill=44", "--logits=/result"]))
            for name in FORMATS if "linears" in kinds else ():
                for rows in ROWS:
                    jobs.append((f"{cpu}/{name}/{rows}", linear_module(way, name), options,
                                 [f"--input=input_ids=/data/rows{rows}.npy", "--output=y=/result"]))
            for name, (path, run, makers) in executed().items() if "execute" in kinds else ():
                for line in makers:
                    words = shlex.split(line.replace("%python", sys.executable).replace("%S", str(path.parent))
                                        .replace("%t", f"{way.folder}/{name}"))
                    subprocess.run(words, check=True)
                    cases.file(words[2])
                jobs.append((f"{cpu}/execute/{name}", str(path), options,
                             [word.replace("%t", f"/data/{name}") for word in run]))
        for cpu in REFUSED[model]:
            jobs.append((f"refused/{cpu}", method_module(way, "int4-g32-i8"), target_options(cpu, ""),
                         ["--prompt-ids=1", "--generate=1"]))
        distinct = {(module, options): None for _, module, options, _ in jobs}
        # What the answers are compared with is compiled in the same go, for this machine.
        compared = [linear_module(way, name) for name in FORMATS] + [method_module(way, name) for name in METHODS]
        distinct |= {(module, ()): None for module in compared + [decompressed(way, name) for name in METHODS]}
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            bases = dict(zip(distinct, pool.map(lambda key: way.compiled(key[0], *key[1]), distinct)))
        for name, module, options, run in jobs:
            cases.add(name, bases[module, options], run, "/result" if any("=/result" in word for word in run) else "-")
        for path in [way.folder / "text.npy", *(way.folder / f"rows{rows}.npy" for rows in ROWS)]:
            cases.file(path)
        cases.run(way.folder / model)
        return cases

    def get(model):
        if model not in machine.models():
            pytest.skip(f"{machine.bochs()} does not know {model} (a newer Bochs in LLMC_BOCHS may)")
        if model not in done:
            try:
                done[model] = prepare(model)
            except Exception as error:  # Each of its tests says so; the machine is not started again.
                done[model] = error
        if isinstance(done[model], Exception):
            raise done[model]
        return done[model]
    return get


def array(cases, name):
    code, text, data = cases.answers[name]
    assert code == 0, text
    return np.load(io.BytesIO(data))


def each_target(kind):
    return [(model, cpu) for model, cpus in TARGETS.items() for cpu, (_, kinds) in cpus.items() if kind in kinds]


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("model,cpu", each_target("models"))
def test_model(way, ran, model, cpu, name):
    """Prefill of several blocks and steps through the cache: as here, and as the weights of before they were packed."""
    got, bound = array(ran(model), f"{cpu}/{name}"), METHODS[name][1]
    here = way.logits(way.compiled(method_module(way, name)), ids(), 44)
    plain = way.logits(way.compiled(decompressed(way, name)), ids(), 44)
    assert got.shape == here.shape == (48, 128) and np.isfinite(got).all()
    scale = np.abs(plain).max()
    assert np.abs(got - here).max() < 2e-5 * scale
    assert np.abs(got - plain).max() < bound * scale


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("model,cpu", each_target("linears"))
def test_linear(way, ran, model, cpu, name, rows):
    got = array(ran(model), f"{cpu}/{name}/{rows}")
    run_tool("llmc-run", way.compiled(linear_module(way, name)), f"--input=input_ids={way.folder}/rows{rows}.npy",
             f"--output=y={way.folder}/here.npy")
    here = np.load(way.folder / "here.npy")
    assert got.shape == here.shape == (1, rows, OUTPUTS) and np.abs(here).max() > 1
    if FORMATS[name][1]:
        assert (got == here).all()
    else:
        assert np.abs(got - here).max() < 1e-5 * np.abs(here).max()


@pytest.mark.parametrize("name", executed())
@pytest.mark.parametrize("model,cpu", each_target("execute"))
def test_execute(ran, model, cpu, name):
    code, text, _ = ran(model).answers[f"{cpu}/execute/{name}"]
    assert code == 0 and re.search(r"^\d+ checks? holds?$", text, re.M), text


@pytest.mark.parametrize("model,cpu", [(model, cpu) for model, cpus in REFUSED.items() for cpu in cpus])
def test_missing_feature(ran, model, cpu):
    code, text, _ = ran(model).answers[f"refused/{cpu}"]
    assert code == 2 and re.search(f"lacks the processor feature '{REFUSED[model][cpu]}'", text), text
