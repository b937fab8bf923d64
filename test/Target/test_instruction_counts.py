"""How many instructions linears take for a product of one weight and one input, and attention for one of its products, by callgrind.

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

# Attention over a cache: queries of 8 heads, keys of 2, FILLED ids at once and then single ones. Products are those with keys and
# with values that are seen.
HEADS, KEY_HEADS, HEAD, FILLED, SINGLE = 8, 2, 64, 448, 64
ATTENTION = f"""
llmc.cache @kv : tensor<{KEY_HEADS}x{HEAD}xf32>
func.func @main(%ids: tensor<?x?xi64>) -> tensor<?x?x8xf32> attributes {{llmc.role = "step"}} {{
  %e = llmc.weight "embed.weight" {{values = dense<0.5> : tensor<8x{HEADS * HEAD}xf32>}} : tensor<8x{HEADS * HEAD}xf32>
  %w = llmc.weight "w.weight" {{values = dense<0.5> : tensor<{KEY_HEADS * HEAD}x{HEADS * HEAD}xf32>}}
      : tensor<{KEY_HEADS * HEAD}x{HEADS * HEAD}xf32>
  %x = llmc.embedding %e, %ids : tensor<8x{HEADS * HEAD}xf32>, tensor<?x?xi64>
  %k = llmc.linear %x, %w : tensor<?x?x{HEADS * HEAD}xf32>, tensor<{KEY_HEADS * HEAD}x{HEADS * HEAD}xf32>
  %a = llmc.attention %x, %k, %k cache @kv {{heads = {HEADS} : i64, kv_heads = {KEY_HEADS} : i64, scale = 0.125 : f64, causal}}
      : tensor<?x?x{HEADS * HEAD}xf32>, tensor<?x?x{KEY_HEADS * HEAD}xf32>, tensor<?x?x{KEY_HEADS * HEAD}xf32>
  %logits = llmc.linear %a, %e : tensor<?x?x{HEADS * HEAD}xf32>, tensor<8x{HEADS * HEAD}xf32>
  return %logits : tensor<?x?x8xf32>
}}
"""
CACHES = {
    "attention-f32": "type=f32",
    "attention-f16": "type=f16",
    "attention-bf16": "type=bf16",
    "attention-i8": "type=i8",
    "attention-i8-products": "type=i8 products=i8",
}


def run(*command, **more):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **more)
    assert done.returncode == 0, f"{command[0]} exited {done.returncode}\n{done.stderr[-2000:]}"
    return done


def compiled(folder, module, flags):
    tools = BUILD / "bin"
    (folder / "kernel.mlir").write_text(module)
    run(tools / "llmc-opt", *flags, folder / "kernel.mlir", "-o", folder / "kernel.mlirbc")
    run(tools / "llmc-compile", "--target=x86_64-linux-gnu", "--cpu=haswell", folder / "kernel.mlirbc", "-o", folder / "kernel")


def collected(folder, kernels, products, *arguments):
    """Instructions in functions of these names while llmc-run runs."""
    done = run("valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/callgrind.out",
               *(f"--toggle-collect={name}" for name in kernels),
               BUILD / "bin" / "llmc-run", folder / "kernel", *arguments)
    found = int(re.search(r"Collected : (\d+)", done.stderr)[1])
    assert found > products / 1000, f"the kernel was not seen: {done.stderr[-500:]}"
    return found


def count(folder, flags):
    """Instructions for each product of a weight and an input, for each of TOKENS."""
    compiled(folder, MODULE, flags)
    counts = {}
    for name, tokens in TOKENS.items():
        np.save(folder / "ids.npy", np.zeros((1, tokens), np.int32))
        products = SIDE * SIDE * tokens
        found = collected(folder, ("linear_*", "quantize_*"), products, f"--input=input_ids={folder}/ids.npy", f"--output=y={folder}/y.npy")
        counts[name] = round(found / products, 4)
    return counts


def count_attention(folder, cache):
    """The same for products of attention."""
    compiled(folder, ATTENTION, [f"--cache-quantize={cache}"])
    ends, found = (FILLED, FILLED + SINGLE), []
    products = [HEADS * 2 * HEAD * end * (end + 1) // 2 for end in ends]
    for end in ends:
        np.save(folder / "ids.npy", np.arange(end, dtype=np.int32) * 5 % 8)
        found.append(collected(folder, ("attention_*",), products[0], f"--prompt-ids=@{folder}/ids.npy", f"--prefill={FILLED}",
                               f"--logits={folder}/logits.npy"))
    return {"decode": round((found[1] - found[0]) / (products[1] - products[0]), 4), "prefill": round(found[0] / products[0], 4)}


def count_kernel(folder, name):
    return count(folder, FORMATS[name]) if name in FORMATS else count_attention(folder, CACHES[name])


def missing():
    """Why nothing can be counted here, if so."""
    if not shutil.which("valgrind"):
        return "valgrind is not installed"
    if "avx2" not in pathlib.Path("/proc/cpuinfo").read_text():
        return "this processor has no AVX2"
    return None


@pytest.mark.skipif(missing() is not None, reason=str(missing()))
@pytest.mark.parametrize("name", [*FORMATS, *CACHES])
def test_kernel_takes_no_more_instructions(name, tmp_path):
    bounds = json.loads(BOUNDS.read_text())[name]
    counts = count_kernel(tmp_path, name)
    for kind, value in counts.items():
        assert value <= bounds[kind] * SLACK, f"{name}, {kind}: {value} instructions for each product, at most {bounds[kind]}"


def test_every_bound_belongs_to_a_kernel():
    assert sorted(json.loads(BOUNDS.read_text())) == sorted([*FORMATS, *CACHES])


if __name__ == "__main__":
    if sys.argv[1:] != ["--store"]:
        sys.exit(__doc__)
    stored = {}
    for name in [*FORMATS, *CACHES]:
        with tempfile.TemporaryDirectory() as folder:
            stored[name] = count_kernel(pathlib.Path(folder), name)
        print(name, stored[name], flush=True)
    BOUNDS.write_text(json.dumps(stored, indent=1) + "\n")
