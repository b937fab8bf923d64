"""Statistics of --calibrate stay out of a model that they were used on, and stay in where a later run needs them."""
import pathlib
import re

import pytest

np = pytest.importorskip("numpy")

PASSES = pathlib.Path(__file__).resolve().parents[2] / "include" / "llmc" / "Compress" / "Passes.td"
USERS = re.findall(r'^def \w+ : CompressPass<"([\w-]+)"', PASSES.read_text(), flags=re.M)


@pytest.fixture(scope="module")
def calibrated(tools, model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("calibrated")
    np.save(folder / "ids.npy", np.random.default_rng(1).integers(0, 32, (2, 24)))
    tools.ok("llmc-opt", f"--calibrate=tokens={folder}/ids.npy", model, "-o", folder / "c.mlirbc")
    return folder / "c.mlirbc"


@pytest.fixture
def statistics(tools, calibrated, tmp_path):
    """statistics(flags...): how many linears of the result have them; the blobs must be there or gone with them."""
    def count(*flags, source=calibrated):
        out = tmp_path / "out.mlirbc"
        tools.ok("llmc-opt", *flags, source, "-o", out)
        tools.ok("llmc-opt", out, "--mlir-elide-resource-strings-if-larger=16")
        found = tools.out.count("llmc.statistics")
        assert (b".input.hessian" in out.read_bytes()) == (found > 0)
        return found
    return count


def test_every_pass_that_compresses_weights_uses_them_up(statistics):
    assert len(USERS) >= 7
    linears = statistics()
    assert linears > 0
    for flag in USERS:
        argument = f"--{flag}" + ("=scheme=int<4,group=32>" if flag == "scheme-quantize" else "")
        assert statistics(argument) == 0, flag
        assert statistics(argument, "--keep-statistics") > 0, flag


def test_others_keep_them(statistics):
    linears = statistics()
    for flags in (["--cse"], ["--canonicalize"], ["--cache-quantize=type=f16"], ["--decompress"]):
        assert statistics(*flags) == linears, flags


def test_the_last_pass_that_reads_them_decides(statistics, calibrated):
    ids = calibrated.parent / "ids.npy"
    again = f"--calibrate=tokens={ids}"
    assert statistics(again) == statistics()
    assert statistics("--awq-quantize", "--sparsify-2-4") == 0
    assert statistics("--sparsify-2-4", "--cse") == 0
    assert statistics("--cse", "--sparsify-2-4", "--canonicalize") == 0
    assert statistics(again, "--sparsify-2-4") == 0
    assert statistics("--sparsify-2-4", again) == statistics()
    assert statistics(again, "--sparsify-2-4", again, "--rtn-quantize") == 0


def test_textual_pipelines(statistics):
    assert statistics("--pass-pipeline=builtin.module(awq-quantize{bits=4 group=32},cse)") == 0
    assert statistics("--pass-pipeline=builtin.module(cse)") == statistics()
    assert statistics("--pass-pipeline=builtin.module(awq-quantize{bits=4 group=32})", "--keep-statistics") > 0


def test_the_pass(statistics):
    assert statistics("--strip-statistics") == 0
    assert statistics("--keep-statistics", "--strip-statistics") == 0
    assert statistics("--strip-statistics", "--rtn-quantize") == 0


def test_they_are_used_before_they_leave(tools, calibrated, tmp_path):
    """The same codes as in two runs with --keep-statistics, and a file without the Hessian's bytes."""
    tools.ok("llmc-opt", "--sparsify-2-4", "--awq-quantize", calibrated, "-o", tmp_path / "one.mlirbc")
    tools.ok("llmc-opt", "--sparsify-2-4", "--keep-statistics", calibrated, "-o", tmp_path / "sparse.mlirbc")
    tools.ok("llmc-opt", "--awq-quantize", tmp_path / "sparse.mlirbc", "-o", tmp_path / "two.mlirbc")
    assert (tmp_path / "one.mlirbc").read_bytes() == (tmp_path / "two.mlirbc").read_bytes()
    assert (tmp_path / "one.mlirbc").stat().st_size < calibrated.stat().st_size / 2


def test_a_later_run_says_where_they_went(tools, calibrated, tmp_path):
    tools.ok("llmc-opt", "--sparsify-2-4", calibrated, "-o", tmp_path / "sparse.mlirbc")
    said = tools.refused(2, "llmc-opt", "--awq-quantize", tmp_path / "sparse.mlirbc", "-o", tmp_path / "x.mlirbc")
    assert "run --calibrate first" in said and "--keep-statistics" in said
