"""Runs the tools of the build; a model and an artifact that tests share and do not change."""
import os
import pathlib
import subprocess

import pytest

BIN = pathlib.Path(os.environ.get("LLMC_BUILD", "build")).resolve() / "bin"
FIXTURES = pathlib.Path(__file__).resolve().parents[1] / "EndToEnd" / "fixtures"
TARGET = ["--target=x86_64-linux-gnu", "--cpu=x86-64-v3"]


class Tools:
    """tools("llmc-opt", ...): its exit code and what it wrote on standard error."""

    def __init__(self):
        self.onnx = FIXTURES / "qwen2-optimum" / "model.onnx"
        self.target = TARGET
        self.bin = BIN

    def __call__(self, name, *arguments, cwd=None, stdin=subprocess.DEVNULL):
        done = subprocess.run([BIN / name, *arguments], cwd=cwd, stdin=stdin, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=600)
        self.out = done.stdout.decode("utf8", "replace")
        return done.returncode, done.stderr.decode("utf8", "replace")

    def ok(self, name, *arguments, **more):
        code, said = self(name, *arguments, **more)
        assert code == 0, said
        return said

    def refused(self, code, name, *arguments, **more):
        found, said = self(name, *arguments, **more)
        assert found == code, (found, said)
        assert "error: " in said and "loc(" not in said and "<unknown>" not in said, said
        return said


@pytest.fixture(scope="session")
def tools():
    if not (BIN / "llmc-compile").exists():
        pytest.skip("llmc-compile is not built")
    return Tools()


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """The imported fixture."""
    path = tmp_path_factory.mktemp("model") / "m.mlirbc"
    subprocess.run([BIN / "llmc-import", FIXTURES / "qwen2-optimum" / "model.onnx", "--no-verify", "-o", path], check=True)
    return path


@pytest.fixture(scope="session")
def artifact(model, tmp_path_factory):
    """Its base name, compiled for a processor that the tests run on or not."""
    base = tmp_path_factory.mktemp("artifact") / "art"
    subprocess.run([BIN / "llmc-compile", *TARGET, model, "-o", base], check=True)
    return base
