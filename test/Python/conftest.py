"""What the tests of the package share: where it is, and a small artifact whose answers an independent script knows."""

import ctypes
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("LLMC_BUILD") or SOURCE / "build")
sys.path.insert(0, str(SOURCE / "python"))


@pytest.fixture(scope="session")
def package():
    """The folder of the package."""
    return SOURCE / "python" / "llmc"


@pytest.fixture
def make_toy(tmp_path):
    """make_toy(kind) writes the toy artifact of the runtime's unit tests and returns its base and the 32 ids it generates
    behind 1, 42, 7. Kinds: Step, Run, OtherAbi."""

    def make(kind="Step"):
        code = BUILD / "test" / "Unit" / "Runtime" / f"LLMCToy{kind}.so"
        if not code.exists() or not (BUILD / "lib" / "libllmcrt.so").exists():
            pytest.skip(f"{code} or libllmcrt.so is not built")
        library = ctypes.CDLL(str(code))
        library.toy_info_json.restype = ctypes.c_char_p
        (tmp_path / "toy.json").write_bytes(library.toy_info_json())
        shutil.copy(code, tmp_path / "toy.so")
        script = SOURCE / "test" / "Runtime" / "Inputs" / "toy.py"
        ids = subprocess.run([sys.executable, script, tmp_path / "toy.safetensors"], check=True, capture_output=True)
        return tmp_path / "toy", [int(word) for word in ids.stdout.split()]

    return make
