"""How many instructions each kernel of linear takes for a product of one weight and one input, by callgrind.

A guard without a clock: counts are exact and the same on every machine, as the code is for one CPU (haswell). Each has a bound in
instruction-counts.json: what was counted when it was stored, and SLACK. A kernel that became better keeps its old bound until

  python test/Target/test_instruction_counts.py --store

writes the file anew (with build/bin in place); the difference is part of the change that made it better.
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import numpy as np
import pytest

HERE = pathlib.Path(__file__).resolve().parent
BUILD = pathlib.Path(os.environ.get("LLMC_BUILD") or HERE.parents[1] / "build")
BOUNDS = HERE / "instruction-counts.json"
SLACK = 1.02
SIDE = 1024
TOKENS = {"decode": 1, "prefill": 64}

MODULE = f"""
func.func @main(%ids: tensor<?x?xi32> {{llmc.name = "input_ids"}})
    -> (tensor<?x?x{SIDE}xf32> {{llmc.name = "y"}}) attributes {{llmc.role = "run"}} {{
  %table = llmc.weight "table.weight" {{values = dense<0.25> : tensor<4x{SIDE}xf32>}} : tensor<4x{SIDE}xf32>
  %matrix = llmc.weight "matrix.weight" {{values = dense<0.5> : tensor<{SIDE}x{SIDE}xf32>}} : tensor<{SIDE}x{SIDE}xf32>
  %x = llmc.embedding %table, %ids : tensor<4x{SIDE}xf32>, tensor<?x?xi32>
  %y = llmc.linear %x, %matrix : tensor<?x?x{SIDE}xf32>, tensor<{SIDE}x{SIDE}xf32>
  return %y : tensor<?x?x{SIDE}xf32>
}}
"""

# What is done to the matrix, by the name of the result.
FORMATS = {
    "f32": [],
    "int8-row-i8token": ["--rtn-quantize=bits=8 group=0 symmetric=true activations=i8-token include=matrix"],
    "int4-g32": ["--rtn-quantize=include=matrix"],
    "int4-g32-i8token": ["--rtn-quantize=activations=i8-token include=matrix"],
    "int4-g32-i8g32": ["--rtn-quantize=activations=i8-group include=matrix"],
    "int4-g128-i8token": ["--rtn-quantize=group=128 activations=i8-token include=matrix"],
    "int5-g128-i8token": ["--rtn-quantize=bits=5 group=128 activations=i8-token include=matrix"],
    "nf4-g64": ["--nf4-quantize=include=matrix"],
    "nf4i8-g64-i8token": ["--nf4-quantize=activations=i8-token include=matrix"],
    "ternary-b3-i8token": ["--ternarize=packing=base3 include=matrix"],
    "ternary-i8token": ["--ternarize=include=matrix"],
    "nm2x4-int4-g128": ["--rtn-quantize=group=128 include=matrix", "--sparsify-2-4=include=matrix"],
    "nm2x4-int4-g128-i8token": ["--rtn-quantize=group=128 activations=i8-token include=matrix",
                                "--sparsify-2-4=include=matrix"],
}


def run(*command, **more):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **more)
    assert done.returncode == 0, f"{command[0]} exited {done.returncode}\n{done.stderr[-2000:]}"
    return done


def count(folder, flags):
    """Instructions for each product of a weight and an input, for each of TOKENS."""
    tools = BUILD / "bin"
    (folder / "linear.mlir").write_text(MODULE)
    run(tools / "llmc-opt", *flags, folder / "linear.mlir", "-o", folder / "linear.mlirbc")
    run(tools / "llmc-compile", "--target=x86_64-linux-gnu", "--cpu=haswell", folder / "linear.mlirbc", "-o", folder / "linear")
    counts = {}
    for name, tokens in TOKENS.items():
        np.save(folder / "ids.npy", np.zeros((1, tokens), np.int32))
        done = run("valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/callgrind.out", "--toggle-collect=linear_*",
                   tools / "llmc-run", folder / "linear", f"--input=input_ids={folder}/ids.npy", f"--output=y={folder}/y.npy")
        collected = int(re.search(r"Collected : (\d+)", done.stderr)[1])
        assert collected > SIDE * SIDE * tokens / 1000, f"the kernel was not seen: {done.stderr[-500:]}"
        counts[name] = round(collected / (SIDE * SIDE * tokens), 4)
    return counts


def missing():
    """Why nothing can be counted here, if so."""
    if not shutil.which("valgrind"):
        return "valgrind is not installed"
    if "avx2" not in pathlib.Path("/proc/cpuinfo").read_text():
        return "this processor has no AVX2"
    return None


@pytest.mark.skipif(missing() is not None, reason=str(missing()))
@pytest.mark.parametrize("name", FORMATS)
def test_kernel_takes_no_more_instructions(name, tmp_path):
    bounds = json.loads(BOUNDS.read_text())[name]
    counts = count(tmp_path, FORMATS[name])
    for kind, value in counts.items():
        assert value <= bounds[kind] * SLACK, f"{name}, {kind}: {value} instructions for each product, at most {bounds[kind]}"


def test_every_bound_belongs_to_a_kernel():
    assert sorted(json.loads(BOUNDS.read_text())) == sorted(FORMATS)


if __name__ == "__main__":
    if sys.argv[1:] != ["--store"]:
        sys.exit(__doc__)
    stored = {}
    for name, flags in FORMATS.items():
        with tempfile.TemporaryDirectory() as folder:
            stored[name] = count(pathlib.Path(folder), flags)
        print(name, stored[name], flush=True)
    BOUNDS.write_text(json.dumps(stored, indent=1) + "\n")
