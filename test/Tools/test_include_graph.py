"""Rooms know each other one way: what each may include, read from the sources, and what is caught."""
import pathlib
import re

import pytest

SOURCE = pathlib.Path(__file__).resolve().parents[2]

# A room and those that it may know besides itself. Import, Calibrate and Compress run compiled code through
# IR/Executor.h, which Pipeline implements. Tools and InitAll.h stand above all rooms and are not in the table.
MAY_KNOW = {
    "Numerics": set(),
    "Runtime": set(),
    "IR": {"Numerics"},
    "Exec": {"IR"},
    "Import": {"IR", "Numerics"},
    "Calibrate": {"IR", "Numerics"},
    "Compress": {"IR", "Numerics", "Calibrate"},
    "Lower": {"IR", "Exec", "Numerics"},
    "Lower/Cpu": {"IR", "Exec", "Numerics", "Lower"},
    "Target": {"IR", "Runtime"},
    "Pipeline": {"IR", "Exec", "Numerics", "Calibrate", "Lower", "Lower/Cpu", "Target", "Runtime"},
}
INCLUDE = re.compile(r'^\s*#?\s*include\s+["<]([^">]+)[">]', re.MULTILINE)


def room_of(path):
    """The room of a path inside the tree (or the room within one, Lower/Cpu), a file directly in include/llmc by its name; None for what is no
    room's."""
    parts = path.parts
    inside = parts[2:] if parts[:2] == ("include", "llmc") else parts[1:] if parts[0] == "lib" and len(parts) > 2 else ()
    within = "/".join(inside[:2])
    return within if within in MAY_KNOW else inside[0] if inside else None


def violations(root):
    """Includes that the table forbids, as 'file: includes X: A may not know B'."""
    found = []
    files = [path for folder in ("include/llmc", "lib") for path in sorted((root / folder).glob("*/**/*"))]
    for path in files:
        if path.suffix not in {".h", ".cpp", ".c", ".inc", ".td"}:
            continue
        inside = path.relative_to(root)
        room = room_of(inside)
        if room not in MAY_KNOW:
            found.append(f"{inside}: room {room} has no row in the table of {pathlib.Path(__file__).name}")
            continue
        for name in INCLUDE.findall(path.read_text()):
            # As the compiler looks: beside the file, then from include/.
            beside = (path.parent / name).resolve()
            if beside.is_file() and beside.is_relative_to(root):
                other = room_of(beside.relative_to(root))
            elif name.startswith("llmc/"):
                other = room_of(pathlib.PurePath("include") / name)
            else:
                continue
            if other != room and other not in MAY_KNOW[room]:
                found.append(f"{inside}: includes {name}: {room} may not know {other}")
    return found


def test_nobody_looks_back_up():
    assert violations(SOURCE) == []


def test_the_table_has_no_way_round():
    reached = {room: set(known) for room, known in MAY_KNOW.items()}
    for _ in MAY_KNOW:
        for known in reached.values():
            known |= set().union(*(reached[other] for other in known))
    assert [room for room, known in reached.items() if room in known] == []
    assert reached["Pipeline"] == {"IR", "Exec", "Numerics", "Calibrate", "Lower", "Lower/Cpu", "Target", "Runtime"}


@pytest.mark.parametrize("file, text, said", [
    ("lib/Compress/A.cpp", '#include "llmc/Pipeline/Compile.h"\n',
     "lib/Compress/A.cpp: includes llmc/Pipeline/Compile.h: Compress may not know Pipeline"),
    ("include/llmc/IR/A.h", "#include <llmc/Lower/Passes.h>\n",
     "include/llmc/IR/A.h: includes llmc/Lower/Passes.h: IR may not know Lower"),
    ("lib/Target/A.cpp", '  #  include "../Lower/Private.h"\n',
     "lib/Target/A.cpp: includes ../Lower/Private.h: Target may not know Lower"),
    ("include/llmc/Lower/A.td", 'include "llmc/Compress/Passes.td"\n',
     "include/llmc/Lower/A.td: includes llmc/Compress/Passes.td: Lower may not know Compress"),
    ("lib/Lower/A.cpp", '#include "llmc/Lower/Cpu/KernelBuilder.h"\n',
     "lib/Lower/A.cpp: includes llmc/Lower/Cpu/KernelBuilder.h: Lower may not know Lower/Cpu"),
    ("lib/Lower/A.cpp", '#include "Cpu/Private.h"\n', "lib/Lower/A.cpp: includes Cpu/Private.h: Lower may not know Lower/Cpu"),
    ("include/llmc/Target/A.h", '#include "llmc/Lower/Cpu/CpuConfig.h"\n',
     "include/llmc/Target/A.h: includes llmc/Lower/Cpu/CpuConfig.h: Target may not know Lower/Cpu"),
    ("lib/Import/A.cpp", '#include "llmc/InitAll.h"\n',
     "lib/Import/A.cpp: includes llmc/InitAll.h: Import may not know InitAll.h"),
    ("lib/Attic/A.cpp", "", "lib/Attic/A.cpp: room Attic has no row in the table of test_include_graph.py"),
])
def test_a_way_back_is_caught(tmp_path, file, text, said):
    for name in ("lib/Lower/Private.h", "lib/Lower/Cpu/Private.h", "lib/Lower/Cpu/Fine.cpp", "lib/Lower/Fine.cpp", file):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "lib/Lower/Fine.cpp").write_text(
        '#include "Private.h"\n#include "llmc/IR/LLMCDialect.h"\n#include "mlir/IR/Builders.h"\n')
    (tmp_path / "lib/Lower/Cpu/Fine.cpp").write_text('#include "../Private.h"\n#include "llmc/Lower/Passes.h"\n')
    (tmp_path / file).write_text(text)
    assert violations(tmp_path) == [said]
