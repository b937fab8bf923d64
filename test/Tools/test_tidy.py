"""test/run_tidy.py finds what it should: in a source, behind another one, in sources that do not go together."""
import importlib.util
import json
import pathlib
import shutil
import subprocess

import pytest

SCRIPT = pathlib.Path(__file__).resolve().parents[1] / "run_tidy.py"


def load():
    spec = importlib.util.spec_from_file_location("run_tidy", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture()
def tree(tmp_path, monkeypatch):
    """tree(**sources): what clang-tidy finds in these sources of a room, and the groups they were looked at in."""
    module = load()
    if not any(map(shutil.which, module.PROGRAMS)):
        pytest.skip("clang-tidy-22 is not here")
    monkeypatch.setattr(module, "SOURCE", str(tmp_path))
    room, build = tmp_path / "lib" / "Room", tmp_path / "build"
    room.mkdir(parents=True)
    build.mkdir()
    shutil.copy(SCRIPT.parents[1] / ".clang-tidy", tmp_path)
    monkeypatch.setattr(module, "read_dependencies", lambda build: {})
    program = next(found for found in map(shutil.which, module.PROGRAMS) if found)

    def look(**sources):
        entries = []
        (room / "Room.h").write_text("#pragma once\nint a();\nint b();\ndouble half(int n);\n")
        for name, text in sources.items():
            (room / f"{name}.cpp").write_text('#include "Room.h"\n' + text)
            entries.append({"file": str(room / f"{name}.cpp"), "command": f"clang++ -std=c++17 -O2 -o {name}.o -c {name}.cpp"})
        (build / "compile_commands.json").write_text(json.dumps(entries))
        module.hash_of.cache_clear()
        groups = module.read_groups(str(build))
        tidy = module.Tidy(program, str(build))
        return "".join(tidy.findings(*group) for group in groups), [len(paths) for _, paths in groups]

    return look


def test_names_and_faults_are_found(tree):
    found, groups = tree(A="int a() { return 1; }\n", B="static int Wrong = 1;\nint b() { return Wrong; }\n",
                         C="double half(int n) { return n / 2; }\n")
    assert groups == [3]
    assert "invalid case style for variable 'Wrong'" in found and "B.cpp:2:12" in found
    assert "bugprone-integer-division" in found and "C.cpp:2:29" in found
    assert "A.cpp" not in found


def test_sources_with_a_name_in_common_are_apart(tree):
    same = "static int help() { return 1; }\n"
    assert tree(A=same + "int a() { return help(); }\n", B=same + "int b() { return help(); }\n") == ("", [1, 1])


def test_what_does_not_go_together_is_halved(tree):
    # An indented definition, which the grouping does not see.
    same = "namespace {\n  int help() { return 1; }\n}\n"
    found, groups = tree(A=same + "int a() { return help(); }\n", B=same + "static int Wrong = 1;\nint b() { return help() + Wrong; }\n")
    assert groups == [2]
    assert "redefinition" not in found and "'Wrong'" in found


def test_only_what_changed_is_looked_at_again(tree, monkeypatch):
    calls, run = [], subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda command, *rest, **more: (calls.append(command), run(command, *rest, **more))[1])
    looked = lambda: sum("--quiet" in command for command in calls)  # noqa: E731
    sources = {name: f"int {name.lower()}() {{ return 1; }}\n" for name in ("A", "B")}
    assert tree(**sources)[0] == "" and looked() == 1
    assert tree(**sources)[0] == "" and looked() == 1
    assert "'Wrong'" in tree(**dict(sources, B="static int Wrong = 1;\nint b() { return Wrong; }\n"))[0] and looked() == 2
    assert "'Wrong'" in tree(**dict(sources, B="static int Wrong = 1;\nint b() { return Wrong; }\n"))[0] and looked() == 3


def test_what_changed_last_is_first_and_the_rest_waits_when_time_is_up(tmp_path, monkeypatch):
    module = load()
    monkeypatch.setattr(module, "SOURCE", str(tmp_path))
    git = ["git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=e"]
    subprocess.run([*git, "init", "-q"], check=True)
    groups = []
    for name in ("old", "middle", "new", "open"):
        (tmp_path / f"{name}.cpp").write_text("static int Wrong = 1;\n")
        groups.append(((), [str(tmp_path / f"{name}.cpp")]))
        if name != "open":
            subprocess.run([*git, "add", "."], check=True)
            subprocess.run([*git, "commit", "-qm", name], check=True)
    ordered = module.by_last_change(groups)
    assert [pathlib.Path(paths[0]).stem for _, paths in ordered] == ["open", "new", "middle", "old"]

    monkeypatch.setattr(module, "read_dependencies", lambda build: {})
    (tmp_path / ".clang-tidy").write_text("Checks: '-*'\n")
    assert module.Tidy("true", str(tmp_path), seconds=-1).findings((), ordered[0][1]) is None
    assert module.Tidy("true", str(tmp_path)).findings((), ordered[0][1]) == ""
    # What was clean is known, whatever the time.
    assert module.Tidy("true", str(tmp_path), seconds=-1).findings((), ordered[0][1]) == ""
