"""Killed at random points, llmc-opt and llmc-compile leave the old output or the whole new one, never a part.

What a killed run leaves beside its output (a hidden temporary) is removed by the next run that writes the same file.
"""
import os
import pathlib
import random
import signal
import subprocess
import time

import pytest

BIN = pathlib.Path(os.environ.get("LLMC_BUILD", "build")) / "bin"
FIXTURE = pathlib.Path(__file__).resolve().parents[1] / "EndToEnd" / "fixtures" / "qwen2-optimum" / "model.onnx"
KILLS = 50


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def kill_at_random(command, folder, names, seed):
    """Runs `command`, which writes the files `names` into `folder`, KILLS times; returns how many were killed."""
    subprocess.run(command, check=True, capture_output=True)
    whole = {name: (folder / name).read_bytes() for name in names}
    start = time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    duration = time.monotonic() - start
    choose = random.Random(seed)
    killed = 0
    for attempt in range(KILLS):
        old = {name: f"old {attempt}".encode() for name in names}
        for name, data in old.items():
            (folder / name).write_bytes(data)
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(choose.random() * duration * 1.1)
        process.kill()
        killed += process.wait() == -signal.SIGKILL
        for name, data in contents(folder).items():
            if name in names:
                assert data in (old[name], whole[name]), f"{name} is neither old nor whole after kill {attempt}"
            else:
                assert name.startswith(".") and name.endswith(".tmp"), f"{name} was left by kill {attempt}"
    subprocess.run(command, check=True, capture_output=True)
    assert contents(folder) == whole, "a run to the end leaves exactly its outputs"
    return killed


def test_llmc_opt(tmp_path):
    megabytes = 8
    text = tmp_path / "model.mlir"
    blob = "04000000" + "0000803F" * (megabytes << 18)
    text.write_text(
        f'func.func @f() -> tensor<{megabytes << 18}xf32> {{\n'
        f'  %w = llmc.weight "w" {{values = dense_resource<w> : tensor<{megabytes << 18}xf32>}} : tensor<{megabytes << 18}xf32>\n'
        f'  return %w : tensor<{megabytes << 18}xf32>\n}}\n'
        f'{{-# dialect_resources: {{ builtin: {{ w: "0x{blob}" }} }} #-}}\n')
    source = tmp_path / "model.mlirbc"
    subprocess.run([BIN / "llmc-opt", text, "-o", source], check=True)
    folder = tmp_path / "out"
    folder.mkdir()
    command = [BIN / "llmc-opt", source, "--cse", "-o", folder / "result.mlirbc"]
    assert kill_at_random(command, folder, ["result.mlirbc"], seed=1) >= KILLS // 4


@pytest.mark.skipif(not (BIN / "llmc-compile").exists(), reason="llmc-compile is not built")
def test_llmc_compile(tmp_path):
    model = tmp_path / "model.mlirbc"
    subprocess.run([BIN / "llmc-import", FIXTURE, "--no-verify", "-o", model], check=True)
    folder = tmp_path / "out"
    folder.mkdir()
    command = [BIN / "llmc-compile", "--target=x86_64-linux-gnu", "--cpu=x86-64-v3", model, "-o", folder / "m"]
    names = [f"m.{suffix}" for suffix in ("o", "so", "h", "safetensors", "json")]
    assert kill_at_random(command, folder, names, seed=2) >= KILLS // 4
