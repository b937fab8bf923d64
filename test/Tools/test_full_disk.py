"""A disk that is full: code 3, the file's name, and nothing left behind.

The limit of a process on the size of its files stands in for the disk; like that, it is met while writing.
"""
import os
import resource
import signal
import subprocess

import pytest

ROOMY, FULL = 1 << 30, 8192


def run(tools, name, *arguments, largest=ROOMY, stdout=subprocess.DEVNULL, **environment):
    """Exit code and standard error of a tool whose files may have `largest` bytes."""
    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # The write fails instead.
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))

    done = subprocess.run([tools.bin / name, *arguments], stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE,
                          preexec_fn=limit, env=dict(os.environ, **environment), timeout=600)
    return done.returncode, done.stderr.decode()


@pytest.fixture()
def folder(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


@pytest.mark.parametrize("suffix", [".mlirbc", ".mlir"])
@pytest.mark.parametrize("name, arguments", [("llmc-import", ["ONNX", "--no-verify"]), ("llmc-opt", ["MODEL"])])
def test_a_model_that_does_not_fit(tools, model, folder, name, arguments, suffix):
    paths = {"ONNX": tools.onnx, "MODEL": model}
    arguments = [*(paths.get(word, word) for word in arguments), "-o", folder / ("m" + suffix)]
    assert run(tools, name, *arguments)[0] == 0
    (folder / ("m" + suffix)).unlink()
    code, said = run(tools, name, *arguments, largest=FULL)
    assert code == 3, said
    assert f"m{suffix}' cannot be written: File too large" in said
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("extra", [[], ["--embed-weights"], ["--until=llvm"]])
def test_an_artifact_that_does_not_fit(tools, model, folder, extra):
    code, said = run(tools, "llmc-compile", *tools.target, *extra, model, "-o", folder / "a", largest=FULL)
    assert code == 3, said
    assert "File too large" in said and str(folder / "a") in said
    assert list(folder.iterdir()) == []


def test_results_that_do_not_fit(tools, artifact, folder):
    code, said = run(tools, "llmc-run", artifact, "--prompt-ids=1,2,3,4", "--prefill=4", f"--logits={folder}/l.npy", largest=64)
    assert code in (2, 3), said
    if "this machine lacks" in said:
        pytest.skip("the artifact is for another processor")
    assert code == 3 and "l.npy: cannot be written: File too large" in said
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name, arguments", [
    ("llmc-import", ["ONNX", "--no-verify", "-o", "-"]), ("llmc-import", ["ONNX", "--check"]), ("llmc-opt", ["MODEL"]),
    ("llmc-compile", ["MODEL", "--until=lower"]), ("llmc-compile", ["MODEL", "--dry-run"]),
])
def test_standard_output_that_is_full(tools, model, name, arguments):
    paths = {"ONNX": tools.onnx, "MODEL": model}
    target = tools.target if name == "llmc-compile" else []
    with open("/dev/full", "w") as full:
        code, said = run(tools, name, *target, *(paths.get(word, word) for word in arguments), stdout=full)
    assert code == 3, said
    assert f"{name}: error: standard output cannot be written: No space left on device" in said


def test_weights_stay_in_memory_with_a_warning(tools, model, folder):
    arguments = ["--rtn-quantize", model, "-o"]
    code, said = run(tools, "llmc-opt", *arguments, folder / "a.mlirbc")
    assert code == 0 and "warning" not in said
    code, said = run(tools, "llmc-opt", *arguments, folder / "b.mlirbc", TMPDIR="/nonexistent")
    assert code == 0
    assert said.count("warning: weight data stays in memory, as no file of") == 1
    assert "can be made in '/nonexistent': No such file or directory; TMPDIR names another place" in said
    assert (folder / "a.mlirbc").read_bytes() == (folder / "b.mlirbc").read_bytes()
