"""Importing costs what it should: processor time of a decoder of 5.8M parameters as optimum writes it."""
import os
import resource
import subprocess

import onnx
import pytest
from widen_decoder import widen

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
IMPORT = os.path.join(os.environ.get("LLMC_BUILD", os.path.join(ROOT, "build")), "bin", "llmc-import")
NARROW = os.path.join(ROOT, "..", "shared", "models", "stories260K", "optimum", "model.onnx")


@pytest.mark.skipif(not os.path.exists(NARROW), reason="stories260K is not beside the repository")
def test_a_small_decoder_is_imported_in_two_seconds(tmp_path):
    onnx.save(widen(onnx.load(NARROW), 5), tmp_path / "model.onnx")

    def seconds():
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([IMPORT, "--no-verify", str(tmp_path / "model.onnx"), "-o", str(tmp_path / "out.mlirbc")], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(3)) <= 2
