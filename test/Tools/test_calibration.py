"""Calibration from files with any name, of few ids, and of inputs that are always 0."""
import subprocess
import sys

import pytest

np = pytest.importorskip("numpy")

NAMES = ["my ids.npy", "a,b.npy", "bob's.npy", 'say "ids".npy', "{a}.npy", "a{b.npy", "both'\".npy", "a=b threads.npy",
         " first.npy", "last.npy ", " both's .npy "]


@pytest.fixture(scope="module")
def ids():
    return np.random.default_rng(2).integers(0, 32, (2, 16))


@pytest.fixture
def reference(tools, model, ids, tmp_path):
    np.save(tmp_path / "plain.npy", ids)
    tools.ok("llmc-opt", f"--calibrate=tokens={tmp_path}/plain.npy", model, "-o", tmp_path / "reference.mlirbc")
    return (tmp_path / "reference.stats").read_bytes()


def test_paths_by_command_line(tools, model, ids, reference, tmp_path):
    for name in NAMES:
        with open(tmp_path / name, "wb") as file:  # np.save would add an ending where there is none.
            np.save(file, ids)
        for argument in (f"--calibrate=tokens={name}", f"--calibrate=threads=1 tokens={name} hessian=true", f"-calibrate=tokens={name}"):
            tools.ok("llmc-opt", argument, model, "-o", "out.mlirbc", cwd=tmp_path)
            assert (tmp_path / "out.stats").read_bytes() == reference, argument
    # Quotes that are there already stay.
    for argument in ("--calibrate=tokens='my ids.npy'", '--calibrate=tokens="my ids.npy" threads=1'):
        tools.ok("llmc-opt", argument, model, "-o", "out.mlirbc", cwd=tmp_path)
        assert (tmp_path / "out.stats").read_bytes() == reference, argument


def test_paths_that_are_not_there_are_named_whole(tools, model, tmp_path):
    said = tools.refused(2, "llmc-opt", "--calibrate=tokens=no such file.npy", model, "-o", "out.mlirbc", cwd=tmp_path)
    assert "'no such file.npy': No such file or directory" in said
    said = tools.refused(1, "llmc-opt", "--calibrate=tokens=}'\"{.npy", model, "-o", "out.mlirbc", cwd=tmp_path)
    assert "no quotes fit the path }'\"{.npy" in said


def test_paths_from_python(tools, model, ids, reference, tmp_path, monkeypatch):
    import llmc
    monkeypatch.chdir(tmp_path)
    for name in NAMES:
        with open(tmp_path / name, "wb") as file:  # np.save would add an ending where there is none.
            np.save(file, ids)
        for path in (name, tmp_path / name):
            llmc.compress(model, [], calibration=path, out="out.mlirbc")
            assert (tmp_path / "out.stats").read_bytes() == reference, path


def test_options_from_python(tools, model, tmp_path):
    import llmc
    # The expression arrives as it is: it is named whole where nothing matches it.
    with pytest.raises(llmc.errors.ToolError) as error:
        llmc.compress(model, [("rtn-quantize", {"include": "no weight is called so| {2} 'or so'"})], out=tmp_path / "out.mlirbc")
    assert "include=no weight is called so| {2} 'or so' matches no weight" in str(error.value)


@pytest.mark.parametrize("shape", [(1,), (1, 1), (3,), (4, 32)])
def test_few_ids(tools, model, tmp_path, shape):
    np.save(tmp_path / "few.npy", np.random.default_rng(3).integers(0, 32, shape))
    count = int(np.prod(shape))
    said = tools.ok("llmc-opt", f"--calibrate=tokens={tmp_path}/few.npy", model, "-o", tmp_path / "c.mlirbc")
    assert f"warning: {tools.onnx.name}: calibrate: '{tmp_path}/few.npy' has only {count} id{'' if count == 1 else 's'}, which" in said
    for flag in ("--awq-quantize", "--low-rank-decompose", "--sparsify-2-4"):
        said = tools.ok("llmc-opt", flag, tmp_path / "c.mlirbc", "-o", tmp_path / "x.mlirbc")
        assert said.count(f"decided by statistics of only {count} id") == 1, said
    # What only rounds does not depend on them.
    assert "only" not in tools.ok("llmc-opt", "--rtn-quantize", tmp_path / "c.mlirbc", "-o", tmp_path / "x.mlirbc")


def test_many_ids_that_are_the_same(tools, model, tmp_path):
    np.save(tmp_path / "same.npy", np.tile([5, 6, 7], (32, 50)))
    said = tools.ok("llmc-opt", f"--calibrate=tokens={tmp_path}/same.npy hessian=false", model, "-o", tmp_path / "c.mlirbc")
    assert "has 4800 ids, but only 3 different, which say little" in said


def test_enough_ids(tools, model, tmp_path):
    np.save(tmp_path / "many.npy", np.random.default_rng(4).integers(0, 32, (64, 64)))
    said = tools.ok("llmc-opt", f"--calibrate=tokens={tmp_path}/many.npy", "--sparsify-2-4", model, "-o", tmp_path / "c.mlirbc")
    assert "warning" not in said and "few" not in said and "only" not in said


def test_python_modules_know_the_quotes():
    done = subprocess.run([sys.executable, "-c", "import doctest, llmc.tools as t; raise SystemExit(doctest.testmod(t).failed)"])
    assert done.returncode == 0
