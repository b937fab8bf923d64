"""Long steps say on a terminal how far they are and how long it will take; on a pipe nothing of it is written."""
import os
import pty
import re
import subprocess

import pytest

np = pytest.importorskip("numpy")


@pytest.fixture
def terminal(tools, tmp_path):
    """terminal(tool, ...): what a run writes on a terminal as standard error."""
    def run(name, *arguments, environment=None):
        ours, theirs = pty.openpty()
        process = subprocess.Popen([tools.bin / name, *arguments], stderr=theirs, stdout=subprocess.DEVNULL,
                                   stdin=subprocess.DEVNULL, env={**os.environ, "TERM": "xterm", **(environment or {})})
        os.close(theirs)
        said = b""
        try:
            while piece := os.read(ours, 65536):
                said += piece
        except OSError:  # the end, on Linux
            pass
        os.close(ours)
        assert process.wait() == 0, said
        return said.decode()
    return run


def lines(said):
    """What was shown, line after line in one place."""
    return [line for line in said.replace("\r\n", "\r").split("\r\x1b[K") if line]


@pytest.fixture
def ids(tmp_path):
    np.save(tmp_path / "ids.npy", np.random.default_rng(5).integers(0, 32, (128, 64)))
    return tmp_path / "ids.npy"


def test_calibration_and_methods(terminal, tools, model, ids, tmp_path):
    said = terminal("llmc-opt", f"--calibrate=tokens={ids}", "--keep-statistics", model, "-o", tmp_path / "c.mlirbc")
    shown = lines(said)
    blocks = int(re.match(r"calibrate: 0 of (\d+) blocks, 0 %$", shown[0]).group(1))
    assert blocks >= 3 and shown[-1].startswith(f"calibrate: {blocks} of {blocks} blocks, 100 %")
    assert said.endswith("\r\x1b[K"), "the line is gone at the end"
    counts = [int(found) for found in re.findall(r"calibrate: (\d+) of", said)]
    assert counts == sorted(counts)
    for flag in ("--awq-quantize", "--low-rank-decompose"):
        said = terminal("llmc-opt", flag, tmp_path / "c.mlirbc", "-o", tmp_path / "x.mlirbc")
        assert re.search(flag[2:] + r": (\d+) of \1 layers, 100 %", said), said
        if flag == "--awq-quantize":
            assert re.search(r"awq-quantize, searching scales: (\d+) of \1 layers, 100 %", said), said


def test_remarks_do_not_run_into_the_line(terminal, model, ids, tmp_path):
    said = terminal("llmc-opt", f"--calibrate=tokens={ids}", "--sparsify-2-4", "--awq-quantize", model, "-o", tmp_path / "c.mlirbc")
    remarks = [line for line in re.split(r"\r\n|\r\x1b\[K", said) if "remark: " in line]
    assert remarks and all(line.startswith("llmc-opt: remark: ") for line in remarks), remarks


def test_import(terminal, tools, tmp_path):
    said = terminal("llmc-import", tools.onnx, "-o", tmp_path / "m.mlirbc")
    assert lines(said) and said.endswith("\r\x1b[K")


def test_nothing_on_a_pipe_or_a_dumb_terminal(terminal, tools, model, ids, tmp_path):
    command = ["llmc-opt", f"--calibrate=tokens={ids}", "--awq-quantize", model, "-o", tmp_path / "c.mlirbc"]
    said = tools.ok(*command)
    assert "\r" not in said and "\x1b" not in said and " of 8192 ids" not in said
    assert " of 8192 ids" not in terminal(*command, environment={"TERM": "dumb"})
    assert "\r" not in tools.ok("llmc-import", tools.onnx, "-o", tmp_path / "m.mlirbc")
