"""Processors of every kind: compiled for, and the artifact asks for nothing that the runtime cannot check.

LLMCTargetTests goes through every name that LLVM knows; here one name of each kind is taken the whole way.
"""
import ctypes
import json
import os
import pathlib
import subprocess

import pytest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("LLMC_BUILD") or SOURCE / "build")

# Names with what is remarkable about them.
KINDS = {
    "x86_64-linux-gnu": {
        "x86-64": "sse", "nocona": "sse", "nehalem": "sse", "sandybridge": "sse", "ivybridge": "sse",
        "bdver1": "sse",  # FMA4 and XOP, no FMA
        "bdver2": "sse",  # FMA without AVX2
        "btver2": "sse", "haswell": "avx2", "znver3": "avx2",
        "alderlake": "avxvnni", "clearwaterforest": "avxvnni",
        "novalake": "avx512vnni",  # APX, AVX10.2
        "knl": "avx512",  # AVX-512F alone
        "skylake-avx512": "avx512", "cascadelake": "avx512vnni", "znver5": "avx512vnni",
        "graniterapids": "amx-int8",  # AVX10.1
        "diamondrapids": "amx-int8",  # APX, MOVRS
    },
    "aarch64-linux-gnu": {
        "generic": "neon", "cortex-a53": "neon", "thunderx2t99": "neon",
        "a64fx": "neon",  # SVE without dot products
        "cortex-a76": "neon-dotprod", "neoverse-n1": "neon-dotprod",
        "cortex-r82": "neon-dotprod",  # of the R profile
        "neoverse-v2": "neon-dotprod", "gb10": "neon-dotprod",  # I8MM, which no kernel uses
        "apple-m4": "neon-dotprod",  # SME without SVE
    },
}


def can_check(target, feature):
    find = ctypes.CDLL(str(BUILD / "lib" / "libllmcrt.so"))["llmcrt_find_x86_feature" if "x86" in target else "llmcrt_find_aarch64_feature"]
    find.restype = ctypes.c_void_p
    return bool(find(feature.encode()))


@pytest.mark.parametrize("target,cpu", [(target, cpu) for target, names in KINDS.items() for cpu in names])
def test_compiles_and_can_be_checked(tmp_path, target, cpu):
    subprocess.run([BUILD / "bin" / "llmc-compile", f"--target={target}", f"--cpu={cpu}", SOURCE / "test/Execute/linear-int.mlir",
                    "-o", tmp_path / "model"], check=True)
    machine = json.loads((tmp_path / "model.json").read_text())["target"]
    assert machine["strategy"] == KINDS[target][cpu] and machine["cpu"] == cpu
    assert machine["features"] and all(can_check(target, feature) for feature in machine["features"])
    assert not can_check(target, "telepathy")
