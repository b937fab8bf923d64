"""A file given to the wrong tool: each tool says what it is, by its content, and which tool takes it; exit code 2."""
import shutil

import pytest

SUFFIXES = (".o", ".so", ".h", ".json", ".safetensors")


def commands(tools, path):
    """Every tool that reads a file, with that file."""
    return {"llmc-opt": ["llmc-opt", "--rtn-quantize", path, "-o", "x.mlirbc"],
            "llmc-compile": ["llmc-compile", *tools.target, path, "-o", "x"],
            "llmc-import": ["llmc-import", path, "-o", "x.mlirbc"],
            "llmc-run": ["llmc-run", path, "--prompt-ids=1", "--generate=1"],
            "llmc-bench": ["llmc-bench", "model", path]}


@pytest.fixture
def refuse(tools, tmp_path):
    """refuse(tool, file): what the tool says of it; nothing may have been written."""
    def run(tool, path):
        before = sorted(tmp_path.iterdir())
        said = tools.refused(2, *commands(tools, path)[tool], cwd=tmp_path)
        assert sorted(tmp_path.iterdir()) == before
        assert said.startswith(f"{tool}: error: '{path}' ") and said.count("\n") == 1, said
        return said
    return run


@pytest.mark.parametrize("tool", ["llmc-opt", "llmc-compile", "llmc-run", "llmc-bench"])
@pytest.mark.parametrize("name", ["model.onnx", "model.mlirbc", "model.mlir", "model"])
def test_onnx(refuse, tools, tmp_path, tool, name):
    shutil.copy(tools.onnx, tmp_path / name)
    assert f"'{name}' is an ONNX model; llmc-import reads it: llmc-import {name} -o model.mlirbc" in refuse(tool, name)


def test_an_imported_model(refuse, model, tmp_path):
    for name in ("m.mlirbc", "m.onnx"):
        shutil.copy(model, tmp_path / name)
        assert "is a model of llmc (MLIR bytecode); it is imported already: llmc-opt" in refuse("llmc-import", name)
        for tool in ("llmc-run", "llmc-bench"):
            assert f"it is not compiled yet: llmc-compile {name} -o BASE, then llmc-run BASE" in refuse(tool, name)
    (tmp_path / "text.mlir").write_text("func.func @f() {\n  return\n}\n")
    assert "is a model of llmc as text; it is imported already" in refuse("llmc-import", "text.mlir")
    assert "llmc-compile text.mlir -o BASE" in refuse("llmc-run", "text.mlir")


def test_bytecode_needs_no_suffix(tools, model, tmp_path):
    shutil.copy(model, tmp_path / "m.onnx")
    tools.ok("llmc-opt", "m.onnx", "-o", "again.mlirbc", cwd=tmp_path)
    assert (tmp_path / "again.mlirbc").read_bytes() == model.read_bytes()


@pytest.mark.parametrize("tool", ["llmc-opt", "llmc-compile", "llmc-import", "llmc-run", "llmc-bench"])
def test_other_files(refuse, tools, tmp_path, tool):
    files = {"w.gguf": (b"GGUF" + bytes(60), "is a GGUF file; llmc reads ONNX: export the model to ONNX, then llmc-import"),
             "w.bin": ((2).to_bytes(8, "little") + b"{}", "is a safetensors file, which holds weights and no model; llmc reads"),
             "w.pt": (b"PK\x03\x04" + bytes(60), "is a zip archive, such as a checkpoint of torch; llmc reads ONNX"),
             "ids.npy": (b"\x93NUMPY\x01\x00", "is a NumPy array; ids belong to llmc-opt --calibrate=tokens=FILE"),
             "lfs.onnx": (b"version https://git-lfs.github.com/spec/v1\n", "is a pointer of Git LFS, not the file itself; fetch"),
             "page.onnx": (b"<!DOCTYPE html>\n<html></html>", "is an HTML page, such as a site sends in place of a download"),
             "config.json": (b'{"model_type": "llama"}', "is a JSON file; expected "),
             "empty": (b"", "is empty; expected "), "empty.onnx": (b"", "is empty; expected "),
             "empty.mlirbc": (b"", "is empty; expected "), "blank.mlir": (b" \n\n", "is empty; expected ")}
    for name, (content, said) in files.items():
        (tmp_path / name).write_bytes(content)
        assert said in refuse(tool, name)
    (tmp_path / "folder").mkdir()
    assert "is a folder; expected " in refuse(tool, "folder")


@pytest.mark.parametrize("tool", ["llmc-opt", "llmc-compile", "llmc-import", "llmc-run", "llmc-bench"])
def test_parts_of_an_artifact(refuse, artifact, tmp_path, tool):
    for suffix in SUFFIXES:
        shutil.copy(f"{artifact}{suffix}", tmp_path)
    for suffix in SUFFIXES:
        assert "is a part of the compiled model 'art'; llmc-run takes its base name: llmc-run art\n" in refuse(tool, f"art{suffix}")
    if tool in ("llmc-opt", "llmc-compile", "llmc-import"):
        assert "is the base name of a compiled model; llmc-run runs it: llmc-run art\n" in refuse(tool, "art")


@pytest.mark.parametrize("tool", ["llmc-opt", "llmc-compile"])
def test_bytecode_that_was_cut_off(tools, model, tmp_path, tool):
    whole = model.read_bytes()
    command = commands(tools, "cut.mlirbc")[tool]
    for length in (9, 100, len(whole) // 2, len(whole) - 1):
        (tmp_path / "cut.mlirbc").write_bytes(whole[:length])
        assert "'cut.mlirbc' is MLIR bytecode that was cut off" in tools.refused(2, *command, cwd=tmp_path)
    with open(tmp_path / "cut.mlirbc", "rb") as pipe:
        said = tools.refused(2, *commands(tools, "-")[tool], cwd=tmp_path, stdin=pipe)
    assert "'standard input' is MLIR bytecode that was cut off" in said


@pytest.mark.parametrize("tool", ["llmc-opt", "llmc-compile"])
def test_files_on_standard_input(tools, tmp_path, tool):
    with open(tools.onnx, "rb") as pipe:
        assert "'standard input' is an ONNX model" in tools.refused(2, *commands(tools, "-")[tool], cwd=tmp_path, stdin=pipe)
    assert "'standard input' is empty" in tools.refused(2, *commands(tools, "-")[tool], cwd=tmp_path)
