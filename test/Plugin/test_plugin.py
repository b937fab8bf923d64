"""llmc installed, and a plugin built against it from outside the tree: a scheme and a pass that llmc-opt loads."""
import os
import pathlib
import re
import shutil
import subprocess

import pytest

BUILD = pathlib.Path(os.environ.get("LLMC_BUILD", "build")).resolve()
INPUTS = pathlib.Path(__file__).resolve().parent / "Inputs"

MODEL = """
func.func @main(%ids: tensor<?x?xi64>) -> tensor<?x?x2xf32> attributes {llmc.role = "run"} {
  %e = llmc.weight "embed.weight" {values = dense<1.0> : tensor<8x4xf32>} : tensor<8x4xf32>
  %w = llmc.weight "up.weight" {values = dense<[[0.5, -0.25, 1.0, 0.0], [0.015625, 0.26, -1.5, 0.125],
    [1.0, 1.0, 1.0, 1.0], [-1.0, -1.0, -1.0, -1.0]]> : tensor<4x4xf32>} : tensor<4x4xf32>
  %o = llmc.weight "head.weight" {values = dense<1.0> : tensor<2x4xf32>} : tensor<2x4xf32>
  %x = llmc.embedding %e, %ids : tensor<8x4xf32>, tensor<?x?xi64>
  %h = llmc.linear %x, %w : tensor<?x?x4xf32>, tensor<4x4xf32>
  %y = llmc.linear %h, %o : tensor<?x?x4xf32>, tensor<2x4xf32>
  return %y : tensor<?x?x2xf32>
}
"""


STORE = "--pass-pipeline=builtin.module(outside-fixed)"  # Flags are made before plugins are loaded.


def command(*words):
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def installed():
    if not all((BUILD / "bin" / name).exists() for name in ("llmc-opt", "llmc-bench", "llmc-lsp-server")):
        pytest.skip("not everything that is installed is built")
    prefix = BUILD / "installed"
    shutil.rmtree(prefix, ignore_errors=True)
    command("cmake", "--install", BUILD, "--prefix", prefix)
    yield prefix
    shutil.rmtree(prefix)


@pytest.fixture(scope="module")
def opt(installed):
    """Runs the installed llmc-opt with the plugin: exit code, standard output, standard error."""
    folder = BUILD / "plugin"
    shutil.rmtree(folder, ignore_errors=True)
    cache = (BUILD / "CMakeCache.txt").read_text()
    compilers = [f"-D{name}=" + re.search(rf"^{name}:\w+=(.*)$", cache, re.MULTILINE).group(1)
                 for name in ("CMAKE_C_COMPILER", "CMAKE_CXX_COMPILER")]
    command("cmake", "-S", INPUTS, "-B", folder, "-G", "Ninja", f"-DCMAKE_PREFIX_PATH={installed}", *compilers)
    command("cmake", "--build", folder)
    (plugin,) = folder.glob("*outside.so")

    def run(model, *flags, dialect=True, passes=True):
        plugins = [f"--load-dialect-plugin={plugin}"] * dialect + [f"--load-pass-plugin={plugin}"] * passes
        done = subprocess.run([installed / "bin" / "llmc-opt", *plugins, *flags, "-"], input=model, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
        return done.returncode, done.stdout, done.stderr

    yield run
    shutil.rmtree(folder)


def test_the_pass_stores_with_the_scheme(opt):
    code, stored, said = opt(MODEL, STORE)
    assert code == 0, said
    assert "outside-fixed: 1 weight is selected" in said
    assert "!llmc.compressed<4x4xf32, #outside.fixed>" in stored and "2x4xf32, #outside" not in stored

    # A pass of the tree reads the scheme through its interface: 0.26 * 64 is rounded to 17.
    code, dense, said = opt(stored, "--decompress", passes=False)
    assert code == 0, said
    words = re.search(r'up\.weight[^"]*: "0x([0-9A-F]+)"', dense).group(1)
    values = memoryview(bytes.fromhex(words)[4:]).cast("f").tolist()
    assert values[:8] == [0.5, -0.25, 1.0, 0.0, 1 / 64, 17 / 64, -1.5, 0.125]


LAYERED = """
llmc.layer private @layer.0(%x: tensor<?x?x4xf32>, %w: tensor<4x4xf32>) -> tensor<?x?x4xf32> {
  %y = llmc.linear %x, %w : tensor<?x?x4xf32>, tensor<4x4xf32>
  %z = arith.addf %x, %y : tensor<?x?x4xf32>
  llmc.return %z : tensor<?x?x4xf32>
}
func.func @main(%x: tensor<?x?x4xf32>) -> tensor<?x?x4xf32> attributes {llmc.role = "run"} {
  %w = llmc.weight "up.weight" {values = dense<0.5> : tensor<4x4xf32>} : tensor<4x4xf32>
  %y = llmc.call @layer.0(%x, %w) : (tensor<?x?x4xf32>, tensor<4x4xf32>) -> tensor<?x?x4xf32>
  return %y : tensor<?x?x4xf32>
}
"""


def test_a_pass_looks_into_layers_or_is_told_that_it_cannot(opt):
    code, stored, said = opt(LAYERED, STORE)
    assert code == 0 and "!llmc.compressed<4x4xf32, #outside.fixed>" in stored, said
    count = "--pass-pipeline=builtin.module(outside-count)"
    code, _, said = opt(MODEL, count)
    assert code == 0 and "outside-count: 3" in said, said
    code, _, said = opt(LAYERED, count)
    assert code == 2 and "weights are looked for in a flat graph: expected --inline-layers" in said, said


def test_the_verifier_asks_the_scheme(opt):
    code, stored, said = opt(MODEL, STORE)
    assert code == 0, said
    words = re.search(r'up\.weight[^"]*: "(0x[0-9A-F]+)"', stored).group(1)
    code, _, said = opt(stored.replace(words, words[:-2] + "80"))
    assert code == 2
    assert "outside.fixed: expects codes from -127 to 127, found -128" in said


def test_a_weight_out_of_range_is_refused(opt):
    code, _, said = opt(MODEL.replace("-1.5", "-2.5"), STORE)
    assert code == 2
    assert "outside-fixed: expects weights of at most 127/64, found -2.5" in said


def test_without_the_plugin_neither_is_known(opt):
    code, _, said = opt(MODEL, STORE, passes=False)
    assert code != 0 and "outside-fixed" in said
    code, stored, _ = opt(MODEL, STORE)
    code, _, said = opt(stored, dialect=False, passes=False)
    assert code == 2 and "outside" in said


def up_weight(text):
    words = re.search(r'up\.weight[^"]*: "0x([0-9A-F]+)"', text).group(1)
    return memoryview(bytes.fromhex(words)[4:]).cast("f").tolist()


def test_a_codebook_says_by_a_plan_what_it_stores(opt):
    # A dialect is loaded with the first attribute of its own.
    model = f"module attributes {{outside.used}} {{{MODEL}}}"
    rounding = "--scheme-quantize=scheme=#outside.pairs"
    code, stored, said = opt(model, rounding)
    assert code == 0, said
    assert "!llmc.compressed<4x4xf32, #outside.pairs>" in stored and "codes = " in stored and "tensor<4x1xui8>" in stored
    code, dense, said = opt(stored, "--decompress", passes=False)
    assert code == 0, said
    # Points times half of the largest weight of the row.
    assert up_weight(dense) == [0.5, 0, 1, 0, 0, 0, -1.5, 0, 0.5, 0.875, 0.5, 0.875, -0.75, -0.4375, -0.75, -0.4375]

    # What is left of a pair has no code of its own: pruned, the weight is floats again.
    code, pruned, said = opt(stored, "--magnitude-prune=pattern=2:4")
    assert code == 0, said
    assert "its codes stand for several weights, so it is stored as floats again" in said
    assert "#llmc.nm<2:4, #llmc.dense<f32>>" in pruned and "#outside.pairs>" not in pruned
    code, _, said = opt(model, "--magnitude-prune=pattern=2:4", rounding)
    assert code == 2
    assert "some of its weights are pruned, but codes of the scheme stand for several; expected a scheme with a code for each weight" in said
    code, _, said = opt(stored.replace("#outside.pairs>", "#llmc.nm<2:4, #outside.pairs>>"))
    assert code == 2
    assert "expects an inner scheme with a code or value for each weight, got #outside.pairs" in said
