"""What changes with the length is found at exactly the length where it does: windows become windows, a second rotation becomes one, the context
ends in front of the rest."""
import os
import re
import subprocess
import sys

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
BUILD = os.environ.get("LLMC_BUILD", os.path.join(ROOT, "build"))
sys.path.insert(0, os.path.join(ROOT, "python", "mutants"))
import angles  # noqa: E402
import exports  # noqa: E402
import others  # noqa: E402
import scores  # noqa: E402
from editor import Editor  # noqa: E402

#: What a change says of itself, and where the context ends then (one position less than what has changed).
ENDS = [
    (r"once the length exceeds (\d+)", 0),
    (r"dynamic NTK past (\d+)", 0),
    (r"positions start again every (\d+)", 0),
    (r"positions end at (\d+)", 1),
    (r"rotary tables start again at row (\d+)", 0),
    (r"past position (\d+)", 1),
    (r"chunks of (\d+)", 0),
    (r"keys more than (\d+) away gain", 1),
]
KINDS = [angles.rotation_switch, angles.dynamic_base, angles.angles_wrapped, angles.angles_held, angles.cache_table, others.residual_late,
         others.residual_by_position, others.branch_on_logits, *scores.KINDS]


def imported(model, folder):
    """(context, or where the rotation becomes another, or None; windows) of an import, or None where it is refused."""
    path, out = os.path.join(folder, "model.onnx"), os.path.join(folder, "model.mlir")
    open(path, "wb").write(model.SerializeToString())
    done = subprocess.run([os.path.join(BUILD, "bin", "llmc-import"), "--no-verify", "--outline-layers=false", path, "-o", out], capture_output=True, text=True)
    assert done.returncode in (0, 2), done.stderr
    if done.returncode:
        return None
    text = open(out).read()
    context = re.search(r"llmc\.context = (\d+)", text) or re.search(r"original_context = (\d+)", text)
    return int(context.group(1)) if context else None, [int(size) for size in re.findall(r"window = (\d+)", text)]


@pytest.mark.parametrize("name", [export.name for export in exports.all_exports(shared=False)])
def test_the_length_of_a_change_is_exact(name, tmp_path):
    export = next(e for e in exports.all_exports(shared=False) if e.name == name)
    whole, _ = imported(export.model, tmp_path)
    looked = 0
    for kind in KINDS:
        for seed in range(3):
            editor = Editor(export)
            made = kind(editor, np.random.default_rng(seed))
            if made is None or made[1] > export.limit:
                continue
            change, _ = made
            found = imported(editor.finish(), tmp_path)
            window = re.match(r"window of (\d+), ", change)
            end = next(((int(m.group(1)) + more) for text, more in ENDS if (m := re.search(text, change))), None)
            if found is None or (end is None and not window):
                continue
            context, windows = found
            if end is not None:
                assert context == end, f"{change}: context {context}"
            elif not export.encoder and "sinks" not in change:
                assert windows and set(windows) == {int(window.group(1))}, f"{change}: windows {windows}"
                assert context == whole, f"{change}: context {context}"
            looked += 1
    assert looked >= 3
