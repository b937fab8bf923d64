"""A peer that ends is named with how it ended and what it said, in python/bench/peers.py."""

import importlib.util
import pathlib
import subprocess
import sys
import types

import pytest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BENCH = SOURCE / "python" / "bench"


@pytest.fixture
def peers(monkeypatch, tmp_path):
    """The module, with an engine that a test writes."""
    monkeypatch.syspath_prepend(str(BENCH))
    spec = importlib.util.spec_from_file_location("peers", BENCH / "peers.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "HERE", str(tmp_path))

    def engine(text):
        (tmp_path / "engines.py").write_text("import os, signal, sys\n" + text)
        return module

    return engine


KILL = "print('loading', file=sys.stderr); print('almost there', file=sys.stderr, flush=True); os.kill(os.getpid(), signal.SIG{})\n"


@pytest.mark.parametrize("name, number", [("SEGV", 11), ("ILL", 4), ("KILL", 9)])
def test_signal_while_it_loads(peers, capsys, name, number):
    module = peers(KILL.format(name))
    options = types.SimpleNamespace(peers=[("onnxruntime", "m.onnx")])
    with pytest.raises(SystemExit) as ended:
        module.run_threads(options, 1, ["pp16"])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said == (f"peers: error: onnxruntime cannot run m.onnx: ended by signal {number} (SIG{name}); it said:\n"
                    "  loading\n  almost there\n")


def test_signal_while_it_runs(peers, capsys):
    module = peers("print('ready onnxruntime 1.0', flush=True)\nfor line in sys.stdin:\n    " + KILL.format("SEGV"))
    peer = module.Peer("onnxruntime", "m.onnx", 1, 16)
    assert peer.alive and peer.version == "1.0"
    for _ in range(2):  # also when it is asked again
        with pytest.raises(SystemExit):
            peer.measure("pp16", 0.1)
        assert "onnxruntime at pp16 of m.onnx: ended by signal 11 (SIGSEGV); it said:\n  loading" in capsys.readouterr().err
    peer.close()


def test_code_and_long_output(peers, capsys):
    module = peers("for i in range(100000): print('line', i, file=sys.stderr)\nsys.exit(7)\n")
    peer = module.Peer("openvino", "m.onnx", 1, 16)
    text = peer.describe_end()
    assert text.startswith("ended with code 7; it said:\n  line 99980\n") and text.endswith("  line 99999")


def test_llama_bench(monkeypatch, tmp_path):
    program = tmp_path / "llama-bench"
    program.write_text("#!/bin/sh\necho no such tensor >&2\nkill -ABRT $$\n")
    program.chmod(0o755)
    done = subprocess.run([sys.executable, BENCH / "engines.py", "llama.cpp", "m.gguf", "1", "16"], input="pp16 0.1\n", text=True,
                          capture_output=True, env={"LLAMA_BENCH": str(program)})
    assert done.returncode == 1
    assert done.stderr == "engines: error: llama-bench ended by signal 6 (SIGABRT); it said:\n  no such tensor\n"
