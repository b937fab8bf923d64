"""Finding and calling the tools: the arguments they get, and what becomes of their errors."""

import json
import sys

import llmc
import pytest
from llmc import cli

TOOL = """#!{python}
import json, os, sys
print("a remark", file=sys.stderr)
with open(os.path.join(os.path.dirname(__file__), "calls"), "a") as file:
    print(json.dumps([os.path.basename(__file__), *sys.argv[1:]]), file=file)
if "bad.onnx" in sys.argv:
    print("llmc-import: error: bad.onnx: truncated", file=sys.stderr)
    sys.exit(2)
"""


@pytest.fixture
def calls(tmp_path, monkeypatch):
    """Tools that only note how they are called; calls() lists that."""
    for name in ("llmc-import", "llmc-opt", "llmc-compile", "llmc-run"):
        (tmp_path / name).write_text(TOOL.format(python=sys.executable))
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("LLMC_BIN", str(tmp_path))
    return lambda: [json.loads(line) for line in (tmp_path / "calls").read_text().splitlines()]


def test_arguments_of_each_tool(calls, tmp_path):
    assert llmc.import_onnx("m.onnx", tmp_path / "m.mlirbc", float_activations=True, verify=False)
    passes = ["sparsify-2-4", ("awq-quantize", {"bits": 4, "symmetric": False}), "--ternarize=include=mlp"]
    assert llmc.compress("m.mlirbc", passes, calibration="c.npy", out="s.mlirbc") == "s.mlirbc"
    assert llmc.compile("s.mlirbc", "b/s", target="aarch64-linux-gnu", cpu="cortex-a76", context=99) == "b/s"
    assert calls() == [
        ["llmc-import", "m.onnx", "-o", str(tmp_path / "m.mlirbc"), "--float-activations", "--no-verify"],
        ["llmc-opt", "--calibrate=tokens=c.npy", "--sparsify-2-4", "--awq-quantize=bits=4 symmetric=false",
         "--ternarize=include=mlp", "m.mlirbc", "-o", "s.mlirbc"],
        ["llmc-compile", "--target=aarch64-linux-gnu", "--cpu=cortex-a76", "--context=99", "s.mlirbc", "-o", "b/s"],
    ]


def test_remarks_go_to_the_log(calls, caplog):
    with caplog.at_level("INFO", logger="llmc"):
        llmc.compress("m.mlirbc", [], out="s.mlirbc")
    assert caplog.messages == ["llmc-opt: a remark"]


def test_a_tool_that_fails(calls):
    with pytest.raises(llmc.ToolError, match="ended with code 2: a remark\nllmc-import: error: bad.onnx: truncated") as caught:
        llmc.import_onnx("bad.onnx", "m.mlirbc")
    assert caught.value.exit_code == 2 and caught.value.tool == "llmc-import"
    assert "truncated" in caught.value.stderr and caught.value.command[1:] == ["bad.onnx", "-o", "m.mlirbc"]


def test_a_tool_that_is_not_there_or_no_program(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(llmc.ToolError, match="llmc-dance is neither in .* nor on PATH") as caught:
        llmc.find_tool("llmc-dance")
    assert caught.value.exit_code is None
    monkeypatch.setenv("LLMC_BIN", str(tmp_path))
    (tmp_path / "llmc-opt").write_text("#!/nowhere/at/all\n")
    (tmp_path / "llmc-opt").chmod(0o755)
    with pytest.raises(llmc.ToolError, match="llmc-opt cannot be started"):
        llmc.compress("m.mlirbc", [], out="s.mlirbc")


def test_search_order(calls, tmp_path, monkeypatch):
    assert llmc.find_tool("llmc-opt") == str(tmp_path / "llmc-opt")
    build = tmp_path / "build"
    (build / "bin").mkdir(parents=True)
    (build / "bin" / "llmc-opt").write_text("")
    (build / "bin" / "llmc-opt").chmod(0o755)
    monkeypatch.setenv("LLMC_BUILD", str(build))
    assert llmc.find_tool("llmc-opt") == str(tmp_path / "llmc-opt")
    monkeypatch.delenv("LLMC_BIN")
    assert llmc.find_tool("llmc-opt") == str(build / "bin" / "llmc-opt")


def test_arguments_that_make_no_sense():
    with pytest.raises(ValueError, match="out="):
        llmc.compress("m.mlirbc", [])
    with pytest.raises(ValueError, match="list of passes"):
        llmc.compress("m.mlirbc", "ternarize", out="s.mlirbc")


def test_the_command_explains_itself(capsys):
    assert cli.main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(word in text for word in ("demo", "llmc-import", "llmc-opt", "llmc-compile", "llmc-run", "Exit codes"))
    assert max(map(len, text.splitlines())) <= 100
    assert cli.main(["--version"]) == 0 and capsys.readouterr().out == f"llmc {llmc.__version__}\n"
    assert cli.main(["fly"]) == 1 and "unknown command 'fly'" in capsys.readouterr().err
    assert cli.main([]) == 1 and "usage" in capsys.readouterr().err
    with pytest.raises(SystemExit) as caught:
        cli.main(["demo", "--rows=many"])
    assert caught.value.code == 1


@pytest.mark.parametrize("command, tool", cli.FORWARDED.items())
def test_forwarding(tmp_path, package, command, tool, monkeypatch):
    import subprocess
    (tmp_path / tool).write_text(f"#!/bin/sh\necho {tool} \"$@\"\nexit 3\n")
    (tmp_path / tool).chmod(0o755)
    monkeypatch.setenv("LLMC_BIN", str(tmp_path))
    done = subprocess.run([sys.executable, "-m", "llmc", command, "--a=b c", "d"], cwd=package.parent, text=True,
                          capture_output=True)
    assert (done.returncode, done.stdout) == (3, f"{tool} --a=b c d\n")
