"""The files of an artifact change together: a compilation that fails, at whatever stage, leaves the former one whole, and what a
crash in between can leave is refused by llmc-run."""
import itertools
import json
import os
import shutil

import pytest

SUFFIXES = (".o", ".so", ".h", ".json", ".safetensors")
NATIVE = ["--target=x86_64-linux-gnu", "--cpu=native"]


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.fixture
def former(artifact, tmp_path):
    """A folder with an artifact "art"."""
    folder = tmp_path / "out"
    folder.mkdir()
    for suffix in SUFFIXES:
        shutil.copy(f"{artifact}{suffix}", folder)
    return folder


@pytest.mark.parametrize("options", [
    ["--target=x86_64-linux-gnu", "--cpu=nothing-like-it"], ["--target=arm64-apple-darwin", "--cpu=apple-m1"],
    ["--target=x86_64-linux-gnu", "--cpu=x86-64-v3", "--chunk=0"],
    ["--target=x86_64-linux-gnu", "--cpu=x86-64-v3", "--features=+no-such-feature"]])
def test_a_target_or_size_that_cannot_be(tools, model, former, options):
    before = contents(former)
    tools.refused(2, "llmc-compile", *options, model, "-o", former / "art")
    assert contents(former) == before


def test_a_linker_that_fails(tools, model, former, tmp_path):
    """The linker says no once everything else is done: its messages need a folder that is not there."""
    before = contents(former)
    os.environ["TMPDIR"], kept = str(tmp_path / "nowhere"), os.environ.get("TMPDIR")
    try:
        said = tools.refused(2, "llmc-compile", *tools.target, "--context=64", model, "-o", former / "art")
    finally:
        if kept is None:
            del os.environ["TMPDIR"]
        else:
            os.environ["TMPDIR"] = kept
    assert "linker" in said
    assert contents(former) == before


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_that_cannot_be_replaced(tools, model, former, suffix):
    (former / f"art{suffix}").unlink()
    (former / f"art{suffix}").mkdir()
    before = contents(former)
    assert f"art{suffix}'" in tools.refused(2, "llmc-compile", *tools.target, "--context=64", model, "-o", former / "art")
    assert contents(former) == before and len(before) == len(SUFFIXES) - 1


def test_a_new_folder_is_gone_again(tools, model, tmp_path):
    tools.refused(2, "llmc-compile", "--target=x86_64-linux-gnu", "--cpu=nothing-like-it", model, "-o", tmp_path / "new" / "art")
    assert not (tmp_path / "new").exists()


def test_what_a_crash_can_leave_is_refused(tools, model, tmp_path):
    """Every mix of two artifacts in the files that llmc-run opens."""
    versions = []
    for name, passes, options in (("same", [], ["--context=64"]), ("codes", ["--rtn-quantize"], ["--context=64"]),
                                  ("context", [], ["--context=32"])):
        folder = tmp_path / name
        folder.mkdir()
        tools.ok("llmc-opt", *passes, model, "-o", folder / "m.mlirbc")
        tools.ok("llmc-compile", *NATIVE, *options, folder / "m.mlirbc", "-o", folder / "art")
        versions.append(folder)
    files = [suffix for suffix in SUFFIXES if suffix not in (".o", ".h")]
    mix = tmp_path / "mix"
    mix.mkdir()
    for old, new in itertools.permutations(versions, 2):
        for choice in itertools.product((old, new), repeat=len(files)):
            for suffix, folder in zip(files, choice):
                shutil.copy(folder / f"art{suffix}", mix)
            code, said = tools("llmc-run", mix / "art", "--prompt-ids=1,2", "--generate=2")
            whole = any(all((mix / f"art{suffix}").read_bytes() == (folder / f"art{suffix}").read_bytes() for suffix in files)
                        for folder in versions)
            assert (code == 0) == whole, (choice, said)
            assert code in (0, 2), said
            assert whole or "was not made together with" in said or "is of another compile than" in said or "states" in said, said


def test_a_folder_is_no_base_name(tools, model, tmp_path):
    (tmp_path / "out").mkdir()
    for output in ("out/", "new/", "out//", ".", "..", "out/.", "out/.."):
        said = tools.refused(1, "llmc-compile", *tools.target, model, "-o", output, cwd=tmp_path)
        assert f"output '{output}' is a folder; name the files in it too: -o {output.rstrip('/')}" in said and said.endswith("/m\n")
    assert "cannot go to standard output" in tools.refused(1, "llmc-compile", *tools.target, model, "-o", "-", cwd=tmp_path)
    assert contents(tmp_path) == {} and contents(tmp_path / "out") == {}
    # A base name beside a folder of the same name is one.
    tools.ok("llmc-compile", *tools.target, model, "-o", "out", cwd=tmp_path)
    assert sorted(contents(tmp_path)) == sorted(f"out{suffix}" for suffix in SUFFIXES)


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_the_input_is_no_output_through_links_either(tools, model, tmp_path, link):
    shutil.copy(model, tmp_path / "model")
    for suffix in SUFFIXES:
        link(tmp_path / "model", tmp_path / f"m{suffix}")
        assert f"output 'm{suffix}' is the input" in tools.refused(1, "llmc-compile", *tools.target, "model", "-o", "m", cwd=tmp_path)
        assert (tmp_path / f"m{suffix}").read_bytes() == model.read_bytes()
        (tmp_path / f"m{suffix}").unlink()
    link(tmp_path / "model", tmp_path / "m.mlirbc")
    for tool, *options in (["llmc-opt"], ["llmc-compile", *tools.target, "--until=fuse"], ["llmc-import"]):
        assert "output 'm.mlirbc' is the input" in tools.refused(1, tool, *options, "model", "-o", "m.mlirbc", cwd=tmp_path)


@pytest.mark.parametrize("name", ["with space", "a'b", 'a"b', "a,b", "{a", "back\\slash", "ü"])
def test_any_file_name(tools, model, artifact, tmp_path, name):
    shutil.copy(model, tmp_path / f"{name}.mlirbc")
    for more in ([], ["--embed-weights"]):
        tools.ok("llmc-compile", *tools.target, *more, f"{name}.mlirbc", "--symbol-prefix=art", "-o", name, cwd=tmp_path)
        info = json.loads((tmp_path / f"{name}.json").read_text())
        assert ("embedded_weights" in info) == bool(more)
