"""A layer is a function: flat again it is the graph that it was, and whatever is done to it comes out as if done to the flat graph."""
import re
import subprocess
import sys

import numpy as np
import pytest

from test_layers import Graph, VOCABULARY, alike, carried, in_turns, module, norms_behind, one_smaller, parallel, shuffled
from whole_way import BUILD, FIXTURES, SOURCE, run_tool

sys.path.insert(0, str(SOURCE / "test" / "Tools"))
from test_every_pass import CUT, pieces  # noqa: E402

TARGET = ("--target=x86_64-linux-gnu", "--cpu=haswell", "--context=64")
ELIDED = ("--mlir-print-debuginfo=false", "--mlir-elide-elementsattrs-if-larger=8", "--mlir-elide-resource-strings-if-larger=8")


def printed(path, *flags):
    """All of a module: locations and data too."""
    return run_tool("llmc-opt", *flags, path)


def outlined(way, path):
    return way.passes(path, "--outline-layers")


def calls(path, *flags):
    """How often each layer is called, in the order of their numbers."""
    text = run_tool("llmc-opt", *flags, path, *ELIDED)
    names = re.findall(r"llmc\.layer private @(layer\.\d+)\(", text)
    assert len(names) == len(set(names))
    return [len(re.findall(rf"llmc\.call @{re.escape(name)}\(", text)) for name in names]


KINDS = [(8, alike, [8]), (8, in_turns, [6, 2]), (9, one_smaller, [8, 1]), (8, parallel, [8]), (8, norms_behind, [8]), (9, carried, [1, 8]),
         (8, shuffled, [8]), (2, alike, [2])]


@pytest.mark.parametrize("layers, layer, expected", KINDS, ids=lambda value: getattr(value, "__name__", None))
def test_kinds_and_the_flat_graph_again(way, layers, layer, expected):
    path = module(way, layers, layer)
    assert calls(path, "--outline-layers") == expected
    flat = printed(path)
    assert printed(path, "--outline-layers", "--inline-layers") == flat
    assert printed(path, "--outline-layers", "--outline-layers") == printed(path, "--outline-layers")
    # By way of a file of each kind.
    flat = printed(path, "--mlir-print-debuginfo=false")
    for suffix in ["mlirbc", "mlir"]:
        file = way.folder / f"between.{suffix}"
        run_tool("llmc-opt", "--outline-layers", path, "-o", file)
        assert printed(file, "--inline-layers", "--mlir-print-debuginfo=false") == flat
        assert calls(file) == expected


def test_locations_stay_per_layer(way):
    """Names of nodes, as they come from an import."""
    flat = way.imported(FIXTURES / "qwen2-optimum" / "model.onnx", "--outline-layers=false")
    layers = way.imported(FIXTURES / "qwen2-optimum" / "model.onnx")
    assert calls(flat) == [] and calls(layers) == [2]
    text = printed(flat)
    assert "/model/layers.1/mlp/up_proj/MatMul" in text
    assert printed(layers, "--inline-layers") == text
    file = way.folder / "located.mlir"
    run_tool("llmc-opt", layers, "-o", file)
    names = lambda text: re.findall(r'loc\("([^"]*)"', text)
    assert sorted(set(names(printed(file, "--inline-layers")))) == sorted(set(names(text)))


def test_eighty_layers_are_read_at_a_glance(way, monkeypatch):
    monkeypatch.setattr(Graph, "weight", lambda self, name, *shape: self.op(
        'llmc.weight "{0}" {{values = dense<0.5> : {1}}} : {1}'.format(name, f"tensor<{'x'.join(map(str, shape))}xf32>")))
    path = way.folder / "eighty.mlir"
    path.write_text(Graph(80, alike).text())
    text = run_tool("llmc-opt", "--outline-layers", path, "--mlir-print-debuginfo=false")
    assert calls(path, "--outline-layers") == [80]
    lines = text.splitlines()
    weights, caches = (sum(word in line for line in lines) for word in ["= llmc.weight ", "llmc.cache @kv."])
    assert (weights, caches) == (80 * 9 + 2, 80 + 1)
    # A line for each weight, cache and layer; the rest does not grow with depth: one body and what is around the layers.
    assert len(lines) - weights - caches - 80 <= 40
    flat = run_tool("llmc-opt", path, "--mlir-print-debuginfo=false").splitlines()
    assert len(flat) - len(lines) >= 80 * 13


def test_an_artifact_is_the_same(way):
    path = module(way, 5, one_smaller)
    made = {}
    for form, model in [("flat", path), ("layers", outlined(way, path))]:
        folder = way.folder / form
        run_tool("llmc-compile", *TARGET, model, "-o", folder / "model")
        made[form] = {file.name: file.read_bytes() for file in sorted(folder.iterdir())}
    assert set(made["flat"]) == {"model.o", "model.so", "model.h", "model.json", "model.safetensors"}
    assert made["flat"] == made["layers"]
    explained = [run_tool("llmc-compile", *TARGET, "--dry-run", "--explain", model) for model in [path, outlined(way, path)]]
    assert explained[0] == explained[1]


@pytest.fixture(scope="module")
def tokens(way):
    np.save(way.folder / "tokens.npy", np.random.default_rng(5).integers(0, VOCABULARY, (8, 16)))
    return way.folder / "tokens.npy"


PASSES = [
    ["--rtn-quantize=bits=4 group=16 activations=i8-token"], ["--nf4-quantize=group=16"], ["--ternarize"], ["--sparsify-2-4"],
    ["--magnitude-prune=sparsity=0.5"], ["--scheme-quantize=scheme=float<e4m3>"], ["--cache-quantize=type=i8 products=i8"],
    ["--rtn-quantize=bits=4 group=16 include=layers[.]1", "--decompress"], ["--low-rank-decompose=rank=8 include=layers[.]1[.]up"],
    ["--awq-quantize=bits=4 group=16"], ["--strip-statistics"], ["--compress-blocks=tokens={} passes=rtn-quantize{{bits=3 group=16}}"],
]


@pytest.mark.parametrize("flags", PASSES, ids=lambda flags: re.match(r"--([\w-]+)", flags[-1]).group(1))
def test_a_pass_does_the_same(way, tokens, flags):
    path = module(way, 2, alike)
    flat = way.passes(path, "--keep-statistics", f"--calibrate=tokens={tokens}")
    layers = way.passes(outlined(way, path), "--keep-statistics", f"--calibrate=tokens={tokens}")
    stats = [open(model.replace(".mlirbc", ".stats"), "rb").read() for model in [flat, layers]]
    assert stats[0] == stats[1]
    flags = [flag.format(tokens) for flag in flags]
    same = lambda text: re.sub(r'name = "[^"]*\.stats"', "", text)  # Of another file.
    assert same(printed(layers, *flags, "--inline-layers")) == same(printed(flat, *flags))


def test_what_differs_is_split_and_what_is_alike_is_joined(way):
    layers = outlined(way, module(way, 9, alike))
    one = way.passes(layers, "--rtn-quantize=group=16 include=layers[.]4[.]up")
    assert calls(one) == [8, 1]
    rest = way.passes(one, "--rtn-quantize=group=16 include=layers[.][0-35-9][.]up")
    assert calls(rest) == [9]
    # Two that differ have a body each, and are still layers.
    two = way.passes(outlined(way, module(way, 2, alike)), "--rtn-quantize=group=16 include=layers[.]1[.]up")
    assert calls(two) == [1, 1]
    assert calls(way.passes(two, "--rtn-quantize=group=16 include=layers[.]0[.]up")) == [2]


def test_all_modules_of_the_tests(way):
    path = way.folder / "all.mlir"
    path.write_text(CUT.join(text for _, text in pieces()))
    result = []
    for flags in [["--inline-layers"], ["--outline-layers", "--inline-layers"], ["--outline-layers"]]:
        done = subprocess.run([BUILD / "bin" / "llmc-opt", "--split-input-file", *flags, path], capture_output=True, text=True)
        assert done.returncode in (0, 2)
        result.append(done.stdout)
    assert result[0] == result[1]
    assert result[2].count("llmc.layer private") > 3 and "llmc.layer private" not in result[0]
