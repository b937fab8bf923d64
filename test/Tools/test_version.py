"""--version of every tool: of llmc, of LLVM, what the build is for; exit code 0, and nothing else needed."""
import pathlib
import re

import pytest

TOOLS = ("llmc-import", "llmc-opt", "llmc-compile", "llmc-run", "llmc-bench")
CMAKE = pathlib.Path(__file__).resolve().parents[2] / "CMakeLists.txt"


@pytest.mark.parametrize("name", TOOLS)
def test_version(tools, name):
    version = re.search(r"project\(llmc VERSION (\S+)", CMAKE.read_text()).group(1)
    assert tools.ok(name, "--version") == ""
    lines = tools.out.splitlines()
    assert lines[0] == f"{name} {version}"
    assert re.search(r"built with LLVM 22\.\d+\.\d+ \(\w+\), runs on (x86_64|aarch64)", lines[1])
    assert "compiles for x86_64-linux-gnu and aarch64-linux-gnu, artifact ABI " in lines[2]


def test_help_of_compile_shows_its_options(tools):
    tools.ok("llmc-compile", "--help")
    for option in ("--target=<triple>", "--cpu=<", "--features=<list>", "--context=<", "--chunk=<", "--max-tokens=<",
                   "--embed-weights", "--symbol-prefix=<P>", "--until=<stage>", "--assembly", "--explain", "--dry-run", "-o <output>"):
        assert f"  {option}" in tools.out, option
    assert "EXAMPLES:" in tools.out and "EXIT CODES:" in tools.out
    options = tools.out.split("OPTIONS:")[1].split("EXAMPLES:")[0]
    assert "x86-asm-syntax" not in options and "--mlir-" not in options
    # No option without a description.
    for line in options.splitlines():
        assert not line.startswith("  -") or re.search(r" - \S+", line), line
