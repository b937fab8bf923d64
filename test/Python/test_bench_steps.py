"""python/bench/steps.py: time and memory of each step, on a small model of the shape it is meant for."""

import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BENCH = SOURCE / "python" / "bench"
BUILD = os.environ.get("LLMC_BUILD") or str(SOURCE / "build")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("steps") / "tiny.onnx"
    subprocess.run([sys.executable, BENCH / "make_onnx.py", "24m", "--layers=1", "--vocab=512", "--store=f16", f"--out={path}"],
                   check=True)
    return path


def run(*arguments):
    return subprocess.run([sys.executable, "-S", BENCH / "steps.py", *map(str, arguments)], capture_output=True, text=True,
                          env={**os.environ, "LLMC_BUILD": BUILD})


def rows_of(text):
    header, *lines = text.splitlines()
    assert header.split() == ["step", "seconds", "peak", "MB", "in", "MB", "out", "MB", "peak/larger"]
    return {re.split(r"  +", line)[0]: [float(word) for word in line[12:].split()] for line in lines}


def test_every_step_is_measured(model, tmp_path):
    np.save(tmp_path / "calib.npy", np.arange(96, dtype=np.int32).reshape(2, 48))
    done = run(model, f"--work={tmp_path / 'work'}", f"--tokens={tmp_path / 'calib.npy'}")
    assert done.returncode == 0, done.stderr
    rows = rows_of(done.stdout)
    assert list(rows) == ["import", "calibrate", "compress", "compile", "first token"]
    weights = (tmp_path / "work" / "small.safetensors").stat().st_size
    for name, (seconds, peak, before, after, ratio) in rows.items():
        assert seconds > 0 and peak > 5 and ratio > 0, name
    assert rows["compile"][3] == pytest.approx(weights / 1e6, abs=1)
    assert rows["import"][2] == rows["import"][3] > rows["compress"][3] / 2  # f16 stays f16.


def test_passes_without_calibration(model, tmp_path):
    done = run(model, f"--work={tmp_path}", "--passes=--rtn-quantize=bits=8", "--passes=--sparsify-2-4")
    assert done.returncode == 0, done.stderr
    assert list(rows_of(done.stdout)) == ["import", "compress", "compile", "first token"]


def test_a_failing_step_is_named(model, tmp_path):
    done = run(model, f"--work={tmp_path}", "--passes=--rtn-quantize=bits=99")
    assert done.returncode == 1 and "steps: " in done.stderr and "--rtn-quantize=bits=99" in done.stderr
    done = run(tmp_path / "missing.onnx", f"--work={tmp_path}")
    assert done.returncode == 1 and "llmc-import" in done.stderr
