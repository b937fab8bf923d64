"""Every registered pass, alone, on every .mlir file of the tests: it does its work or says what it cannot take; it never dies.

All files are one input, cut where lit cuts them, so that each pass is one process. When one dies, it runs again on each piece, to name it.
"""
import os
import pathlib
import re
import subprocess

import pytest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("LLMC_BUILD") or SOURCE / "build")
OPT = BUILD / "bin" / "llmc-opt"
CUT = "// -----\n"


def registered_passes():
    """Flags of passes and pipelines: what --help lists between its two headings and the next option."""
    text = subprocess.run([OPT, "--help"], capture_output=True, text=True).stdout
    listed = re.search(r"^  Compiler passes to run\n(.*?)^  -", text, flags=re.M | re.S).group(1)
    return sorted(set(re.findall(r"^      --([\w-]+)\b.* -   ", listed, flags=re.M)))


def pieces():
    """(file, text) of each module of the tests."""
    found = []
    for path in sorted((SOURCE / "test").rglob("*.mlir")):
        text = path.read_text()
        for piece in re.split(r"^// ?---.*$", text, flags=re.M):
            if piece.strip():
                found.append((path.relative_to(SOURCE), piece))
    return found


def ends_well(flag, text, limit=300):
    """Whether the tool ends by itself: with code 0, or 2 after a diagnostic."""
    result = subprocess.run([OPT, f"--{flag}", "--split-input-file", "-", "-o", os.devnull], input=text, text=True,
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=limit)
    return result.returncode == 0 or (result.returncode == 2 and "error: " in result.stderr)


@pytest.mark.parametrize("flag", registered_passes())
def test_pass_never_dies(flag):
    texts = pieces()
    assert len(texts) > 200
    if ends_well(flag, CUT.join(text for _, text in texts)):
        return
    for path, text in texts:
        assert ends_well(flag, text), f"--{flag} dies on a module of {path}:\n{text}"
    pytest.fail(f"--{flag} dies on all modules together, on none alone")


def test_the_passes_are_found():
    assert {"fuse-stages", "pack-weights", "plan-memory", "roll-layers", "lower-step", "lower-dots", "llmc-lower", "awq-quantize"} <= set(registered_passes())
